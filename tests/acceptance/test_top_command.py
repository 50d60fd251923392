"""
`padelops top` as somebody at a terminal meets it, driven in tmux, and its snapshot for scripts.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.wiring import Desk

HOUR_FROM_NOW = "now() + interval '1 hour'"


@dataclass(frozen=True)
class Screen:
    """A terminal of tmux."""

    server: str

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.server, "-f", "/dev/null", *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=20,
            check=False,
        )
        return done.stdout

    @property
    def lines(self) -> list[str]:
        return self.tmux("capture-pane", "-p").splitlines()

    def has(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def press(self, key: str) -> None:
        self.tmux("send-keys", key)

    @property
    def ended(self) -> str:
        """The exit status once the program has ended; empty before."""
        said = [line for line in self.lines if line.startswith("ended with ")]
        return said[0].removeprefix("ended with ") if said else ""


@contextmanager
def top_at(width: int, height: int, database_url: str, **more: str) -> Iterator[Screen]:
    """`padelops top` on a terminal of that size."""
    screen = Screen(f"padelops-test-{uuid4().hex[:8]}")
    environ = {"PADELOPS_DATABASE_URL": database_url, "LANG": "C.UTF-8", "COLUMNS": "80", **more}
    given = [piece for name, value in environ.items() for piece in ("-e", f"{name}={value}")]
    program = shlex.join([sys.executable, "-m", "padelops", "top"])
    # The pane outlives the program, so that its exit status can be read; tmux loses it at times.
    command = f"{program}; echo ended with $?; sleep 300"
    screen.tmux("new-session", "-d", "-x", str(width), "-y", str(height), *given, command)
    try:
        yield screen
    finally:
        screen.tmux("kill-server")
        # tmux leaves its socket where it was.
        folder = Path(os.environ.get("TMUX_TMPDIR", "/tmp")) / f"tmux-{os.getuid()}"
        (folder / screen.server).unlink(missing_ok=True)


@pytest.mark.needs("tmux")
@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20)])
def test_the_board_is_readable_and_ends_with_q(
    desk: Desk, database_url: str, psql: Any, width: int, height: int
) -> None:
    """
    Every path with its limit, bookings and breakers, nothing beyond the edge, keys that work.
    """
    del desk  # its clubs are there
    with top_at(width, height, database_url) as screen:
        # The last line is drawn last: then the screen is whole.
        until(lambda: screen.has("breakers") and screen.has("q quit"))
        shown = screen.lines
        screen.press("p")
        until(lambda: screen.has("PAUSED"))
        screen.press("p")
        until(lambda: not screen.has("PAUSED"))
        screen.press("q")
        until(lambda: screen.ended)
        status = screen.ended

    assert "0" == status
    assert len(shown) <= height
    assert [] == [line for line in shown if len(line) > width]
    for path, limit in (("double_booking", "500 ms"), ("pricing", "100 ms"), ("search", "1 s")):
        (row,) = [line for line in shown if line[2:].startswith(f"{path} ")]
        assert limit in row
    for group in ("bookings", "payments", "breakers", "cache", "queue", "replicas"):
        assert any(line[2:].startswith(group) for line in shown), group
    assert psql.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.needs("tmux")
def test_a_database_that_goes_away_and_comes_back(
    database_url: str, outage: Callable[[], Any]
) -> None:
    """
    It says so, goes on trying, and shows numbers again without being started anew.
    """
    with top_at(80, 24, database_url, NO_COLOR="1") as screen:
        until(lambda: screen.has("confirmed 0"))
        with outage():
            screen.press("r")
            until(lambda: screen.has("DATABASE AWAY, trying again."))
            until(lambda: screen.has("confirmed -"))
        until(lambda: screen.has("confirmed 0") and not screen.has("AWAY"))
        screen.press("q")
        until(lambda: screen.ended)


@pytest.fixture
def top(database_url: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `padelops top` without a terminal."""

    def top(*arguments: str) -> subprocess.CompletedProcess[str]:
        names = ("PATH", "HOME", "PYTHONPATH")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "padelops", "top", *arguments],
            env=kept | {"LANG": "C.UTF-8", "PADELOPS_DATABASE_URL": database_url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return top


def test_a_snapshot_for_people_and_for_scripts(desk: Desk, top: Callable[..., Any]) -> None:
    """
    --once shows the board and ends; --json has every number with its indicator.
    """
    desk.book("centro/2", "2026-12-04T18:00", player="Ana")
    plain, document = top("--once"), json.loads(top("--once", "--json").stdout)
    bookings = {value["labels"].get("status"): value for value in document["bookings"]}

    assert (0, "") == (plain.returncode, plain.stderr)
    assert "\x1b" not in plain.stdout
    assert "breakers   " in plain.stdout
    assert 9 == len(document["paths"])
    assert "padel_active_reservations" == bookings["confirmed"]["indicator"]
    assert "closed" == document["breakers"][0]["states"]["payment_processing"]


def test_without_a_terminal_or_a_database(
    top: Callable[..., Any], outage: Callable[[], Any]
) -> None:
    """
    No escape sequences into a pipe: 2 and the flag that helps; a snapshot of nothing is 8.
    """
    piped, mixed = top(), top("--json")
    with outage():
        away = top("--once")

    assert (2, 2, 8) == (piped.returncode, mixed.returncode, away.returncode)
    assert "Add --once." in piped.stderr
    assert "" == piped.stdout
    assert "DATABASE AWAY" in away.stdout
