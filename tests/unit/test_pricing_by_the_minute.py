"""
Critical path 6: any price equals the sum of its minutes, whatever the tariff and the night.

The model below prices one minute after the other in exact fractions, straight from the stored
document. It shares no code with the pricing that it checks.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from padelops.booking.pricing import LineKind, price_problem, quote, total_of
from padelops.booking.tariff import Tariff, TaxMode
from padelops.model import MINOR_UNITS, Slot

# Zones with changes at 01:00 UTC, at 02:00 local, at midnight, by half an hour, of a whole day.
NIGHTS = {
    "Europe/Madrid": ("2026-03-29", "2026-10-25", "2026-12-08"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "America/Mexico_City": ("2026-04-05", "2026-10-25"),
    "America/Havana": ("2026-03-08", "2026-11-01"),
    "America/St_Johns": ("2006-04-02", "2006-10-29"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "Pacific/Apia": ("2011-12-29", "2011-12-31"),
}
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

clocks = st.integers(0, 24 * 4 - 1).map(
    lambda quarter: f"{quarter // 4:02d}:{quarter % 4 * 15:02d}"
)
day_sets = st.sets(st.sampled_from((*WEEK, "holiday")), min_size=1).map(sorted)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], Slot, str | None]:
    """
    A tariff's document, a slot around an interesting night, and a member tier.
    """
    where = draw(st.sampled_from(sorted(NIGHTS)))
    night = date.fromisoformat(draw(st.sampled_from(NIGHTS[where])))
    start = datetime(night.year, night.month, night.day, tzinfo=ZoneInfo(where)).astimezone(UTC)
    start += timedelta(minutes=draw(st.integers(-1500, 1500)))
    minutes = draw(st.one_of(st.integers(1, 240), st.just(1440)))

    edges = st.lists(clocks, min_size=2, max_size=2, unique=True)
    bands = [
        {"name": f"band {number}", "days": draw(day_sets), "from": first, "to": last}
        | {"percent": str(draw(st.decimals("-20", 80, places=draw(st.integers(0, 4)))))}
        for number, (first, last) in enumerate(draw(st.lists(edges, max_size=5)))
    ]
    changes_on = night + timedelta(days=draw(st.integers(-1, 1)))
    seasons = [
        {"name": "before", "from": "2001-01-01", "to": changes_on.isoformat(), "multiplier": "0.9"},
        {
            "name": "after",
            "from": (changes_on + timedelta(days=1)).isoformat(),
            "to": "2099-01-01",
            "multiplier": str(draw(st.decimals("0.01", 3, places=6))),
        },
    ]
    currency = draw(st.sampled_from(["EUR", "JPY", "KWD"]))
    prices = st.decimals(0, 5000, places=MINOR_UNITS[currency])
    document = {
        "currency": currency,
        "time_zone": where,
        "tax": {
            "percent": str(draw(st.decimals(0, 30, places=2))),
            "mode": draw(st.sampled_from(list(TaxMode))),
        },
        "default_hourly_price": str(draw(prices)),
        "hourly_prices": {"1": str(draw(prices))} if draw(st.booleans()) else {},
        "bands": bands,
        "holidays": [
            (night + timedelta(days=offset)).isoformat()
            for offset in sorted(draw(st.sets(st.integers(-2, 2))))
        ],
        "seasons": seasons[: draw(st.integers(0, 2))],
        "member_tiers": [
            {"name": "gold", "discount_percent": str(draw(st.decimals(0, 100, places=1)))}
        ],
    }
    return document, Slot.starting(start, minutes), draw(st.sampled_from([None, "gold"]))


exactly = cache(Fraction)  # reading text is what takes time


def minutes_since_midnight(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def in_band(terms: dict[str, Any], wanted: dict[str, Any], wall: datetime) -> bool:
    """
    The contract's words, read naively: a minute is in a band of today or of the night before.
    """

    def listed(day: date) -> bool:
        is_holiday = day.isoformat() in terms["holidays"]
        return WEEK[day.weekday()] in wanted["days"] or (is_holiday and "holiday" in wanted["days"])

    minute = wall.hour * 60 + wall.minute
    first, last = (minutes_since_midnight(wanted[edge]) for edge in ("from", "to"))
    if first < last:
        return listed(wall.date()) and first <= minute < last
    return (listed(wall.date()) and minute >= first) or (
        listed(wall.date() - timedelta(days=1)) and minute < last
    )


def price_of_minute(terms: dict[str, Any], moment: datetime) -> Fraction:
    wall = moment.astimezone(ZoneInfo(terms["time_zone"]))
    price = exactly(terms["hourly_prices"].get("1", terms["default_hourly_price"])) / 60
    percents = [exactly(each["percent"]) for each in terms["bands"] if in_band(terms, each, wall)]
    if percents:
        price *= 1 + sum(percents, Fraction(0)) / 100
    for each in terms["seasons"]:
        if each["from"] <= wall.date().isoformat() <= each["to"]:
            price *= exactly(each["multiplier"])
    return price


def slow_total(terms: dict[str, Any], when: Slot, tier: str | None) -> Decimal:
    """
    One minute after the other in exact fractions, rounded half up at the end.
    """
    minutes = (when.starts_at + timedelta(minutes=minute) for minute in range(when.minutes))
    exact = sum((price_of_minute(terms, moment) for moment in minutes), Fraction(0))
    if tier:
        exact *= 1 - Fraction(terms["member_tiers"][0]["discount_percent"]) / 100
    if terms["tax"]["mode"] == "exclusive":
        exact *= 1 + Fraction(terms["tax"]["percent"]) / 100
    digits = MINOR_UNITS[terms["currency"]]
    return Decimal(math.floor(exact * 10**digits + Fraction(1, 2))).scaleb(-digits)


@settings(max_examples=120, deadline=None)
@given(cases())
def test_any_price_equals_the_sum_of_its_minutes(
    case: tuple[dict[str, Any], Slot, str | None],
) -> None:
    """
    Total, lines, total alone and stored copy agree with the slow model, whatever tariff and night.
    """
    document, when, tier = case
    terms = Tariff.model_validate(document)
    priced = quote(terms, "1", when, member_tier=tier)

    time_lines = [line for line in priced.lines if line.kind is LineKind.TIME]
    assert slow_total(terms.terms(), when, tier) == priced.total
    assert priced.total == sum(line.amount for line in priced.lines)
    assert priced.total == total_of(terms, "1", when, member_tier=tier)
    assert when.minutes == sum(line.minutes or 0 for line in time_lines)
    assert all(line.amount >= 0 for line in time_lines)
    assert {-MINOR_UNITS[terms.currency]} == {
        line.amount.as_tuple().exponent for line in priced.lines
    }
    again = Tariff.model_validate(json.loads(terms.canonical_json()))
    assert priced == quote(again, "1", when, member_tier=tier)
    problem = price_problem(
        again, "1", when, member_tier=tier, total=priced.total, lines=priced.lines_json()
    )
    assert problem is None
