"""Operation counts: gathered in the process, added to the database's minutes now and then."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from padelops.store import cache as cache_tables

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Database


class Counts:
    """Thread-safe counters by name, such as `cache.hit` or `booking.conflict`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()

    def add(self, name: str, n: int = 1) -> None:
        with self._lock:
            self._waiting[name] += n

    def flush(self, database: Database, *, now: datetime) -> None:
        """
        Add what was counted to this minute's rows; what cannot be written is kept.

        Raises:
            Unavailable: the database is away.
        """
        with self._lock:
            taken, self._waiting = self._waiting, Counter()
        if not taken:
            return
        try:
            with database.reading() as tx:
                cache_tables.add_counts(tx, taken, now=now)
        except BaseException:
            with self._lock:
                self._waiting.update(taken)
            raise
