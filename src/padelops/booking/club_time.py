"""
Between the clock on the club's wall and the instant it stands for; an unclear hour is refused.

Twice a year a wall clock lies: in spring an hour is missing, in autumn one comes twice. Whoever
names such an hour must say which instant is meant, by an offset. Everything inside is aware UTC.

Source: DESIGN.md section 5.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from padelops.errors import InvalidInput
from padelops.model import EARLIEST, LATEST

MINUTE = timedelta(minutes=1)
ONE_DAY = timedelta(days=1)
LOOK_AHEAD = timedelta(days=3)
"""Between 2000 and 2099 no zone changes its offset twice within 6 days (tzdata 2026), so a look
every 3 days meets every change."""

EXAMPLE = "2026-12-05T18:00 (club time) or 2026-12-05T18:00+01:00"

_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<hour>\d\d):(?P<minute>\d\d)(?P<seconds>:\d\d(?:\.\d{1,9})?)?"
    r"(?P<offset>[Zz]|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", re.ASCII)

# Zone files that are not places: leap-second clocks, and whatever this one machine is set to.
_NO_CLUB_ZONE = ("right/", "posix/", "localtime", "posixrules", "Factory")

_LONGEST_TEXT = 40


def shown(text: object) -> str:
    """What was given, quoted and short enough for one line, control characters escaped."""
    quoted = repr(text[: _LONGEST_TEXT + 1] if isinstance(text, str) else text)
    return quoted if len(quoted) <= _LONGEST_TEXT else quoted[: _LONGEST_TEXT - 1] + "…"


@lru_cache(maxsize=512)
def zone(name: str) -> ZoneInfo:
    """
    The IANA time zone of that name.

    Raises:
        InvalidInput: there is none; paths and machine-dependent names are none either.
    """
    if len(name) <= _LONGEST_TEXT and _ZONE.fullmatch(name) and not name.startswith(_NO_CLUB_ZONE):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass  # OSError: the name of a folder of zones, such as "Europe"

    raise InvalidInput(
        f"Unknown time zone {shown(name)}.", fix="Use an IANA name such as Europe/Madrid."
    )


def parse_date(text: str) -> date:
    """
    Read `2026-12-05`.

    Raises:
        InvalidInput: anything else, or a year outside 2000-2099.
    """
    wanted = "Use YYYY-MM-DD, such as 2026-12-05."
    text = text.strip() if len(text) <= _LONGEST_TEXT else text
    if not _DAY.fullmatch(text):
        raise InvalidInput(f"Not a date: {shown(text)}.", fix=wanted)
    try:
        day = date.fromisoformat(text)
    except ValueError as exc:
        raise InvalidInput(f"There is no such day: {text}.", fix=wanted) from exc
    return checked_day(day)


def checked_day(day: date) -> date:
    """
    A day that padelops deals with.

    Raises:
        InvalidInput: a year outside 2000-2099.
    """
    if not EARLIEST.year <= day.year < LATEST.year:
        raise InvalidInput("The date must lie between the years 2000 and 2099.")
    return day


@lru_cache(maxsize=4096)
def parse_start(text: str, zone: ZoneInfo) -> datetime:
    """
    Read a moment: `2026-12-05T18:00` on the club's wall, or with `Z` or an offset.

    With an offset any instant is accepted, whether or not the club's clock shows that offset then.

    Raises:
        InvalidInput: not a moment, seconds other than 0, a year outside 2000-2099, or a wall
            time that is missing or comes twice; that one carries `offsets` to choose from.
    """
    text = text.strip() if len(text) <= _LONGEST_TEXT else text
    given = _MOMENT.fullmatch(text)
    if given is None:
        if _DAY.fullmatch(text):
            raise InvalidInput(
                f"The time is missing after {text}.", fix=f"Give it as in {EXAMPLE}."
            )
        raise InvalidInput(f"Not a moment: {shown(text)}.", fix=f"Use {EXAMPLE}.")
    if (given["seconds"] or "").strip(":.0"):
        raise InvalidInput(
            f"Court time is sold by whole minutes: {text}.", fix="Leave seconds out."
        )

    day = parse_date(given["day"])
    try:
        # Not time.fromisoformat: from Python 3.14 on it reads 24:00 as the same day's midnight.
        wall = datetime.combine(day, time(int(given["hour"]), int(given["minute"])))
        moment = _at_offset(wall, given["offset"]) if given["offset"] else _only_instant(wall, zone)
    except ValueError as exc:
        raise InvalidInput(f"There is no such time: {text}.", fix=f"Use {EXAMPLE}.") from exc
    if not EARLIEST <= moment < LATEST:
        raise InvalidInput("The date must lie between the years 2000 and 2099.")

    return moment


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """The same instant as the club's wall shows it, with its offset."""
    return moment.astimezone(zone)


def instants_of(wall: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """
    The UTC instants, earliest first, at which the wall shows this naive time.

    One as a rule; none in the hour that spring skips, two in the hour that autumn repeats.
    """
    found = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    real = {moment for moment in found if moment.astimezone(zone).replace(tzinfo=None) == wall}
    return tuple(sorted(real))


def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the wall first shows this naive time; a missing time means the moment it is skipped."""
    instants = instants_of(wall, zone)
    return instants[0] if instants else _skipped_at(wall, zone)


def last_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the wall last shows this naive time; a missing time means the moment it is skipped."""
    instants = instants_of(wall, zone)
    return instants[-1] if instants else _skipped_at(wall, zone)


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The UTC start and end of a local day, half-open: 24 hours, or 23 or 25 when clocks change."""
    midnight = datetime.combine(day, time())
    return first_instant(midnight, zone), first_instant(midnight + ONE_DAY, zone)


def transitions_between(start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """The UTC instants in `[start, end)` at which the zone's offset changes."""
    found = []
    before = start - MINUTE
    while before < end:
        after = min(before + LOOK_AHEAD, end)
        if _offset(before, zone) != _offset(after, zone):
            change = _first_change(before, after, zone)
            if change < end:
                found.append(change)
        before = after
    return found


def _at_offset(wall: datetime, offset: str) -> datetime:
    if offset in "Zz":
        return wall.replace(tzinfo=UTC)
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if minutes > 59:  # noqa: PLR2004  (minutes of an hour)
        raise ValueError(offset)
    ahead = timedelta(hours=hours, minutes=minutes)
    return wall.replace(tzinfo=timezone(-ahead if offset[0] == "-" else ahead)).astimezone(UTC)


def _only_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    instants = instants_of(wall, zone)
    if len(instants) == 1:
        return instants[0]

    # In a gap, fold 0 reads with the offset before the change and fold 1 with the one after.
    offsets = [f"{wall.replace(tzinfo=zone, fold=fold):%z}" for fold in (0, 1)]
    offsets = [f"{offset[:3]}:{offset[3:]}" for offset in offsets]
    choice = " or ".join(f"{wall:%Y-%m-%dT%H:%M}{offset}" for offset in offsets)
    what = "comes twice" if instants else "does not exist"
    raise InvalidInput(
        f"{wall:%H:%M} {what} on {wall:%Y-%m-%d} in {zone.key}, where the clocks change.",
        fix=f"Choose {choice}.",
        offsets=offsets,
    )


def _skipped_at(wall: datetime, zone: ZoneInfo) -> datetime:
    too_late, too_early = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return transitions_between(too_early, too_late + MINUTE, zone)[0]


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _first_change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The whole minute at which the one change between the two takes effect."""
    offset = _offset(before, zone)
    unchanged, changed = 0, (after - before) // MINUTE
    while changed - unchanged > 1:
        middle = (unchanged + changed) // 2
        if _offset(before + middle * MINUTE, zone) == offset:
            unchanged = middle
        else:
            changed = middle
    return before + changed * MINUTE
