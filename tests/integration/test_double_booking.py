"""
Critical path 1: whoever loses a race for a court hears so at once, and no court is sold twice.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from padelops.booking.bookings import BookingRequest
from padelops.booking.double_booking import claim_slot
from padelops.booking.payments import DeskPayment
from padelops.booking.plans import Planner
from padelops.booking.players import Player
from padelops.errors import CourtBusy, CourtTaken
from padelops.store import claims
from padelops.store.deadline import Deadline
from testbed.invariants import broken
from testbed.racing import Running, race, waiting_on_a_lock
from testbed.rows import (
    EVENING,
    block_row,
    column,
    court_of,
    insert,
    insert_hold,
    one,
    reservation_row,
    status_of,
    without_triggers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops import Desk
    from testbed.clock import Clock

COURT = "centro/2"
AT_SIX = "2026-12-01T18:00"
LIVE = "SELECT id FROM claims WHERE status IN ('pending', 'confirmed') ORDER BY id"


def test_eight_clients_and_one_slot(desk: Desk, psql: Any) -> None:
    """
    One books, seven hear `court_taken` with alternatives; there is one row with one entry.
    """
    finishes = race(
        *(partial(desk.book, COURT, AT_SIX, player=f"Player {n}", minutes=60) for n in range(8))
    )

    winners = [finish.value for finish in finishes if finish.ok]
    losers = [finish.error for finish in finishes if not finish.ok]
    assert 1 == len(winners)
    assert [CourtTaken] * 7 == [type(error) for error in losers]
    assert all(isinstance(e, CourtTaken) and e.facts["alternatives"] for e in losers)
    assert [winners[0].reservation.id] == column(psql, LIVE)
    assert 1 == one(psql, "SELECT count(*) FROM audit_entries WHERE subject_kind = 'reservation'")
    assert [] == broken(psql)


def test_a_refusal_names_what_is_free_and_nobody(desk: Desk) -> None:
    """
    Alternatives can be booked as they stand, and nothing says who has the court.
    """
    desk.book(COURT, AT_SIX, minutes=60, player="Eva Gil", email="eva@example.com")

    with pytest.raises(CourtTaken) as caught:
        desk.book(COURT, AT_SIX, minutes=60, player="Ana Ruiz")

    told = caught.value.as_json()
    assert "Eva" not in str(told)
    assert "eva@" not in str(told)
    for alternative in told["alternatives"]:
        minutes = alternative["minutes"]
        assert desk.book(
            alternative["court"],
            alternative["starts_at"],
            minutes=minutes,
            player="A",
            dry_run=True,
        )


def test_two_courts_in_opposite_order(desk: Desk, psql: Any) -> None:
    """
    Two parties who want the same two courts in opposite order: one gets both, the other none.
    """
    for n in range(8):
        start = f"2026-12-0{1 + n // 4}T{9 + 2 * (n % 4):02d}:00"
        there, back = ("centro/2", "centro/3"), ("centro/3", "centro/2")
        finishes = race(
            partial(desk.book, there, start, minutes=60, player="There"),
            partial(desk.book, back, start, minutes=60, player="Back"),
        )

        assert [CourtTaken] == [type(finish.error) for finish in finishes if not finish.ok]
        (party,) = [finish.value for finish in finishes if finish.ok]
        assert [party.reservation.id] == [other.party_id for other in party.others]
    assert 16 == len(column(psql, LIVE))
    assert [] == broken(psql)


def test_courts_are_claimed_in_one_order(desk: Desk, raw: Callable[[], Any], psql: Any) -> None:
    """
    Whatever order a party names them in: while the first court is waited for, the others are free.
    """
    rival = raw()
    rival.execute("BEGIN")
    insert(rival, "claims", reservation_row(rival, "centro/1"))
    party = Running(partial(desk.book, ("centro/3", "centro/1"), AT_SIX, minutes=60, player="A"))
    waiting_on_a_lock(psql)

    assert desk.book("centro/3", AT_SIX, minutes=60, player="B")
    assert party.going
    rival.execute("ROLLBACK")
    assert CourtTaken is type(party.finish().error)


def test_a_party_gets_every_court_or_none(desk: Desk, psql: Any) -> None:
    """
    Where one of three courts is taken the two others are not kept.
    """
    taken = desk.book("centro/3", AT_SIX, minutes=60, player="First").reservation.id

    with pytest.raises(CourtTaken) as caught:
        desk.book(("centro/1", "centro/2", "centro/3"), AT_SIX, minutes=60, player="Party")

    assert "centro/3" == caught.value.facts["court"]
    assert [taken] == column(psql, LIVE)


def test_back_to_back(desk: Desk, psql: Any) -> None:
    """
    10:00-11:00 and 11:00-12:00 both stand.
    """
    desk.book(COURT, "2026-12-01T10:00", minutes=60, player="A")
    desk.book(COURT, "2026-12-01T11:00", minutes=60, player="B")

    assert 2 == len(column(psql, LIVE))


@pytest.mark.parametrize(("start", "minutes"), [("10:00", 60), ("10:30", 60), ("09:00", 120)])
def test_any_overlap_is_a_conflict(desk: Desk, start: str, minutes: int) -> None:
    """
    With 09:30-11:00 booked everything that shares a minute with it is refused, not only equals.
    """
    desk.book(COURT, "2026-12-01T09:30", minutes=90, player="A")

    with pytest.raises(CourtTaken):
        desk.book(COURT, f"2026-12-01T{start}", minutes=minutes, player="B")


def test_across_midnight(desk: Desk) -> None:
    """
    A club open until 01:30 sells 00:00-01:00, and 23:30-00:30 clashes with it.
    """
    late = desk.book(COURT, "2026-12-05T00:00", minutes=60, player="Night owl")

    with pytest.raises(CourtTaken):
        desk.book(COURT, "2026-12-04T23:30", minutes=60, player="Late")

    assert "2026-12-05T00:00:00+01:00" == late.as_json()["starts_at"]


def test_the_buffer_after_a_booking_is_kept_free(desk: Desk) -> None:
    """
    Shibuya cleans for 15 minutes: 10:00-11:00 rules out a start at 11:00 and allows 11:15.
    """
    desk.book("shibuya/A", "2026-12-01T10:00", minutes=60, player="A")

    with pytest.raises(CourtTaken):
        desk.book("shibuya/A", "2026-12-01T11:00", minutes=60, player="B")
    with pytest.raises(CourtTaken):
        desk.book("shibuya/A", "2026-12-01T09:00", minutes=60, player="C")
    assert desk.book("shibuya/A", "2026-12-01T11:15", minutes=60, player="D")


def test_an_expired_hold_gives_way(desk: Desk, psql: Any, clock: Clock) -> None:
    """
    A hold that ran out unswept is retired by the booking that wants its slot, in one transaction.
    """
    psql_past = clock() - timedelta(days=3650)
    hold = insert_hold(psql, COURT, EVENING, psql_past)

    made = desk.book(COURT, AT_SIX, minutes=60, player="A").reservation

    assert "expired" == status_of(psql, hold)
    assert [made.id] == column(psql, LIVE)
    assert 1 == one(
        psql,
        "SELECT count(DISTINCT tx) FROM audit_entries WHERE (subject_id, version) IN"
        " ((%s, 2), (%s, 1)) AND subject_kind = 'reservation'",
        hold,
        made.id,
    )
    assert [] == broken(psql)


def test_many_expired_holds_give_way_to_one(desk: Desk, psql: Any) -> None:
    """
    Eight clients over two expired holds: the holds are retired once, and one client wins.
    """
    past = EVENING - timedelta(days=3650)
    holds = [insert_hold(psql, COURT, EVENING + timedelta(hours=n), past) for n in range(2)]

    finishes = race(
        *(partial(desk.book, COURT, AT_SIX, minutes=120, player=f"P{n}") for n in range(8))
    )

    assert 1 == sum(finish.ok for finish in finishes)
    assert {CourtTaken} == {type(finish.error) for finish in finishes if not finish.ok}
    assert ["expired", "expired"] == [status_of(psql, hold) for hold in holds]
    assert [] == broken(psql)


@pytest.mark.parametrize("side", ["desk", "database"])
def test_a_hold_has_run_out_when_both_clocks_say_so(
    desk: Desk, psql: Any, clock: Clock, side: str
) -> None:
    """
    A desk whose clock is fast takes no court from somebody who is still paying, nor does a slow
    one believe the database alone.
    """
    database = one(psql, "SELECT now()")
    ahead = timedelta(hours=1 if side == "desk" else -2)
    clock.at = database + ahead
    deadline = database + ahead / 2
    start = (database + timedelta(days=8)).replace(hour=18, minute=0, second=0, microsecond=0)
    hold = insert_hold(psql, "roma/1", start, deadline)

    with pytest.raises(CourtTaken):
        desk.book("roma/1", start.isoformat(), minutes=60, player="A")
    day = desk.availability("roma", start.date(), minutes=60, court="1")

    assert "pending" == status_of(psql, hold)
    assert start not in [free.starts_at for free in day.courts[0].starts]


def test_a_hold_with_an_unknown_payment_is_not_retired(desk: Desk, psql: Any) -> None:
    """
    Money may have moved: such a hold keeps its court past its deadline.
    """
    past = EVENING - timedelta(days=3650)
    hold = insert_hold(psql, COURT, EVENING, past, payment_status="payment_unknown")

    with pytest.raises(CourtTaken):
        desk.book(COURT, AT_SIX, minutes=60, player="A")

    assert "pending" == status_of(psql, hold)


def test_a_block_keeps_its_court(desk: Desk, psql: Any) -> None:
    """
    The club's own blocks stand in the way like reservations.
    """
    insert(psql, "claims", block_row(psql, COURT))

    with pytest.raises(CourtTaken):
        desk.book(COURT, AT_SIX, minutes=60, player="A")


def test_a_booking_waits_for_a_rival_and_hears_who_won(
    desk: Desk, raw: Callable[[], Any], psql: Any
) -> None:
    """
    While a rival's insert is not committed nobody is told anything; its commit decides.
    """
    rival = raw()
    with rival.transaction():
        insert(rival, "claims", reservation_row(rival, COURT))
        booking = Running(partial(desk.book, COURT, AT_SIX, minutes=60, player="A"))
        waiting_on_a_lock(psql)

        assert booking.going
    assert CourtTaken is type(booking.finish().error)


def test_a_booking_wins_when_the_rival_gives_up(
    desk: Desk, raw: Callable[[], Any], psql: Any
) -> None:
    """
    A rival that rolls back leaves the court to whoever waited.
    """
    rival = raw()
    with rival.transaction(force_rollback=True):
        insert(rival, "claims", reservation_row(rival, COURT))
        booking = Running(partial(desk.book, COURT, AT_SIX, minutes=60, player="A"))
        waiting_on_a_lock(psql)

    assert booking.finish().ok
    assert 1 == len(column(psql, LIVE))


def test_a_rival_that_does_not_finish_in_time(
    another_desk: Callable[..., Desk], raw: Callable[[], Any], psql: Any
) -> None:
    """
    Within the 500 ms of level 1 the caller hears `court_busy`, retryable, and nothing is written.
    """
    hasty = another_desk(level1_budget_ms=500)
    hasty.book("centro/1", AT_SIX, minutes=60, player="Warm-up")
    rival = raw()
    with rival.transaction(force_rollback=True):
        insert(rival, "claims", reservation_row(rival, COURT))
        begun = time.monotonic()
        with pytest.raises(CourtBusy) as caught:
            hasty.book(COURT, AT_SIX, minutes=60, player="A")
        took = time.monotonic() - begun

    assert caught.value.retryable
    assert 0.35 < took < 0.7  # the wait is 400 ms; the rest is what a busy machine adds
    assert 1 == len(column(psql, LIVE))


def test_every_wait_of_one_booking_ends_with_its_one_deadline(
    another_desk: Callable[..., Desk], raw: Callable[[], Any], psql: Any
) -> None:
    """
    A booking may meet a rival in its first statement and another one in its second: the second wait
    gets what the first one left, though the connection itself would wait for 16 seconds.
    """
    desk = another_desk(level1_budget_ms=20_000)
    court = desk.catalogue.current("centro").court("2")
    request = BookingRequest(
        courts=(COURT,), starts=AT_SIX, minutes=60, player=Player(name="Ana Ruiz")
    )
    planner = Planner(desk.catalogue, DeskPayment(), desk.counts)
    plan = planner.plan(request, "key", "digest", now=desk.now())
    hold = insert_hold(psql, COURT, EVENING, desk.now() - timedelta(days=300))
    passed = [0.0]
    deadline = Deadline(20, clock=lambda: passed[0])
    rival = raw()
    with rival.transaction(force_rollback=True):
        rival.execute("UPDATE claims SET notes = 'mine' WHERE id = %s", [hold])
        passed[0] = 19.9
        begun = time.monotonic()
        with pytest.raises(CourtBusy) as at_the_hold, desk.database.reading() as tx:
            claims.retire_expired(
                tx, court.id, EVENING, plan.slot.ends_at, now=desk.now(), deadline=deadline
            )
    psql.execute("UPDATE claims SET status = 'expired', ended_at = now() WHERE id = %s", [hold])
    with rival.transaction(force_rollback=True):
        insert(rival, "claims", reservation_row(rival, COURT))
        with pytest.raises(CourtBusy) as at_the_slot:
            claim_slot(
                desk.database,
                plan.club,
                court,
                plan.rows[0],
                origin=desk.origin,
                now=desk.now(),
                deadline=deadline,
            )
    took = time.monotonic() - begun

    assert "55P03" == at_the_hold.value.facts["sqlstate"] == at_the_slot.value.facts["sqlstate"]
    assert took < 10
    assert [] == column(psql, LIVE)


def test_a_booking_waits_for_a_cancellation_to_commit(
    desk: Desk, raw: Callable[[], Any], psql: Any
) -> None:
    """
    A slot is sold again only once its cancellation has committed: never two live rows.
    """
    first = desk.book(COURT, AT_SIX, minutes=60, player="A").reservation.id
    canceller = raw()
    with canceller.transaction():
        canceller.execute(
            "UPDATE claims SET status = 'cancelled', ended_at = now() WHERE id = %s", [first]
        )
        again = Running(partial(desk.book, COURT, AT_SIX, minutes=60, player="B"))
        waiting_on_a_lock(psql)

        assert again.going
        assert [first] == column(psql, LIVE)
    assert again.finish().ok
    assert [again.finish().value.reservation.id] == column(psql, LIVE)


def test_cancelling_while_others_rebook(desk: Desk, psql: Any) -> None:
    """
    A cancellation and rebookings race, over and over: one live row at the most, and no raw error.
    """
    current = desk.book(COURT, AT_SIX, minutes=60, player="Zero").reservation.id
    for n in range(10):
        cancelled, *booked = race(
            partial(desk.cancel, current),
            *(partial(desk.book, COURT, AT_SIX, minutes=60, player=f"P{n}.{m}") for m in range(3)),
        )

        assert cancelled.ok
        assert {CourtTaken} >= {type(finish.error) for finish in booked if not finish.ok}
        live = column(psql, LIVE)
        assert [finish.value.reservation.id for finish in booked if finish.ok] == live
        if not live:
            live = [desk.book(COURT, AT_SIX, minutes=60, player="Next").reservation.id]
        (current,) = live
    assert [] == broken(psql)


def test_without_the_constraint_the_race_is_lost(desk: Desk, psql: Any) -> None:
    """
    The tests above would notice: with the constraint dropped, psql double-books and it shows.
    """
    desk.book(COURT, AT_SIX, minutes=60, player="A")
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
    insert(psql, "claims", reservation_row(psql, COURT))

    assert ["no_double_booking"] == [problem.partition(":")[0] for problem in broken(psql)]


def test_the_independent_checks_see_each_breach(desk: Desk, psql: Any) -> None:
    """
    Every question of `testbed.invariants` answers when a superuser breaks what it asks about.
    """
    made = desk.book(COURT, AT_SIX, minutes=60, player="A", key="k").reservation.id
    breaches = {
        "price_exact": "UPDATE claims SET total = total + 1 WHERE id = %s",
        "money_matches": "UPDATE claims SET captured = 1 WHERE id = %s",
        "audit_complete": "UPDATE claims SET version = version + 1 WHERE id = %s",
        "messages_match: told": "DELETE FROM messages WHERE claim_id = %s",
        "cancelled_has_an_end": "UPDATE claims SET status = 'cancelled' WHERE id = %s",
    }
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_total_is_sum_of_lines")
    for name, breach in breaches.items():
        before = broken(psql)
        without_triggers(psql, breach, made)

        assert [line for line in broken(psql) if line.startswith(name) and line not in before]


def test_a_court_out_of_service_takes_no_booking(desk: Desk, psql: Any) -> None:
    """
    Taken out of service by psql, after the desk has read the club: refused all the same.
    """
    desk.availability("centro")
    court_id, _ = court_of(psql, COURT)
    psql.execute("UPDATE courts SET in_service = false WHERE id = %s", [court_id])

    with pytest.raises(Exception, match="out of service"):
        desk.book(COURT, AT_SIX, minutes=60, player="A")

    day = desk.availability("centro", EVENING.date(), court="2")
    assert not day.courts[0].in_service
    assert () == day.courts[0].starts
