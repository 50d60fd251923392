"""
When reminders fall due: elapsed hours before the start, moved out of the club's quiet hours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from padelops.booking.reminder_rules import ReminderRules, quiet_until, reminder_due, rules_of

MADRID = ZoneInfo("Europe/Madrid")
DAY_BEFORE = ReminderRules()


def madrid(text: str) -> datetime:
    """A wall time in Madrid, as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=MADRID).astimezone(UTC)


@pytest.mark.parametrize(
    ("starts", "due"),
    [
        ("2026-12-05T18:00", "2026-12-04T18:00"),
        ("2026-12-05T08:00", "2026-12-04T08:00"),
        ("2026-12-05T22:00", "2026-12-05T08:00"),
        ("2026-12-05T23:30", "2026-12-05T08:00"),
        ("2026-12-05T00:30", "2026-12-04T08:00"),
        ("2026-12-05T07:00", "2026-12-04T08:00"),
    ],
)
def test_a_reminder_is_due_a_day_ahead_and_never_at_night(starts: str, due: str) -> None:
    """
    From 22:00 to 08:00 nobody is reminded; a reminder due then goes out in the morning.
    """
    assert madrid(due) == reminder_due(madrid(starts), MADRID, DAY_BEFORE)


@pytest.mark.parametrize(
    ("starts", "due"),
    [
        ("2026-12-05T08:30", "2026-12-04T21:00"),
        ("2026-12-05T02:00", "2026-12-04T21:00"),
        ("2026-12-05T12:00", "2026-12-05T09:00"),
        ("2026-12-05T09:00", "2026-12-05T08:00"),
    ],
)
def test_a_morning_game_is_reminded_of_the_evening_before(starts: str, due: str) -> None:
    """
    Where waiting for the morning would leave less than an hour, the reminder goes out before the
    night instead.
    """
    rules = ReminderRules(hours_before=3)

    assert madrid(due) == reminder_due(madrid(starts), MADRID, rules)


@pytest.mark.parametrize("starts", ["2026-03-29T18:00", "2026-10-25T18:00"])
def test_hours_are_elapsed_hours_on_days_with_a_clock_change(starts: str) -> None:
    """
    A day with 23 or 25 hours shifts the reminder's wall time, not its distance.
    """
    begins = madrid(starts)

    assert timedelta(hours=24) == begins - reminder_due(begins, MADRID, DAY_BEFORE)


def test_the_hour_that_comes_twice_is_quiet_twice() -> None:
    """
    Quiet hours that end within the repeated hour end at its second showing, so what is put off is
    never put off into the past.
    """
    rules = ReminderRules.model_validate({"quiet_from": "22:00", "quiet_to": "02:30"})
    second_showing = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)

    until = quiet_until(second_showing, MADRID, rules)

    assert datetime(2026, 10, 25, 1, 30, tzinfo=UTC) == until


def test_every_minute_of_a_year_is_put_off_into_the_future() -> None:
    """
    Whatever the clocks do, quiet hours end after they were met, within a night.
    """
    rules = ReminderRules.model_validate({"quiet_from": "22:00", "quiet_to": "02:30"})
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=7 * n) for n in range(75_000)]

    waits = [
        until - moment
        for moment in moments
        if (until := quiet_until(moment, MADRID, rules)) is not None
    ]

    assert timedelta() < min(waits)
    assert timedelta(hours=6) > max(waits)


@pytest.mark.parametrize(
    ("quiet", "moment", "is_quiet"),
    [
        (("13:00", "15:00"), "2026-12-05T12:59", False),
        (("13:00", "15:00"), "2026-12-05T13:00", True),
        (("13:00", "15:00"), "2026-12-05T15:00", False),
        (("00:00", "07:00"), "2026-12-05T00:00", True),
        (("24:00", "07:00"), "2026-12-05T00:00", True),
        (("22:00", "22:00"), "2026-12-05T22:00", False),
    ],
)
def test_quiet_hours_are_half_open_on_the_clubs_wall(
    quiet: tuple[str, str], moment: str, is_quiet: bool
) -> None:
    """
    Quiet from its beginning on, until just before its end; equal ends mean no quiet hours.
    """
    rules = ReminderRules.model_validate({"quiet_from": quiet[0], "quiet_to": quiet[1]})

    assert is_quiet == (quiet_until(madrid(moment), MADRID, rules) is not None)


def test_a_club_that_says_nothing_reminds_a_day_ahead() -> None:
    """
    A document stored before there were reminders means the default.
    """
    assert DAY_BEFORE == rules_of(None)
    assert 12 == rules_of({"hours_before": 12}).hours_before


@pytest.mark.parametrize(
    "rules", [{"hours_before": -1}, {"hours_before": 73}, {"quiet_from": "25:00"}, {"hours": 3}]
)
def test_rules_that_make_no_sense_are_refused(rules: dict[str, object]) -> None:
    """
    Hours lie between 0 and 72, clock times are clock times, and there are no other fields.
    """
    with pytest.raises(ValidationError):
        rules_of(rules)
