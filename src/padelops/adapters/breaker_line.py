"""
The circuit breakers' own connection to the database: whoever asks waits a moment and no longer.

The server bounds what it is busy with; what it cannot bound is its own silence. A stopped server or
a cut network sends nothing, no timeout of the database helps against that, and the thread that
waits is the one that should be opening a breaker. So waiting ends on this side, and connecting
happens in a thread of its own: it may take its time, those who ask do not.

A pool would not do: it is drained by the very faults that breakers are for. Only a process that has
just begun borrows from there what lies ready. Most commands are over by then, and a connection of
their own would cost them ten times what it is for.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from padelops.errors import DatabaseUnavailable, PadelopsError
from padelops.store import breakers as rows
from padelops.store.deadline import LOCK_SHARE
from padelops.store.engine import Tx, explained

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from padelops.store.engine import Database

ANSWER_S = 0.1
"""A statement that finds no rival takes a thousandth of this."""

CONNECT_S = 0.25
"""A connection is made in milliseconds; one that takes longer is there for the next who asks."""

YOUNG_S = 1.0
"""So long a process counts as one that may be over soon."""

POLL_S = 0.02
"""How often a wait looks at its clock."""

T = TypeVar("T")


class ImpatientTx(Tx):
    """A connection that gives up on a silent server. After that it is of no use any more."""

    patience_ends = float("inf")

    def wait(
        self, gen: Generator[Any, Any, T], interval: float = POLL_S, *args: Any, **kwargs: Any
    ) -> T:
        """See `psycopg.Connection.wait`, which wakes the generator up every `interval` seconds."""
        return super().wait(self._patiently(gen), min(interval, POLL_S), *args, **kwargs)

    def _patiently(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        try:
            state = next(gen)
            while True:
                ready = yield state
                # An answer that lies there and waits for this thread is no silence.
                if not ready and time.monotonic() > self.patience_ends:
                    raise psycopg.OperationalError("no answer in time")
                state = gen.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result


class BreakerLine:
    """
    One connection, made when it is first needed and again after it broke. Thread-safe.

    Called, it gives the connection to one thread at a time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._born = time.monotonic()
        self._turn = Lock()
        self._tx: ImpatientTx | None = None
        self._owner = 0
        self._dialling: Dialling | None = None

    @contextmanager
    def __call__(self) -> Iterator[Tx]:
        """
        The connection, for one exchange.

        Raises:
            DatabaseUnavailable: there is none yet, or its server is silent. NotPermitted: refused.
        """
        if self._tx is None and self._database.connected and self._young:
            with self._database.reading() as borrowed:
                yield borrowed
            return
        if not self._turn.acquire(timeout=ANSWER_S):
            raise DatabaseUnavailable("Another breaker is still waiting for the database.")
        try:
            tx = self._connected()
            tx.patience_ends = time.monotonic() + ANSWER_S
            try:
                with explained():
                    yield tx
            except BaseException:
                if tx.closed or tx.info.transaction_status:
                    self._drop()
                raise
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close the connection, also one that is still being made."""
        with self._turn:
            self._drop()
            if self._dialling is not None:
                self._dialling.hang_up()

    @property
    def _young(self) -> bool:
        return time.monotonic() - self._born < YOUNG_S

    def _connected(self) -> ImpatientTx:
        if self._tx is not None and self._owner == os.getpid():
            return self._tx
        dialling = self._dialling
        if dialling is None or dialling.failed or dialling.process != os.getpid():
            dialling = self._dialling = Dialling(self._database)
            dialling.start()
            dialling.join(CONNECT_S)
        self._tx, self._owner = dialling.connection(), os.getpid()
        self._dialling = None
        return self._tx

    def _drop(self) -> None:
        # After a fork the connection is the parent's: closing it here would end it there.
        if self._tx is not None and self._owner == os.getpid():
            self._tx.close()
        self._tx = None


class Dialling(Thread):
    """The making of one connection, however long it takes."""

    def __init__(self, database: Database) -> None:
        super().__init__(name="padelops-breakers", daemon=True)
        self.process = os.getpid()
        self._database = database
        self._lock = Lock()
        self._unwanted = False
        self._tx: ImpatientTx | None = None
        self._error: PadelopsError | psycopg.Error | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended without a connection."""
        return self._error is not None

    def run(self) -> None:
        """Connect, unless nobody wants it any more."""
        try:
            tx = self._database.connect_as(ImpatientTx)
            with explained():
                rows.bound(
                    tx, statement_ms=int(ANSWER_S * 1000), lock_ms=int(ANSWER_S * LOCK_SHARE * 1000)
                )
        except (PadelopsError, psycopg.Error) as exc:
            self._error = exc
            return
        with self._lock:
            self._tx = tx
            if self._unwanted:
                tx.close()

    def connection(self) -> ImpatientTx:
        """
        Raises:
            DatabaseUnavailable: it is not there yet. Else what went wrong.
        """
        if self._error is not None:
            raise self._error
        if self._tx is None:
            raise DatabaseUnavailable("The database has not taken up the connection yet.")
        return self._tx

    def hang_up(self) -> None:
        """Close it, now or when it is there."""
        with self._lock:
            self._unwanted = True
            if self._tx is not None:
                self._tx.close()
