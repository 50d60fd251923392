"""The audit trail as stored: entries, seals, and the questions that show tampering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change of one thing; `changes` maps a field to `[before, after]` or its first value."""

    id: int
    at: datetime
    subject_kind: str
    subject_id: int | None
    version: int | None
    action: str
    actor: str
    door: str
    request_id: str
    changes: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"at": self.at.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A link of the chain; `digest` is hexadecimal and can be kept elsewhere as an anchor."""

    id: int
    entries: int
    digest: str

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "entries": self.entries, "digest": self.digest}


@dataclass(frozen=True, slots=True, kw_only=True)
class SealCheck:
    """A seal beside what its entries say today."""

    id: int
    entries: int
    digest: str
    chained: bool
    follows: bool
    intact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomplete:
    """A thing whose number of entries is not its number of changes."""

    subject_kind: str
    subject_id: int
    changes: int
    entries: int


def note(
    tx: Tx,
    action: str,
    changes: dict[str, Any],
    *,
    club_id: int | None = None,
    subject_id: int | None = None,
) -> int:
    """Record an operator's action in the transaction that carries it out; the entry's id."""
    row = tx.execute(
        _SQL["note"],
        {
            "club_id": club_id,
            "subject_id": subject_id,
            "action": action,
            "changes": Jsonb(changes),
        },
    ).fetchone()
    return int(row[0]) if row else 0


def is_there(tx: Tx, entry_id: int) -> bool:
    """Whether an entry can be read."""
    row = tx.execute(_SQL["is_there"], {"id": entry_id}).fetchone()
    return bool(row and row[0])


def history(tx: Tx, subject_kind: str, subject_id: int) -> list[Entry]:
    """Every change of one thing, first to last."""
    with tx.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(
            _SQL["history"], {"subject_kind": subject_kind, "subject_id": subject_id}
        ).fetchall()


def export_page(
    tx: Tx, *, after: int, since: datetime | None, until: datetime | None, limit: int
) -> list[dict[str, Any]]:
    """The next entries by id, as JSON-ready mappings."""
    with tx.cursor() as cursor:
        rows = cursor.execute(
            _SQL["export"], {"after": after, "since": since, "until": until, "limit": limit}
        ).fetchall()
        names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def lock_seals(tx: Tx) -> None:
    """One sealer at a time."""
    tx.execute(_SQL["seal_lock"])


def seal_next(tx: Tx, *, limit: int) -> Seal | None:
    """Seal the next finished transactions; None when there is nothing to seal."""
    with tx.cursor(row_factory=class_row(Seal)) as cursor:
        return cursor.execute(_SQL["seal"], {"limit": limit}).fetchone()


def horizon_is_behind(tx: Tx) -> bool:
    """Whether this database's transaction counter is older than its own seals."""
    row = tx.execute(_SQL["horizon_is_behind"]).fetchone()
    return bool(row and row[0])


def unsealed(tx: Tx) -> tuple[int, datetime | None]:
    """How many entries no seal covers yet, and since when."""
    row = tx.execute(_SQL["unsealed"]).fetchone()
    return (0, None) if row is None else (row[0], row[1])


def check_seals(tx: Tx) -> list[SealCheck]:
    """Every seal, compared with its entries and its neighbours by the database."""
    with tx.cursor(row_factory=class_row(SealCheck)) as cursor:
        return cursor.execute(_SQL["check_seals"]).fetchall()


def sealed_leaves(tx: Tx, seal_id: int) -> tuple[bytes, list[int], list[tuple[int, bytes]]]:
    """For a broken seal: its stored leaves, the ids it covered, and today's (id, leaf) in order."""
    stored = tx.execute(_SQL["sealed_entries"], {"seal_id": seal_id}).fetchone()
    ids = tx.execute(_SQL["sealed_ids"], {"seal_id": seal_id}).fetchall()
    today = tx.execute(_SQL["entries_of_seal"], {"seal_id": seal_id}).fetchall()
    return (
        b"" if stored is None else bytes(stored[0]),
        [row[0] for row in ids],
        [(row[0], bytes(row[1])) for row in today],
    )


def edited(tx: Tx, *, limit: int, sample: int | None = None, seed: int = 0) -> list[int]:
    """Entries that differ from their fingerprint at birth: of all, or of some and the unsealed."""
    values = {"limit": limit, "sample": sample, "seed": seed}
    return [row[0] for row in tx.execute(_SQL["edited"], values).fetchall()]


def incomplete(tx: Tx, *, limit: int) -> list[Incomplete]:
    """Things that changed without exactly one entry for each change."""
    with tx.cursor(row_factory=class_row(Incomplete)) as cursor:
        return cursor.execute(_SQL["incomplete"], {"limit": limit}).fetchall()


def missing_guards(tx: Tx) -> list[str]:
    """Triggers of the trail that are absent or switched off, as `table.trigger`."""
    return [row[0] for row in tx.execute(_SQL["missing_guards"]).fetchall()]
