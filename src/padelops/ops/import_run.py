"""
One import on its way: clubs, then reservations, then blocks, court by court and batch by batch.

`importing.py` says what the rules are. A batch that the database refuses is halved until the row
that it refuses stands alone; the others go in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from padelops.errors import ConstraintBroken, IllegalMove, InvalidInput
from padelops.ops import import_csv, padelyzer, padelyzer_clubs
from padelops.ops.import_clubs import ClubArrivals
from padelops.ops.import_files import CSV
from padelops.ops.import_report import MOST_SHOWN
from padelops.ops.import_terms import ImportTerms
from padelops.store import audit, claims, imports, quarantine
from padelops.store.import_session import again_when_beaten
from padelops.store.imports import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from padelops.model import Origin
    from padelops.ops.django_dump import Record
    from padelops.ops.import_report import ImportReport
    from padelops.store.engine import Database, Tx
    from padelops.store.import_session import ImportSession
    from padelops.store.imports import CourtQueue, KnownClub, StagedRow

ROWS_IN_A_BATCH = 500
"""Committed together: about a fifth of a second, in which a rival booking has to wait."""

MOST_CLUB_RECORDS = 200_000
"""Clubs, courts and schedules are kept in memory; more of them are no clubs."""

READ = {**padelyzer_clubs.READ, **padelyzer.READ, CSV: import_csv.COLUMNS}
KEPT_APART = frozenset({"updated_at", ""})
"""Fields that are read, but say nothing that is kept; "" stands for a line out of shape."""


Watch: TypeAlias = "Callable[[str, int], AbstractContextManager[Callable[[int], object]]]"
"""Shows how far a long step is: called with its title and its number of steps."""


class ImportRun:
    """Reads rows, places them, and counts what became of each."""

    def __init__(
        self,
        database: Database,
        session: ImportSession,
        terms: ImportTerms,
        known: list[KnownClub],
        report: ImportReport,
        origin: Origin,
        now: datetime,
    ) -> None:
        self._database = database
        self._session = session
        self._terms = terms
        self._known = known
        self._report = report
        self._origin = origin
        self._now = now
        self._said: dict[tuple[Any, Any], ImportTerms] = {}
        self._club_records: list[tuple[ImportTerms, Record]] = []
        self._shapes: dict[tuple[str, tuple[str, ...]], int] = {}
        self._batches = 0

    # --- reading ---------------------------------------------------------------------------

    def say(self, context: dict[str, Any]) -> None:
        """From here on rows are read as they were when they came to quarantine."""
        said = (context.get("timezone"), context.get("currency"))
        if said not in self._said:
            self._said[said] = ImportTerms(
                self._known, time_zone=said[0], currency=said[1], retry=True
            )
        self._terms = self._said[said]

    def of_dump(self, records: Iterable[Record]) -> Iterator[StagedRow]:
        read, note = self._report.rows_read, self._note
        for record in records:
            read[record.model] += 1
            shape = (record.model, tuple(record.fields))
            self._shapes[shape] = self._shapes.get(shape, 0) + 1
            if record.model in padelyzer.READ:
                yield padelyzer.staged(record, self._terms, now=self._now, note=note)
            elif record.model in padelyzer_clubs.READ:
                if len(self._club_records) >= MOST_CLUB_RECORDS:
                    raise InvalidInput(
                        f"More than {MOST_CLUB_RECORDS} clubs, courts and schedules in one import.",
                        fix="Import club by club.",
                    )
                self._club_records.append((self._terms, record))
            else:
                self._report.skipped[record.model] += 1

    def of_csv(self, rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[StagedRow]:
        for source, fields in rows:
            self._report.rows_read[CSV] += 1
            shape = (CSV, tuple(fields))
            self._shapes[shape] = self._shapes.get(shape, 0) + 1
            yield import_csv.staged(
                fields, self._terms, source=source, now=self._now, note=self._note
            )

    def stage(self, rows: Iterator[StagedRow]) -> None:
        """Read everything; whatever is wrong with a file is raised before anything is written."""
        imports.stage(self._session.tx, rows)
        for (model, names), times in self._shapes.items():
            if model in READ:
                for name in set(names).difference(READ[model], KEPT_APART):
                    self._report.ignored[f"{model}.{name}"] += times

    def _note(self, remark: str) -> None:
        self._report.notes[remark] += 1

    # --- placing ---------------------------------------------------------------------------

    def place(self, watch: Watch) -> None:
        """Clubs first, then what claims their courts."""
        if self._session.preview:
            imports.open_preview(self._session.tx)
        self._place_clubs()
        with self._session.batch() as tx:
            imports.sort_out(tx)
            quarantine.put_batch(tx, 0, now=self._now)
        courts = imports.courts_to_fill(self._session.tx)
        rows = sum(one.reservations + one.blocks for one in courts)
        with watch("Importing rows", rows) as advance:
            for court in courts:
                self._fill(court, court.reservations, self._claim_reservations, advance)
            for court in courts:
                self._fill(court, court.blocks, self._claim_blocks, advance)
        number = self._next_batch()
        with self._session.batch() as tx:
            imports.settle_blocks(tx, number)
            quarantine.put_batch(tx, number, now=self._now)

    def _place_clubs(self) -> None:
        by_terms: dict[ImportTerms, list[Record]] = {}
        for terms, record in self._club_records:
            by_terms.setdefault(terms, []).append(record)
        for terms, records in by_terms.items():
            ClubArrivals(
                self._database, self._session, terms, self._report, self._origin, self._now
            ).arrive(records)

    def _fill(
        self,
        court: CourtQueue,
        rows: int,
        claim: Callable[[Tx, Batch], None],
        advance: Callable[[int], object],
    ) -> None:
        for after in range(0, rows, ROWS_IN_A_BATCH):
            upto = min(after + ROWS_IN_A_BATCH, rows)
            self._try(court, after, upto, claim)
            advance(upto - after)

    def _try(
        self, court: CourtQueue, after: int, upto: int, claim: Callable[[Tx, Batch], None]
    ) -> None:
        """
        Claim a stretch of a court's queue. If the database refuses a row of it, whatever the reader
        thought of it, it is found by halving and set apart; the others go in.
        """
        batch = Batch(self._next_batch(), court.club_id, court.court_id, after, upto)

        def attempt() -> None:
            with self._session.batch() as tx:
                claim(tx, batch)
                quarantine.put_batch(tx, batch.number, now=self._now)

        try:
            again_when_beaten(attempt)
        except (ConstraintBroken, IllegalMove) as exc:
            if upto - after > 1:
                middle = (after + upto) // 2
                self._try(court, after, middle, claim)
                self._try(court, middle, upto, claim)
                return
            with self._session.batch() as tx:
                imports.refuse_one(tx, batch, exc.message)
                quarantine.put_batch(tx, batch.number, now=self._now)

    def _claim_reservations(self, tx: Tx, batch: Batch) -> None:
        self._retire(tx, batch, imports.window_of(tx, batch))
        imports.claim_reservations(tx, batch, now=self._now)

    def _claim_blocks(self, tx: Tx, batch: Batch) -> None:
        self._retire(tx, batch, imports.window_of(tx, batch, blocks=True))
        imports.claim_blocks(tx, batch, now=self._now)

    def _retire(self, tx: Tx, batch: Batch, window: tuple[datetime, datetime] | None) -> None:
        """End the holds that ran out and stand in the way, as a booking does."""
        if window is not None:
            claims.retire_expired(tx, batch.court_id, *window, now=self._now)

    def _next_batch(self) -> int:
        self._batches += 1
        return self._batches

    # --- closing ---------------------------------------------------------------------------

    def close(self) -> None:
        """Count what became of the rows, and leave a note of the import in the audit trail."""
        tx = self._session.tx
        for counted in imports.counts(tx):
            self._report.settle(counted.model, counted.outcome, counted.reason, counted.rows)
        for one in imports.differing(tx, limit=MOST_SHOWN):
            self._report.differ(one.model, one.ref, one.detail or "something else", one.id)
        with self._session.batch() as tx:
            self._report.still_open = quarantine.count_open(tx)[0]
            if not self._session.preview:
                audit.note(tx, "import", self._summary())

    def _summary(self) -> dict[str, Any]:
        told = self._report.as_json()
        names = ("files", "rows_read", "imported", "already_there", "differs", "quarantined")
        return {name: told[name] for name in (*names, "skipped")}
