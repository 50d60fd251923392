"""
A booking decided but not yet claimed: validated, priced, and what will be stored.

Source: CRITICAL_PATHS.md, path 3, its first two steps.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from padelops.booking import rules
from padelops.booking.club_price import price_of
from padelops.booking.club_time import parse_start
from padelops.booking.clubs import Catalogue, Club, Court, split_address
from padelops.errors import InvalidInput, PriceChanged
from padelops.model import Slot
from padelops.store.claims import Claimed, NewReservation
from padelops.store.reservations import Reservation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from padelops.booking.bookings import BookingRequest
    from padelops.booking.counts import Counts
    from padelops.booking.payments import PaymentPath
    from padelops.booking.pricing import Quote

MOST_COURTS = 20
"""Courts in one booking: a tournament's morning, not a whole city."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A booking, decided but not yet claimed: courts in id order, a row for each."""

    club: Club
    courts: tuple[Court, ...]
    slot: Slot
    rows: tuple[NewReservation, ...]

    def made(self, claimed: Sequence[Claimed]) -> list[Reservation]:
        """The stored reservations, put together from what was sent and what came back."""
        return [
            _reservation_of(self.club, court, row, one, party_id=claimed[0].id if index else None)
            for index, (court, row, one) in enumerate(
                zip(self.courts, self.rows, claimed, strict=True)
            )
        ]


@dataclass(frozen=True, slots=True)
class Planner:
    """The services that a plan is made with."""

    catalogue: Catalogue
    payment: PaymentPath
    counts: Counts
    price_guard: Callable[[], AbstractContextManager[object]] = nullcontext
    """The breaker `price_calculation`."""

    def plan(self, request: BookingRequest, key: str, digest: str, *, now: datetime) -> Plan:
        """Validate and price: all that can be decided before a court is claimed."""
        club, courts = self._courts(request.courts)
        minutes = club.rules.default_minutes if request.minutes is None else request.minutes
        slot = Slot.starting(parse_start(request.starts, club.zone), minutes)
        rules.check(club, slot, now=now)
        quotes = [
            price_of(
                club,
                court,
                slot,
                member_tier=request.member_tier,
                counts=self.counts,
                guard=self.price_guard,
            )
            for court in courts
        ]
        if request.expected_total is not None and not request.expected_total.is_finite():
            raise InvalidInput("The expected total is no amount.")
        for quote in quotes:
            if request.expected_total not in (None, quote.total):
                raise PriceChanged(
                    f"The price is {quote.total} {quote.currency}, not {request.expected_total}.",
                    fix="Show the new price and book again.",
                    total=f"{quote.total}",
                    currency=quote.currency,
                )
        return Plan(
            club,
            tuple(courts),
            slot,
            tuple(
                self._row(request, club, slot, quote, key if first else None, digest, now=now)
                for first, quote in zip([True, *[False] * len(quotes)], quotes, strict=False)
            ),
        )

    def _courts(self, addresses: tuple[str, ...]) -> tuple[Club, list[Court]]:
        if not 1 <= len(addresses) <= MOST_COURTS:
            raise InvalidInput(f"Book 1 to {MOST_COURTS} courts at once.")
        pairs = [split_address(address) for address in addresses]
        slugs = {slug for slug, _ in pairs}
        if len(slugs) > 1:
            raise InvalidInput("All courts of one booking must belong to one club.")
        club = self.catalogue.club(slugs.pop())
        if any(name not in club.courts for _, name in pairs):
            club = self.catalogue.read(club.slug)
        courts = {name: club.bookable_court(name) for _, name in pairs}
        # In id order, so that two parties who want the same courts wait for each other in line.
        return club, sorted(courts.values(), key=lambda court: court.id)

    def _row(
        self,
        request: BookingRequest,
        club: Club,
        slot: Slot,
        quote: Quote,
        key: str | None,
        digest: str,
        *,
        now: datetime,
    ) -> NewReservation:
        opening = self.payment.opening(quote.total, now=now)
        return NewReservation(
            status=opening.status,
            starts_at=slot.starts_at,
            ends_at=slot.ends_at,
            free_at=slot.ends_at + timedelta(minutes=club.rules.buffer_minutes),
            hold_until=opening.hold_until,
            idempotency_key=key,
            request_digest=digest,
            player_name=request.player.name,
            player_email=request.player.email,
            player_phone=request.player.phone,
            player_count=request.player.count,
            notes=request.player.notes,
            member_tier=request.member_tier,
            currency=quote.currency,
            total=quote.total,
            lines=quote.lines_json(),
            price_source=quote.source,
            tariff_id=club.tariff_id,
            policy_id=club.policy_id,
            payment_method=self.payment.method,
            payment_status=opening.payment_status,
        )


def _reservation_of(
    club: Club, court: Court, row: NewReservation, claimed: Claimed, *, party_id: int | None
) -> Reservation:
    return Reservation(
        id=claimed.id,
        club_id=club.id,
        club=club.slug,
        time_zone=club.zone.key,
        court_id=court.id,
        court=court.name,
        status=row.status,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        hold_until=row.hold_until,
        party_id=party_id,
        idempotency_key=row.idempotency_key,
        player_name=row.player_name,
        player_email=row.player_email,
        player_phone=row.player_phone,
        player_count=row.player_count,
        notes=row.notes,
        member_tier=row.member_tier,
        currency=row.currency,
        total=row.total,
        lines=row.lines,
        price_source=row.price_source,
        tariff_id=row.tariff_id,
        policy_id=row.policy_id,
        payment_method=row.payment_method,
        payment_status=row.payment_status,
        captured=Decimal(0),
        refund_due=Decimal(0),
        refunded=Decimal(0),
        reason=None,
        external_ref=None,
        created_at=claimed.created_at,
        ended_at=None,
        version=claimed.version,
    )
