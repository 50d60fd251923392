"""What players say about the games they booked, from 1 to 5: one word each, the last one counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.errors import InvalidInput, NotFound
from padelops.store import indicators

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Database

WORST, BEST = 1, 5


def answer(database: Database, reservation_id: int, score: int, *, now: datetime) -> None:
    """
    Record a player's score.

    Raises:
        InvalidInput: no score from 1 to 5. NotFound: no such reservation.
        OutcomeUnknown: lost while committing; saying it again is harmless.
    """
    if not WORST <= score <= BEST:
        raise InvalidInput(f"A score is a whole number from {WORST} to {BEST}.")
    with database.deciding() as tx:
        known = indicators.answer_survey(tx, reservation_id, score, now=now)
    if not known:
        raise NotFound(f"There is no reservation {reservation_id}.")
