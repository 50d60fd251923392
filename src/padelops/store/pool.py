"""
Connections kept ready, at most so many; the one used last is lent first.

Ours, because lending through SQLAlchemy's pool cost a booking a tenth of its time in Python
(load_tests/bench_booking.py), and because a forked child must not use its parent's connections.
"""

from __future__ import annotations

import os
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


class Connection(Protocol):
    """What the pool must know of what it keeps."""

    @property
    def closed(self) -> bool: ...

    def close(self) -> None: ...


C = TypeVar("C", bound=Connection)


class PoolExhausted(Exception):
    """Every connection was in use for too long."""


class Pool(Generic[C]):
    """
    Thread-safe; after a fork each process has connections of its own.

    Last in, first out: the server's process behind the connection used last is warm, and in quiet
    hours the others rest.
    """

    def __init__(self, connect: Callable[[], C], *, size: int, timeout_s: float) -> None:
        self._connect = connect
        self._size = size
        self._timeout_s = timeout_s
        self._start_over()

    def _start_over(self) -> None:
        # A parent's connections are forgotten, not closed: that would end them for the parent.
        self._process = os.getpid()
        self._idle: deque[C] = deque()
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._size):
            self._permits.put(None)

    @property
    def idle(self) -> int:
        """How many connections lie ready."""
        return len(self._idle) if self._process == os.getpid() else 0

    def take(self) -> C:
        """
        A connection, made now if none lies ready. Give it back, whatever became of it.

        Raises:
            PoolExhausted: none was given back in time. And whatever connecting raises.
        """
        if self._process != os.getpid():
            self._start_over()
        try:
            self._permits.get(timeout=self._timeout_s)
        except Empty as exc:
            raise PoolExhausted from exc
        try:
            return self._idle.pop()
        except IndexError:
            return self._connected()

    def _connected(self) -> C:
        try:
            return self._connect()
        except BaseException:
            self._permits.put(None)
            raise

    def give_back(self, connection: C) -> None:
        """Let others use it, or if it is closed make room for a new one."""
        if not connection.closed:
            self._idle.append(connection)
        self._permits.put(None)

    def close_idle(self) -> None:
        """Close what lies ready; what is lent is not touched."""
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return
