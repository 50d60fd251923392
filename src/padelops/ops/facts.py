"""What indicators are made of: asked once, over one connection, until the time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from padelops.booking.operations import Outcome, Tally
from padelops.errors import DatabaseUnavailable, PadelopsError
from padelops.ops.indicators import Sample
from padelops.store import counts, health, indicators
from padelops.store.engine import Tx, explained

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from padelops.booking.counts import Counts
    from padelops.store.counts import Ended

T = TypeVar("T")


class Facts:
    """
    Answers of one moment. A question that failed is not asked again, and fails again.

    Args:
        connect: makes a connection that gives up on a silent server.
        process: what this process counts with, where it counts.
        deadline: when there is no time left, by the monotonic clock.
        writable: counts the servers of a cluster that take writes; None where that is unknown.
    """

    def __init__(
        self,
        connect: Callable[[], Tx],
        *,
        now: datetime,
        deadline: float,
        process: Counts | None = None,
        writable: Callable[[], int | None] | None = None,
    ) -> None:
        self.now = now
        self.process = process
        self._connect = connect
        self._writable = writable
        self._deadline = deadline
        self._tx: Tx | None = None
        self._answers: dict[object, Any] = {}
        self._failures: dict[object, PadelopsError] = {}

    def ask(self, question: Callable[[Tx], T], *, once: object = None) -> T:
        """
        What the database answers.

        Args:
            once: what the answer is remembered by; the question itself when left out.

        Raises:
            PadelopsError: what stands in the way of an answer.
        """
        key = once or question
        if key in self._failures:
            raise self._failures[key]
        if key not in self._answers:
            try:
                self._answers[key] = self._asked(question)
            except PadelopsError as exc:
                self._failures[key] = exc
                raise
        found: T = self._answers[key]
        return found

    def _asked(self, question: Callable[[Tx], T]) -> T:
        if time.monotonic() > self._deadline:
            raise DatabaseUnavailable("Not asked: there was no time left.")
        tx = self.ask_for_a_connection()
        try:
            with explained():
                return question(tx)
        except psycopg.Error as exc:
            # Nothing that padelops itself does wrong may hide the other indicators.
            raise PadelopsError(f"The question itself failed with {type(exc).__name__}.") from exc

    def ask_for_a_connection(self) -> Tx:
        """
        Raises:
            PadelopsError: there is none; whoever asks later hears the same.
        """
        if "connection" in self._failures:
            raise self._failures["connection"]
        if self._tx is None or self._tx.closed:
            try:
                self._tx = self._connect()
            except PadelopsError as exc:
                self._failures["connection"] = exc
                raise
        return self._tx

    @property
    def away(self) -> PadelopsError | None:
        """Why there is no connection; None while nobody has looked, or there is one."""
        return self._failures.get("connection")

    def close(self) -> None:
        if self._tx is not None:
            self._tx.close()

    def writable_servers(self) -> int | None:
        """How many servers take writes; with one address alone, whether that one does."""
        if self._writable is not None:
            return self._writable()
        found = self.ask(health.server)
        return int(not (found.standby or found.read_only))

    # --- what is asked more than once ---------------------------------------------------------

    def rows(self, statement: str) -> list[tuple[dict[str, str], Any]]:
        """Labels and values of a statement in store/sql/indicators.sql."""
        return self.ask(lambda tx: indicators.ask(tx, statement, now=self.now), once=statement)

    def samples(self, statement: str) -> list[Sample]:
        """The same as samples."""
        return [
            Sample(None if value is None else float(value), labels)
            for labels, value in self.rows(statement)
        ]

    def ended(self, window_s: int) -> list[Ended]:
        """The operations that ended within a window, by path, outcome and code."""

        def question(tx: Tx) -> list[Ended]:
            return counts.operations_within(tx, (window_s,), now=self.now)[window_s]

        return self.ask(question, once=("operations", window_s))

    def tallies(self, window_s: int) -> dict[str, dict[bool, Tally]]:
        """By path, the operations that were answered (True) and those that were not."""
        found: dict[str, dict[bool, Tally]] = {}
        for ended in self.ended(window_s):
            sides = found.setdefault(ended.path, {True: Tally(), False: Tally()})
            good = Outcome(ended.outcome).good
            sides[good].merge(Tally(ended.seconds, ended.buckets))
        return found

    def counted(self, window_s: int) -> dict[str, int]:
        """What was counted by name within a window."""

        def question(tx: Tx) -> dict[str, int]:
            return counts.counters_within(tx, (window_s,), now=self.now)[window_s]

        return self.ask(question, once=("counters", window_s))

    def operation_totals(self) -> list[Ended]:
        """All operations that this timeline has counted."""
        return self.ask(counts.operation_totals)

    def counter_totals(self) -> dict[str, int]:
        """All that this timeline has counted by name."""
        return self.ask(counts.counter_totals)
