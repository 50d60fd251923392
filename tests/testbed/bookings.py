"""Bookings that run while something breaks, and what became of each."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from padelops import open_desk
from padelops.errors import OutcomeUnknown, PadelopsError
from testbed.clock import Clock
from testbed.waiting import until

if TYPE_CHECKING:
    from padelops import Desk
    from padelops.settings import Settings

COURTS = ("centro/4", "centro/3", "centro/2", "centro/1")
PER_COURT = 30 * 12
PACE_S = 0.02

_numbers = itertools.count()
"""One slot per number; a cluster lives longer than one test."""


class Booking(threading.Thread):
    """
    A player's app that books one free slot after the other, and keeps what was acknowledged.

    It books before and after what happens in its `with` block.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.settings = settings
        self.name = f"k{time.monotonic_ns()}"
        self.acknowledged: list[int] = []
        self.unknown: list[tuple[int, str]] = []
        self.refused: list[PadelopsError] = []
        self._over = threading.Event()

    def run(self) -> None:
        with open_desk(self.settings, clock=Clock()) as desk:
            while not self._over.wait(PACE_S):
                number = next(_numbers)
                try:
                    made = self._book(desk, number)
                except OutcomeUnknown as exc:
                    self.unknown.append((number, exc.facts["key"]))
                except PadelopsError as exc:
                    self.refused.append(exc)
                else:
                    self.acknowledged.append(made)

    def _book(self, desk: Desk, number: int) -> int:
        court, slot = COURTS[number // PER_COURT], number % PER_COURT
        start = f"2026-12-{1 + slot // 12:02}T{9 + slot % 12:02}:00"
        key = f"{self.name}-{number}"
        return desk.book(court, start, minutes=60, player="P", key=key).reservation.id

    def __enter__(self) -> Self:
        self.start()
        until(lambda: len(self.acknowledged) > 3)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        before = len(self.acknowledged)
        if kind is None:
            until(lambda: len(self.acknowledged) > before + 3)
        self._over.set()
        self.join(30)
        assert not self.is_alive()

    def there(self) -> list[int]:
        """The reservations that the application finds now."""
        return [row[0] for row in self._ask("SELECT id FROM claims ORDER BY id")]

    def keys_used_twice(self) -> list[str]:
        query = (
            "SELECT idempotency_key FROM claims WHERE idempotency_key IS NOT NULL"
            " GROUP BY 1 HAVING count(*) > 1"
        )
        return [row[0] for row in self._ask(query)]

    def settle(self) -> list[int]:
        """Ask again for each unknown outcome with its key: each one is settled."""
        with open_desk(self.settings, clock=Clock()) as desk:
            return [self._book(desk, number) for number, _ in self.unknown]

    def _ask(self, query: str) -> list[Any]:
        with open_desk(self.settings, clock=Clock()) as desk, desk.database.reading() as tx:
            return tx.execute(query.encode()).fetchall()
