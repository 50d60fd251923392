"""
Single values of an import, read strictly: kept exactly as they were meant, or refused.

What cannot be stored is never bent until it fits; the row goes to quarantine as it came. `BadRow`
never repeats personal data: its text is shown to whoever lists the quarantine.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from padelops.booking.club_time import instants_of, parse_date, shown
from padelops.errors import InvalidInput
from padelops.model import EARLIEST, LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

LONGEST_KEY = 120
"""Characters of a primary key or reference; room is left for what is added to it."""

LONGEST_TIME = 40
"""Characters: more than any date with a time and an offset has."""

MOST_MONEY = Decimal(10**9)
MOST_PLAYERS = 100
FIRST_NOTED = 1970
"""No system that could be imported noted anything before this year."""
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?", re.ASCII)
_AMOUNT = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_PLAIN = re.compile(r"[!-~]+")


class BadRow(Exception):
    """
    Why a row cannot go in.

    Args:
        reason: a stable word, such as `invalid_time`.
        detail: one line for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def text_of(
    fields: Mapping[str, Any], name: str, *, longest: int, reason: str = "text_too_long"
) -> str | None:
    """A text, None when it is missing, null or blank. Line ends are made the same."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRow("invalid_field", f"{name} is no text")
    value = value.strip()
    if "\r" in value:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    if len(value) > longest:
        raise BadRow(reason, f"{name} has {len(value)} characters, {longest} is the most")
    if _UNSTORABLE.search(value):
        raise BadRow("unstorable_text", f"{name} holds a character that no text can keep")
    return value or None


def key_of(fields: Mapping[str, Any], name: str) -> str | None:
    """A primary key or reference, which may be a number; None when it is missing."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRow("invalid_key", f"{name} is no key")
    key = str(value) if isinstance(value, int) else value
    if len(key) > LONGEST_KEY or not _PLAIN.fullmatch(key):
        raise BadRow("invalid_key", f"{name} is no key: {shown(key)}")
    return key


def flag_of(fields: Mapping[str, Any], name: str, *, missing: bool) -> bool:
    value = fields.get(name)
    if value is None:
        return missing
    if not isinstance(value, bool):
        raise BadRow("invalid_field", f"{name} is neither true nor false")
    return value


def count_of(fields: Mapping[str, Any], name: str, *, low: int, high: int) -> int | None:
    """A whole number within bounds, also as text; None when it is missing."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.strip().isdigit() and len(value) < 20:  # noqa: PLR2004 - digits that surely fit
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRow("invalid_number", f"{name} is no whole number from {low} to {high}")
    return value


def amount_of(fields: Mapping[str, Any], name: str) -> Decimal | None:
    """An amount of money from 0 to 10**9, exact; None when it is missing."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value) if abs(value) <= MOST_MONEY else ""
    elif isinstance(value, str):
        text = value.strip()
    elif isinstance(value, Decimal) and value.is_finite() and abs(value) <= MOST_MONEY:
        text = f"{value:f}" if value.adjusted() > -10 else ""  # noqa: PLR2004 - more digits than any price
    else:
        text = ""
    if not _AMOUNT.fullmatch(text) or (amount := Decimal(text)) > MOST_MONEY:
        raise BadRow("invalid_amount", f"{name} is no amount from 0 to {MOST_MONEY}")
    return amount


def word_of(fields: Mapping[str, Any], name: str) -> str | None:
    """A word of a fixed list, lower case."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadRow("invalid_field", f"{name} is no word")
    return value.strip().lower() or None


@lru_cache(maxsize=8192)
def day_of(text: str) -> date:
    try:
        return parse_date(text)
    except InvalidInput as exc:
        said = exc.message
        raise BadRow("invalid_time", said[0].lower() + said[1:].rstrip(".")) from exc


class Clock(NamedTuple):
    """A reading of the wall clock to the minute, and what it is beyond that."""

    reading: time
    beyond: timedelta


@lru_cache(maxsize=8192)
def clock_of(text: str) -> Clock:
    """Read `18:00`, `18:00:00` or `18:00:00.000000`."""
    given = _TIME.fullmatch(text.strip()) if len(text) <= LONGEST_TIME else None
    if given is None:
        raise BadRow("invalid_time", f"{shown(text)} is no time of day")
    try:
        exact = time(int(given[1]), int(given[2]), int(given[3] or 0))
    except ValueError as exc:
        raise BadRow("invalid_time", f"{shown(text)} is no time of day") from exc
    microseconds = int((given[4] or "0").ljust(6, "0"))
    return Clock(
        exact.replace(second=0), timedelta(seconds=exact.second, microseconds=microseconds)
    )


@lru_cache(maxsize=65536)
def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The one instant at which the wall shows this; a missing or doubled hour is refused."""
    instants = instants_of(wall, zone)
    if len(instants) != 1:
        what = "comes twice" if instants else "does not exist"
        raise BadRow(
            "clock_change",
            f"{wall:%Y-%m-%d %H:%M} {what} in {zone.key}, where the clocks change",
        )
    if not EARLIEST <= instants[0] <= LATEST:
        raise BadRow("invalid_time", "the date must lie between the years 2000 and 2099")
    return instants[0]


def moment_of(fields: Mapping[str, Any], name: str, zone: tzinfo) -> datetime | None:
    """
    When something was noted, to the microsecond: ISO, with an offset or in the zone.

    A doubled hour is read as its first: nothing is sold by this time.
    """
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_TIME:
        raise BadRow("invalid_time", f"{name} is no moment")
    try:
        return _moment(value.strip(), zone)
    except (ValueError, OverflowError) as exc:
        raise BadRow("invalid_time", f"{name} is no moment") from exc


@lru_cache(maxsize=1024)
def _moment(text: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(text)
    moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    if not FIRST_NOTED <= moment.year < LATEST.year:
        raise ValueError(text)
    return moment


def court_time_of(fields: Mapping[str, Any], name: str, zone: ZoneInfo) -> datetime:
    """
    A moment at which court time begins or ends, to the microsecond.

    Raises:
        BadRow: it is missing, no moment, or in an hour that is missing or doubled.
    """
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > LONGEST_TIME:
        raise BadRow("invalid_time", f"{name} is no moment")
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None:
            rest = timedelta(seconds=moment.second, microseconds=moment.microsecond)
            moment = instant_of(moment - rest, zone) + rest
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadRow("invalid_time", f"{name} is no moment: {shown(value)}") from exc
    if not EARLIEST <= moment <= LATEST:
        raise BadRow("invalid_time", "the date must lie between the years 2000 and 2099")
    return moment


def whole_minutes(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """
    The least whole minutes that hold this time.

    Court time is kept by the minute. Widening never makes two rows clash that did not share a
    minute: 23:59:59 becomes midnight, where the next one begins.
    """
    before = timedelta(seconds=start.second, microseconds=start.microsecond)
    after = timedelta(seconds=end.second, microseconds=end.microsecond)
    return start - before, (end - after + MINUTE) if after else end
