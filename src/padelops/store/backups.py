"""What a database holds at one moment, so that a copy of it can be told whole from cut short."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padelops.store.engine import Tx

_SQL = statements("backups")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """
    Claims and audit entries only ever grow, so their numbers bound those of a copy.

    Attributes:
        newest: when the last audit entry was written.
        lsn: how far the log had come.
    """

    schema: str
    claims: int
    entries: int
    newest: datetime | None
    database: str
    role: str
    major: int
    system: str
    timeline: int
    lsn: str

    def as_json(self) -> dict[str, Any]:
        newest = None if self.newest is None else self.newest.isoformat()
        return {name: getattr(self, name) for name in self.__slots__} | {"newest": newest}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        newest = document["newest"]
        moment = None if newest is None else datetime.fromisoformat(newest)
        return cls(**{**document, "newest": moment})


def contents(tx: Tx) -> Contents:
    """What there is now."""
    with tx.cursor(row_factory=class_row(Contents)) as cursor:
        found = cursor.execute(_SQL["contents"]).fetchone()
    if found is None:
        raise LookupError("a server answered with no row")
    return found


def size(tx: Tx) -> int:
    """Bytes that a base backup of this server copies, the log aside."""
    row = tx.execute(_SQL["size"]).fetchone()
    return int(row[0]) if row else 0
