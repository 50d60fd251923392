"""
The terminal door: every way a command can end becomes one line and an exit code, here only.

The codes are `ExitCode`, plus 128 + signal where a signal ended it, and 141 (what a shell reports
for SIGPIPE, as after `git log | head`) when the reader of standard output went away.

A bug in padelops ends with 3, "outcome unknown": it may look neither like success nor like a
refusal that changed nothing. `PADELOPS_DEBUG=1` shows its traceback; without, only its type and
place are told, because the text of a foreign exception may carry a password or a player's data.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from padelops.cli import streams
from padelops.cli.output import Terminal
from padelops.cli.stopping import StopRequested, stop_signals_raise
from padelops.errors import (
    ExitCode,
    Interrupted,
    OutputFailed,
    PadelopsError,
    Terminated,
    bug_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

READER_GONE = 128 + signal.SIGPIPE

PLUGINS_OFF = "PYDANTIC_DISABLE_PLUGINS"
"""Pydantic reads the metadata of all that is installed to find plugins: a tenth of what a short
command takes. None of ours is one; whoever sets the variable decides."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How something ended: its exit code, and the error to tell about if there was one."""

    code: int
    error: PadelopsError | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command line, `sys.argv` when none is given, and return the exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    streams.secure()
    # A guess, for command lines that cannot be parsed; the option itself settles it.
    terminal = Terminal(json="--json" in arguments)

    def command() -> int:
        # Late, so that Ctrl-C while all this is imported ends like any other Ctrl-C.
        from padelops.cli.root import run

        with _no_plugins():
            return run(terminal, arguments)

    def farewell() -> int:
        terminal.finish(ending.code, ending.error)
        return ExitCode.DONE

    with stop_signals_raise():
        ending = _end_of(command, terminal)
        last = _end_of(farewell, terminal)
    if last.error:
        terminal.complain(last.error)
    return ending.code or last.code


@contextmanager
def _no_plugins() -> Iterator[None]:
    if PLUGINS_OFF in os.environ:
        yield
        return
    os.environ[PLUGINS_OFF] = "1"
    try:
        yield
    finally:
        os.environ.pop(PLUGINS_OFF, None)


def _end_of(action: Callable[[], int], terminal: Terminal) -> Ending:
    try:
        return Ending(action())
    except SystemExit as exc:  # shell completion
        return Ending(exc.code if isinstance(exc.code, int) else bool(exc.code))
    except (PadelopsError, KeyboardInterrupt, StopRequested, streams.ReaderGone) as exc:
        _trace(exc, terminal)
        return _expected(exc, terminal)
    except Exception as exc:  # noqa: BLE001 - the last door: beyond it is only a traceback
        _trace(exc, terminal)
        return Ending(ExitCode.OUTCOME_UNKNOWN, bug_of(exc))


def _expected(exc: BaseException, terminal: Terminal) -> Ending:
    match exc:
        case OutputFailed() if terminal.answered:
            # The command ran and its answer is lost: "nothing was changed" could be a lie.
            lost = OutputFailed(exc.message, fix="The command ran; look before running it again.")
            return Ending(ExitCode.OUTCOME_UNKNOWN, lost)
        case PadelopsError():
            return Ending(exc.exit_code, exc)
        case StopRequested():
            return Ending(exc.exit_code, Terminated())
        case streams.ReaderGone():
            return Ending(READER_GONE)
        case _:
            return Ending(ExitCode.INTERRUPTED, Interrupted())


def _trace(exc: BaseException, terminal: Terminal) -> None:
    if terminal.debug:
        import traceback

        streams.write_talk("".join(traceback.format_exception(exc)))
