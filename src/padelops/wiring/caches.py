"""The configured cache without a desk: a Redis can be cleared while the database is away."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from padelops.errors import NotPermitted, SchemaBehind, Unavailable
from padelops.ops.cache_care import MOST_LOOKED_AT, CacheStats
from padelops.store import counts
from padelops.store.engine import explained
from padelops.wiring.databases import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from padelops.booking.cache import Cache
    from padelops.settings import Settings


@contextmanager
def opened_cache(settings: Settings) -> Iterator[Cache]:
    """
    The cache that the settings describe, closed at the end.

    Raises:
        CacheUnavailable, DatabaseUnavailable: it cannot be reached.
    """
    if settings.cache_url is not None:
        from padelops.adapters.redis_cache import RedisCache  # noqa: PLC0415

        redis = RedisCache(settings.cache_url)
        try:
            yield redis
        finally:
            redis.close()
        return
    from padelops.adapters.database_cache import DatabaseCache  # noqa: PLC0415

    database = open_database(settings, budget_ms=None, pool_size=2)
    try:
        yield DatabaseCache(database)
    finally:
        database.close()


def cache_stats(settings: Settings, *, window_h: int, now: datetime) -> CacheStats:
    """What the configured cache keeps, and its hit rate over so many hours."""
    with opened_cache(settings) as cache:
        contents = cache.contents(most=MOST_LOOKED_AT)
    return CacheStats(
        contents=contents, window_h=window_h, counted=_counted(settings, window_h, now)
    )


def _counted(settings: Settings, window_h: int, now: datetime) -> Mapping[str, int] | None:
    """The counts are in the database, also where the cache is not: then they are not known."""
    seconds = int(timedelta(hours=window_h).total_seconds())
    try:
        database = open_database(settings, budget_ms=settings.level1_budget_ms, pool_size=1)
        try:
            with database.reading() as tx, explained():
                return counts.counters_within(tx, [seconds], now=now)[seconds]
        finally:
            database.close()
    except (Unavailable, NotPermitted, SchemaBehind):
        return None
