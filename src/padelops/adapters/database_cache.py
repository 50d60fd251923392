"""The cache on the database's own UNLOGGED table: exact, shared, and nothing to set up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from padelops.booking.cache import TTL_S, Contents
from padelops.errors import CacheUnavailable, CourtBusy, DatabaseUnavailable, NotPermitted
from padelops.store import cache as tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.store.engine import Database, Tx


class DatabaseCache:
    """Implements `booking.cache.Cache`; away on a standby, which cannot read UNLOGGED tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> tuple[str, str] | None:
        with self._reachable() as tx:
            return tables.get(tx, key)

    def put(self, key: str, stamp: str, value: str, *, ttl_s: int) -> None:
        with self._reachable() as tx:
            tables.put(tx, key, stamp, value, ttl_s=ttl_s)

    def count(self, pattern: str) -> int:
        with self._reachable() as tx:
            return tables.count(tx, pattern)

    def keys(self, pattern: str, *, limit: int) -> list[str]:
        with self._reachable() as tx:
            return tables.keys(tx, pattern, limit=limit)

    def purge(self, pattern: str, *, batch: int) -> Iterator[int]:
        while True:
            with self._reachable() as tx:
                deleted = tables.purge(tx, pattern, batch=batch)
            if not deleted:
                return
            yield deleted

    def contents(self, *, most: int) -> Contents:
        with self._reachable() as tx:
            rows = tables.contents(tx, ttl_s=TTL_S, most=most)
        return Contents(
            where="a table in the database",
            entries=sum(row.entries for row in rows),
            size_bytes=sum(row.size_bytes for row in rows),
            oldest_s=max((row.oldest_s for row in rows), default=None),
            newest_s=min((row.newest_s for row in rows), default=None),
            kinds={row.kind: row.entries for row in rows},
            complete=sum(row.entries for row in rows) < most,
        )

    def close(self) -> None:
        """The pool belongs to the desk."""

    @contextmanager
    def _reachable(self) -> Iterator[Tx]:
        try:
            with self._database.reading() as tx:
                yield tx
        except (DatabaseUnavailable, CourtBusy, NotPermitted) as exc:
            raise CacheUnavailable(f"The cache table cannot be used. {exc.message}") from exc
