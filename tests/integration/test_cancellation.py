"""
Critical path 5: a cancellation frees the slot once and gives back what was promised, no more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from padelops.errors import CannotCancel, Corrupt, CourtBusy, InvalidInput, PadelopsError
from testbed.invariants import broken
from testbed.racing import Running, race, waiting_on_a_lock
from testbed.rows import column, one, without_triggers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops import Desk
    from testbed.clock import Clock

COURT = "centro/2"
AT_SIX = "2026-12-05T18:00"  # a Saturday: 24.00 x 1.5 h x 1.30 = 46.80
PAID = Decimal("46.80")


def paid(desk: Desk, starts: str = AT_SIX, **more: Any) -> int:
    """A booking whose price was paid at the desk."""
    made = desk.book(COURT, starts, **{"player": "A", **more}).reservation
    return desk.settle_at_desk(made.id).id


def test_a_paid_booking_cancelled_in_time(desk: Desk, psql: Any) -> None:
    """
    The refund is the policy's share less the fee, owed at the desk, and handed over once.
    """
    made = paid(desk)

    done = desk.cancel(made)
    handed_over = desk.settle_at_desk(made)

    assert (PAID - 2, Decimal("2.00")) == (done.refund, done.kept)
    assert ("cancelled", "refund_due") == (done.reservation.status, done.reservation.payment_status)
    assert ("refunded", PAID - 2) == (handed_over.payment_status, handed_over.refunded)
    with pytest.raises(PadelopsError, match="Nothing is due"):
        desk.settle_at_desk(made)
    assert ["created", "payment_paid", "cancelled", "payment_refunded"] == [
        entry.action for entry in desk.history(made)
    ]
    assert ["confirmation", "cancellation"] == column(
        psql, "SELECT kind FROM messages WHERE claim_id = %s ORDER BY id", made
    )
    assert [] == broken(psql)


def test_two_cancellations_at_once(desk: Desk, psql: Any) -> None:
    """
    Eight cancellations in parallel: one cancels, the others get the same answer as a replay.
    """
    made = paid(desk)

    finishes = race(*[partial(desk.cancel, made)] * 8)

    assert [None] * 8 == [finish.error for finish in finishes]
    assert 1 == sum(not finish.value.replayed for finish in finishes)
    assert {(PAID - 2, Decimal("2.00"))} == {(f.value.refund, f.value.kept) for f in finishes}
    assert 3 == one(psql, "SELECT version FROM claims WHERE id = %s", made)
    assert 1 == one(psql, "SELECT count(*) FROM messages WHERE kind = 'cancellation'")
    assert [] == broken(psql)


def test_eight_settlements_at_once(desk: Desk, psql: Any) -> None:
    """
    The price and the refund are each recorded once, however many hands reach for the till.
    """
    made = desk.book(COURT, AT_SIX, player="A").reservation.id

    takings = race(*[partial(desk.settle_at_desk, made)] * 8)
    desk.cancel(made)
    givings = race(*[partial(desk.settle_at_desk, made)] * 8)

    assert (1, 1) == (sum(f.ok for f in takings), sum(f.ok for f in givings))
    assert {"nothing_to_settle"} == {
        f.error.code for f in takings + givings if isinstance(f.error, PadelopsError)
    }
    assert ["captured", "refunded"] == column(psql, "SELECT kind FROM payment_events ORDER BY id")
    assert [] == broken(psql)


def test_cancelling_races_settling(desk: Desk, psql: Any) -> None:
    """
    Whether the price is taken before or after the cancellation, the books agree.
    """
    for n in range(6):
        made = desk.book(COURT, f"2026-12-0{1 + n}T16:00", minutes=60, player="A").reservation.id
        race(partial(desk.cancel, made), partial(desk.settle_at_desk, made))

        found = desk.show(made)
        assert "cancelled" == found.status
        assert found.payment_status in ("nothing_due", "refund_due")
        assert (found.captured > 0) == (found.payment_status == "refund_due")
    assert [] == broken(psql)


def test_a_second_cancellation_later(desk: Desk, clock: Clock) -> None:
    """
    Asked again when the deadlines have passed, the answer is still the first one.
    """
    made = paid(desk)
    first = desk.cancel(made)
    clock.advance(days=30)

    again = desk.cancel(made, reason="weather")

    assert again.replayed
    assert (first.refund, first.kept, "user_requested") == (
        again.refund,
        again.kept,
        again.reservation.reason,
    )


@pytest.mark.parametrize(
    ("before_start", "refund"),
    [
        (timedelta(hours=24), PAID - 2),
        (timedelta(hours=24, seconds=-1), PAID / 2 - 2),
        (timedelta(hours=6), PAID / 2 - 2),
        (timedelta(hours=6, microseconds=-1), Decimal(0)),
        (timedelta(seconds=1), Decimal(0)),
    ],
)
def test_exactly_on_a_deadline(
    desk: Desk, clock: Clock, before_start: timedelta, refund: Decimal
) -> None:
    """
    On the deadline is in time, a moment later is not; the dry run and the act agree.
    """
    made = paid(desk)
    clock.at = desk.show(made).starts_at - before_start

    dry, done = desk.cancel(made, dry_run=True), desk.cancel(made)

    assert (refund, refund) == (dry.refund, done.refund)
    assert PAID == done.refund + done.kept
    assert (True, False) == (dry.dry_run, done.dry_run)


@pytest.mark.parametrize(
    ("day", "deadline"),
    [
        # 24 elapsed hours before 12:00 on the day the clocks change.
        ("2027-03-28", datetime(2027, 3, 27, 10, 0, tzinfo=UTC)),
        ("2026-10-25", datetime(2026, 10, 24, 11, 0, tzinfo=UTC)),
        ("2027-10-31", datetime(2027, 10, 30, 11, 0, tzinfo=UTC)),
    ],
)
def test_a_deadline_across_a_clock_change(
    desk: Desk, clock: Clock, day: str, deadline: datetime
) -> None:
    """
    A deadline counts elapsed hours: 24 hours before noon are 23 or 25 on the wall that day.
    """
    clock.at = deadline - timedelta(days=20)
    made = paid(desk, f"{day}T12:00", minutes=60)
    total = desk.show(made).total

    clock.at = deadline + timedelta(microseconds=1)
    late = desk.cancel(made, dry_run=True)
    clock.at = deadline
    dry, done = desk.cancel(made, dry_run=True), desk.cancel(made)

    assert total / 2 - 2 == late.refund
    assert (total - 2, total - 2) == (dry.refund, done.refund)


def test_the_frozen_policy_and_tariff_apply(
    desk: Desk, clock: Clock, tmp_path: Path, demo_clubs: Path, psql: Any
) -> None:
    """
    A club that gives nothing back from now on still gives back what it sold under the old policy,
    also on a day when the clocks change.
    """
    clock.at = datetime(2027, 3, 1, tzinfo=UTC)
    before = paid(desk, "2027-03-28T12:00", minutes=60)
    text = demo_clubs.read_text(encoding="utf-8")
    tiers = text[text.index("    - {hours_before: 24") : text.index('  fee: "2.00"')]
    strict = text.replace(tiers, '    - {hours_before: 900, refund_percent: "1"}\n', 1).replace(
        '{name: "2", hourly_price: "24.00"', '{name: "2", hourly_price: "50.00"', 1
    )
    (tmp_path / "strict.yaml").write_text(strict, encoding="utf-8")
    desk.apply_club_file(tmp_path / "strict.yaml")
    after = paid(desk, "2027-03-28T17:00", minutes=60)

    clock.at = datetime(2027, 3, 27, 10, 0, tzinfo=UTC)
    old, new = desk.cancel(before), desk.cancel(after)

    # 24.00 x 1.10 on a Sunday, 50.00 likewise.
    assert (Decimal("24.40"), Decimal("26.40")) == (old.refund, old.reservation.total)
    assert (Decimal(0), Decimal("55.00")) == (new.refund, new.reservation.total)
    assert 2 == one(psql, "SELECT count(DISTINCT policy_id) FROM claims")


def test_a_fee_above_what_was_paid(desk: Desk, tmp_path: Path, demo_clubs: Path) -> None:
    """
    The refund is never negative: a fee that exceeds the share leaves nothing, and takes nothing.
    """
    text = demo_clubs.read_text(encoding="utf-8").replace('fee: "2.00"', 'fee: "500.00"', 1)
    (tmp_path / "dear.yaml").write_text(text, encoding="utf-8")
    desk.apply_club_file(tmp_path / "dear.yaml")
    made = paid(desk)

    done = desk.cancel(made)

    assert (Decimal(0), PAID) == (done.refund, done.kept)
    assert "paid" == done.reservation.payment_status


def test_an_unpaid_booking(desk: Desk, psql: Any) -> None:
    """
    Who has paid nothing gets nothing back and owes nothing, whatever the reason.
    """
    for n, reason in enumerate(["user_requested", "weather"]):
        made = desk.book(COURT, f"2026-12-0{1 + n}T16:00", player="A").reservation.id

        done = desk.cancel(made, reason=reason)

        assert (Decimal(0), Decimal(0), "nothing_due") == (
            done.refund, done.kept, done.reservation.payment_status,
        )  # fmt: skip
    assert [] == broken(psql)


@pytest.mark.parametrize("reason", ["club_requested", "weather", "maintenance"])
def test_the_club_s_doing_costs_the_player_nothing(desk: Desk, clock: Clock, reason: str) -> None:
    """
    Rain or a broken court an hour before gives everything back, whatever the policy.
    """
    made = paid(desk)
    clock.at = desk.show(made).starts_at - timedelta(hours=1)

    assert (PAID, Decimal(0)) == (
        (done := desk.cancel(made, reason=reason)).refund,
        done.kept,
    )


def test_what_has_begun_cannot_be_cancelled(desk: Desk, clock: Clock) -> None:
    """
    From the first moment of play on a cancellation is refused.
    """
    made = paid(desk)
    clock.at = desk.show(made).starts_at

    with pytest.raises(CannotCancel):
        desk.cancel(made)
    clock.at -= timedelta(microseconds=1)
    assert desk.cancel(made)


@pytest.mark.parametrize("status", ["completed", "no_show", "expired"])
def test_what_has_ended_otherwise_cannot_be_cancelled(desk: Desk, psql: Any, status: str) -> None:
    """
    The refusal names the status; nothing changes.
    """
    made = paid(desk)
    without_triggers(psql, "UPDATE claims SET status = %s WHERE id = %s", status, made)

    with pytest.raises(CannotCancel) as caught:
        desk.cancel(made)

    assert status == caught.value.facts["status"]
    assert status == desk.show(made).status


def test_a_dry_run_changes_nothing(desk: Desk, psql: Any) -> None:
    """
    It shows the refund and leaves version, messages and the slot as they are.
    """
    made = paid(desk)
    before = desk.show(made)

    desk.cancel(made, dry_run=True)

    assert before == desk.show(made)
    assert 0 == one(psql, "SELECT count(*) FROM messages WHERE kind = 'cancellation'")


def test_an_unknown_reason(desk: Desk) -> None:
    """
    A reason that is none is refused and the list is shown.
    """
    made = paid(desk)

    with pytest.raises(InvalidInput, match="user_requested"):
        desk.cancel(made, reason="bored")


def test_a_damaged_policy(desk: Desk, psql: Any) -> None:
    """
    A frozen policy that cannot be read is corrupt, says the way out, and the way out works.
    """
    made = paid(desk)
    without_triggers(psql, "UPDATE policies SET terms = '{\"tiers\": 7}'")

    with pytest.raises(Corrupt, match="club_requested"):
        desk.cancel(made)
    assert PAID == desk.cancel(made, reason="club_requested").refund


def test_one_court_of_a_party(desk: Desk, psql: Any) -> None:
    """
    Cancelling one court of a party leaves the others.
    """
    party = desk.book(("centro/2", "centro/3"), AT_SIX, player="A")

    desk.cancel(party.others[0].id)

    assert "confirmed" == desk.show(party.reservation.id).status
    assert [] == broken(psql)


def test_a_cancellation_that_cannot_have_its_row(
    another_desk: Callable[..., Desk], raw: Callable[[], Any]
) -> None:
    """
    Somebody else holds the reservation too long: `court_busy` within the budget, nothing changed.
    """
    hasty = another_desk(level1_budget_ms=500)
    made = paid(hasty)
    holder = raw()
    with holder.transaction(force_rollback=True):
        holder.execute("SELECT FROM claims WHERE id = %s FOR UPDATE", [made])
        with pytest.raises(CourtBusy):
            hasty.cancel(made)

    assert "confirmed" == hasty.show(made).status


def test_a_cancellation_waits_for_a_payment_under_way(
    desk: Desk, raw: Callable[[], Any], psql: Any
) -> None:
    """
    A capture that commits first is refunded: the cancellation looks at what is true after its lock.
    """
    made = desk.book(COURT, AT_SIX, player="A").reservation.id
    till = raw()
    with till.transaction():
        till.execute(
            "INSERT INTO payment_events (club_id, claim_id, kind, amount, gateway, event_key)"
            " SELECT club_id, id, 'captured', total, 'desk', 'k' FROM claims WHERE id = %s",
            [made],
        )
        cancelling = Running(partial(desk.cancel, made))
        waiting_on_a_lock(psql)

    done = cancelling.finish().value
    assert (PAID - 2, "refund_due") == (done.refund, done.reservation.payment_status)
