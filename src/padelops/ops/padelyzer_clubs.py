"""
The Padelyzer backend's clubs, courts and opening hours as club files of padelops.

| there | here |
|---|---|
| club: name, slug | name; slug, lower case and with hyphens |
| court: number | the court's name; its own name ("Cancha 1") is the attribute `title` |
| court: price_per_hour | hourly price; the club's default is the dearest |
| is_active, is_maintenance, of the club too | in service, or not |
| surface_type, has_lighting, has_heating, has_roof, maintenance_notes | attributes |
| schedule: weekday 0 = Monday | the hours of that day; `is_closed` is closed |
| a weekday without schedule | the club's opening and closing time if it is in days_open |
| days_open empty | every day, as that system treats it |
| advance_booking_days, also in settings | rules.advance_days |
| min_, max_booking_duration_minutes | rules.min_minutes, max_minutes |

Prices there contain no tax of their own, and cancelling was free of any policy that padelops could
read: tax and cancellation terms are what a club file says later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from padelops.booking.club_file import ClubFile, CourtTerms
from padelops.booking.terms import WEEK, explain
from padelops.ops.import_fields import (
    BadRow,
    amount_of,
    clock_of,
    count_of,
    flag_of,
    key_of,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.ops.django_dump import Record

CLUB = "clubs.club"
COURT = "clubs.court"
SCHEDULE = "clubs.schedule"
MODELS = (CLUB, COURT, SCHEDULE)

READ = {
    CLUB: (
        "name", "slug", "is_active", "opening_time", "closing_time", "days_open", "settings",
        "advance_booking_days", "min_booking_duration_minutes", "max_booking_duration_minutes",
    ),
    COURT: (
        "club", "name", "number", "is_active", "is_maintenance", "price_per_hour", "surface_type",
        "has_lighting", "has_heating", "has_roof", "maintenance_notes",
    ),
    SCHEDULE: ("club", "weekday", "opening_time", "closing_time", "is_closed", "is_active"),
}  # fmt: skip

LONGEST_SLUG = 63
USUAL_MINUTES = 90
ATTRIBUTES = {
    "surface_type": "surface",
    "has_lighting": "lighting",
    "has_heating": "heating",
    "has_roof": "roof",
}


@dataclass(slots=True)
class OldCourt:
    record: Record
    key: str
    terms: CourtTerms


@dataclass(slots=True)
class OldSchedule:
    """One weekday's hours as the club file writes them; None where the row is not in force."""

    record: Record
    day: str
    hours: str | None


@dataclass(slots=True)
class OldClub:
    """A club with what the import brings of it; no record when only its courts are brought."""

    key: str
    record: Record | None = None
    courts: dict[str, OldCourt] = field(default_factory=dict)
    schedules: dict[str, OldSchedule] = field(default_factory=dict)

    def slug(self) -> str:
        """
        Raises:
            BadRow: the slug is none, even in lower case and with hyphens.
        """
        given = text_of(self._fields, "slug", longest=200, reason="invalid_club")
        return (given or "").lower().replace("_", "-").strip("-")[:LONGEST_SLUG]

    def file(self, *, time_zone: str, currency: str, note: Callable[[str], None]) -> ClubFile:
        """
        The club file that says the same.

        Raises:
            BadRow: it cannot be said.
        """
        courts = self.court_terms()
        prices = [court.hourly_price or Decimal(0) for court in courts]
        try:
            return ClubFile.model_validate(
                {
                    "slug": self.slug(),
                    "name": text_of(self._fields, "name", longest=200),
                    "time_zone": time_zone,
                    "currency": currency,
                    "default_hourly_price": max(prices, default=Decimal(0)),
                    "courts": [court.terms() for court in courts],
                    "hours": {"weekly": self._weekly(note)},
                    "rules": self._rules(note),
                }
            )
        except ValidationError as exc:
            raise BadRow("invalid_club", explain(exc)) from exc

    def court_terms(self) -> list[CourtTerms]:
        """Its courts, by number; those of a club that is not active are out of service."""
        active = flag_of(self._fields, "is_active", missing=True)
        courts = sorted(self.courts.values(), key=lambda court: int(court.terms.name))
        return [
            court.terms if active else court.terms.model_copy(update={"in_service": False})
            for court in courts
        ]

    @property
    def _fields(self) -> dict[str, Any]:
        return {} if self.record is None else self.record.fields

    def _weekly(self, note: Callable[[str], None]) -> dict[str, str]:
        usual = _hours(self._fields)
        days = self._fields.get("days_open")
        if not days:
            note("days_open is empty: open every day")
            days = range(len(WEEK))
        if not isinstance(days, list | range) or not all(
            isinstance(day, int) and 0 <= day < len(WEEK) for day in days
        ):
            raise BadRow("invalid_club", "days_open is no list of weekdays from 0 to 6")
        weekly = {WEEK[day]: usual for day in days if usual}
        for day, schedule in self.schedules.items():
            if schedule.hours == "closed":
                weekly.pop(day, None)
            elif schedule.hours is not None:
                weekly[day] = schedule.hours
        return weekly

    def _rules(self, note: Callable[[str], None]) -> dict[str, int]:
        settings = self._fields.get("settings")
        both = (settings if isinstance(settings, dict) else {}) | {
            name: value for name, value in self._fields.items() if value is not None
        }
        rules: dict[str, int] = {}
        for name, rule, high in (
            ("advance_booking_days", "advance_days", 3650),
            ("min_booking_duration_minutes", "min_minutes", 1440),
            ("max_booking_duration_minutes", "max_minutes", 1440),
        ):
            try:
                value = count_of(both, name, low=1, high=high)
            except BadRow:
                note(f"{name} is out of bounds: padelops' own rule is used")
                value = None
            if value is not None:
                rules[rule] = value
        low, high = rules.get("min_minutes", 60), rules.get("max_minutes", 120)
        if low > high:
            note("min_ and max_booking_duration_minutes contradict: padelops' own are used")
            rules.pop("min_minutes", None)
            rules.pop("max_minutes", None)
            low, high = 60, 120
        rules["default_minutes"] = min(max(USUAL_MINUTES, low), high)
        return rules


def _hours(fields: dict[str, Any]) -> str | None:
    """`07:00-23:00`, or None where nothing is said."""
    texts = [fields.get(name) for name in ("opening_time", "closing_time")]
    if texts == [None, None]:
        return None
    if not all(isinstance(text, str) for text in texts):
        raise BadRow("invalid_hours", "opening_time and closing_time must be texts")
    opening, closing = (clock_of(str(text)) for text in texts)
    if opening.reading == closing.reading:
        raise BadRow("invalid_hours", "it opens and closes at the same time")
    # A closing time of 23:59:59 means the end of the day.
    ends = "24:00" if f"{closing.reading:%H:%M}" == "23:59" else f"{closing.reading:%H:%M}"
    return f"{opening.reading:%H:%M}-{ends}"


def club_key(record: Record) -> str:
    """
    The pk of the club that a record is, or belongs to.

    Raises:
        BadRow: it has none.
    """
    if record.model == CLUB:
        found = key_of({"pk": record.pk}, "pk")
        if found is None:
            raise BadRow("missing_key", "it has no pk")
        return found
    found = key_of(record.fields, "club")
    if found is None:
        raise BadRow("unknown_club", "it names no club")
    return found


def add(club: OldClub, record: Record) -> None:
    """
    Put one record to its club.

    Raises:
        BadRow: it cannot be read, or its place is taken by another one.
    """
    if record.model == CLUB:
        if club.record is not None:
            raise BadRow("comes_twice", "the import has another version of this club")
        club.record = record
    elif record.model == COURT:
        court = _court(record)
        if court.terms.name in club.courts:
            raise BadRow("court_number_taken", f"the club has two courts {court.terms.name}")
        club.courts[court.terms.name] = court
    else:
        schedule = _schedule(record)
        if schedule.day in club.schedules:
            raise BadRow("weekday_taken", f"the club has two schedules for {schedule.day}")
        club.schedules[schedule.day] = schedule


def _court(record: Record) -> OldCourt:
    fields = record.fields
    key = key_of({"pk": record.pk}, "pk")
    if key is None:
        raise BadRow("missing_key", "it has no pk")
    number = count_of(fields, "number", low=0, high=99_999)
    if number is None:
        raise BadRow("invalid_court", "it has no number")
    attributes: dict[str, Any] = {"title": text_of(fields, "name", longest=100)}
    for name, attribute in ATTRIBUTES.items():
        value = fields.get(name)
        is_text = isinstance(value, str)
        attributes[attribute] = text_of(fields, name, longest=100) if is_text else value
    attributes["maintenance_notes"] = text_of(fields, "maintenance_notes", longest=2000)
    known = {name: value for name, value in attributes.items() if value is not None}
    try:
        terms = CourtTerms.model_validate(
            {
                "name": str(number),
                "hourly_price": amount_of(fields, "price_per_hour"),
                "in_service": flag_of(fields, "is_active", missing=True)
                and not flag_of(fields, "is_maintenance", missing=False),
                "attributes": known,
            }
        )
    except ValidationError as exc:
        raise BadRow("invalid_court", explain(exc)) from exc
    return OldCourt(record, key, terms)


def _schedule(record: Record) -> OldSchedule:
    fields = record.fields
    weekday = count_of(fields, "weekday", low=0, high=len(WEEK) - 1)
    if weekday is None:
        raise BadRow("invalid_hours", "it has no weekday")
    hours: str | None
    if not flag_of(fields, "is_active", missing=True):
        hours = None
    elif flag_of(fields, "is_closed", missing=False):
        hours = "closed"
    else:
        hours = _hours(fields)
        if hours is None:
            raise BadRow("invalid_hours", "opening_time and closing_time are missing")
    return OldSchedule(record, WEEK[weekday], hours)
