"""
Answers that are overdue: cancelled first, then cut off; on a clock of paper.
"""

from __future__ import annotations

import socket
import threading

from padelops.store.watch import GIVE_UP_S, NEVER, Watch, look
from testbed.waiting import until


class Line:
    """A connection whose other side says nothing."""

    closed = False
    overdue = False

    def __init__(self, due: float = NEVER) -> None:
        self.due = due
        self.ours, self.theirs = socket.socketpair()
        self.cancelled = threading.Event()

    def cancel_safe(self, *, timeout: float = 0) -> None:
        assert timeout
        self.cancelled.set()

    def fileno(self) -> int:
        return self.ours.fileno()

    def __del__(self) -> None:
        self.ours.close()
        self.theirs.close()

    @property
    def cut(self) -> bool:
        self.theirs.setblocking(False)
        try:
            return self.theirs.recv(1) == b""
        except BlockingIOError:
            return False


def test_what_is_not_due_is_left_alone() -> None:
    """Nobody is cancelled early; the next moment to look is told."""
    idle, busy = Line(), Line(due=12.0)

    assert 12.0 == look([idle, busy], now=11.9)
    assert NEVER == look([idle], now=99.0)
    assert not idle.overdue
    assert not busy.overdue


def test_what_is_overdue_is_cancelled_and_then_cut() -> None:
    """A server that reacts ends it itself; one that does not is left to itself."""
    line = Line(due=12.0)

    assert 12.5 + GIVE_UP_S == look([line], now=12.5)
    assert line.cancelled.wait(10)
    assert not line.cut
    assert NEVER == look([line], now=12.6 + GIVE_UP_S)

    assert line.cut


def test_the_thread_ends_with_the_last_connection() -> None:
    """A pool that was closed leaves no thread behind, and a new connection is watched again."""

    def watching() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "padelops-watch"]

    before = len(watching())
    watch = Watch(60)
    for _ in range(2):
        line = Line()
        watch.over(line)
        assert before + 1 == len(watching())
        line.closed = True
        watch.wake()
        until(lambda: len(watching()) == before)
