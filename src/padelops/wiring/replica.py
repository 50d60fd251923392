"""
A replica beside the primary, for reads whose caller accepts an answer of some age.

Unlike `Desk.readers` it says where an answer comes from and how old it may be, and serves what only
a caller may accept: looks and availability. Every decision is the primary's. A replica that is
away, or further behind than is accepted, costs one look; then the primary answers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from padelops.booking.availability import Availability, AvailabilityDesk
from padelops.booking.clubs import Catalogue
from padelops.booking.search import search
from padelops.errors import NotFound, NotPermitted, Unavailable
from padelops.store import reservations
from padelops.store.engine import Database
from padelops.store.replica import age_s

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from padelops.booking.search import Page, SearchRequest
    from padelops.model import Scope
    from padelops.settings import Settings
    from padelops.store.reservations import Reservation
    from padelops.wiring.desk import Desk

T = TypeVar("T")

AVOIDED_S = 5.0
"""How long a replica that was away is not asked: its readers must not wait for it one by one."""

CONNECT_S = 1


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """What was read, and how old it may be; None is read on the primary."""

    value: T
    staleness_s: float | None


class Replica:
    """Answers searches, looks and availability for a desk, as far as they may be stale."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.most_s = settings.replica_staleness_s
        self._database = Database(
            url,
            budget_ms=settings.level1_budget_ms,
            connect_timeout_s=CONNECT_S,
            pool_size=settings.pool_size,
        )
        self._catalogue = Catalogue(self._database)
        self._avoided_until = 0.0

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def search(self, desk: Desk, request: SearchRequest, *, stale_s: float) -> Read[Page]:
        """As `Desk.search`, which may read the same replica without saying so."""
        with desk.counts.timed("search"):
            return self._read(
                stale_s,
                lambda: search(self._database, self._catalogue, request),
                lambda: search(desk.database, desk.catalogue, request),
            )

    def show(
        self, desk: Desk, reservation_id: int, *, scope: Scope, stale_s: float
    ) -> Read[Reservation]:
        """As `Desk.show`; what is not there yet is looked for on the primary."""

        def here() -> Reservation:
            with self._database.reading() as tx:
                found = reservations.by_id_within(tx, reservation_id, scope)
            if found is None:
                raise NotFound
            return found

        return self._read(stale_s, here, lambda: desk.show(reservation_id, scope=scope))

    def availability(
        self, desk: Desk, club: str, day: date, *, minutes: int | None, court: str | None,
        stale_s: float,
    ) -> Read[Availability]:  # fmt: skip
        """As `Desk.availability`, computed from the replica's rows and never kept."""
        answers = AvailabilityDesk(self._database, self._catalogue, desk.cache, desk.counts)

        def here() -> Availability:
            found = answers.of_day(
                club, day, now=desk.now(), minutes=minutes, court=court, use_cache=False
            )
            if not found.certain:
                raise Unavailable
            return found

        return self._read(
            stale_s, here, lambda: desk.availability(club, day, minutes=minutes, court=court)
        )

    def _read(self, stale_s: float, here: Callable[[], T], there: Callable[[], T]) -> Read[T]:
        if time.monotonic() >= self._avoided_until:
            try:
                # Asked before and not after: replay only goes on, so what is read is no older.
                with self._database.reading() as tx:
                    age = age_s(tx)
                if age is not None and age <= min(stale_s, self.most_s):
                    return Read(here(), age)
            except NotFound:
                pass  # it may be newer than the replica
            except (Unavailable, NotPermitted):
                self._avoided_until = time.monotonic() + AVOIDED_S
        return Read(there(), None)
