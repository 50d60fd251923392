"""
Several connections that look at one moment, and that let go at once when they are told to.

The first exports its snapshot and the others take it over, so what they find together is what one
of them would have found. Each works in a thread of its own; the caller's thread only waits, so that
Ctrl-C and SIGTERM reach it, and then cancels what the server is still at.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import TransactionStatus

from padelops.errors import PadelopsError
from padelops.ops.integrity_questions import Look
from padelops.ops.integrity_report import MOST_KEPT
from padelops.ops.integrity_tally import Answer, Tally
from padelops.store import integrity as tables
from padelops.store.driver_errors import first_line_of
from padelops.store.engine import explained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from padelops.ops.integrity_questions import CachedDays
    from padelops.ops.integrity_tally import Job
    from padelops.store.engine import Database, Tx
    from padelops.store.integrity import Server

HANDS = 2
"""Connections at a time. The server's own parallel workers use the other cores."""

PATIENCE_S = 3600.0
"""How long one statement may take before the server counts as lost."""

CANCEL_S = 3.0
"""For a cancellation to get through; a server that stands still does not take any."""


class Hands:
    """Asks questions side by side; close it, whatever happened."""

    def __init__(
        self, database: Database, cached_days: CachedDays | None, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._database = database
        self._cached_days = cached_days
        self._patience_s = patience_s
        self._txs: list[Tx] = []
        self._threads: list[threading.Thread] = []
        self._letting_go = threading.Event()
        self._server: Server | None = None

    def lead(self) -> Server:
        """Connect, and fix the moment that is looked at."""
        tx = self._connect(None)
        self._server = tables.server(tx)
        return self._server

    @property
    def leader(self) -> Tx:
        return self._txs[0]

    def ask(
        self, jobs: Sequence[Job], *, now: datetime, sample: int | None, seed: int
    ) -> Iterator[Answer]:
        """One answer for each job, as they come. A lost server fails those that are left."""
        waiting = deque(jobs)
        answers: SimpleQueue[Answer | BaseException] = SimpleQueue()
        standby = self._server is not None and self._server.standby

        def work(tx: Tx) -> None:
            while waiting and not self._letting_go.is_set():
                try:
                    job = waiting.popleft()
                except IndexError:
                    return
                look = Look(tx, now, job.clubs, sample, seed, standby, self._cached_days)
                try:
                    answers.put(_answer(job, look))
                except BaseException as exc:  # noqa: BLE001 - a thread has nobody to raise to
                    answers.put(exc)  # raised again where somebody waits
                    return

        self._gather(len(jobs))
        for tx in self._txs:
            thread = threading.Thread(target=work, args=(tx,), daemon=True)
            self._threads.append(thread)
            thread.start()
        unanswered = {job.key: job for job in jobs}
        while unanswered:
            try:
                answer = answers.get(timeout=self._patience_s)
            except Empty:
                for job in unanswered.values():
                    yield Answer(job, failure=f"no answer within {self._patience_s:.0f} s")
                return
            if isinstance(answer, BaseException):
                raise answer
            del unanswered[answer.job.key]
            yield answer

    def close(self) -> None:
        """Cancel what is still running, also on the server, and close every connection."""
        self._letting_go.set()
        for tx in self._txs:
            # Also where the caller's own thread was interrupted: psycopg cancels for Ctrl-C alone.
            if tx.pgconn.transaction_status == TransactionStatus.ACTIVE:
                with suppress(psycopg.Error):
                    tx.cancel_safe(timeout=CANCEL_S)
        for thread in self._threads:
            thread.join(CANCEL_S)
        for tx in self._txs:
            with suppress(psycopg.Error):
                tx.close()

    def _gather(self, jobs: int) -> None:
        """More hands, for the same moment."""
        if jobs > 1:
            snapshot = tables.export_snapshot(self.leader)
            while len(self._txs) < min(HANDS, jobs):
                self._connect(snapshot)

    def _connect(self, snapshot: str | None) -> Tx:
        tx = self._database.connect()
        self._txs.append(tx)
        with explained():
            tables.begin_snapshot(tx, snapshot)
            tables.make_room(tx)
        return tx


def _answer(job: Job, look: Look) -> Answer:
    skipped = job.question.skipped(look)
    if skipped:
        return Answer(job, skipped=skipped)
    if look.tx.closed:
        return Answer(job, failure="not asked: the database was lost before")
    started = time.monotonic()
    found: dict[str, Tally] = {}
    failure = None
    try:
        # A savepoint, so that one question that fails does not silence the ones after it.
        with look.tx.transaction():
            for check, violation in job.question.ask(look):
                found.setdefault(check, Tally()).add(violation, most=MOST_KEPT)
    except PadelopsError as exc:
        failure = str(exc)
    except psycopg.Error as exc:
        lost = look.tx.closed
        why = exc.diag.message_primary or first_line_of(exc)
        failure = f"the database was lost: {why}" if lost else why
    return Answer(job, found, failure, None, time.monotonic() - started)
