"""
Reminders: each confirmed reservation is reminded of once, ahead of time, and never at night.

They are queued ahead with the time they fall due, and looked at again when they are sent: whoever
cancelled meanwhile gets none. Who books when the reminder would already have been due gets none
either; the confirmation has just said it all.

Source: CRITICAL_PATHS.md, path 7; DESIGN.md section 4.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from padelops.booking.club_time import zone
from padelops.booking.reminder_rules import ReminderRules, reminder_due, rules_of
from padelops.errors import InvalidInput
from padelops.store import messages

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from padelops.store.engine import Database
    from padelops.store.messages import Unreminded

AHEAD = timedelta(hours=12)
"""How long before they fall due reminders are queued: so long nobody need queue any."""

BEHIND = timedelta(days=1)
"""Games that began so long ago still get a row, which then says that the reminder came too late:
what nobody queued would not be missed in the report."""

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Scheduled:
    """
    What `schedule_reminders` did.

    Attributes:
        unusable: slugs of clubs whose stored rules or zone cannot be used; the others were served.
    """

    queued: int
    unusable: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"queued": self.queued, "unusable_clubs": list(self.unusable)}


def schedule_reminders(database: Database, *, now: datetime) -> Scheduled:
    """
    Queue the reminders of the next games of every club; running it again, or twice at once, adds
    nothing.

    Args:
        database: rows of one club are written in one statement, so no transaction spans two clubs.
    """
    with database.reading() as tx:
        clubs = messages.reminder_clubs(tx)
    queued, unusable = 0, []
    for club in clubs:
        try:
            rules, wall = rules_of(club.reminders), zone(club.time_zone)
        except (InvalidInput, ValidationError):
            unusable.append(club.slug)
            continue
        if rules.hours_before:
            queued += _schedule(database, club.id, rules, wall, now=now)
    return Scheduled(queued, tuple(unusable))


def _schedule(
    database: Database, club_id: int, rules: ReminderRules, wall: ZoneInfo, *, now: datetime
) -> int:
    notice = timedelta(hours=rules.hours_before)
    queued = 0
    last: Unreminded | None = None
    while True:
        with database.reading() as tx:
            found = messages.unreminded(
                tx,
                club_id,
                after=now - BEHIND,
                until=now + notice + AHEAD,
                notice=notice,
                beyond=last,
                limit=BATCH,
            )
        due = {game.id: reminder_due(game.starts_at, wall, rules) for game in found}
        wanted = [game.id for game in found if game.created_at <= due[game.id]]
        if wanted:
            with database.deciding() as tx:
                queued += messages.insert_reminders(
                    tx, club_id, wanted, [due[claim_id] for claim_id in wanted]
                )
        if len(found) < BATCH:
            return queued
        last = found[-1]
