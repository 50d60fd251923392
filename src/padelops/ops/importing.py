"""
Import what clubs run today: nothing is lost, nothing is invented, and nothing goes in twice.

    read every file -> stage -> clubs -> reservations -> blocks -> quarantine -> books that balance

Two formats: Django `dumpdata` files of the Padelyzer backend (`padelyzer.py`,
`padelyzer_clubs.py`), in any number and order, and CSV (`import_csv.py`). What old words mean here
is in `import_reservation.py`. These are the rules:

- **Files first.** Everything is read and staged before anything is written; a file that cannot be
  used leaves nothing behind. A row that cannot be used goes to quarantine and stops nobody.
- **Who keeps the court.** That system refuses only *equal* slots, so its rows can overlap. What is
  live here already stays. Of two rows the one created first wins, then the lower key; the order
  of the files does not matter. Reservations go in before blocks. The loser goes to quarantine and
  names what keeps its court. Cancelled, completed and expired rows keep no court, so they clash
  with nothing.
- **A block** is one claim for each court and day. Pieces that find their court free are laid even
  when others are not, because a closed court must not be sold; the row waits in quarantine until
  the rest fits. Lifted here, it stays lifted.
- **Again.** A row is known by its key within its club. Brought again unchanged it is
  `already_there`; changed since, it `differs`: it is reported and nothing is overwritten. So an
  import that was killed is simply run again, and two at once take turns, batch by batch.
- **Clubs** that are here are never changed: missing courts are added, the rest is compared. Bring
  schedules together with the club; brought later they only differ.
- **Batches** of one court commit separately: bookings go on meanwhile, and progress survives.
- **The books** must balance: rows read = imported + already there + differs + quarantined +
  skipped.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from padelops.errors import InvalidInput, OutcomeUnknown, PartlyDone, Unavailable
from padelops.model import Door
from padelops.ops import django_dump, import_csv
from padelops.ops.import_files import CSV, recognise
from padelops.ops.import_report import ImportReport
from padelops.ops.import_run import ImportRun
from padelops.ops.import_terms import ImportTerms
from padelops.store import imports, quarantine
from padelops.store.import_session import ImportSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from padelops.model import Origin
    from padelops.ops.import_run import Watch
    from padelops.store.engine import Database
    from padelops.store.imports import StagedRow
    from padelops.store.quarantine import Quarantined


def unwatched(title: str, total: int) -> AbstractContextManager[Callable[[int], object]]:
    """Nobody looks."""
    del title, total
    return nullcontext(lambda _: None)


@dataclass(frozen=True, slots=True)
class Importer:
    """
    Args:
        database: without a time limit for statements.
        origin: who imports; the door is always `import`.
    """

    database: Database
    origin: Origin
    clock: Callable[[], datetime]

    def run(
        self,
        paths: Sequence[Path],
        *,
        time_zone: str | None = None,
        currency: str | None = None,
        dry_run: bool = False,
        watch: Watch = unwatched,
    ) -> ImportReport:
        """
        Import files as one: their rows may refer to each other.

        Args:
            time_zone: of local times, where the club is not here yet; Mexico City when left out.
            currency: of clubs that are not here yet; MXN when left out.

        Raises:
            InvalidInput: a file, the zone or the currency cannot be used; nothing was written.
            PartlyDone: stopped in the middle; running it again goes on.
        """
        if not paths:
            raise InvalidInput("Name a file to import.")
        report = ImportReport([recognise(path) for path in paths], dry_run)

        def rows(run: ImportRun) -> Iterator[StagedRow]:
            with watch("Reading (KiB)", sum(file.kib for file in report.files)) as advance:
                for file in report.files:
                    if file.format == CSV:
                        yield from run.of_csv(import_csv.read(file, advance))
                    else:
                        yield from run.of_dump(django_dump.read(file, advance))

        return self._carry_out(report, rows, time_zone, currency, watch)

    def retry(self, *, dry_run: bool = False, watch: Watch = unwatched) -> ImportReport:
        """
        Try every row that waits in quarantine again, read as it was read the first time.

        Raises:
            PartlyDone: stopped in the middle; running it again goes on.
        """
        report = ImportReport([], dry_run)
        with self.database.reading() as tx:
            waiting = list(quarantine.open_records(tx))

        def rows(run: ImportRun) -> Iterator[StagedRow]:
            for row in waiting:
                run.say(row.context)
                if row.context.get("format") == CSV:
                    yield from run.of_csv([(row.source, import_csv.parse_one(row.record))])
                else:
                    record = django_dump.parse_one(row.record, source=row.source)
                    yield from run.of_dump([record])

        return self._carry_out(report, rows, None, None, watch)

    def quarantined(self, *, limit: int = 1000) -> tuple[list[Quarantined], int]:
        """The rows that wait, oldest first, and how many there are in all."""
        with self.database.reading() as tx:
            return quarantine.open_rows(tx, limit=limit), quarantine.count_open(tx)[0]

    def _carry_out(
        self,
        report: ImportReport,
        rows: Callable[[ImportRun], Iterator[StagedRow]],
        time_zone: str | None,
        currency: str | None,
        watch: Watch,
    ) -> ImportReport:
        request_id = self.origin.request_id or f"import-{uuid.uuid4().hex[:12]}"
        origin = replace(self.origin, door=Door.IMPORT, request_id=request_id)
        with ImportSession(self.database, origin, preview=report.dry_run) as session:
            with self.database.reading() as tx:
                known = imports.known_clubs(tx)
            terms = ImportTerms(known, time_zone=time_zone, currency=currency)
            run = ImportRun(self.database, session, terms, known, report, origin, self.clock())
            with _resumable(session):
                run.stage(rows(run))
                run.place(watch)
                run.close()
        report.require_balance()
        return report


@contextmanager
def _resumable(session: ImportSession) -> Iterator[None]:
    """Once a batch is in, being stopped means: partly done, run it again."""
    try:
        yield
    except (Unavailable, OutcomeUnknown) as exc:
        if not session.committed and isinstance(exc, Unavailable):
            raise
        raise PartlyDone(
            f"{exc.message} The import stopped in the middle.",
            fix="Run it again: what is in stays in, and nothing goes in twice.",
        ) from exc
