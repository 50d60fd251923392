"""
A desk behind its circuit breakers: each fallback is the one that CRITICAL_PATHS.md names.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from padelops.adapters.breaker_memory import DatabaseBreakerMemory
from padelops.booking.bookings import BookingRequest
from padelops.booking.creation import Creation
from padelops.booking.payments import DeskPayment
from padelops.booking.players import Player
from padelops.circuit_breakers import Report, Shared, State, Tally
from padelops.errors import (
    BreakerOpen,
    CourtBusy,
    CourtTaken,
    DatabaseSlow,
    NotFound,
    OutcomeUnknown,
)
from padelops.model import Origin
from testbed.rows import insert, one, reservation_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops import Desk

AT_SIX = "2026-12-01T18:00"
THAT_DAY = date(2026, 12, 1)


def open_now(desk: Desk, name: str) -> None:
    desk.breakers[name].force_open(actor="ana", reason="looking into it")


def test_an_open_creation_breaker_refuses_bookings_and_says_when_to_come_back(
    desk: Desk, psql: Any
) -> None:
    """
    Nothing is written, and cancelling, pricing and looking go on.
    """
    made = desk.book("centro/2", AT_SIX, player="Ana Ruiz")
    open_now(desk, "reservation_creation")
    with pytest.raises(BreakerOpen) as caught:
        desk.book("centro/2", "2026-12-01T20:00", player="Eva Gil")

    assert ("refuse_with_retry_after", 5) == (
        caught.value.facts["fallback"],
        caught.value.facts["retry_after_s"],
    )
    assert 1 == one(psql, "SELECT count(*) FROM claims")
    assert desk.availability("centro", THAT_DAY).certain
    assert "tariff" == desk.price("centro/2", AT_SIX).source
    assert "cancelled" == desk.cancel(made.reservation.id).reservation.status


def test_an_open_cancellation_breaker_refuses_and_changes_nothing(desk: Desk) -> None:
    """
    The reservation stays as it is until the breaker lets calls through.
    """
    made = desk.book("centro/2", AT_SIX, player="Ana Ruiz")
    open_now(desk, "cancellation")
    with pytest.raises(BreakerOpen):
        desk.cancel(made.reservation.id)
    during = desk.show(made.reservation.id)
    desk.breakers["cancellation"].reset(actor="ana", reason="looked into it")

    assert "confirmed" == during.status
    assert "cancelled" == desk.cancel(made.reservation.id).reservation.status


def test_an_open_availability_breaker_shows_nothing_as_free(desk: Desk, psql: Any) -> None:
    """
    Conservative and marked, without a look into the claims; booking goes on.
    """
    before = desk.availability("centro", THAT_DAY)
    open_now(desk, "availability_check")
    psql.execute("ALTER TABLE claims RENAME TO hidden")
    during = desk.availability("centro", THAT_DAY)
    psql.execute("ALTER TABLE hidden RENAME TO claims")
    desk.book("centro/2", AT_SIX, player="Ana Ruiz")

    assert any(court.starts for court in before.courts)
    assert not any(court.starts for court in during.courts)
    assert [court.court for court in before.courts] == [court.court for court in during.courts]
    assert (False, before.open) == (during.certain, during.open)
    assert "availability_check is switched off by an operator" in during.as_json()["doubt"]


def test_an_open_price_breaker_charges_the_default_price_marked(desk: Desk) -> None:
    """
    For a quote, for what is shown as free and for a booking alike; all of them say so.
    """
    exact = desk.price("centro/2", AT_SIX, minutes=60)
    open_now(desk, "price_calculation")
    quote = desk.price("centro/2", AT_SIX, minutes=60)
    shown = desk.availability("centro", THAT_DAY, minutes=60, court="2").as_json()
    made = desk.book("centro/2", AT_SIX, minutes=60, player="Ana Ruiz").as_json()

    at_six = [
        (free["total"], free["fallback"])
        for free in shown["courts"][0]["free"]
        if free["starts_at"].startswith(AT_SIX)
    ]

    assert ("28.80", "24.00") == (str(exact.total), str(quote.total))
    assert [("24.00", True)] == at_six
    assert ("fallback", True) == (quote.source, "price_calculation" in quote.reason)
    assert ("24.00", True) == (made["total"], made["fallback"])
    assert {"price.fallback": 2} == {
        name: n for name, n in desk.counts.since_start().names.items() if name.startswith("price")
    }


def test_refusals_open_nothing(desk: Desk) -> None:
    """
    A hundred customers who want the court that is taken are no outage.
    """
    desk.book("centro/2", AT_SIX, player="Ana Ruiz")
    for _ in range(30):
        with pytest.raises(CourtTaken):
            desk.book("centro/2", AT_SIX, player="Eva Gil")
    for _ in range(30):
        with pytest.raises(NotFound):
            desk.cancel(4711)
    shown = [each.snapshot() for each in desk.breakers.all()]

    assert {State.CLOSED} == {each.state for each in shown}
    assert {0} == {each.tally.failures for each in shown}


def test_rivals_are_no_failure_and_a_slow_database_is_one(
    another_desk: Callable[..., Desk], raw: Callable[[], Any], psql: Any
) -> None:
    """
    The rush for one court opens nothing. A database that takes too long to answer, though nobody is
    in the way, opens the breaker of creation: whoever is on call hears of it, and it gets rest.
    """
    desk = another_desk(level1_budget_ms=200)
    rival = raw()
    with rival.transaction(force_rollback=True):
        insert(rival, "claims", reservation_row(rival, "centro/2"))
        with pytest.raises(CourtBusy):
            desk.book("centro/2", AT_SIX, minutes=60, player="Ana Ruiz")
    rush = desk.breakers["reservation_creation"].snapshot().tally
    psql.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$;"
        "CREATE TRIGGER a_slow_disk BEFORE INSERT ON claims EXECUTE FUNCTION dawdle()"
    )
    for _ in range(20):
        with pytest.raises((DatabaseSlow, BreakerOpen)):
            desk.book("centro/3", AT_SIX, minutes=60, player="Ana Ruiz")

    assert 0 == rush.failures
    assert State.OPEN is desk.breakers["reservation_creation"].snapshot().state


def test_a_club_that_changed_is_no_failure(
    another_desk: Callable[..., Desk], demo_clubs: Path, tmp_path: Path
) -> None:
    """
    A process that meets newer terms reads them and goes on: no breaker counts that.
    """
    old, new = another_desk(), another_desk()
    old.availability("centro", THAT_DAY)
    changed = tmp_path / "clubs.yaml"
    changed.write_text(demo_clubs.read_text().replace('"24.00"', '"26.00"'))
    new.apply_club_file(changed)
    old.availability("centro", THAT_DAY)
    old.book("centro/2", AT_SIX, player="Ana Ruiz")

    assert {0} == {each.snapshot().tally.failures for each in old.breakers.all()}


def test_trouble_with_the_payment_is_none_of_creations_business(desk: Desk) -> None:
    """
    The gateway has a breaker of its own: bookings that are paid at the desk must go on.
    """

    class Failing(DeskPayment):
        def settle(self, *_: Any, **__: Any) -> Any:
            raise OutcomeUnknown

    creation = Creation(
        database=desk.database,
        catalogue=desk.catalogue,
        payment=Failing(),
        counts=desk.counts,
        budget_s=1,
        alternatives=lambda *_: [],
        guard=desk.breakers["reservation_creation"].guard,
    )
    request = BookingRequest(
        courts=("centro/2",), starts=AT_SIX, minutes=60, player=Player(name="Ana Ruiz")
    )
    with pytest.raises(OutcomeUnknown):
        creation.book(request, origin=desk.origin, now=desk.now())

    assert Tally(calls=1) == desk.breakers["reservation_creation"].snapshot().tally


def test_the_hot_path_asks_the_database_nothing_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    However many bookings: each breaker asks once in half a second.
    """
    asked: Counter[str] = Counter()
    exchange = DatabaseBreakerMemory.exchange

    def counted(self: DatabaseBreakerMemory, report: Report, *, since: datetime) -> Shared:
        asked[report.name] += 1
        return exchange(self, report, since=since)

    monkeypatch.setattr(DatabaseBreakerMemory, "exchange", counted)
    began = time.monotonic()
    for _ in range(100):
        desk.book("centro/2", AT_SIX, player="Ana Ruiz", dry_run=True)
    most = 1 + (time.monotonic() - began) / 0.5

    assert {"reservation_creation", "price_calculation"} == set(asked)
    assert max(asked.values()) <= most


def test_all_desks_of_a_server_share_their_breakers(desk: Desk) -> None:
    """
    One for each request of a server, and one copy of the state behind them.
    """
    twin = desk.acting_as(Origin("eva"))

    assert twin.breakers is desk.breakers
