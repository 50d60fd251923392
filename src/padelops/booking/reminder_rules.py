"""
When a club reminds its players: so many hours ahead, and never in its quiet hours.

Pure arithmetic on the club's wall clock, so that every odd night can be tried without a database.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import Field

from padelops.booking.club_time import first_instant, last_instant, local
from padelops.booking.terms import DAY_MINUTES, Clock, Terms

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

SHORT_NOTICE = timedelta(hours=1)
"""A reminder that the quiet hours would move closer to the game goes out before them instead, as
long before, so that it is sent by the time they begin."""


class ReminderRules(Terms):
    """When a club reminds its players: hours before the start, and not in the quiet hours."""

    hours_before: int = Field(default=24, ge=0, le=72)
    """0 means no reminders."""
    quiet_from: Clock = 22 * 60
    quiet_to: Clock = 8 * 60
    """On the club's wall; the same as `quiet_from` means that no hour is quiet."""


def rules_of(stored: Any) -> ReminderRules:
    """
    The rules in a club's stored document; the default where it says nothing.

    Raises:
        ValidationError: they are damaged.
    """
    return ReminderRules.model_validate({} if stored is None else stored)


def reminder_due(starts_at: datetime, wall: ZoneInfo, rules: ReminderRules) -> datetime:
    """When a game's reminder falls due: so many elapsed hours before, moved out of the night."""
    due = starts_at - timedelta(hours=rules.hours_before)
    until = quiet_until(due, wall, rules)
    if until is None:
        return due
    if until <= starts_at - SHORT_NOTICE:
        return until
    return _quiet_since(due, wall, rules) - SHORT_NOTICE


def quiet_until(moment: datetime, wall: ZoneInfo, rules: ReminderRules) -> datetime | None:
    """When the quiet hours that a moment falls into are over; None when it falls into none."""
    begin, end = _bounds(rules)
    shown = local(moment, wall)
    minute = shown.hour * 60 + shown.minute
    if begin == end or not _inside(minute, begin, end):
        return None
    overnight = begin > end and minute >= begin
    # The last time the wall shows it: in the hour that autumn repeats, the first may be over.
    return last_instant(_on_wall(shown, end, days=1 if overnight else 0), wall)


def _quiet_since(moment: datetime, wall: ZoneInfo, rules: ReminderRules) -> datetime:
    begin, end = _bounds(rules)
    shown = local(moment, wall)
    before_midnight = begin > end and shown.hour * 60 + shown.minute < begin
    return first_instant(_on_wall(shown, begin, days=-1 if before_midnight else 0), wall)


def _bounds(rules: ReminderRules) -> tuple[int, int]:
    return rules.quiet_from % DAY_MINUTES, rules.quiet_to % DAY_MINUTES


def _inside(minute: int, begin: int, end: int) -> bool:
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def _on_wall(shown: datetime, minute: int, *, days: int) -> datetime:
    day = shown.date() + timedelta(days=days)
    return datetime.combine(day, time(minute // 60, minute % 60))
