"""
Imports as the database sees them: staged first, then claimed court by court, a batch at a time.

Everything is staged in temporary tables of one connection before the first claim, so that a file
which turns out to be unusable leaves nothing behind, and so that the order in which rows compete
for a court does not depend on the order of the files. `ops/importing.py` says what the rules are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from padelops.store.engine import explained
from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from decimal import Decimal

    from padelops.model import Slot
    from padelops.store.engine import Tx

_SQL = statements("imports")

MOST_ROUNDS = 5
"""How often a batch asks again who stands in a row's way, when those who did keep going away."""


@dataclass(slots=True, kw_only=True)
class StagedRow:
    """
    A reservation or a block of an import, read and translated but not yet placed.

    Attributes:
        system: `padelyzer` or `csv`: what `club_key` and `court_key` mean.
        scope: where `ref` is unique: everywhere (empty), or within one club.
        court_key: None for a block of the whole club.
        digest: of everything that was read; equal digests are the same row.
        problem: why the row cannot go in; everything that was not read is then None.
        context: JSON: how the row was read, for reading it again.
        record: the row's own JSON text, letter by letter.
        pieces: of a block, a day at the longest.
    """

    system: str
    kind: str
    source: str
    model: str
    scope: str
    ref: str
    club_key: str | None
    court_key: str | None
    digest: str
    created_at: datetime | None = None
    updated_at: datetime | None = None
    external_ref: str | None = None
    status: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    player_name: str | None = None
    player_email: str | None = None
    player_phone: str | None = None
    player_count: int | None = None
    notes: str | None = None
    currency: str | None = None
    total: Decimal | None = None
    lines: str | None = None
    payment_status: str | None = None
    captured: Decimal | None = None
    refunded: Decimal | None = None
    paid_at: datetime | None = None
    problem: str | None = None
    detail: str | None = None
    context: str
    record: str
    pieces: tuple[Slot, ...] = field(default=())


_COLUMNS = attrgetter(*(column.name for column in fields(StagedRow) if column.name != "pieces"))


@dataclass(frozen=True, slots=True)
class KnownClub:
    """A club that is here already, as an import has to know it."""

    slug: str
    external_ref: str | None
    time_zone: str
    currency: str
    court_refs: list[str]


@dataclass(frozen=True, slots=True)
class CourtQueue:
    """How many rows compete for one court."""

    court_id: int
    club_id: int
    reservations: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows of one model came to one end."""

    model: str
    outcome: str
    reason: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class Differing:
    """A row that is here, but was brought again saying something else."""

    model: str
    ref: str
    id: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one court's queue after one position, up to another."""

    number: int
    club_id: int
    court_id: int
    after: int
    upto: int

    def values(self, **more: Any) -> dict[str, Any]:
        return {
            "batch": self.number,
            "club_id": self.club_id,
            "court_id": self.court_id,
            "after": self.after,
            "upto": self.upto,
            **more,
        }


def known_clubs(tx: Tx) -> list[KnownClub]:
    """Every club, with the references that imports gave its courts."""
    with tx.cursor(row_factory=class_row(KnownClub)) as cursor:
        return cursor.execute(_SQL["known_clubs"]).fetchall()


def stage(tx: Tx, rows: Iterable[StagedRow]) -> None:
    """Copy the rows into the staging table as they come; what `rows` raises leaves none."""
    pieces: list[tuple[int, int, datetime, datetime]] = []
    with explained():
        with tx.cursor() as cursor, cursor.copy(_SQL["copy_staged"]) as copy:
            for seq, row in enumerate(rows, start=1):
                copy.write_row((seq, *_COLUMNS(row)))
                pieces += (
                    (seq, n, slot.starts_at, slot.ends_at) for n, slot in enumerate(row.pieces, 1)
                )
        with tx.cursor() as cursor, cursor.copy(_SQL["copy_pieces"]) as copy:
            for piece in pieces:
                copy.write_row(piece)
        tx.execute(_SQL["finish_staging"])


def open_preview(tx: Tx) -> None:
    """From here on this connection works on copies. Stage first: only what is needed is copied."""
    with explained():
        tx.execute(_SQL["preview"])


def preview_club(tx: Tx, slug: str, name: str, time_zone: str, currency: str) -> None:
    """Make a club in the copies."""
    values = {"slug": slug, "name": name, "time_zone": time_zone, "currency": currency}
    with explained():
        tx.execute(_SQL["preview_club"], values)


def preview_courts(tx: Tx, slug: str, names: Sequence[str]) -> None:
    """Add courts to a club in the copies."""
    with explained():
        for name in names:
            tx.execute(_SQL["preview_court"], {"slug": slug, "name": name})


def slug_of_ref(tx: Tx, external_ref: str) -> str | None:
    """The club that an import brought under this reference."""
    row = tx.execute(_SQL["slug_of_ref"], {"external_ref": external_ref}).fetchone()
    return None if row is None else str(row[0])


def slug_is_free(tx: Tx, slug: str) -> bool:
    return tx.execute(_SQL["ref_of_slug"], {"slug": slug}).fetchone() is None


def ref_of_slug(tx: Tx, slug: str) -> str | None:
    """The reference under which an import brought this club, if one did."""
    row = tx.execute(_SQL["ref_of_slug"], {"slug": slug}).fetchone()
    return None if row is None else row[0]


def link_club(tx: Tx, slug: str, external_ref: str, courts: dict[str, str]) -> None:
    """Remember where a club and its courts (name -> reference) come from, once and for ever."""
    tx.execute(_SQL["link_club"], {"slug": slug, "external_ref": external_ref})
    tx.execute(
        _SQL["link_courts"],
        {"slug": slug, "names": list(courts), "refs": list(courts.values())},
    )


def refs_of_courts(tx: Tx, slug: str) -> dict[str, str | None]:
    """A club's courts by name, with where they come from."""
    return dict(tx.execute(_SQL["courts_of"], {"slug": slug}).fetchall())


def sort_out(tx: Tx) -> None:
    """Set apart what repeats, cannot be read or has no court, and queue the rest on its courts."""
    # With an empty dictionary, because %% stands for % only where there are parameters.
    for name in (
        "set_repeated_apart",
        "set_problems_apart",
        "know_courts",
        "queue_reservations",
        "queue_blocks",
        "set_strangers_apart",
        "finish_queues",
    ):
        for statement in _SQL[name].split(b";\n"):
            tx.execute(statement, {})


def courts_to_fill(tx: Tx) -> list[CourtQueue]:
    """The courts that rows are queued on, club by club."""
    with tx.cursor(row_factory=class_row(CourtQueue)) as cursor:
        return cursor.execute(_SQL["courts_to_fill"]).fetchall()


def window_of(tx: Tx, batch: Batch, *, blocks: bool = False) -> tuple[datetime, datetime] | None:
    """The court time that a batch wants; None when it wants none."""
    name = "block_window" if blocks else "window_of"
    row = tx.execute(_SQL[name], batch.values()).fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])


def claim_reservations(tx: Tx, batch: Batch, *, now: datetime) -> None:
    """Claim the batch's slots in order; what is there is found, what loses names its rivals."""
    values = batch.values(now=now)
    left = batch.upto - batch.after
    steps = ("find_there", "claim_reservations", "find_there", "name_rivals")
    for _ in range(MOST_ROUNDS):
        left -= sum(tx.execute(_SQL[step], values).rowcount for step in steps)
        if left <= 0:
            break
    tx.execute(_SQL["record_money"], values)


def claim_blocks(tx: Tx, batch: Batch, *, now: datetime) -> None:
    """The same for the pieces of blocks."""
    values = batch.values(now=now)
    for name in ("find_blocks_there", "claim_blocks", "find_blocks_there", "name_block_rivals"):
        tx.execute(_SQL[name], values)


def settle_blocks(tx: Tx, number: int) -> None:
    """Say of each block what became of it, once all of its pieces were tried."""
    tx.execute(_SQL["settle_blocks"], {"batch": number})


def refuse_one(tx: Tx, batch: Batch, detail: str) -> None:
    """Note that the database refuses this batch of one row."""
    tx.execute(_SQL["refuse_one"], batch.values(position=batch.upto, detail=detail))


def counts(tx: Tx) -> list[Counted]:
    """What became of all staged rows."""
    with tx.cursor(row_factory=class_row(Counted)) as cursor:
        return cursor.execute(_SQL["counts"]).fetchall()


def differing(tx: Tx, *, limit: int) -> list[Differing]:
    """The first rows that are here and were brought again changed."""
    with tx.cursor(row_factory=class_row(Differing)) as cursor:
        return cursor.execute(_SQL["differing"], {"limit": limit}).fetchall()
