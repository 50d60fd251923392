"""
Where a database's space and time go: tables, dead rows, bloat, indexes to look at, slow statements.

Everything is read from the server's own statistics; what is an estimate is called one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from padelops.store import indexes as rows
from padelops.store.engine import explained

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Database
    from padelops.store.indexes import MissingIndex, SlowStatement, TableStats, UnusedIndex

SLOWEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStats:
    """
    One look at a database.

    Attributes:
        since: since when reads of indexes are counted; None means from the beginning.
        slow: None where the extension pg_stat_statements is not there.
    """

    tables: list[TableStats]
    unused: list[UnusedIndex]
    missing: list[MissingIndex]
    invalid: list[str]
    since: datetime | None
    slow: list[SlowStatement] | None

    def as_json(self) -> dict[str, Any]:
        return {
            "tables": [asdict(one) for one in self.tables],
            "unused_indexes": [asdict(one) for one in self.unused],
            "unused_since": self.since,
            "missing_indexes": [asdict(one) for one in self.missing],
            "invalid_indexes": self.invalid,
            "slow_statements": None if self.slow is None else [asdict(one) for one in self.slow],
        }


def look(database: Database) -> DatabaseStats:
    """
    Gather it all on one connection; nothing of it reads a table.

    Raises:
        DatabaseUnavailable: it cannot be reached.
    """
    tx = database.connect()
    try:
        with explained():
            return DatabaseStats(
                tables=rows.tables(tx),
                unused=rows.unused(tx),
                missing=rows.missing(tx),
                invalid=[index.name for index in rows.indexes(tx) if not index.valid],
                since=rows.statistics_began(tx),
                slow=rows.slow_statements(tx, limit=SLOWEST),
            )
    finally:
        tx.close()
