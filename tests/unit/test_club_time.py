"""
A wall time means one instant, or is refused with the two offsets to choose from.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padelops.booking.club_time import (
    day_bounds,
    first_instant,
    instants_of,
    last_instant,
    local,
    parse_date,
    parse_start,
    shown,
    transitions_between,
    zone,
)
from padelops.errors import InvalidInput
from padelops.model import EARLIEST, LATEST

MADRID = ZoneInfo("Europe/Madrid")
MEXICO = ZoneInfo("America/Mexico_City")
HAVANA = ZoneInfo("America/Havana")  # its clocks change at midnight
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its clocks change by half an hour
APIA = ZoneInfo("Pacific/Apia")  # skipped the whole of 2011-12-30
ST_JOHNS = ZoneInfo("America/St_Johns")  # in 2006 its clocks changed at one past midnight
ZONES = (MADRID, MEXICO, HAVANA, LORD_HOWE, APIA, ST_JOHNS, ZoneInfo("UTC"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-05T18:00", "2026-12-05T17:00"),  # winter in Madrid: UTC+1
        ("2026-07-05T18:00", "2026-07-05T16:00"),  # summer: UTC+2
        ("2026-12-05 18:00", "2026-12-05T17:00"),
        ("2026-12-05t18:00z", "2026-12-05T18:00"),
        (" 2026-12-05T18:00\n", "2026-12-05T17:00"),
        ("2026-12-05T18:00:00", "2026-12-05T17:00"),
        ("2026-12-05T18:00:00.000Z", "2026-12-05T18:00"),
        ("2026-12-05T18:00+05:30", "2026-12-05T12:30"),  # any instant, whoever's offset it is
        ("2026-12-05T18:00-0330", "2026-12-05T21:30"),
        ("2024-02-29T00:00", "2024-02-28T23:00"),
        ("2026-10-25T02:30+02:00", "2026-10-25T00:30"),  # the first of two
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30"),  # the second
        ("2026-10-25T01:59", "2026-10-24T23:59"),
        ("2026-10-25T03:00", "2026-10-25T02:00"),
        (
            "2026-03-29T02:30+01:00",
            "2026-03-29T01:30",
        ),  # never on the wall, an instant all the same
        ("2026-03-29T03:00", "2026-03-29T01:00"),
        ("2099-12-31T23:00", "2099-12-31T22:00"),
        ("2000-01-01T01:00", "2000-01-01T00:00"),
    ],
)
def test_a_moment_is_read_as_one_instant(text: str, expected: str) -> None:
    """
    Club time without an offset, any instant with one; the answer is aware UTC.
    """
    moment = parse_start(text, MADRID)

    assert utc(expected) == moment
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "clock", "offsets", "what"),
    [
        ("2026-10-25T02:30", MADRID, ["+02:00", "+01:00"], "comes twice"),
        ("2026-10-25T02:00", MADRID, ["+02:00", "+01:00"], "comes twice"),
        ("2026-03-29T02:30", MADRID, ["+01:00", "+02:00"], "does not exist"),
        ("2026-03-29T02:00", MADRID, ["+01:00", "+02:00"], "does not exist"),
        ("2026-11-01T00:15", HAVANA, ["-04:00", "-05:00"], "comes twice"),
        ("2026-04-05T01:45", LORD_HOWE, ["+11:00", "+10:30"], "comes twice"),
        ("2011-12-30T12:00", APIA, ["-10:00", "+14:00"], "does not exist"),
    ],
)
def test_an_unclear_wall_time_names_its_two_offsets(
    text: str, clock: ZoneInfo, offsets: list[str], what: str
) -> None:
    """
    The refusal says what is wrong and spells out both choices; either one is then accepted.
    """
    with pytest.raises(InvalidInput, match=what) as refusal:
        parse_start(text, clock)

    assert offsets == refusal.value.facts["offsets"]
    assert f"Choose {text}{offsets[0]} or {text}{offsets[1]}." == refusal.value.fix
    assert all(parse_start(text + offset, clock) for offset in offsets)


def test_mexico_has_no_unclear_hours_any_more() -> None:
    """
    Since 2022 Mexico City keeps one offset all year, so its old changing hours are plain times.
    """
    assert utc("2026-04-05T08:30") == parse_start("2026-04-05T02:30", MEXICO)
    assert utc("2026-10-25T07:30") == parse_start("2026-10-25T01:30", MEXICO)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Not a moment: ''"),
        ("tomorrow", "Not a moment: 'tomorrow'"),
        ("2026-12-05", "The time is missing after 2026-12-05"),
        ("18:00", "Not a moment"),
        ("2026-12-05T18", "Not a moment"),
        ("2026-12-05T18:00:30", "whole minutes"),
        ("2026-12-05T18:00:00.5", "whole minutes"),
        ("2026-12-05T24:00", "no such time"),
        ("2026-12-05T18:60", "no such time"),
        ("2026-12-05T18:00+25:00", "no such time"),
        ("2026-12-05T18:00+01:60", "no such time"),
        ("2026-02-29T18:00", "no such day"),
        ("2026-13-01T18:00", "no such day"),
        ("0001-01-01T00:00", "between the years 2000 and 2099"),
        ("9999-12-31T23:59", "between the years 2000 and 2099"),
        ("9999-12-31T23:59-23:59", "between the years 2000 and 2099"),
        ("2000-01-01T00:30", "between the years 2000 and 2099"),  # 1999 in UTC
        ("2099-12-31T23:59-05:00", "between the years 2000 and 2099"),
        ("2026-12-05T18:00\0", r"Not a moment: '2026-12-05T18:00\\x00'"),
        ("２０２６-12-05T18:00", "Not a moment"),  # noqa: RUF001  (full-width digits are the point)
        ("2026-12-05T18:00\ud800", "Not a moment"),
        ("2026-W49-6T18:00", "Not a moment"),
        ("2026-12-05T18:00 🎾", "Not a moment"),
        ("-2026-12-05T18:00", "Not a moment"),
    ],
)
def test_what_is_no_moment_is_refused_with_a_fix(text: str, says: str) -> None:
    """
    One printable line that says what is wrong and what to write instead.
    """
    with pytest.raises(InvalidInput, match=says) as refusal:
        parse_start(text, MADRID)

    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "read",
    [lambda text: parse_start(text, MADRID), parse_date, zone],
    ids=["start", "date", "zone"],
)
@pytest.mark.parametrize(
    "text", ["x" * 10_000_000, "2026-12-05T18:00" + " " * 10_000_000], ids=["garbage", "blanks"]
)
def test_a_huge_text_is_not_echoed(read: object, text: str) -> None:
    """
    Ten megabytes in, one short line out.
    """
    with pytest.raises(InvalidInput) as refusal:
        read(text)  # type: ignore[operator]

    assert len(str(refusal.value)) < 200


def test_shown_keeps_forty_characters() -> None:
    """
    Short texts are shown whole, long ones are cut and say so.
    """
    assert "'centro'" == shown("centro")
    assert 40 == len(shown("é" * 100))
    assert shown("é" * 100).endswith("…")


@pytest.mark.parametrize(
    "text", ["2026-02-30", "05-12-2026", "2026-12-5", "1999-12-31", "", "2100-01-01"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    """
    Only YYYY-MM-DD of a day that exists between 2000 and 2099 is a date.
    """
    with pytest.raises(InvalidInput):
        parse_date(text)


def test_a_date_is_read() -> None:
    """
    YYYY-MM-DD, blanks around it forgiven.
    """
    assert date(2026, 12, 5) == parse_date(" 2026-12-05 ")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Europe",
        "Europe/",
        "Europe/Atlantis",
        "../etc/passwd",
        "/etc/passwd",
        "Europe/../Europe/Madrid",
        "Europe/Madrid\0",
        "localtime",
        "posixrules",
        "right/Europe/Madrid",
        "E" * 1000,
    ],
)
def test_only_places_are_time_zones(name: str) -> None:
    """
    Paths, folders, leap-second clocks and what this machine happens to be set to are none.
    """
    with pytest.raises(InvalidInput, match="Unknown time zone"):
        zone(name)


def test_a_zone_is_found_once() -> None:
    """
    The same name gives the same object.
    """
    assert zone("America/Argentina/Buenos_Aires") is zone("America/Argentina/Buenos_Aires")


@pytest.mark.parametrize(
    ("day", "clock", "hours"),
    [
        ("2026-12-05", MADRID, 24),
        ("2026-03-29", MADRID, 23),
        ("2026-10-25", MADRID, 25),
        ("2026-03-08", HAVANA, 23),  # begins at 01:00: midnight is skipped
        ("2026-11-01", HAVANA, 25),  # has midnight twice
        ("2026-10-04", LORD_HOWE, 23.5),
        ("2011-12-30", APIA, 0),  # never was
    ],
)
def test_a_day_lasts_as_long_as_its_clock_says(day: str, clock: ZoneInfo, hours: float) -> None:
    """
    23, 24 or 25 hours, and days meet without a gap.
    """
    start, end = day_bounds(date.fromisoformat(day), clock)

    assert timedelta(hours=hours) == end - start
    assert start == day_bounds(date.fromisoformat(day) - timedelta(days=1), clock)[1]


def test_a_skipped_wall_time_stands_for_the_moment_of_the_change() -> None:
    """
    In a gap first and last instant are the transition; in a repeated hour both readings.
    """
    gap, twice = datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001  (wall)

    assert () == instants_of(gap, MADRID)
    assert utc("2026-03-29T01:00") == first_instant(gap, MADRID) == last_instant(gap, MADRID)
    assert utc("2026-10-25T00:30") == first_instant(twice, MADRID)
    assert utc("2026-10-25T01:30") == last_instant(twice, MADRID)


def test_transitions_are_found_wherever_the_search_begins() -> None:
    """
    Half-open: a change at the start counts, one at the end does not.
    """
    spring, autumn = utc("2026-03-29T01:00"), utc("2026-10-25T01:00")
    year = (utc("2026-01-01T00:00"), utc("2027-01-01T00:00"))

    assert [spring, autumn] == transitions_between(*year, MADRID)
    assert [spring] == transitions_between(spring, spring + timedelta(minutes=1), MADRID)
    assert [] == transitions_between(spring - timedelta(days=2), spring, MADRID)
    assert [] == transitions_between(*year, MEXICO)


A_DAY = timedelta(days=1)  # or a zone's wall may already show a year outside the limits
moments = st.datetimes(
    EARLIEST.replace(tzinfo=None) + A_DAY,
    LATEST.replace(tzinfo=None) - A_DAY,
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(second=0, microsecond=0))


@given(moments, st.sampled_from(ZONES))
def test_reading_the_wall_and_back_finds_the_instant(moment: datetime, clock: ZoneInfo) -> None:
    """
    Whatever the wall shows at a moment leads back to it, by the wall alone or with its offset.
    """
    wall = local(moment, clock)

    assert moment in instants_of(wall.replace(tzinfo=None, fold=0), clock)
    assert moment == parse_start(wall.isoformat(), clock)


@given(moments, st.sampled_from(ZONES))
def test_the_offset_changes_at_transitions_and_nowhere_else(
    moment: datetime, clock: ZoneInfo
) -> None:
    """
    Looking hour by hour around any moment sees a change exactly where one was announced.
    """
    end = moment + timedelta(days=10)
    hours = [moment + timedelta(hours=hour) for hour in range(241)]
    seen = [
        (before, after)
        for before, after in pairwise(hours)
        if local(before, clock).utcoffset() != local(after, clock).utcoffset()
    ]

    # A change at `moment` itself shows to no pair of hours after it.
    found = [change for change in transitions_between(moment, end, clock) if change > moment]
    assert len(seen) == len([change for change in found if change <= hours[-1]])
    assert all(
        before < change <= after for (before, after), change in zip(seen, found, strict=True)
    )
