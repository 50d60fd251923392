"""The club's booking rules: what may be booked at all, before anybody asks whether it is free."""

from __future__ import annotations

from datetime import UTC, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from padelops.booking.club_time import local
from padelops.booking.opening_hours import covers, open_between
from padelops.errors import OutsideHours, RuleBroken

if TYPE_CHECKING:
    from datetime import date, datetime

    from padelops.booking.clubs import Club
    from padelops.model import Slot


def check(club: Club, slot: Slot, *, now: datetime) -> None:
    """
    Say yes, or which rule says no.

    A start lies a whole number of slot steps after the club opened; a length is a whole number of
    steps; `advance_days` counts local calendar days.

    Raises:
        RuleBroken: `rule` names the one. OutsideHours: says when the club is open that day.
    """
    rules = club.rules
    if slot.starts_at < now:
        raise RuleBroken("That time is past.", fix="Choose a start in the future.", rule="past")
    if not rules.min_minutes <= slot.minutes <= rules.max_minutes:
        raise RuleBroken(
            f"{club.slug} books {rules.min_minutes} to {rules.max_minutes} minutes,"
            f" not {slot.minutes}.",
            rule="minutes",
            min_minutes=rules.min_minutes,
            max_minutes=rules.max_minutes,
        )
    if slot.minutes % rules.slot_step_minutes:
        raise RuleBroken(
            f"{club.slug} books in steps of {rules.slot_step_minutes} minutes,"
            f" {slot.minutes} is none.",
            rule="slot_step",
            slot_step_minutes=rules.slot_step_minutes,
        )
    last_day = local(now, club.zone).date() + timedelta(days=rules.advance_days)
    day, is_open, is_on_step = _on_the_wall(club, slot)
    if day > last_day:
        raise RuleBroken(
            f"{club.slug} takes bookings {rules.advance_days} days ahead, until {last_day}.",
            rule="advance_days",
            last_day=last_day.isoformat(),
        )
    if not is_open:
        raise OutsideHours(
            f"{club.slug} is not open for all of that time.", fix=_hours_of_day(club, slot)
        )
    if not is_on_step:
        raise RuleBroken(
            f"{club.slug} starts bookings every {rules.slot_step_minutes} minutes after it opens.",
            fix=_hours_of_day(club, slot),
            rule="slot_step",
            slot_step_minutes=rules.slot_step_minutes,
        )


@lru_cache(maxsize=4096)
def _on_the_wall(club: Club, slot: Slot) -> tuple[date, bool, bool]:
    """
    The local date of the start, whether the club is open all the while, whether it is on a step.

    Kept, because a club sells the same few starts on all its courts and all day long.
    """
    return (
        local(slot.starts_at, club.zone).date(),
        covers(club.hours, club.zone, slot),
        on_step(club, slot),
    )


def on_step(club: Club, slot: Slot) -> bool:
    """Whether a start lies a whole number of steps after an opening."""
    step = timedelta(minutes=club.rules.slot_step_minutes)
    return any(
        opens <= slot.starts_at < closes and not (slot.starts_at - opens) % step
        for opens, closes in open_between(club.hours, club.zone, slot.starts_at, slot.ends_at)
    )


def _hours_of_day(club: Club, slot: Slot) -> str:
    stretches = open_between(club.hours, club.zone, slot.starts_at, slot.ends_at)
    if not stretches:
        midnight = local(slot.starts_at, club.zone).replace(hour=0, minute=0, fold=0)
        next_one = midnight + timedelta(days=1)
        stretches = open_between(
            club.hours, club.zone, midnight.astimezone(UTC), next_one.astimezone(UTC)
        )
    if not stretches:
        return "It is closed all day."
    shown = ", ".join(
        f"{local(opens, club.zone):%Y-%m-%d %H:%M} to {local(closes, club.zone):%H:%M}"
        for opens, closes in stretches
    )
    return f"Open: {shown}."
