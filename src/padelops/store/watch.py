"""
Nobody waits for ever for an answer: the limits that the server does not keep are kept here.

A `statement_timeout` ends neither a commit's wait for a synchronous standby that is gone, nor
anything at a server that is stopped or cut off. So each lent connection has a moment by which its
answer is due. One that is overdue is cancelled, which ends a wait for a standby and leaves the
outcome unknown; one that does not even react to that is cut off, as if the network had been.

One thread per pool, asleep until the next answer is due. The callers only write down a number.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable

GIVE_UP_S = 1.0
"""How long a server may take to react to a cancel."""

NEVER = float("inf")


class Watched(Protocol):
    """
    A connection that tells when its answer is due.

    Attributes:
        due: by `time.monotonic()`; `NEVER` while nobody waits.
        overdue: it was cancelled, or cut off; never to be lent again.
    """

    due: float
    overdue: bool

    @property
    def closed(self) -> bool: ...
    def cancel_safe(self, *, timeout: float = ...) -> None: ...
    def fileno(self) -> int: ...


class Watch:
    """
    Args:
        longest_s: no answer is due later than this after it was asked for, so looking that often
            misses none.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._connections: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._looking_in = 0

    def over(self, connection: Watched) -> None:
        """Watch this connection until it is closed."""
        if self._looking_in not in {0, os.getpid()}:
            # A fork has its parent's memory, but neither its threads nor the state of its locks.
            self.__init__(self._longest_s)  # type: ignore[misc]
        with self._lock:
            self._connections.add(connection)
            if not self._looking_in:
                self._looking_in = os.getpid()
                threading.Thread(
                    target=self._keep_looking, name="padelops-watch", daemon=True
                ).start()

    def wake(self) -> None:
        """Look now: when connections were closed, there may be nothing left to watch."""
        self._wake.set()

    def _keep_looking(self) -> None:
        while True:
            with self._lock:
                open_ones = [one for one in self._connections if not one.closed]
                if not open_ones:
                    self._looking_in = 0
                    return
                self._wake.clear()
            next_due = look(open_ones, time.monotonic())
            del open_ones  # who sleeps must not keep them alive
            self._wake.wait(min(max(next_due - time.monotonic(), 0.001), self._longest_s))


def look(connections: Iterable[Watched], now: float) -> float:
    """Act on what is overdue; the moment when the next answer is due."""
    next_due = NEVER
    for connection in connections:
        due = connection.due
        if due <= now:
            if connection.overdue:
                connection.due = NEVER
                _cut(connection)
                continue
            connection.overdue, connection.due = True, now + GIVE_UP_S
            # At a server that is stopped this takes its whole timeout; others must not wait for it.
            threading.Thread(target=_cancel, args=(connection,), daemon=True).start()
        next_due = min(next_due, connection.due)
    return next_due


def _cancel(connection: Watched) -> None:
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=GIVE_UP_S)


def _cut(connection: Watched) -> None:
    """End the conversation under whoever waits: they find the connection lost."""
    with suppress(psycopg.Error, OSError):
        descriptor = os.dup(connection.fileno())
        with socket.socket(fileno=descriptor) as ours:
            ours.shutdown(socket.SHUT_RDWR)
