"""Single values and whole reservations of an old system, as they are read and translated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padelops.ops.import_fields import (
    BadRow,
    amount_of,
    clock_of,
    court_time_of,
    instant_of,
    key_of,
    text_of,
    whole_minutes,
)
from padelops.ops.import_report import IMPORTED, BooksDoNotBalance, ImportReport
from padelops.ops.import_reservation import OldReservation, translated

MEXICO = ZoneInfo("America/Mexico_City")
MADRID = ZoneInfo("Europe/Madrid")
NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
START = datetime(2026, 12, 5, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given_value", "amount"),
    [("300.00", "300.00"), (300, "300"), (Decimal("0.5"), "0.5"), (" 7 ", "7"), ("0", "0")],
)
def test_an_amount_is_kept_exactly(given_value: Any, amount: str) -> None:
    """Text, whole numbers and JSON's decimals all mean what they say."""
    assert Decimal(amount) == amount_of({"x": given_value}, "x")


@pytest.mark.parametrize(
    "given_value",
    ["-1", "1e3", "NaN", "1,5", "٣", "1" * 20, True, 1.5, [], Decimal("1e-20"), Decimal("1e300")],
)
def test_what_is_no_amount_is_refused(given_value: Any) -> None:
    """Nothing is rounded, cut or guessed until it fits."""
    with pytest.raises(BadRow):
        amount_of({"x": given_value}, "x")


@pytest.mark.parametrize("missing", [{}, {"x": None}, {"x": ""}])
def test_what_is_missing_is_none(missing: dict[str, Any]) -> None:
    """Null, blank and absent are the same to a dump."""
    assert (None, None, None) == (
        amount_of(missing, "x"),
        text_of(missing, "x", longest=10),
        key_of(missing, "x"),
    )


@pytest.mark.parametrize("value", [True, 1.5, {}, "a b", "\n", "ñ", "x" * 121])
def test_what_is_no_key_is_refused(value: Any) -> None:
    """A key is plain text or a whole number, and fits where it is kept."""
    with pytest.raises(BadRow):
        key_of({"x": value}, "x")


@pytest.mark.parametrize(
    "text", ["24:00", "1:00", "10:60", "10:00:60", "10", "", "10:00Z", "x" * 100]
)
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    """Only HH:MM, with or without seconds."""
    with pytest.raises(BadRow):
        clock_of(text)


def test_a_clock_keeps_what_is_beyond_the_minute() -> None:
    """Seconds and their fractions are told apart from the minute that is sold."""
    reading, beyond = clock_of("23:59:59.5")

    assert ("23:59", timedelta(seconds=59, microseconds=500_000)) == (f"{reading:%H:%M}", beyond)


def test_an_hour_that_comes_twice_is_not_guessed() -> None:
    """Nor is one that does not exist; the zone of Mexico City has no such hours any more."""
    with pytest.raises(BadRow, match="comes twice"):
        instant_of(datetime(2026, 10, 25, 2, 30), MADRID)  # noqa: DTZ001 - a wall clock's reading
    with pytest.raises(BadRow, match="does not exist"):
        instant_of(datetime(2026, 3, 29, 2, 30), MADRID)  # noqa: DTZ001 - a wall clock's reading

    wall = datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 - a wall clock's reading
    assert datetime(2026, 10, 25, 8, 30, tzinfo=UTC) == instant_of(wall, MEXICO)


@pytest.mark.parametrize(
    "text", ["2026-12-05T18:00:00", "2026-12-06T00:00:00Z", "2026-12-05T19:00-05:00"]
)
def test_court_time_is_local_or_has_an_offset(text: str) -> None:
    """The same instant in three spellings."""
    assert datetime(2026, 12, 6, tzinfo=UTC) == court_time_of({"x": text}, "x", MEXICO)


@given(
    st.timedeltas(timedelta(0), timedelta(days=366)).map(lambda passed: START + passed),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=1)),
)
def test_whole_minutes_hold_the_time_and_no_more(start: datetime, length: timedelta) -> None:
    """Widened by less than a minute on either side, and not at all where it fits."""
    low, high = whole_minutes(start, start + length)

    assert low <= start < low + timedelta(minutes=1)
    assert high - timedelta(minutes=1) < start + length <= high
    assert (low, high) == whole_minutes(low, high)


def old(**changes: Any) -> OldReservation:
    fields: dict[str, Any] = {
        "starts_at": START,
        "ends_at": START + timedelta(hours=1),
        "status": "confirmed",
        "payment": "pending",
        "total": Decimal(300),
    }
    return OldReservation(**(fields | changes))


@given(
    status=st.sampled_from(["confirmed", "pending", "cancelled", "completed", "no_show"]),
    payment=st.sampled_from(["pending", "partial", "paid", "refunded", "failed"]),
    total=st.decimals(0, 1000, places=2),
    paid=st.none() | st.decimals(0, 1200, places=2),
    fee=st.none() | st.decimals(0, 1200, places=2),
    days=st.integers(-400, 400),
    deleted=st.booleans(),
)
def test_whatever_is_said_the_money_adds_up(
    status: str,
    payment: str,
    total: Decimal,
    paid: Decimal | None,
    fee: Decimal | None,
    days: int,
    deleted: bool,
) -> None:
    """0 <= refunded <= captured <= total, and money is never kept without a court or a reason."""
    starts_at = NOW + timedelta(days=days)
    told = old(
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=1),
        status=status,
        payment=payment,
        total=total,
        paid=paid,
        fee=fee,
        deleted=deleted,
    )
    amount = paid or total
    kept = payment == "refunded" and amount and (fee or 0) >= amount
    if payment in ("paid", "partial", "refunded") and (amount > total or kept):
        with pytest.raises(BadRow, match="amounts_disagree"):
            translated(told, currency="MXN", now=NOW)
        return
    row, _ = translated(told, currency="MXN", now=NOW)

    assert 0 <= row["refunded"] <= row["captured"] <= row["total"] == total
    assert not (row["status"] == "expired" and row["captured"])
    assert row["status"] not in ("cancelled", "expired") or row["ended_at"] is not None
    match row["payment_status"]:
        case "due":
            assert row["captured"] < row["total"]
            assert row["status"] not in ("cancelled", "expired")
        case "paid":
            assert row["captured"]
            assert not row["refunded"]
        case "refunded":
            assert row["refunded"]
        case _:
            assert "nothing_due" == row["payment_status"]
            assert not row["captured"]


def test_longer_than_a_day_is_refused() -> None:
    """Also when only the widening makes it so."""
    with pytest.raises(BadRow, match="24 hours"):
        translated(
            old(
                starts_at=START + timedelta(seconds=1),
                ends_at=START + timedelta(hours=24, seconds=1),
            ),
            currency="MXN",
            now=NOW,
        )


@pytest.mark.parametrize("counted", [1, 3])
def test_a_row_that_is_lost_or_counted_twice_is_no_secret(counted: int) -> None:
    """An import that cannot account for every row it read says so, whatever it did."""
    report = ImportReport([], dry_run=False)
    report.rows_read["csv"] = 2
    report.settle("csv", IMPORTED, rows=counted)

    with pytest.raises(BooksDoNotBalance, match=rf"csv: 2 rows were read, {counted} are"):
        report.require_balance()
