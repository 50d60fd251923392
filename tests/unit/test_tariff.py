"""
A tariff is read strictly, kept exactly, and named by its content.
"""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from padelops.booking.tariff import Tariff, TariffRules, Tax, TaxMode
from padelops.booking.terms import explain

CLUB_FILE = """
bands:
  - {name: peak, days: [mon-fri], from: "18:00", to: "22:00", percent: 20}
  - {name: weekend, days: [sat, sun], percent: "10"}
  - {name: night, days: [holiday, fri-sat], from: "22:00", to: "01:30", percent: -12.5}
holidays: [2026-12-25, 2026-12-08, 2026-12-08]
seasons:
  - {name: summer, from: 2027-07-01, to: 2027-08-31, multiplier: 1.25}
  - {name: winter, from: 2026-12-01, to: 2027-02-28, multiplier: "0.90"}
member_tiers: [{name: gold, discount_percent: "10"}]
"""


def document(**changes: Any) -> dict[str, Any]:
    """
    A stored tariff as it stands in the database, with some fields changed.
    """
    return {
        "currency": "EUR",
        "time_zone": "Europe/Madrid",
        "default_hourly_price": "24.00",
        "hourly_prices": {"1": "20.00"},
    } | changes


def problem(**changes: Any) -> str:
    """
    What is said about a tariff document with these changes.
    """
    with pytest.raises(ValidationError) as refusal:
        Tariff.model_validate(document(**changes))
    return explain(refusal.value, within="tariff")


def short(value: object) -> str:
    """
    A test's name for a value that may be ten megabytes long.
    """
    return f"{value!r:.40}" if not isinstance(value, int) or abs(value) < 10**9 else "huge"


def band(**changes: Any) -> dict[str, Any]:
    return {
        "name": "peak",
        "days": ["mon"],
        "from": "18:00",
        "to": "22:00",
        "percent": "20",
    } | changes


def season(**changes: Any) -> dict[str, Any]:
    return {
        "name": "winter",
        "from": "2026-12-01",
        "to": "2027-02-28",
        "multiplier": "0.9",
    } | changes


def test_a_club_file_freezes_into_the_stored_document() -> None:
    """
    Ranges are spread, days and dates sorted, defaults written out, numbers kept as they were meant.
    """
    rules = TariffRules.model_validate(yaml.safe_load(CLUB_FILE))
    tariff = Tariff.freeze(
        rules,
        currency="EUR",
        time_zone="Europe/Madrid",
        default_hourly_price=Decimal("24.00"),
        hourly_prices={"1": Decimal("20.00"), "2": Decimal(24)},
        tax=Tax(percent=Decimal(21), mode=TaxMode.EXCLUSIVE),
    )

    expected = {
        "currency": "EUR",
        "time_zone": "Europe/Madrid",
        "tax": {"percent": "21", "mode": "exclusive"},
        "default_hourly_price": "24.00",
        "hourly_prices": {"1": "20.00", "2": "24"},
        "bands": [
            {
                "name": "peak",
                "days": ["mon", "tue", "wed", "thu", "fri"],
                "from": "18:00",
                "to": "22:00",
                "percent": "20",
            },
            {
                "name": "weekend",
                "days": ["sat", "sun"],
                "from": "00:00",
                "to": "24:00",
                "percent": "10",
            },
            {
                "name": "night",
                "days": ["fri", "sat", "holiday"],
                "from": "22:00",
                "to": "01:30",
                "percent": "-12.5",
            },
        ],
        "holidays": ["2026-12-08", "2026-12-25"],
        "seasons": [
            {"name": "winter", "from": "2026-12-01", "to": "2027-02-28", "multiplier": "0.90"},
            {"name": "summer", "from": "2027-07-01", "to": "2027-08-31", "multiplier": "1.25"},
        ],
        "member_tiers": [{"name": "gold", "discount_percent": "10"}],
    }
    assert expected == tariff.terms()


def test_the_stored_document_reads_back_to_the_same_tariff() -> None:
    """
    Through JSON text and back: equal, with the same digest, and the same spelling.
    """
    tariff = Tariff.model_validate(document(**yaml.safe_load(CLUB_FILE)))
    again = Tariff.model_validate(json.loads(tariff.canonical_json()))

    assert tariff == again
    assert tariff.digest() == again.digest()
    assert tariff.canonical_json() == again.canonical_json()
    assert tariff.model_dump() == again.model_dump()
    assert 1 == len({tariff, again})


def test_the_digest_is_pinned() -> None:
    """
    Digests name rows that live for years: the canonical spelling must not drift.
    """
    tariff = Tariff.model_validate(document())

    expected = (
        '{"bands":[],"currency":"EUR","default_hourly_price":"24.00","holidays":[],'
        '"hourly_prices":{"1":"20.00"},"member_tiers":[],"seasons":[],'
        '"tax":{"mode":"inclusive","percent":"0"},"time_zone":"Europe/Madrid"}'
    )
    assert expected == tariff.canonical_json()
    assert "500d66d466ebc1077e487aef640a518f1cebc39f5a3765360506251f61359486" == tariff.digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"default_hourly_price": "24.01"},
        {"hourly_prices": {"1": "20.00", "2": "20.00"}},
        {"time_zone": "Europe/Paris"},
        {"tax": {"percent": "21"}},
        {"bands": [band()]},
        {"holidays": ["2026-12-08"]},
    ],
)
def test_another_content_has_another_digest(changes: dict[str, Any]) -> None:
    """
    Whatever may change a price changes the name.
    """
    one, other = Tariff.model_validate(document()), Tariff.model_validate(document(**changes))

    assert one.digest() != other.digest()
    assert one != other


def test_the_order_of_court_prices_does_not_matter() -> None:
    """
    A dictionary's order is no content.
    """
    one = Tariff.model_validate(document(hourly_prices={"1": "20.00", "2": "24.00"}))
    other = Tariff.model_validate(document(hourly_prices={"2": "24.00", "1": "20.00"}))

    assert one.digest() == other.digest()


def test_a_tariff_stays_as_it_is() -> None:
    """
    Fields cannot be set, and a changed copy is checked and gets a digest of its own.
    """
    tariff = Tariff.model_validate(document())
    digest = tariff.digest()

    with pytest.raises(ValidationError):
        tariff.currency = "USD"
    with pytest.raises(ValidationError):
        tariff.model_copy(update={"default_hourly_price": "-1"})
    assert digest != tariff.model_copy(update={"default_hourly_price": "25.00"}).digest()
    assert digest == tariff.model_copy().digest()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("20", "20"),
        ("20.00", "20.00"),
        (20, "20"),
        (24.5, "24.5"),
        (0.1, "0.1"),
        (Decimal("20.00"), "20.00"),
        ("+5", "5"),
        ("-0", "0"),
        ("007.50", "7.50"),
    ],
)
def test_an_amount_is_kept_exactly(written: object, kept: str) -> None:
    """
    As the decimal text that was meant, never as a float.
    """
    tariff = Tariff.model_validate(document(default_hourly_price=written))

    assert kept == tariff.terms()["default_hourly_price"]


@pytest.mark.parametrize(
    "written",
    [
        math.nan,
        math.inf,
        "NaN",
        "Infinity",
        "1e3",
        1e300,
        0.1 + 0.2,
        True,
        None,
        [],
        "",
        " 20",
        "20,00",
        "1_000",
        "２０",  # noqa: RUF001  (full-width digits are the point)
        "٢٠",
        "20\0",
        Decimal("NaN"),
        10**5000,
        "9" * 10_000_000,
    ],
    ids=short,
)
def test_what_is_no_plain_number_is_refused(written: object) -> None:
    """
    Nothing that would have to be guessed or rounded becomes money.
    """
    expected = 'tariff.default_hourly_price: Use a plain number, such as "24.50".'
    assert expected == problem(default_hourly_price=written)


PERCENTS = "Use a number from -100 to 1000."
MONEY = "Use a number from 0 to 1000000000."
PRINTABLE = "Use printable text without spaces around it."


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ({"from": "6pm"}, ".from", "Use HH:MM."),
        ({"to": "24:01"}, ".to", "Use HH:MM."),
        ({"to": "7:00"}, ".to", "Use HH:MM."),
        # An unquoted 18:00 is 1080 to YAML.
        (yaml.safe_load("from: 18:00"), ".from", 'Use HH:MM in quotes, such as "18:00".'),
        ({"from": "24:00"}, ".from", "24:00 is only an end; use 00:00."),
        (
            {"to": "18:00"},
            ".to",
            "from and to are the same; leave both out for the whole day.",
        ),
        ({"days": []}, ".days", "Name at least one day."),
        (
            {"days": ["monday"]},
            ".days",
            "'monday' is no day: use mon ... sun, holiday, or a range as in mon-fri.",
        ),
        ({"percent": "1000.01"}, ".percent", PERCENTS),
        ({"percent": -101}, ".percent", PERCENTS),
        ({"percent": "0.12345"}, ".percent", "Use at most 4 digits after the point."),
        ({"name": ""}, ".name", "String should have at least 1 character."),
        ({"name": "pe\0ak"}, ".name", PRINTABLE),
        ({"name": "peak "}, ".name", PRINTABLE),
        ({"name": "\ud800"}, ".name", PRINTABLE),
        ({"name": 7}, ".name", "Use text, in quotes."),
        ({"name": "x" * 10_000_000}, ".name", "String should have at most 60 characters."),
        ({"surcharge": "1"}, ".surcharge", "There is no such field."),
        ({"to\n": "1"}, "['to\\n']", "There is no such field."),
    ],
    ids=short,
)
def test_a_mistake_in_a_band_is_explained_in_one_line(
    changes: dict[str, Any], path: str, says: str
) -> None:
    """
    Where it stands and what to write instead.
    """
    assert f"tariff.bands[0]{path}: {says}" == problem(bands=[band(**changes)])


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ({"bands": [{"name": "peak"}]}, "bands[0].percent", "This is required."),
        ({"bands": {"name": "peak"}}, "bands", "Use a list."),
        ({"bands": ["peak"]}, "bands[0]", "Use a block of fields."),
        ({"bands": [band(), band()]}, "bands", "'peak' comes twice."),
        (
            {
                "bands": [
                    band(name="early", percent="-60", **{"from": "07:00"}),
                    band(name="late", percent="-50"),
                ]
            },
            "bands",
            "The percents add up to -110 at 18:00 on mon; below -100 is no price.",
        ),
        (
            {"seasons": [season(multiplier="0")]},
            "seasons[0].multiplier",
            "Use a number from 0.000001 to 100.",
        ),
        (
            {"seasons": [season(to="2026-11-30")]},
            "seasons[0].to",
            "The season ends before it starts, on 2026-12-01.",
        ),
        (
            {"seasons": [season(name="b", **{"from": "2027-02-28", "to": "2027-03-03"}), season()]},
            "seasons",
            "winter and b overlap on 2027-02-28.",
        ),
        (
            {"seasons": [season(), season(**{"from": "2028-01-01", "to": "2028-01-02"})]},
            "seasons",
            "'winter' comes twice.",
        ),
        (
            {"member_tiers": [{"name": "gold", "discount_percent": "101"}]},
            "member_tiers[0].discount_percent",
            "Use a number from 0 to 100.",
        ),
        (
            {"member_tiers": [{"name": "gold", "discount_percent": 1}] * 2},
            "member_tiers",
            "'gold' comes twice.",
        ),
        ({"holidays": [20261208]}, "holidays[0]", "Use YYYY-MM-DD."),
        ({"holidays": [yaml.safe_load("2026-12-08 00:00:00")]}, "holidays[0]", "Use YYYY-MM-DD."),
        (
            {"holidays": ["9999-12-31"]},
            "holidays[0]",
            "The date must lie between the years 2000 and 2099.",
        ),
        ({"tax": {"percent": "-1"}}, "tax.percent", "Use a number from 0 to 100."),
        ({"tax": {"mode": "both"}}, "tax.mode", "Input should be 'inclusive' or 'exclusive'."),
        (
            {"currency": "EURO"},
            "currency",
            "Unknown currency 'EURO': use an ISO 4217 code such as EUR.",
        ),
        (
            {"time_zone": "../etc/passwd"},
            "time_zone",
            "Unknown time zone '../etc/passwd'. Use an IANA name such as Europe/Madrid.",
        ),
        ({"default_hourly_price": "-0.01"}, "default_hourly_price", MONEY),
        ({"default_hourly_price": "1000000000.01"}, "default_hourly_price", MONEY),
        (
            {"default_hourly_price": "24.001"},
            "default_hourly_price",
            "24.001 is finer than EUR goes: 2 digits after the point.",
        ),
        (
            {"currency": "JPY", "default_hourly_price": 24, "hourly_prices": {"1": "20.5"}},
            "hourly_prices",
            "Court 1: 20.5 is finer than JPY goes: 0 digits after the point.",
        ),
        ({"hourly_prices": {"1\0": "20.00"}}, "hourly_prices['1\\x00']", PRINTABLE),
        ({"discount": 1}, "discount", "There is no such field."),
    ],
)
def test_a_mistake_is_explained_in_one_line(changes: dict[str, Any], path: str, says: str) -> None:
    """
    The first problem, where it stands, and what to write instead.
    """
    assert f"tariff.{path}: {says}" == problem(**changes)


@pytest.mark.parametrize(
    ("currency", "price"), [("EUR", "24.000"), ("JPY", "2400.00"), ("KWD", "1.250"), ("JPY", "0")]
)
def test_zeros_behind_the_point_are_not_finer_than_a_currency(currency: str, price: str) -> None:
    """
    2400.00 yen are whole yen.
    """
    tariff = Tariff.model_validate(
        document(currency=currency, default_hourly_price=price, hourly_prices={})
    )

    assert Decimal(price) == tariff.default_hourly_price


@pytest.mark.parametrize(
    "bands",
    [
        # Never at the same minute.
        [band(name="a", percent="-60"), band(name="b", percent="-60", days=["tue"])],
        [
            band(name="a", percent="-60", to="20:00"),
            band(name="b", percent="-60", **{"from": "20:00"}),
        ],
        # A surcharge makes up for it.
        [
            band(name="a", percent="-60"),
            band(name="b", percent="-60"),
            band(name="c", percent="20"),
        ],
        # Free is a price.
        [band(name="a", percent="-100")],
        # 2026-12-08 is a Tuesday, so holiday and Monday never meet.
        [band(name="a", percent="-60"), band(name="b", percent="-60", days=["holiday"])],
    ],
)
def test_discounts_may_be_deep_where_they_do_not_meet(bands: list[dict[str, Any]]) -> None:
    """
    Only a minute whose percents sum below -100 is refused.
    """
    assert Tariff.model_validate(document(bands=bands, holidays=["2026-12-08"]))


def test_discounts_that_meet_only_past_midnight_on_a_holiday_are_found() -> None:
    """
    A holiday's late band reaches into the next day and may meet that day's discounts there.
    """
    bands = [
        band(name="late", days=["holiday"], percent="-60", **{"from": "22:00", "to": "02:00"}),
        band(name="early", days=["wed"], percent="-50", **{"from": "01:00", "to": "09:00"}),
    ]

    expected = "tariff.bands: The percents add up to -110 at 01:00 on wed; below -100 is no price."
    assert expected == problem(bands=bands, holidays=["2026-12-08"])  # a Tuesday


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("mon", ["mon"]),
        ("fri-mon", ["mon", "fri", "sat", "sun"]),
        ("mon-mon", ["mon"]),
        (["sun", "holiday", "mon-wed", "Tue"], ["mon", "tue", "wed", "sun", "holiday"]),
    ],
)
def test_days_are_read_as_lists_and_ranges(days: object, expected: list[str]) -> None:
    """
    In the week's order, each once, whatever order they were written in.
    """
    tariff = Tariff.model_validate(document(bands=[band(days=days)]))

    assert expected == tariff.terms()["bands"][0]["days"]


def test_a_band_without_days_or_times_is_always_on() -> None:
    """
    Nothing said means every day, all day.
    """
    tariff = Tariff.model_validate(document(bands=[{"name": "fuel", "percent": "1"}]))
    always = datetime(2026, 12, 5, 23, 59)  # noqa: DTZ001  (a wall reading)

    assert tariff.bands[0].covers(always, frozenset())


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        ("2026-12-04T21:59", False),  # Friday
        ("2026-12-04T22:00", True),
        ("2026-12-05T01:59", True),  # Saturday, Friday's night
        ("2026-12-05T02:00", False),
        ("2026-12-05T22:00", False),  # Saturday's night is not listed
        ("2026-12-04T01:00", False),  # Thursday's night neither
    ],
)
def test_a_band_past_midnight_belongs_to_the_day_it_starts_on(wall: str, expected: bool) -> None:
    """
    Friday's 22:00-02:00 ends on Saturday at two.
    """
    rules = TariffRules.model_validate(
        {"bands": [band(days=["fri"], **{"from": "22:00", "to": "02:00"})]}
    )

    assert expected is rules.bands[0].covers(datetime.fromisoformat(wall), frozenset())


@pytest.mark.parametrize(
    ("days", "on_the_holiday", "on_other_tuesdays"),
    [
        (["holiday"], True, False),
        (["tue"], True, True),
        (["mon", "holiday"], True, False),
        (["mon"], False, False),
    ],
)
def test_a_holiday_keeps_its_weekday(
    days: list[str], on_the_holiday: bool, on_other_tuesdays: bool
) -> None:
    """
    On a holiday the weekday's bands apply as well; a band for holidays alone on no other day.
    """
    rules = TariffRules.model_validate(
        {"bands": [band(days=days)], "holidays": [date(2026, 12, 8)]}
    )
    holiday, other = datetime(2026, 12, 8, 19), datetime(2026, 12, 15, 19)  # noqa: DTZ001  (wall)

    assert on_the_holiday is rules.bands[0].covers(holiday, rules.holiday_set)
    assert on_other_tuesdays is rules.bands[0].covers(other, rules.holiday_set)


def test_seasons_include_both_their_dates() -> None:
    """
    From the first date to the last, whole days.
    """
    rules = TariffRules.model_validate({"seasons": [season()]})

    inside = [date(2026, 12, 1), date(2027, 2, 28)]
    outside = [date(2026, 11, 30), date(2027, 3, 1)]
    assert all(rules.season_on(day) == rules.seasons[0] for day in inside)
    assert all(rules.season_on(day) is None for day in outside)
