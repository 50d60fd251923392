"""One new connection for all that health asks a database, and the register of what it asks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from padelops.errors import DatabaseUnavailable, PadelopsError
from padelops.ops.health import Answer
from padelops.store.engine import Tx, explained

if TYPE_CHECKING:
    from collections.abc import Iterator

Connect: TypeAlias = Callable[[], Tx]
Clock: TypeAlias = Callable[[], datetime]
Fact: TypeAlias = Callable[[Tx, Clock], Answer]

LET_GO_S = 0.1
"""For whoever is just giving the connection back."""

FACTS: dict[str, Fact] = {}
"""What is asked over the line, by the name of the check."""


def fact(name: str) -> Callable[[Fact], Fact]:
    """Register what a check asks the database; it raises what stands in the way of an answer."""

    def register(ask: Fact) -> Fact:
        if name in FACTS:
            raise ValueError(f"two health checks are called {name}")
        FACTS[name] = ask
        return ask

    return register


class Line:
    """
    The connection: made by whoever asks first, lent to one after the other.

    New for each report, because a stopped server looks healthy through a connection that was made
    before; and one for all, because a server with few connections left must not lose ten to a
    question about its health. A question that finds a lock in its way is ended by the server after
    a moment, so it does not hold up the others.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._turn = Lock()
        self._tx: Tx | None = None
        self._failed = False
        self._closed = False

    @contextmanager
    def __call__(self) -> Iterator[Tx]:
        """
        The connection.

        Raises:
            DatabaseUnavailable, NotPermitted: there is none. The first who asks hears why.
        """
        with self._turn:
            if self._failed:
                raise DatabaseUnavailable("Not asked: the database gives no connection.")
            if self._tx is None:
                try:
                    self._tx = self._connect()
                except PadelopsError:
                    self._failed = True
                    raise
            try:
                with explained():
                    yield self._tx
            finally:
                if self._closed:
                    self._tx.close()

    def close(self) -> None:
        """Close it; whoever still waits for a silent server does so when that wait is over."""
        self._closed = True
        if self._turn.acquire(timeout=LET_GO_S):
            try:
                if self._tx is not None:
                    self._tx.close()
            finally:
                self._turn.release()
