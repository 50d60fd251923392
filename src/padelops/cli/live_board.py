"""
The dashboard on a live terminal: drawn every second, read in a thread, ended by a key.

Reading waits for a database that may be silent, so it never keeps a key waiting. The terminal is
given back as it was, whatever ends the program.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread
from typing import TYPE_CHECKING

from padelops.cli.board_view import Moment, lines
from padelops.ops.board import Board
from padelops.ops.indicators import Rhythm
from padelops.wiring.metrics import read_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from padelops.cli.board_view import Line
    from padelops.cli.output import Terminal
    from padelops.settings import Settings

TICK_S = 0.25
DRAWN_EVERY_S = 1.0
RETRY_S = 5.0
"""How soon a database that is away is asked again."""


class Reader:
    """Reads each rhythm when it is due, in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.board = Board()
        self.reading = False
        self.paused = False
        self.failure: BaseException | None = None
        self._settings = settings
        self._due = {Rhythm.PRIMARY: 0.0, Rhythm.SECONDARY: 0.0}
        self._woken = Event()
        self._ended = False
        self._thread = Thread(target=self._run, name="top", daemon=True)
        self._thread.start()

    def read_now(self) -> None:
        """Both rhythms, at once."""
        self._due = dict.fromkeys(self._due, 0.0)
        self._woken.set()

    def pause(self) -> None:
        """Stand still, or go on."""
        self.paused = not self.paused
        self._woken.set()

    def end(self) -> None:
        self._ended = True
        self._woken.set()

    def _run(self) -> None:
        try:
            while not self._ended:
                self._read_due()
                self._woken.wait(TICK_S)
                self._woken.clear()
        except BaseException as exc:  # noqa: BLE001 - raised where the terminal is given back
            self.failure = exc

    def _read_due(self) -> None:
        for rhythm in self._due:
            if self._ended or self.paused or time.monotonic() < self._due[rhythm]:
                continue
            self.reading = True
            found = read_metrics(self._settings, rhythm=rhythm)
            wait_s = RETRY_S if found.away is not None else float(rhythm)
            self._due[rhythm] = time.monotonic() + wait_s
            if rhythm is Rhythm.PRIMARY:
                self.board = Board(found, self.board.secondary)
            else:
                self.board = Board(self.board.primary, found)
            self.reading = False


def watch(terminal: Terminal, settings: Settings) -> None:
    """Show the dashboard until somebody presses q."""
    from rich.console import ConsoleDimensions
    from rich.live import Live

    console = terminal.console(whole_screen=True)
    reader = Reader(settings)
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        drawn = 0.0
        try:
            while True:
                keys = pressed(TICK_S).lower()
                for key in keys:
                    if key == "q":
                        return
                    if key == "p":
                        reader.pause()
                    if key == "r":
                        reader.read_now()
                if reader.failure is not None:
                    raise reader.failure
                if keys or time.monotonic() - drawn >= DRAWN_EVERY_S or reader.reading:
                    # Asked of the terminal itself: COLUMNS, where set, is not resized with it.
                    width, height = console.size = ConsoleDimensions(*os.get_terminal_size(1))
                    moment = Moment(datetime.now(UTC), True, reader.paused, reader.reading)
                    shown = lines(reader.board, moment, width=width, height=height)
                    live.update(_text(shown), refresh=True)
                    drawn = time.monotonic()
        finally:
            reader.end()


def _text(shown: list[Line]) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, end="")
    for position, line in enumerate(shown):
        if position:
            text.append("\n")
        for piece, style in line.pieces:
            text.append(piece, style or None)
    return text


@contextmanager
def _keys() -> Iterator[_Pressed]:
    """Keys one by one and unseen; the terminal's own way afterwards."""
    descriptor = sys.stdin.fileno()
    if not os.isatty(descriptor):
        yield _Pressed(None)
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _Pressed(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class _Pressed:
    """The keys pressed within a time, in order; empty where none was."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def __call__(self, wait_s: float) -> str:
        if self._descriptor is None:
            time.sleep(wait_s)
            return ""
        ready, _, _ = select.select([self._descriptor], [], [], wait_s)
        if not ready:
            return ""
        typed = os.read(self._descriptor, 32)
        # An end of input is a terminal that is gone.
        return typed.decode(errors="replace") if typed else "q"
