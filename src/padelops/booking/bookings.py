"""What a caller asks for when booking, and what it gets."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

    from padelops.booking.players import Player
    from padelops.model import PaymentMethod
    from padelops.store.reservations import Reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingRequest:
    """
    What a caller asks for.

    Args:
        courts: addresses such as `centro/2`, all of one club; several are booked all or none.
        starts: ISO 8601, club time or with an offset.
        minutes: None for the club's usual length.
        key: idempotency key; the same key and the same request give the same reservation.
        expected_total: what the caller showed its customer, for each court; another price is
            refused.
        card: the gateway's token for the card, such as `tok_visa`; never a card number.
    """

    courts: tuple[str, ...]
    starts: str
    minutes: int | None
    player: Player
    member_tier: str | None = None
    key: str | None = None
    expected_total: Decimal | None = None
    card: str | None = None

    def digest(self, method: PaymentMethod) -> str:
        """What the idempotency key stands for. The expected total is a guard, not a wish."""
        player = self.player
        text = json.dumps(
            [
                sorted(self.courts),
                self.starts,
                self.minutes,
                [player.name, player.email, player.phone, player.count, player.notes],
                self.member_tier,
                [method.value, self.card],
            ]
        )
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Booking:
    """
    A reservation as its maker gets it.

    Attributes:
        others: the further courts of the same party.
        replayed: the key had made it before; nothing new happened.
        dry_run: it would be booked so, and was not.
    """

    reservation: Reservation
    others: tuple[Reservation, ...] = ()
    replayed: bool = False
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        others = {"others": [other.as_json() for other in self.others]} if self.others else {}
        return {
            **self.reservation.as_json(),
            "key": self.reservation.idempotency_key,
            **others,
            "replayed": self.replayed,
            "dry_run": self.dry_run,
        }
