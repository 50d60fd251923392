"""
Erase a person: name, address, phone, notes, card and API tokens, wherever the database keeps them.

What happened stays, as do its amounts and its audit trail, which never held them: entries only say
that such a field changed. What is still to be played is not touched, because the club must know
who comes. Each club is a transaction of its own: a run that is broken off goes on when run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.booking.players import Player
from padelops.errors import Refused
from padelops.store import audit, erasure

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.model import Origin
    from padelops.store.engine import Database

MOST_NAMED = 20
"""Reservations that a refusal names."""


class StillToPlay(Refused):
    """Somebody who is still to play cannot be erased."""

    code = "still_to_play"


@dataclass(frozen=True, slots=True)
class Erased:
    """How many reservations and quarantined rows no longer say who it was."""

    reservations: int
    quarantined: int
    dry_run: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "reservations": self.reservations,
            "quarantined": self.quarantined,
            "dry_run": self.dry_run,
        }


def erase_player(
    database: Database, email: str, *, origin: Origin, now: datetime, dry_run: bool = False
) -> Erased:
    """
    Erase whoever booked with this address, in any spelling of upper and lower case.

    Raises:
        InvalidInput: it is no address. StillToPlay: cancel those reservations first.
    """
    Player(name="erased", email=email)  # an address as bookings have them
    with database.reading() as tx:
        coming = erasure.still_to_come(tx, email, now=now, limit=MOST_NAMED)
        clubs = erasure.clubs_of_player(tx, email)
    if coming:
        numbers = ", ".join(map(str, coming))
        raise StillToPlay(
            f"Reservations of this address are still to be played: {numbers}.",
            fix="Cancel them first, or erase afterwards.",
            reservations=coming,
        )
    reservations = 0
    for club_id in clubs:
        with database.transaction(origin, keep=not dry_run) as tx:
            ids = erasure.erase_reservations(tx, club_id, email, now=now)
            audit.note(tx, "erase", {"reservations": ids}, club_id=club_id)
        reservations += len(ids)
    with database.transaction(origin, keep=not dry_run) as tx:
        quarantined = erasure.erase_quarantined(tx, email, now=now)
        tokens = erasure.erase_tokens(tx, email, now=now)
        audit.note(tx, "erase", {"quarantined": quarantined, "tokens": tokens})
    return Erased(reservations, quarantined, dry_run)
