"""
A club is open when its wall clock says so, on days of 23, 24 and 25 hours.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from padelops.booking.club_time import parse_start, zone
from padelops.booking.opening_hours import OpeningHours, covers, open_between, open_intervals
from padelops.booking.terms import explain
from padelops.model import Slot

MADRID = zone("Europe/Madrid")
CLUB_FILE = """
weekly: {mon-fri: 07:00-23:00, sat: "08:00-01:30", sun: ["16:00-22:00", "09:00-14:00"]}
exceptions:
  - {date: 2026-12-31, hours: "08:00-18:00"}
  - {date: 2026-12-25, closed: true}
  - {date: 2026-12-06, hours: ["10:00-12:00"]}
"""


def hours(weekly: Any = None, exceptions: Any = ()) -> OpeningHours:
    return OpeningHours.model_validate({"weekly": weekly or {}, "exceptions": list(exceptions)})


def club() -> OpeningHours:
    return OpeningHours.model_validate(yaml.safe_load(CLUB_FILE))


def slot(start: str, minutes: int) -> Slot:
    return Slot.starting(parse_start(start, MADRID), minutes)


def utc_text(intervals: list[tuple[datetime, datetime]]) -> list[str]:
    return [f"{start:%dT%H:%M} to {end:%dT%H:%M}" for start, end in intervals]


def test_hours_are_kept_in_one_spelling() -> None:
    """
    Day ranges spread, ranges and dates sorted; the stored document reads back the same.
    """
    stored = club().terms()

    expected: dict[str, Any] = {
        "weekly": {day: ["07:00-23:00"] for day in ("mon", "tue", "wed", "thu", "fri")}
        | {"sat": ["08:00-01:30"], "sun": ["09:00-14:00", "16:00-22:00"]},
        "exceptions": [
            {"date": "2026-12-06", "closed": False, "hours": ["10:00-12:00"]},
            {"date": "2026-12-25", "closed": True, "hours": []},
            {"date": "2026-12-31", "closed": False, "hours": ["08:00-18:00"]},
        ],
    }
    assert expected == stored
    assert club() == OpeningHours.model_validate(json.loads(json.dumps(stored)))


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # Madrid in winter is UTC+1, in summer UTC+2.
        ("2026-12-04", ["04T06:00 to 04T22:00"]),
        ("2026-07-03", ["03T05:00 to 03T21:00"]),
        ("2026-12-05", ["05T07:00 to 06T00:30"]),  # a Saturday, past midnight
        ("2026-12-13", ["13T08:00 to 13T13:00", "13T15:00 to 13T21:00"]),
        ("2026-12-06", ["06T09:00 to 06T11:00"]),  # a special Sunday
        ("2026-12-25", []),
        ("2026-12-31", ["31T07:00 to 31T17:00"]),
    ],
)
def test_a_day_opens_by_its_weekday_or_its_exception(day: str, expected: list[str]) -> None:
    """
    In UTC, in order, everything that opens on that local date.
    """
    assert expected == utc_text(open_intervals(club(), MADRID, date.fromisoformat(day)))


@pytest.mark.parametrize(
    ("written", "day", "expected"),
    [
        # closes when the wall shows 02:30 for the last time
        ("00:00-02:30", "2026-10-25", ["24T22:00 to 25T01:30"]),
        # opens when it shows 02:30 for the first time
        ("02:30-04:00", "2026-10-25", ["25T00:30 to 25T03:00"]),
        # what would meet in the repeated hour is one stretch
        (["00:00-02:30", "02:30-04:00"], "2026-10-25", ["24T22:00 to 25T03:00"]),
        # 02:30 is skipped: the moment of the change
        ("00:00-02:30", "2026-03-29", ["28T23:00 to 29T01:00"]),
        ("02:30-04:00", "2026-03-29", ["29T01:00 to 29T02:00"]),
        # open in nothing but the skipped hour
        ("02:00-03:00", "2026-03-29", []),
        ("02:15-02:45", "2026-03-29", []),
        # 25 and 23 hours
        ("00:00-24:00", "2026-10-25", ["24T22:00 to 25T23:00"]),
        ("00:00-24:00", "2026-03-29", ["28T23:00 to 29T22:00"]),
        # a night past midnight into the change
        ("22:00-02:30", "2026-10-24", ["24T20:00 to 25T01:30"]),
    ],
)
def test_hours_in_a_night_of_changing_clocks(written: Any, day: str, expected: list[str]) -> None:
    """
    Opening is the first time the wall shows it, closing the last.
    """
    always = hours({"mon-sun": written})

    assert expected == utc_text(open_intervals(always, MADRID, date.fromisoformat(day)))


@pytest.mark.parametrize(
    ("start", "minutes", "expected"),
    [
        ("2026-12-04T07:00", 60, True),
        ("2026-12-04T06:59", 60, False),
        ("2026-12-04T22:00", 60, True),
        ("2026-12-04T22:01", 60, False),
        ("2026-12-05T23:30", 60, True),  # Saturday through midnight
        ("2026-12-06T00:00", 60, True),  # Sunday, in Saturday's night
        ("2026-12-06T00:30", 60, True),
        ("2026-12-06T00:31", 60, False),
        ("2026-12-06T10:00", 120, True),
        ("2026-12-13T13:00", 180, False),  # over the Sunday's break
        ("2026-12-13T14:00", 60, False),
        ("2026-12-25T12:00", 60, False),
        ("2026-12-24T22:30", 60, False),
        ("2026-12-31T17:00", 60, True),
        ("2026-12-31T17:30", 60, False),
    ],
)
def test_a_slot_must_be_open_from_start_to_end(start: str, minutes: int, expected: bool) -> None:
    """
    Half-open: ending at closing time is fine, a minute over is not.
    """
    assert expected is covers(club(), MADRID, slot(start, minutes))


@pytest.mark.parametrize(
    ("weekly", "start", "minutes", "expected"),
    [
        ({"mon-sun": "00:00-24:00"}, "2026-12-04T23:30", 60, True),
        ({"mon-sun": "00:00-24:00"}, "2026-10-24T12:00", 1440, True),
        ({"mon-sun": "18:00-00:00"}, "2026-12-04T23:30", 60, False),
        ({"fri": "18:00-24:00", "sat": "00:00-02:00"}, "2026-12-04T23:30", 60, True),
        # Friday's night overlaps Saturday's own first hours
        ({"fri": "18:00-01:30", "sat": "01:00-03:00"}, "2026-12-05T00:30", 120, True),
        # and may outlast them
        ({"fri": "18:00-06:00", "sat": "01:00-03:00"}, "2026-12-05T03:00", 120, True),
        ({"fri": "18:00-01:00", "sat": "01:15-03:00"}, "2026-12-05T00:30", 120, False),
        ({}, "2026-12-05T12:00", 60, False),
    ],
)
def test_hours_run_on_from_day_to_day(
    weekly: dict[str, str], start: str, minutes: int, expected: bool
) -> None:
    """
    Stretches that touch or overlap across midnight are one.
    """
    assert expected is covers(hours(weekly), MADRID, slot(start, minutes))


def test_a_closed_day_does_not_cut_the_night_before() -> None:
    """
    Hours belong to the day they open on: New Year's Eve goes on though the first is closed.
    """
    party = hours(
        {"mon-sun": "09:00-23:00"},
        [
            {"date": "2026-12-31", "hours": "09:00-03:00"},
            {"date": "2027-01-01", "closed": True},
        ],
    )

    assert covers(party, MADRID, slot("2027-01-01T01:00", 120))
    assert not covers(party, MADRID, slot("2027-01-01T12:00", 60))


def test_open_between_shows_whole_stretches() -> None:
    """
    What touches the asked time is shown in full, what only borders on it not at all.
    """
    asked = slot("2026-12-05T23:00", 660)  # until Sunday 10:00
    found = open_between(club(), MADRID, asked.starts_at, asked.ends_at)

    # Sunday opens as the asked time ends, and Saturday's night has ended as a later one begins.
    after = slot("2026-12-06T01:30", 60)
    assert ["05T07:00 to 06T00:30"] == utc_text(found)
    assert [] == open_between(club(), MADRID, after.starts_at, after.ends_at)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"weekly": {"mon": "07:00"}}, "weekly.mon: '07:00' is no range: use HH:MM-HH:MM."),
        ({"weekly": {"mon": "7-23"}}, "weekly.mon: Use HH:MM."),
        ({"weekly": {"mon": "07:00-24:30"}}, "weekly.mon: Use HH:MM."),
        ({"weekly": {"mon": 1080}}, "weekly.mon: 1080 is no range: use HH:MM-HH:MM."),
        ({"weekly": {"mon": None}}, "weekly.mon: None is no range: use HH:MM-HH:MM."),
        ({"weekly": {"mon": "24:00-02:00"}}, "weekly.mon: 24:00 is only an end; use 00:00."),
        (
            {"weekly": {"mon": "08:00-08:00"}},
            "weekly.mon: Opening and closing time are the same; all day is 00:00-24:00.",
        ),
        (
            {"weekly": {"mon": ["12:00-14:00", "09:00-12:01"]}},
            "weekly.mon: 09:00-12:01 and 12:00-14:00 overlap.",
        ),
        (
            {"weekly": {"mon": ["18:00-01:00", "23:00-23:30"]}},
            "weekly.mon: 18:00-01:00 and 23:00-23:30 overlap.",
        ),
        ({"weekly": {"mon-wed": "closed", "tue": "closed"}}, "weekly: 'tue' comes twice."),
        (
            {"weekly": {"lunes": "closed"}},
            "weekly: 'lunes' is no day: use mon ... sun, holiday, or a range as in mon-fri.",
        ),
        (
            {"weekly": {"holiday": "closed"}},
            "weekly: Holidays are no weekday: list their dates under exceptions.",
        ),
        ({"weekly": ["mon"]}, "weekly: Use a block of fields."),
        (
            {"exceptions": [{"date": "2026-12-25"}]},
            "exceptions[0]: Give either closed: true or hours.",
        ),
        (
            {"exceptions": [{"date": "2026-12-25", "closed": True, "hours": "08:00-09:00"}]},
            "exceptions[0]: Give either closed: true or hours.",
        ),
        (
            {"exceptions": [{"date": "2026-12-25", "closed": True}] * 2},
            "exceptions: '2026-12-25' comes twice.",
        ),
        (
            {"exceptions": [{"date": "2026-02-30", "closed": True}]},
            (
                "exceptions[0].date: There is no such day: 2026-02-30. "
                "Use YYYY-MM-DD, such as 2026-12-05."
            ),
        ),
        ({"daily": "07:00-23:00"}, "daily: There is no such field."),
    ],
)
def test_a_mistake_in_the_hours_is_explained_in_one_line(
    document: dict[str, Any], expected: str
) -> None:
    """
    The first problem, where it stands, and what to write instead.
    """
    with pytest.raises(ValidationError) as refusal:
        OpeningHours.model_validate(document)

    assert f"hours.{expected}" == explain(refusal.value, within="hours")


def test_touching_ranges_and_closed_days_are_fine() -> None:
    """
    09:00-14:00 and 14:00-20:00 are one stretch; `closed` and an empty list say the same.
    """
    week = hours({"mon": ["14:00-20:00", "09:00-14:00"], "tue": "closed", "wed": []})

    assert ["07T08:00 to 07T19:00"] == utc_text(open_intervals(week, MADRID, date(2026, 12, 7)))
    assert [] == open_intervals(week, MADRID, date(2026, 12, 8))
    assert [] == open_intervals(week, MADRID, date(2026, 12, 9))


def test_an_answer_is_the_callers_own() -> None:
    """
    Changing the list one got does not change what the next caller gets.
    """
    open_intervals(club(), MADRID, date(2026, 12, 4)).clear()

    assert 1 == len(open_intervals(club(), MADRID, date(2026, 12, 4)))


quarters = st.integers(0, 24 * 4)


@given(
    st.dictionaries(
        st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
        st.tuples(quarters, quarters).filter(lambda pair: pair[0] != pair[1] and pair[0] < 96),
    ),
    st.sampled_from(["2026-12-04", "2026-12-06", "2026-06-03"]),
    st.integers(0, 24 * 4),
    st.integers(1, 24 * 4),
)
def test_covers_agrees_with_asking_every_quarter_hour(
    weekly: dict[str, tuple[int, int]], day: str, start: int, quarters_long: int
) -> None:
    """
    Away from changing clocks: open throughout means open at every quarter hour, read off the wall.
    """
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    written = {
        name: "-".join(f"{edge // 4:02d}:{edge % 4 * 15:02d}" for edge in pair)
        for name, pair in weekly.items()
    }

    def is_open(moment: datetime) -> bool:
        wall = moment.astimezone(MADRID)
        quarter = wall.hour * 4 + wall.minute // 15
        opens, closes = weekly.get(names[wall.weekday()], (0, 0))
        today = (
            opens <= quarter < closes if opens < closes else opens != closes and quarter >= opens
        )
        opens, closes = weekly.get(names[wall.weekday() - 1], (0, 0))
        return today or (closes < opens and quarter < closes)

    asked = Slot.starting(
        datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=15 * start),
        15 * quarters_long,
    )
    throughout = all(
        is_open(asked.starts_at + timedelta(minutes=15 * step)) for step in range(quarters_long)
    )
    assert throughout is covers(hours(written), MADRID, asked)
