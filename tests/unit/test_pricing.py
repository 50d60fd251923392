"""
Critical path 6: prices worked out by hand, lines that add up, and a default price that is marked.

Expected values show their arithmetic beside them.
"""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from typing import Any

import pytest

from padelops.booking.club_time import parse_start, zone
from padelops.booking.pricing import (
    Quote,
    Source,
    fallback_quote,
    price_problem,
    quote,
    quote_or_fallback,
)
from padelops.booking.tariff import Tariff
from padelops.errors import InvalidInput, TariffUnusable
from padelops.model import Slot

# 2026-12-08 is a Tuesday, 2026-12-05 a Saturday.
# Spain's clocks change on 2026-03-29 and 2026-10-25.
PEAK = {"name": "peak", "days": "mon-fri", "from": "18:00", "to": "22:00", "percent": "20"}
WEEKEND = {"name": "weekend", "days": ["sat", "sun"], "percent": "10"}
HOLIDAY = {"name": "holiday", "days": ["holiday"], "percent": "15"}
WINTER = {"name": "winter", "from": "2026-12-01", "to": "2027-02-28", "multiplier": "0.90"}
CLUB: dict[str, Any] = {
    "currency": "EUR",
    "time_zone": "Europe/Madrid",
    "default_hourly_price": "24.00",
    "hourly_prices": {"1": "20.00"},
    "bands": [PEAK, WEEKEND, HOLIDAY],
    "holidays": ["2026-12-08", "2026-12-25"],
    "seasons": [WINTER],
    "member_tiers": [
        {"name": "gold", "discount_percent": "10"},
        {"name": "silver", "discount_percent": "5"},
        {"name": "guest", "discount_percent": "0"},
    ],
}
PLAIN: dict[str, Any] = {"bands": [], "seasons": []}
ADDED = {"percent": "21", "mode": "exclusive"}
CONTAINED = {"percent": "21", "mode": "inclusive"}


def tariff(**changes: Any) -> Tariff:
    """
    The club's tariff with some fields changed.
    """
    return Tariff.model_validate(CLUB | changes)


def band(start: str, end: str, percent: str, *, days: Any = "mon-sun", name: str = "late") -> Any:
    return {"name": name, "days": days, "from": start, "to": end, "percent": percent}


def slot(start: str, minutes: int, where: str = "Europe/Madrid") -> Slot:
    return Slot.starting(parse_start(start, zone(where)), minutes)


def bill(priced: Quote) -> list[str]:
    """
    The lines as a person would write them: label, minutes, amount.
    """
    return [
        f"{line.label} {line.amount}" if line.minutes is None
        else f"{line.label} {line.minutes}' {line.amount}"
        for line in priced.lines
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "minutes", "court", "expected", "lines"),
    [
        # 20.00 x 1.5
        ("2026-11-23T10:00", 90, "1", "30.00", ["base 90' 30.00"]),
        # a court without a price of its own: 24.00 x 1
        ("2026-11-23T10:00", 60, "9", "24.00", ["base 60' 24.00"]),
        # 20.00 x 50/60 = 16.666...
        ("2026-11-23T10:00", 50, "1", "16.67", ["base 50' 16.67"]),
        # 20.00 x 1/60 = 0.333...
        ("2026-11-23T10:00", 1, "1", "0.33", ["base 1' 0.33"]),
        # wholly in the peak: 20.00 x 1.2 x 1.5
        ("2026-11-23T18:00", 90, "1", "36.00", ["peak 90' 36.00"]),
        # up to the peak and not into it
        ("2026-11-23T17:00", 60, "1", "20.00", ["base 60' 20.00"]),
        # after the peak
        ("2026-11-23T22:00", 60, "1", "20.00", ["base 60' 20.00"]),
        # across its start: 20.00 x 1 + 24.00 x 1
        ("2026-11-23T17:00", 120, "1", "44.00", ["base 60' 20.00", "peak 60' 24.00"]),
        # across its end: 24.00 x 0.5 + 20.00 x 1
        ("2026-11-23T21:30", 90, "1", "32.00", ["peak 30' 12.00", "base 60' 20.00"]),
        # Friday into the weekend: 20.00 x 0.5 + 22.00 x 0.5
        ("2026-11-27T23:30", 60, "1", "21.00", ["base 30' 10.00", "weekend 30' 11.00"]),
        # Monday into Tuesday: local midnight cuts, though the price stays
        ("2026-11-23T23:00", 90, "1", "30.00", ["base 60' 20.00", "base 30' 10.00"]),
        # into winter: 20.00 x 0.5 + 18.00 x 0.5
        ("2026-11-30T23:30", 60, "1", "19.00", ["base 30' 10.00", "base, winter 30' 9.00"]),
        # out of it, from a Sunday: 20.00 x 1.1 x 0.9 x 0.5 + 20.00 x 0.5
        ("2027-02-28T23:30", 60, "1", "19.90", ["weekend, winter 30' 9.90", "base 30' 10.00"]),
        # holiday and its weekday's peak add up, the season multiplies: 20.00 x 1.35 x 0.9
        ("2026-12-08T18:00", 60, "1", "24.30", ["peak + holiday, winter 60' 24.30"]),
        # across the peak's end, midnight and into a holiday, a default court:
        # 24.00 x 1.2 x 0.9 x 1 + 24.00 x 0.9 x 2 + 24.00 x 1.15 x 0.9 x 1
        (
            "2026-12-07T21:00",
            240,
            "2",
            "93.96",
            ["peak, winter 60' 25.92", "base, winter 120' 43.20", "holiday, winter 60' 24.84"],
        ),
        # a whole day, Friday 12:00 to Saturday 12:00, over two UTC days:
        # 20.00 x 6 + 24.00 x 4 + 20.00 x 2 + 22.00 x 12
        (
            "2026-11-27T12:00",
            1440,
            "1",
            "520.00",
            ["base 360' 120.00", "peak 240' 96.00", "base 120' 40.00", "weekend 720' 264.00"],
        ),
    ],
)
def test_prices_worked_out_by_hand(
    start: str, minutes: int, court: str, expected: str, lines: list[str]
) -> None:
    """
    Each minute costs what its place on the wall clock says; the cuts are where the price changes.
    """
    priced = quote(tariff(), court, slot(start, minutes))

    assert lines == bill(priced)
    assert expected == str(priced.total)
    assert Source.TARIFF is priced.source


def test_weekend_and_evening_percents_add_up() -> None:
    """
    20% and 10% make 30% of the base, not 32%: 20.00 x 1.3.
    """
    evening = PEAK | {"days": "mon-sun"}
    priced = quote(tariff(bands=[evening, WEEKEND]), "1", slot("2026-11-28T18:00", 60))

    assert ["peak + weekend 60' 26.00"] == bill(priced)
    assert Decimal(30) == priced.lines[0].percent
    assert Decimal("26.00") == priced.lines[0].per_hour


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2026-11-27T22:00", "30.00"),  # Friday night: 20.00 x 1.5
        ("2026-11-28T01:00", "30.00"),  # still Friday's night, on Saturday
        ("2026-11-27T01:00", "20.00"),  # Thursday's night is none
        ("2026-11-28T22:00", "20.00"),  # Saturday's neither
        ("2026-11-28T01:30", "25.00"),  # out of it: 30.00 x 0.5 + 20.00 x 0.5
        ("2026-11-27T23:30", "30.00"),  # through midnight within it
    ],
)
def test_a_band_past_midnight_follows_its_first_day(start: str, expected: str) -> None:
    """
    Friday 22:00-02:00 +50% ends on Saturday at two.
    """
    friday = tariff(bands=[band("22:00", "02:00", "50", days=["fri"])], seasons=[])

    assert expected == str(quote(friday, "1", slot(start, 60)).total)


def test_a_weekend_band_that_lists_holidays_too_counts_once() -> None:
    """
    A holiday on a Saturday is in the band by either name, and pays it once: 20.00 x 1.1.
    """
    both = tariff(
        bands=[WEEKEND | {"days": ["sat", "sun", "holiday"]}], holidays=["2026-11-28"], seasons=[]
    )

    assert "22.00" == str(quote(both, "1", slot("2026-11-28T10:00", 60)).total)


@pytest.mark.parametrize(
    ("currency", "price", "minutes", "expected"),
    [
        ("MXN", "350.00", 90, "525.00"),  # 350 x 1.5
        ("MXN", "333.33", 50, "277.78"),  # 277.775, a half: up
        ("JPY", "3000", 50, "2500"),
        ("JPY", "150", 1, "3"),  # 2.5: up, where banker's rounding would stay at 2
        ("JPY", "149", 1, "2"),  # 2.483...
        ("EUR", "20.70", 1, "0.35"),  # 0.345: up, where banker's rounding would say 0.34
        ("EUR", "20.69", 1, "0.34"),  # 0.34483...
        ("EUR", "0.01", 30, "0.01"),  # 0.005
        ("EUR", "0.01", 29, "0.00"),
        ("KWD", "1.500", 90, "2.250"),
        ("KWD", "1.000", 50, "0.833"),
        ("KWD", "0.150", 1, "0.003"),  # 0.0025
        ("EUR", "0", 60, "0.00"),
        ("EUR", "1000000000", 1440, "24000000000.00"),
    ],
)
def test_totals_are_rounded_half_up_in_the_currencys_digits(
    currency: str, price: str, minutes: int, expected: str
) -> None:
    """
    Two digits, none, or three, and a half always goes up.
    """
    plain = tariff(**PLAIN, currency=currency, default_hourly_price=price, hourly_prices={})

    assert expected == str(quote(plain, "1", slot("2026-11-23T10:00", minutes)).total)


def test_yen_cross_peak_midnight_and_holiday_to_the_last_yen() -> None:
    """
    2999 x 1.08 = 3238.92; + 2999 x 0.9 x 2 = 8637.12; + 2999 x 1.035 = 11741.085.
    """
    yen = tariff(currency="JPY", default_hourly_price="2999", hourly_prices={})
    priced = quote(yen, "1", slot("2026-12-07T21:00", 240))

    expected = ["peak, winter 60' 3239", "base, winter 120' 5398", "holiday, winter 60' 3104"]
    assert expected == bill(priced)
    assert "11741" == str(priced.total)


def test_lines_follow_the_rounded_running_sum() -> None:
    """
    Three times 6.666... are 20.00, so one of the lines shows a cent less.
    """
    thirds = tariff(
        bands=[
            band("10:00", "10:20", "0", name="a"),
            band("10:20", "10:40", "0", name="b"),
            band("10:40", "11:00", "0", name="c"),
        ]
    )
    priced = quote(thirds, "1", slot("2026-11-23T10:00", 60))

    assert ["a 20' 6.67", "b 20' 6.66", "c 20' 6.67"] == bill(priced)
    assert "20.00" == str(priced.total)


@pytest.mark.parametrize(
    ("minutes", "tier", "tax", "expected", "tax_amount", "lines"),
    [
        # 30.00 - 10%
        (90, "gold", None, "27.00", "0.00", ["base 90' 30.00", "gold -3.00"]),
        # 16.666... - 10% = 15 exactly
        (50, "gold", None, "15.00", "0.00", ["base 50' 16.67", "gold -1.67"]),
        # no discount, no line
        (90, "guest", None, "30.00", "0.00", ["base 90' 30.00"]),
        # 30.00 + 21%
        (90, None, ADDED, "36.30", "6.30", ["base 90' 30.00", "tax 6.30"]),
        # 30.00 - 10% = 27.00; + 21% = 32.67
        (90, "gold", ADDED, "32.67", "5.67", ["base 90' 30.00", "gold -3.00", "tax 5.67"]),
        # 16.666... x 1.10 = 18.333...; rounding on the way would have made 18.34
        (
            50,
            None,
            {"percent": "10", "mode": "exclusive"},
            "18.33",
            "1.66",
            ["base 50' 16.67", "tax 1.66"],
        ),
        # 16.666... x 0.95 x 1.21 = 19.158333...; on the way: 19.17
        (
            50,
            "silver",
            ADDED,
            "19.16",
            "3.33",
            ["base 50' 16.67", "silver -0.84", "tax 3.33"],
        ),
        # contained: 30.00 x 21/121 = 5.2066...
        (90, None, CONTAINED, "30.00", "5.21", ["base 90' 30.00"]),
        # of what is charged, after the discount: 27.00 x 21/121 = 4.6859...
        (90, "gold", CONTAINED, "27.00", "4.69", ["base 90' 30.00", "gold -3.00"]),
        (90, None, {"percent": 0, "mode": "exclusive"}, "30.00", "0.00", ["base 90' 30.00"]),
    ],
)
def test_discount_and_tax_come_after_the_minutes(
    *,
    minutes: int,
    tier: str | None,
    tax: dict[str, str] | None,
    expected: str,
    tax_amount: str,
    lines: list[str],
) -> None:
    """
    Member discount first, then tax, and one rounding at the very end.
    """
    terms = tariff(**PLAIN, **({"tax": tax} if tax else {}))
    priced = quote(terms, "1", slot("2026-11-23T10:00", minutes), member_tier=tier)

    assert lines == bill(priced)
    assert expected == str(priced.total)
    assert tax_amount == str(priced.tax_amount)
    assert (tax or {}).get("mode", "inclusive") == priced.tax_mode


def test_an_unknown_tier_names_the_tiers_there_are() -> None:
    """
    A mistyped tier is refused, not priced as if there were none.
    """
    with pytest.raises(InvalidInput) as refusal:
        quote(tariff(), "1", slot("2026-11-23T10:00", 60), member_tier="platinum")
    with pytest.raises(InvalidInput, match="This tariff has none"):
        quote(tariff(member_tiers=[]), "1", slot("2026-11-23T10:00", 60), member_tier="gold")

    expected = "There is no member tier 'platinum'. Tiers: gold, silver, guest."
    assert expected == str(refusal.value)


# On 2026-03-29 Madrid's wall goes from 01:59 to 03:00; on 2026-10-25 from 02:59 back to 02:00.
@pytest.mark.parametrize(
    ("bands", "start", "minutes", "expected", "lines"),
    [
        # one hour played is one hour paid, though the wall says 01:30 to 03:30
        ([], "2026-03-29T01:30", 60, "20.00", ["base 60' 20.00"]),
        # and 01:30 to 02:30 may be two hours
        ([], "2026-10-25T01:30", 120, "40.00", ["base 120' 40.00"]),
        # the hour after the gap is no longer in the band: 30.00 x 0.5 + 20.00 x 0.5
        (
            [band("00:00", "03:00", "50")],
            "2026-03-29T01:30",
            60,
            "25.00",
            ["late 30' 15.00", "base 30' 10.00"],
        ),
        # the band's edge is never shown, so it begins where the wall jumps over it
        (
            [band("02:30", "04:00", "50")],
            "2026-03-29T01:30",
            60,
            "25.00",
            ["base 30' 10.00", "late 30' 15.00"],
        ),
        # a band of nothing but the skipped hour costs nobody anything
        ([band("02:00", "03:00", "50")], "2026-03-29T01:00", 180, "60.00", ["base 180' 60.00"]),
        # an edge within the repeated hour is passed twice
        (
            [band("02:30", "03:00", "50")],
            "2026-10-25T01:30",
            180,
            "70.00",
            [
                "base 60' 20.00",
                "late 30' 15.00",
                "base 30' 10.00",
                "late 30' 15.00",
                "base 30' 10.00",
            ],
        ),
        # the repeated hour itself: 30.00 x 2
        (
            [band("02:00", "03:00", "50")],
            "2026-10-25T01:00",
            240,
            "100.00",
            ["base 60' 20.00", "late 120' 60.00", "base 60' 20.00"],
        ),
        # from the second 02:30 on: 30.00 x 0.5 + 20.00 x 0.5
        (
            [band("02:30", "03:00", "50")],
            "2026-10-25T02:30+01:00",
            60,
            "25.00",
            ["late 30' 15.00", "base 30' 10.00"],
        ),
        # from the first: 15.00 late, 10.00 base
        (
            [band("02:30", "03:00", "50")],
            "2026-10-25T02:30+02:00",
            60,
            "25.00",
            ["late 30' 15.00", "base 30' 10.00"],
        ),
    ],
)  # fmt: skip
def test_a_night_of_changing_clocks_costs_what_was_played(
    bands: list[Any], start: str, minutes: int, expected: str, lines: list[str]
) -> None:
    """
    Elapsed minutes are charged, each by what the wall shows while it passes.
    """
    priced = quote(tariff(bands=bands), "1", slot(start, minutes))

    assert lines == bill(priced)
    assert expected == str(priced.total)


def test_new_york_changes_clocks_on_another_night() -> None:
    """
    01:00-02:00 +50% comes twice on 2026-11-01: 20.00 x 0.5 + 30.00 x 1.5.
    """
    york = tariff(
        time_zone="America/New_York", currency="USD", bands=[band("01:00", "02:00", "50")]
    )
    priced = quote(york, "1", slot("2026-11-01T00:30", 120, "America/New_York"))

    assert ["base 30' 10.00", "late 90' 45.00"] == bill(priced)


def test_mexico_city_changes_clocks_no_more() -> None:
    """
    In the nights of the old rule an hour is an hour: 350.00 + 525.00.
    """
    mexico = tariff(
        time_zone="America/Mexico_City",
        currency="MXN",
        default_hourly_price="350.00",
        bands=[band("02:00", "03:00", "50")],
    )
    for night in ("2026-04-05", "2026-10-25"):
        priced = quote(mexico, "9", slot(f"{night}T01:00", 120, "America/Mexico_City"))

        assert ["base 60' 350.00", "late 60' 525.00"] == bill(priced)


def test_a_quote_as_json_speaks_in_text_amounts() -> None:
    """
    What is stored and shown: amounts in the currency's digits, what does not apply left out.
    """
    priced = quote(tariff(tax=ADDED), "1", slot("2026-12-07T21:30", 60), member_tier="gold")

    # 20.00 x 1.2 x 0.9 = 21.60 an hour, then 18.00; 10.80 + 9.00 - 10% = 17.82; + 21% = 21.5622
    expected: dict[str, Any] = {
        "total": "21.56",
        "currency": "EUR",
        "lines": [
            {
                "kind": "time",
                "label": "peak, winter",
                "amount": "10.80",
                "minutes": 30,
                "per_hour": "21.60",
                "percent": "20",
                "starts_at": "2026-12-07T20:30:00+00:00",
            },
            {
                "kind": "time",
                "label": "base, winter",
                "amount": "9.00",
                "minutes": 30,
                "per_hour": "18.00",
                "starts_at": "2026-12-07T21:00:00+00:00",
            },
            {"kind": "discount", "label": "gold", "amount": "-1.98", "percent": "-10"},
            {"kind": "tax", "label": "tax", "amount": "3.74", "percent": "21"},
        ],
        "tax_amount": "3.74",
        "tax_mode": "exclusive",
        "source": "tariff",
        "fallback": False,
    }
    assert expected == json.loads(json.dumps(priced.as_json()))
    assert expected["lines"] == priced.lines_json()


def test_an_hourly_price_shows_all_its_digits() -> None:
    """
    20.00 x 1.1234 x 0.9 = 20.2212 an hour is not rounded on the line.
    """
    priced = quote(
        tariff(bands=[band("00:00", "24:00", "12.34")]), "1", slot("2026-12-07T21:30", 60)
    )

    assert "20.2212" == priced.lines_json()[0]["per_hour"]
    assert "20.22" == priced.lines_json()[0]["amount"]


def test_a_careless_decimal_context_changes_nothing() -> None:
    """
    A caller's thread may count in three digits; prices do not.
    """
    terms, when = tariff(tax=ADDED), slot("2026-12-07T21:00", 240)
    with localcontext() as context:
        context.prec = 3
        careless = quote(terms.model_copy(update={"currency": "USD"}), "1", when)

    assert quote(terms, "1", when).total == careless.total


WHEN = slot("2026-11-23T10:00", 50)


def broken_document() -> Tariff:
    return Tariff.model_validate(CLUB | {"bands": [band("18:00", "22:00", "lots")]})


def missing_document() -> Tariff:
    raise TariffUnusable("The tariff is gone.")


def divided_by_zero() -> Tariff:
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (
            broken_document,
            'tariff.bands[0].percent: Use a plain number, such as "24.50".',
        ),
        (missing_document, "The tariff is gone."),
        (divided_by_zero, "division by zero"),
        (lambda: tariff(currency="MXN"), "The tariff is in MXN, the club charges EUR."),
    ],
)
def test_a_tariff_that_cannot_be_computed_falls_back_and_says_so(load: Any, reason: str) -> None:
    """
    The club's default price for the minutes, marked, with the reason, without discount and tax.
    """
    priced = quote_or_fallback(
        load,
        "1",
        WHEN,
        default_hourly_price=Decimal("24.10"),
        currency="EUR",
        member_tier="gold",
    )

    expected = {
        "total": "20.08",  # 24.10 x 50/60 = 20.083...
        "currency": "EUR",
        "lines": [
            {
                "kind": "time",
                "label": "default price",
                "amount": "20.08",
                "minutes": 50,
                "per_hour": "24.10",
                "starts_at": "2026-11-23T09:00:00+00:00",
            }
        ],
        "tax_amount": None,
        "tax_mode": None,
        "source": "fallback",
        "fallback": True,
    }
    assert Source.FALLBACK is priced.source
    assert expected == priced.as_json()
    assert reason == priced.reason


def test_a_good_tariff_needs_no_fallback() -> None:
    """
    The default price plays no part then.
    """
    priced = quote_or_fallback(tariff, "1", WHEN, default_hourly_price=Decimal(99), currency="EUR")

    assert quote(tariff(), "1", WHEN) == priced


def no_such_name() -> Tariff:
    raise KeyError("tariff")


def test_a_callers_mistake_is_no_reason_to_fall_back() -> None:
    """
    An unknown tier is refused; a fault in the program is not hidden behind a default price.
    """
    default: dict[str, Any] = {"default_hourly_price": Decimal(24), "currency": "EUR"}

    with pytest.raises(InvalidInput):
        quote_or_fallback(tariff, "1", WHEN, **default, member_tier="platinum")
    with pytest.raises(KeyError):
        quote_or_fallback(no_such_name, "1", WHEN, **default)


@pytest.mark.parametrize(
    ("currency", "price", "minutes", "expected"),
    [("JPY", "3001", 30, "1501"), ("KWD", "1.001", 30, "0.501"), ("EUR", "20.70", 1, "0.35")],
)
def test_a_fallback_is_rounded_half_up_too(
    currency: str, price: str, minutes: int, expected: str
) -> None:
    """
    1500.5 yen are 1501; 0.5005 dinars 0.501; 34.5 cents 35.
    """
    priced = fallback_quote(
        slot("2026-11-23T10:00", minutes),
        default_hourly_price=Decimal(price),
        currency=currency,
        reason="",
    )

    assert expected == str(priced.total)


def stored(priced: Quote, **changes: Any) -> dict[str, Any]:
    return {"member_tier": "gold", "total": priced.total, "lines": priced.lines_json()} | changes


def test_a_stored_price_that_holds_has_no_problem() -> None:
    """
    Total = sum of lines = computed again from the frozen tariff.
    """
    priced = quote(tariff(), "1", WHEN, member_tier="gold")
    again = Tariff.model_validate(json.loads(tariff().canonical_json()))

    assert price_problem(again, "1", WHEN, **stored(priced)) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"total": Decimal("15.01")}, "the lines add up to 15.00, the total is 15.01"),
        (
            {"total": Decimal("16.00"), "lines": [{"amount": "16.00"}]},
            "the tariff makes it 15.00, the total is 16.00",
        ),
        (
            {"member_tier": "platinum"},
            "There is no member tier 'platinum'. Tiers: gold, silver, guest.",
        ),
        ({"lines": [{"amount": "lots"}]}, "the lines cannot be read"),
        ({"lines": [{}]}, "the lines cannot be read"),
        ({"lines": ["15.00"]}, "the lines cannot be read"),
        ({"lines": []}, "the lines add up to 0, the total is 15.00"),
    ],
)
def test_a_stored_price_that_does_not_hold_says_why(changes: dict[str, Any], expected: str) -> None:
    """
    A cent is enough.
    """
    priced = quote(tariff(), "1", WHEN, member_tier="gold")

    assert expected == price_problem(tariff(), "1", WHEN, **stored(priced, **changes))
