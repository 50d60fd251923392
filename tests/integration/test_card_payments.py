"""
Card payments under everything that goes wrong: late, lost, repeated, raced, refused, forgotten.

What a test believes at the end it has compared with the bank's own books, charge by charge.

Source: CRITICAL_PATHS.md, path 2; ACCEPTANCE scenarios 8-12, 14, 16, 17, 22.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from padelops.adapters.sandbox_faults import FaultKind, Operation, SandboxFaults
from padelops.adapters.sandbox_gateway import SandboxGateway
from padelops.booking.card_payments import LatePayment, PaymentQueued, PaymentUnknown
from padelops.booking.gateway import Declined, GatewayRefused
from padelops.booking.payments import NothingToSettle
from padelops.errors import (
    CommitLost,
    CourtTaken,
    InvalidInput,
    KeyReused,
    NotPermitted,
    PadelopsError,
)
from padelops.ops.integrity import Verdict
from padelops.ops.worker import Chore, Worker
from testbed.money import COURT, PRICE, STARTS, Died, Money, meddle_with
from testbed.racing import race
from testbed.rows import column, one

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops import Desk
    from testbed.clock import Clock

PLAYED = datetime(2026, 12, 1, 19, 0, tzinfo=UTC)
"""An hour after the end of the slot that these tests book."""

LOST_ANSWERS = (
    FaultKind.TIMEOUT_AFTER_WORK,
    FaultKind.TIMEOUT_BEFORE_WORK,
    FaultKind.ERROR_500_AFTER_WORK,
    FaultKind.RESET,
    FaultKind.RESET_BEFORE_WORK,
)


@pytest.fixture
def money(desk: Desk, clock: Clock, psql: Any) -> Money:
    return Money(desk, clock, psql)


def faults_of(desk: Desk) -> SandboxFaults:
    gateway = desk.card.gateway
    assert isinstance(gateway, SandboxGateway)
    return gateway.faults


@pytest.fixture
def goes_wrong(desk: Desk) -> Callable[..., None]:
    """Makes an operation of the sandbox go wrong, once or as often as told."""
    faults = faults_of(desk)

    def goes_wrong(operation: str, kind: FaultKind, times: int | None = 1) -> None:
        faults.set(Operation(operation), kind, times=times)

    return goes_wrong


@pytest.fixture
def gateway_is_back(desk: Desk) -> Callable[[], None]:
    """Clears what was to go wrong, and the breaker's memory of it."""
    faults = faults_of(desk)

    def back() -> None:
        faults.clear()
        desk.breakers["payment_processing"].reset(actor="tester", reason="it is back")

    return back


# --- the plain way -------------------------------------------------------------------------------


def test_a_booking_by_card_is_confirmed_at_once_and_captured_later(money: Money) -> None:
    """The customer's answer does not wait for the capture; the worker takes the money once."""
    made = money.book()
    at_once = money.stands(made.id), money.bank()
    money.finish()

    assert (
        ("confirmed", "authorized", "0.00", "0.00"),
        [("authorized", "0.00", "0.00")],
    ) == at_once
    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(made.id)
    assert [("captured", PRICE, "0.00")] == money.bank()
    assert ["confirmation"] == [kind for kind in money.told(made.id) if kind != "reminder"]
    assert [] == money.problems()


@pytest.mark.parametrize("card", [None, "", "4242 4242 4242 4242", "tok\n", "x" * 201, "tök"])
def test_what_is_no_token_is_refused_before_a_court_is_held(money: Money, card: str | None) -> None:
    """A card number never gets as far as the database."""
    with pytest.raises(InvalidInput):
        money.book(card=card)

    assert 0 == one(money.psql, "SELECT count(*) FROM claims WHERE kind = 'reservation'")


# --- 8: late money -------------------------------------------------------------------------------


def test_late_money_takes_a_free_court_back(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """Authorized after the hold had run out, the court free again: confirmed, once, and charged."""
    gateway = meddle_with(money.desk)
    rival = another_desk(actor="rival")

    def hold_is_lost_and_free_again() -> None:
        money.time_passes(minutes=11)
        taken = rival.book(COURT, STARTS, minutes=60, player="Rival").reservation
        rival.cancel(taken.id)

    gateway.after["authorize"] = hold_is_lost_and_free_again
    made = money.book()
    money.finish()

    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(made.id)
    assert 1 == money.told(made.id).count("confirmation")
    assert [] == money.problems()


def test_late_money_for_a_resold_court_is_let_go(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """Authorized after the court was sold again: the rival keeps it, nothing is taken, and told."""
    gateway = meddle_with(money.desk)
    rival = another_desk(actor="rival")
    sold: list[int] = []

    def resold() -> None:
        money.time_passes(minutes=11)
        sold.append(rival.book(COURT, STARTS, minutes=60, player="Rival").reservation.id)

    gateway.after["authorize"] = resold
    with pytest.raises(LatePayment) as late:
        money.book()
    ours = late.value.facts["reservation_id"]
    money.finish()

    assert ("expired", "voided", "0.00", "0.00") == money.stands(ours)
    assert "confirmed" == money.stands(sold[0])[0]
    assert [("voided", "0.00", "0.00")] == money.bank()
    assert ["late_money_refunded"] == money.told(ours)
    assert [] == money.problems()


def test_late_money_after_the_game_is_let_go(money: Money) -> None:
    """A court whose time is over cannot be given any more, so it is not charged either."""
    gateway = meddle_with(money.desk)
    claim_id = money.died_in(gateway, "authorize")
    money.clock.at = PLAYED
    money.finish()

    assert ("expired", "voided", "0.00", "0.00") == money.stands(claim_id)
    assert [("voided", "0.00", "0.00")] == money.bank()
    assert [] == money.problems()


def test_money_that_the_customer_took_by_hand_meanwhile_comes_back(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """Captured at the gateway's own dashboard for a court that was resold: given back in full."""
    gateway = meddle_with(money.desk)
    claim_id = money.died_in(gateway, "authorize")
    money.time_passes(minutes=11)
    another_desk().book(COURT, STARTS, minutes=60, player="Rival")
    found = gateway.find(money.of("reference", claim_id))
    assert found is not None
    gateway.gateway.capture(found, key="by hand")
    money.finish()

    assert ("expired", "refunded", PRICE, PRICE) == money.stands(claim_id)
    assert [("captured", PRICE, PRICE)] == money.bank()
    assert [] == money.problems()


def test_a_key_that_went_on_to_a_cancelled_booking_does_not_keep_late_money(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """The old hold cannot come back under its key, so its authorization is let go."""
    gateway = meddle_with(money.desk)
    claim_id = money.died_in(gateway, "authorize", key="one-key")
    money.time_passes(minutes=11)
    rival = another_desk()
    rival.cancel(rival.book(COURT, STARTS, minutes=60, player="Rival").reservation.id)
    again = rival.book(
        COURT, STARTS, minutes=60, player="Ana Ruiz", pay="card", card="tok_visa", key="one-key"
    )
    rival.cancel(again.reservation.id)
    money.finish()

    assert claim_id != again.reservation.id
    assert ("expired", "voided", "0.00", "0.00") == money.stands(claim_id)
    assert [] == money.problems()


def test_a_process_that_slept_too_long_still_has_its_money_looked_after(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """Given up as never arrived, then authorized after all: the free court is taken back."""
    gateway = meddle_with(money.desk)
    other = Money(another_desk(actor="other"), money.clock, money.psql)

    def sleeps() -> None:
        money.time_passes(minutes=5)
        other.work()
        assert "never_arrived" == money.of("state", one(money.psql, "SELECT max(id) FROM claims"))

    gateway.before["authorize"] = sleeps
    made = money.book()
    money.finish()

    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(made.id)
    assert [] == money.problems()


def test_a_webhook_finds_money_that_was_given_up(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """Its asker slept, was given up, and died; the gateway's own word brings it back."""
    gateway = meddle_with(money.desk)
    other = Money(another_desk(actor="other"), money.clock, money.psql)

    def sleeps() -> None:
        money.time_passes(minutes=5)
        other.work()

    gateway.before["authorize"] = sleeps
    claim_id = money.died_in(gateway, "authorize")
    money.desk.receive_webhook(*money.event("payment_intent.amount_capturable_updated", claim_id))
    money.finish()

    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(claim_id)
    assert [] == money.problems()


# --- 9 and 10: webhooks --------------------------------------------------------------------------


def test_expiry_racing_the_success_webhook_ends_in_one_state(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """Webhook, sweep and a rival at the same moment: paid with the court, or neither."""
    gateway = meddle_with(money.desk)
    rival, sweeper = another_desk(actor="rival"), another_desk(actor="sweeper")
    ends = []
    for hour in range(12, 18):
        starts = f"2026-12-02T{hour}:00"
        claim_id = money.died_in(gateway, "authorize", starts=starts)
        money.time_passes(minutes=11)
        event = money.event("payment_intent.amount_capturable_updated", claim_id, f"evt_{hour}")
        webhook, _, booked = race(
            partial(money.desk.receive_webhook, *event),
            lambda: sweeper.worker().until_idle(lambda: False),
            partial(rival.book, COURT, starts, minutes=60, player="Rival"),
        )
        assert webhook.ok
        assert booked.ok or isinstance(booked.error, CourtTaken)
        ends.append((claim_id, booked.ok))
    money.finish()

    for claim_id, rival_won in ends:
        expected = ("expired", "voided") if rival_won else ("confirmed", "paid")
        assert expected == money.stands(claim_id)[:2]
    assert [] == money.problems()


def test_the_same_webhook_ten_times_at_once_is_one_charge(money: Money) -> None:
    """One delivery is new, nine are not; one charge, one message."""
    gateway = meddle_with(money.desk)
    claim_id = money.died_in(gateway, "authorize")
    event = money.event("payment_intent.amount_capturable_updated", claim_id)
    finishes = race(*[lambda: money.desk.receive_webhook(*event)] * 10)
    money.finish()

    assert [None] * 10 == [finish.error for finish in finishes]
    assert 1 == sum(finish.value for finish in finishes)
    assert 1 == gateway.count("capture") == gateway.count("authorize")
    assert [("captured", PRICE, "0.00")] == money.bank()
    assert 1 == money.told(claim_id).count("confirmation")
    assert [] == money.problems()


@pytest.mark.parametrize("captured", [False, True])
def test_a_failure_event_after_the_success_changes_nothing(money: Money, captured: bool) -> None:
    """What counts is what the gateway says when asked, not what an old event says."""
    made = money.book()
    if captured:
        money.work()
    new = money.desk.receive_webhook(*money.event("payment_intent.payment_failed", made.id))
    again = money.desk.receive_webhook(*money.event("payment_intent.payment_failed", made.id))
    money.finish()

    assert (True, False) == (new, again)
    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(made.id)
    assert [] == money.problems()


def test_a_webhook_during_the_authorization_confirms_once(money: Money) -> None:
    """The news comes twice, by the webhook and by the answer; it is written down once."""
    gateway = meddle_with(money.desk)

    def webhook_first() -> None:
        claim_id = one(money.psql, "SELECT max(id) FROM claims")
        money.desk.receive_webhook(
            *money.event("payment_intent.amount_capturable_updated", claim_id)
        )

    gateway.after["authorize"] = webhook_first
    made = money.book()
    money.finish()

    assert "confirmed" == made.status
    assert 1 == one(money.psql, "SELECT count(*) FROM payment_events WHERE kind = 'authorized'")
    assert [] == money.problems()


def test_a_webhook_with_a_wrong_signature_is_not_even_taken_in(money: Money) -> None:
    """Nothing is written, nothing is asked."""
    made = money.book()
    body, signature = money.event("payment_intent.payment_failed", made.id)
    with pytest.raises(NotPermitted):
        money.desk.receive_webhook(body + b" ", signature)

    assert 0 == one(money.psql, "SELECT count(*) FROM gateway_events")


# --- 11: unknown outcomes ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", LOST_ANSWERS)
def test_a_lost_answer_keeps_the_hold_and_is_never_asked_for_again(
    money: Money, goes_wrong: Callable[..., None], fault: FaultKind
) -> None:
    """The court stays held beyond its deadline until the gateway tells; then paid, or free."""
    gateway = meddle_with(money.desk)
    goes_wrong("authorize", fault)
    with pytest.raises(PaymentUnknown) as unknown:
        money.book(key="mine")
    claim_id = unknown.value.facts["reservation_id"]
    flagged = money.stands(claim_id)
    goes_wrong("find", FaultKind.TIMEOUT_BEFORE_WORK, 2)
    money.time_passes(minutes=11)
    money.work()
    with pytest.raises(CourtTaken):
        money.desk.book(COURT, STARTS, minutes=60, player="Rival")
    money.finish()

    assert 3 == unknown.value.exit_code
    assert "mine" == unknown.value.facts["key"]
    assert ("pending", "payment_unknown", "0.00", "0.00") == flagged
    paid = ("confirmed", "paid", PRICE, "0.00")
    assert (paid if fault.works else ("expired", "nothing_due", "0.00", "0.00")) == money.stands(
        claim_id
    )
    assert 1 == gateway.count("authorize")
    assert [] == money.problems()


def test_a_payment_left_by_the_dead_is_flagged_when_the_gateway_does_not_tell(
    money: Money, goes_wrong: Callable[..., None]
) -> None:
    """A hold past its deadline is only kept for a payment that is flagged as unknown."""
    claim_id = money.died_in(meddle_with(money.desk), "authorize")
    goes_wrong("find", FaultKind.TIMEOUT_BEFORE_WORK, 1)
    money.time_passes(minutes=11)
    money.work()

    assert ("pending", "payment_unknown") == money.stands(claim_id)[:2]
    with pytest.raises(CourtTaken):
        money.desk.book(COURT, STARTS, minutes=60, player="Rival")
    money.finish()
    assert ("confirmed", "paid") == money.stands(claim_id)[:2]
    assert [] == money.problems()


def test_reconciling_by_hand_settles_it_at_once(
    money: Money, goes_wrong: Callable[..., None]
) -> None:
    """`payments reconcile` does not wait for the worker."""
    goes_wrong("authorize", FaultKind.TIMEOUT_AFTER_WORK)
    with pytest.raises(PaymentUnknown) as unknown:
        money.book()
    found = money.desk.reconcile_payment(unknown.value.facts["reservation_id"])

    assert ("confirmed", "authorized") == (found.status, found.payment_status)


@pytest.mark.parametrize("fault", LOST_ANSWERS)
def test_a_capture_without_an_answer_takes_once(
    money: Money, goes_wrong: Callable[..., None], fault: FaultKind
) -> None:
    """The bank has taken it or not; asked again, it is found or taken, once."""
    gateway = meddle_with(money.desk, drops_keys=True)
    made = money.book()
    goes_wrong("capture", fault)
    money.finish()

    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(made.id)
    assert (1 if fault.works else 2) == gateway.count("capture")
    assert [("captured", PRICE, "0.00")] == money.bank()
    assert [] == money.problems()


# --- 12: keys ------------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_paid_booking(money: Money) -> None:
    """Asked again before and after the capture: one reservation, one charge."""
    first = money.book(key="k")
    again = money.desk.book(
        COURT, STARTS, minutes=60, player="Ana Ruiz", pay="card", card="tok_visa", key="k"
    )
    money.finish()
    third = money.book(key="k")

    assert again.replayed
    assert {first.id} == {again.reservation.id, third.id}
    assert "paid" == third.payment_status
    assert [] == money.problems()


def test_the_same_key_with_another_card_is_refused(money: Money) -> None:
    """A key stands for one request, its card included."""
    money.book(key="k")

    with pytest.raises(KeyReused):
        money.book(key="k", card="tok_mastercard")
    assert 1 == len(money.bank())


def test_after_a_decline_the_same_key_works(money: Money) -> None:
    """The hold is released at once, and its key with it; the breaker stays out of it."""
    for _ in range(6):
        with pytest.raises(Declined) as declined:
            money.book(key="k", card="tok_chargeDeclinedInsufficientFunds")
    refused = one(money.psql, "SELECT min(id) FROM claims WHERE kind = 'reservation'")
    made = money.book(key="k")
    money.finish()

    assert "insufficient_funds" == declined.value.facts["decline_code"]
    assert ("expired", "declined", "0.00", "0.00") == money.stands(refused)
    assert ["payment_failed"] == money.told(refused)
    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(made.id)
    assert [] == money.problems()


def test_a_card_that_the_gateway_never_heard_of_releases_the_hold(money: Money) -> None:
    """Refused outright is an answer too."""
    with pytest.raises(GatewayRefused):
        money.book(card="tok_nobody")
    money.finish()

    assert [] == money.bank()
    assert ["expired"] == column(money.psql, "SELECT status FROM claims WHERE kind='reservation'")
    assert [] == money.problems()


def test_asking_again_after_an_unknown_outcome_settles_it(
    money: Money, goes_wrong: Callable[..., None]
) -> None:
    """The same key asks the gateway; it does not charge again."""
    gateway = meddle_with(money.desk)
    goes_wrong("authorize", FaultKind.TIMEOUT_AFTER_WORK)
    with pytest.raises(PaymentUnknown):
        money.book(key="k")
    made = money.book(key="k")
    money.finish()

    assert "confirmed" == made.status
    assert 1 == gateway.count("authorize")
    assert [] == money.problems()


def test_asking_again_while_nobody_knows_says_so_again(
    money: Money, goes_wrong: Callable[..., None]
) -> None:
    """A doubtful payment is never shown as a booking."""
    goes_wrong("authorize", FaultKind.TIMEOUT_BEFORE_WORK)
    for _ in range(2):
        with pytest.raises(PaymentUnknown):
            money.book(key="k")
    money.finish()

    assert [] == money.problems()


def test_asking_again_for_a_hold_that_was_never_paid_pays_it(
    money: Money, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ended between hold and payment: the same key goes on from there."""

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr("padelops.booking.card_payments.fault_points.reach", die)
        with suppress(Died):
            money.book(key="k")
    assert 0 == one(money.psql, "SELECT count(*) FROM payment_attempts")
    made = money.book(key="k")
    money.finish()

    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(made.id)
    assert [] == money.problems()


def test_five_at_once_with_one_key_pay_once(money: Money) -> None:
    """Nobody is told of a second booking, nobody asks the gateway a second time."""
    gateway = meddle_with(money.desk)
    finishes = race(*[lambda: money.book(key="k")] * 5)
    money.finish()
    errors = [finish.error for finish in finishes if not finish.ok]

    assert all(isinstance(error, PaymentUnknown) for error in errors), errors
    assert 1 == gateway.count("authorize")
    assert 1 == one(money.psql, "SELECT count(*) FROM claims WHERE kind = 'reservation'")
    assert [] == money.problems()


# --- 14-17: cancelling ---------------------------------------------------------------------------


@pytest.mark.parametrize("captured", [False, True])
def test_parallel_cancels_are_one_refund(money: Money, captured: bool) -> None:
    """One cancellation and one refund; everybody gets the same answer."""
    gateway = meddle_with(money.desk)
    made = money.book()
    if captured:
        money.work()
    finishes = race(*[lambda: money.desk.cancel(made.id)] * 6)
    money.finish()

    assert [None] * 6 == [finish.error for finish in finishes]
    assert 5 == sum(finish.value.replayed for finish in finishes)
    assert {("26.80", "2.00")} == {
        (f"{finish.value.refund}", f"{finish.value.kept}") for finish in finishes
    }
    assert ("cancelled", "refunded", PRICE, "26.80") == money.stands(made.id)
    assert [("captured", PRICE, "26.80")] == money.bank()
    assert (1, 1) == (gateway.count("capture"), gateway.count("refund"))
    assert [] == money.problems()


def test_a_full_refund_before_the_capture_takes_nothing(money: Money) -> None:
    """Money that would go back in full is not taken at all."""
    made = money.book()
    told = money.desk.cancel(made.id, reason="weather")
    money.finish()

    assert ("28.80", "0.00") == (f"{told.refund}", f"{told.kept}")
    assert ("cancelled", "voided", "0.00", "0.00") == money.stands(made.id)
    assert [("voided", "0.00", "0.00")] == money.bank()
    assert [] == money.problems()


def test_a_cancel_during_the_capture_is_given_back(money: Money) -> None:
    """The bank takes the money while the reservation is being cancelled: it goes back in full."""
    gateway = meddle_with(money.desk)
    made = money.book()
    gateway.before["capture"] = lambda: money.desk.cancel(made.id, reason="weather")
    money.finish()

    assert ("cancelled", "refunded", PRICE, PRICE) == money.stands(made.id)
    assert [("captured", PRICE, PRICE)] == money.bank()
    assert [] == money.problems()


@pytest.mark.parametrize("works", [True, False])
def test_a_cancel_while_the_gateway_is_being_asked(money: Money, works: bool) -> None:
    """Cancelled before the gateway answered: whatever arrived there is let go."""
    gateway = meddle_with(money.desk)

    def cancel() -> None:
        money.desk.cancel(one(money.psql, "SELECT max(id) FROM claims"))
        money.work()

    gateway.before["authorize"] = cancel
    with pytest.raises((LatePayment, Declined)):
        money.book(card="tok_visa" if works else "tok_chargeDeclined")
    money.finish()
    claim_id = one(money.psql, "SELECT max(id) FROM claims")

    assert "cancelled" == money.stands(claim_id)[0]
    assert [("voided" if works else "failed", "0.00", "0.00")] == money.bank()
    assert [] == money.problems()


def test_a_cancel_while_nobody_knows_lets_the_money_go(
    money: Money, goes_wrong: Callable[..., None]
) -> None:
    """Cancelled with the outcome unknown: what arrived there is let go once the gateway tells."""
    goes_wrong("authorize", FaultKind.TIMEOUT_AFTER_WORK)
    with pytest.raises(PaymentUnknown) as unknown:
        money.book()
    claim_id = unknown.value.facts["reservation_id"]
    money.desk.cancel(claim_id)
    money.finish()

    assert ("cancelled", "voided", "0.00", "0.00") == money.stands(claim_id)
    assert [] == money.problems()


def test_a_cancel_while_nobody_knows_gives_back_what_was_taken_by_hand(
    money: Money, goes_wrong: Callable[..., None]
) -> None:
    """Somebody captured it at the gateway's dashboard meanwhile: all of it goes back."""
    gateway = meddle_with(money.desk)
    goes_wrong("authorize", FaultKind.TIMEOUT_AFTER_WORK)
    with pytest.raises(PaymentUnknown) as unknown:
        money.book()
    claim_id = unknown.value.facts["reservation_id"]
    money.desk.cancel(claim_id)
    found = gateway.find(money.of("reference", claim_id))
    assert found is not None
    gateway.gateway.capture(found, key="by hand")
    money.finish()

    assert ("cancelled", PRICE, PRICE) == (money.stands(claim_id)[0], *money.stands(claim_id)[2:])
    assert [] == money.problems()


def test_a_cancel_while_an_outage_begins_leaves_nothing_queued(
    money: Money, goes_wrong: Callable[..., None]
) -> None:
    """A payment for a cancelled reservation is nobody's work, so it is not queued for a person."""
    gateway = meddle_with(money.desk)
    goes_wrong("any", FaultKind.OUTAGE, None)
    gateway.before["authorize"] = lambda: money.desk.cancel(
        one(money.psql, "SELECT max(id) FROM claims")
    )
    with pytest.raises(LatePayment):
        money.book()
    claim_id = one(money.psql, "SELECT max(id) FROM claims")

    assert ("cancelled", "nothing_due") == money.stands(claim_id)[:2]
    assert "payment_pending" not in money.told(claim_id)
    assert [] == money.office.attention()


@pytest.mark.parametrize(
    ("before_start_h", "refund", "end"),
    [(24, "26.80", "refunded"), (23.99, "12.40", "refunded"), (5.9, "0.00", "paid")],
)
def test_the_policy_divides_what_was_taken(
    money: Money, before_start_h: float, refund: str, end: str
) -> None:
    """Exactly on the deadline counts as in time, in the dry run as in the act; the rest stays."""
    made = money.book()
    money.work()
    money.clock.at = datetime(2026, 12, 1, 17, 0, tzinfo=UTC)
    money.clock.advance(hours=-before_start_h)
    foretold = money.desk.cancel(made.id, dry_run=True)
    done = money.desk.cancel(made.id)
    money.finish()

    assert refund == f"{foretold.refund:.2f}" == f"{done.refund:.2f}"
    assert ("cancelled", end, PRICE, refund) == money.stands(made.id)
    assert [("captured", PRICE, refund)] == money.bank()
    assert [] == money.problems()


def test_a_fee_above_the_amount_gives_nothing_back_and_never_asks_for_more(
    money: Money, demo_clubs: Any, tmp_path: Any
) -> None:
    """The refund is zero, not negative; the gateway is not asked for one."""
    text = demo_clubs.read_text().replace('fee: "2.00"', 'fee: "500.00"')
    (tmp_path / "clubs.yaml").write_text(text)
    money.desk.apply_club_file(tmp_path / "clubs.yaml")
    gateway = meddle_with(money.desk)
    made = money.book()
    done = money.desk.cancel(made.id)
    money.finish()

    assert "0.00" == f"{done.refund:.2f}"
    assert ("cancelled", "paid", PRICE, "0.00") == money.stands(made.id)
    assert 0 == gateway.count("refund")
    assert [] == money.problems()


@pytest.mark.parametrize("fault", LOST_ANSWERS)
@pytest.mark.parametrize("drops_keys", [False, True])
def test_a_refund_without_an_answer_is_given_once(
    money: Money, goes_wrong: Callable[..., None], fault: FaultKind, drops_keys: bool
) -> None:
    """Looked up before it is asked for again, so that not even a forgetful gateway gives twice."""
    gateway = meddle_with(money.desk, drops_keys=drops_keys)
    made = money.book()
    money.work()
    money.desk.cancel(made.id)
    goes_wrong("refund", fault)
    money.work()
    doubt = one(money.psql, "SELECT state FROM refunds")
    money.finish()

    assert "unknown" == doubt
    assert ("cancelled", "refunded", PRICE, "26.80") == money.stands(made.id)
    assert (1 if fault.works else 2) == gateway.count("refund")
    assert 1 == one(money.psql, "SELECT count(*) FROM sandbox_refunds")
    assert [] == money.problems()


def test_reconciling_a_refund_in_doubt_settles_it(
    money: Money, goes_wrong: Callable[..., None]
) -> None:
    """`payments reconcile` asks about the refund as well."""
    made = money.book()
    money.work()
    money.desk.cancel(made.id)
    goes_wrong("refund", FaultKind.TIMEOUT_AFTER_WORK)
    money.work()
    found = money.desk.reconcile_payment(made.id)

    assert "refunded" == found.payment_status
    assert [] == money.problems()


def test_never_more_goes_back_than_is_left(money: Money) -> None:
    """Given back by hand already: our refund fails for a person to see, instead of paying twice."""
    gateway = meddle_with(money.desk)
    made = money.book()
    money.work()
    paid = gateway.find(money.of("reference", made.id))
    assert paid is not None
    gateway.gateway.refund(paid, reference="by hand", key="by hand", amount=paid.captured)
    money.desk.cancel(made.id)
    money.finish()
    listed = money.office.attention()

    assert [("captured", PRICE, PRICE)] == money.bank()
    assert [("failed", "more than is left of the payment")] == [
        (row["refund"], row["refund_error"]) for row in listed
    ]
    assert 0 == gateway.count("refund")


def test_a_refund_that_the_bank_could_not_make_is_repeated_as_a_new_one(money: Money) -> None:
    """A failed refund stays failed under its name, so a person's retry asks under another."""
    made = money.book(card="tok_refundFail")
    money.work()
    money.desk.cancel(made.id)
    money.finish()
    failed = money.office.attention()[0]["refund"]
    money.desk.retry_payment(made.id, reason="the bank is back")

    assert "failed" == failed
    assert 2 == one(money.psql, "SELECT count(DISTINCT reference) FROM sandbox_refunds")
    assert ("cancelled", "refund_due", PRICE, "0.00") == money.stands(made.id)
    assert [("tester", "the bank is back")] == money.notes("payment_retry")


# --- the breaker, and the person at the payments desk --------------------------------------------


def test_an_open_breaker_queues_the_payment(money: Money) -> None:
    """The court is kept beyond the usual hold; a person's retry finishes it, with who and why."""
    gateway = meddle_with(money.desk)
    breaker = money.desk.breakers["payment_processing"]
    breaker.force_open(actor="ana", reason="the bank has trouble")
    with pytest.raises(PaymentQueued) as queued:
        money.book(key="k")
    claim_id = queued.value.facts["reservation_id"]
    money.time_passes(hours=3)
    money.work()
    listed = money.office.attention()
    with pytest.raises(CourtTaken):
        money.desk.book(COURT, STARTS, minutes=60, player="Rival")
    breaker.reset(actor="ana", reason="the bank is back")
    paid = money.desk.retry_payment(claim_id, reason="bank called: it is back")
    money.finish()

    assert 6 == queued.value.exit_code
    assert [(claim_id, "queued")] == [(row["reservation"], row["state"]) for row in listed]
    assert "confirmed" == paid.status
    assert [("tester", "bank called: it is back")] == money.notes("payment_retry")
    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(claim_id)
    assert 1 == gateway.count("authorize")
    assert [] == money.problems()


def test_an_outage_queues_and_the_same_key_goes_on(
    money: Money, goes_wrong: Callable[..., None], gateway_is_back: Callable[[], None]
) -> None:
    """Asking again is answered alike while the gateway is away, and pays once it is back."""
    goes_wrong("any", FaultKind.OUTAGE, None)
    for _ in range(2):
        with pytest.raises(PaymentQueued):
            money.book(key="k")
    gateway_is_back()
    made = money.book(key="k")
    money.finish()

    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(made.id)
    assert 1 == money.told(made.id).count("payment_pending")
    assert [] == money.problems()


def test_a_queued_payment_nobody_took_care_of_ends_with_its_hold(
    money: Money, goes_wrong: Callable[..., None], gateway_is_back: Callable[[], None]
) -> None:
    """After the long hold the court is free again, also where a rival was faster than the sweep."""
    goes_wrong("any", FaultKind.OUTAGE, None)
    with pytest.raises(PaymentQueued):
        money.book()
    gateway_is_back()
    money.time_passes(hours=13)
    money.desk.book(COURT, STARTS, minutes=60, player="Rival")
    money.finish()

    assert [] == money.bank()
    assert [] == money.office.attention()
    assert [] == money.problems()


def test_two_people_retry_at_once(
    money: Money, goes_wrong: Callable[..., None], gateway_is_back: Callable[[], None]
) -> None:
    """One of them pays; the other is told that nothing waits any more."""
    gateway = meddle_with(money.desk)
    goes_wrong("any", FaultKind.OUTAGE, None)
    with pytest.raises(PaymentQueued) as queued:
        money.book()
    claim_id = queued.value.facts["reservation_id"]
    gateway_is_back()
    before = gateway.count("authorize")
    finishes = race(*[lambda: money.desk.retry_payment(claim_id, reason="back")] * 3)
    money.finish()

    assert 1 == sum(finish.ok for finish in finishes)
    assert {NothingToSettle} == {type(finish.error) for finish in finishes if not finish.ok}
    assert 1 == gateway.count("authorize") - before
    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(claim_id)
    assert [] == money.problems()


def test_a_released_hold_is_free_and_says_who_and_why(
    money: Money, goes_wrong: Callable[..., None], gateway_is_back: Callable[[], None]
) -> None:
    """The reason is written in the same transaction as the release, or neither is."""
    goes_wrong("any", FaultKind.OUTAGE, None)
    with pytest.raises(PaymentQueued) as queued:
        money.book()
    claim_id = queued.value.facts["reservation_id"]
    money.desk.release_payment(claim_id, reason="customer gave up")
    gateway_is_back()
    money.desk.book(COURT, STARTS, minutes=60, player="Rival")
    money.finish()

    assert ("cancelled", "nothing_due", "0.00", "0.00") == money.stands(claim_id)
    assert [("tester", "customer gave up")] == money.notes("payment_release")
    assert 1 == one(
        money.psql,
        "SELECT count(DISTINCT tx) FROM audit_entries"
        " WHERE action = 'payment_release' OR (action = 'cancelled' AND subject_id = %s)",
        claim_id,
    )
    assert [] == money.problems()


def test_only_a_hold_can_be_released(money: Money) -> None:
    """A booking that stands is cancelled, not released."""
    made = money.book()

    with pytest.raises(NothingToSettle):
        money.desk.release_payment(made.id, reason="by mistake")
    assert "confirmed" == money.stands(made.id)[0]
    assert [] == money.notes("payment_release")


def test_a_person_gives_a_reason(money: Money) -> None:
    """Neither retry nor release goes without saying why."""
    made = money.book()
    for act in (money.desk.retry_payment, money.desk.release_payment):
        with pytest.raises(InvalidInput):
            act(made.id, reason=" ")


def test_nothing_waits_for_a_person_where_all_is_well(money: Money) -> None:
    """Retrying a paid booking is refused and changes nothing."""
    made = money.book()
    money.finish()

    with pytest.raises(NothingToSettle):
        money.desk.retry_payment(made.id, reason="to be sure")
    assert [] == money.notes("payment_retry")
    assert [] == money.problems()


def test_a_fallback_price_is_not_taken_before_somebody_looked(money: Money) -> None:
    """Accepted at the default price, reviewed, then captured."""
    money.desk.breakers["price_calculation"].force_open(actor="ana", reason="wrong prices")
    made = money.book()
    money.finish()
    waiting = money.stands(made.id), [row["next_step"] for row in money.office.attention()]
    money.desk.retry_payment(made.id, reason="price is right")

    assert (("confirmed", "authorized", "0.00", "0.00"), ["review"]) == waiting
    assert ("confirmed", "paid", "24.00", "0.00") == money.stands(made.id)
    assert [("tester", "price is right")] == money.notes("payment_retry")
    assert [] == money.problems()


def test_retrying_what_was_to_be_let_go_does_not_take_it(money: Money) -> None:
    """The gateway refused to void; a person's retry voids, where other reviews capture."""
    gateway = meddle_with(money.desk)
    made = money.book()
    money.desk.cancel(made.id, reason="weather")

    def refuse() -> None:
        raise GatewayRefused("Invalid API key.")

    gateway.before["void"] = refuse
    money.work()
    listed = [row["next_step"] for row in money.office.attention()]
    money.desk.retry_payment(made.id, reason="the key is in place again")
    money.finish()

    assert ["review"] == listed
    assert ("cancelled", "voided", "0.00", "0.00") == money.stands(made.id)
    assert [("voided", "0.00", "0.00")] == money.bank()
    assert [] == money.problems()


def test_retrying_an_unanswered_question_confirms_before_it_takes(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """Put up for review while unknown: retried, it is asked about; a lost court is not charged."""
    gateway = meddle_with(money.desk)
    claim_id = money.died_in(gateway, "authorize")

    def refuse() -> None:
        raise GatewayRefused("Invalid API key.")

    gateway.before["find"] = refuse
    money.time_passes(minutes=11)
    money.work()
    another_desk().book("centro/3", STARTS, minutes=60, player="Somebody")
    listed = [row["next_step"] for row in money.office.attention()]
    money.psql.execute(
        "UPDATE claims SET status = 'expired', ended_at = now() WHERE id = %s", [claim_id]
    )
    another_desk().book(COURT, STARTS, minutes=60, player="Rival")
    money.desk.retry_payment(claim_id, reason="the key is in place again")
    money.finish()

    assert ["review"] == listed
    assert 0 == gateway.count("capture")
    assert ("expired", "voided", "0.00", "0.00") == money.stands(claim_id)
    assert [] == money.problems()


# --- workers -------------------------------------------------------------------------------------


def test_two_workers_side_by_side_capture_and_refund_once(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """Each row is one worker's at a time."""
    gateway = meddle_with(money.desk, drops_keys=True)
    second = another_desk(actor="second")
    other = meddle_with(second, drops_keys=True)
    ids = [money.book(starts=f"2026-12-02T{hour}:00").id for hour in range(10, 16)]
    race(
        *[
            lambda desk=desk: desk.worker().until_idle(lambda: False)
            for desk in (money.desk, second)
        ]
    )
    for claim_id in ids:
        money.desk.cancel(claim_id)
    race(
        *[
            lambda desk=desk: desk.worker().until_idle(lambda: False)
            for desk in (money.desk, second)
        ]
    )
    money.finish()

    assert 6 == gateway.count("capture") + other.count("capture")
    assert 6 == gateway.count("refund") + other.count("refund")
    assert [] == money.problems()


def test_a_worker_leaves_a_step_alone_that_another_is_at(
    money: Money, another_desk: Callable[..., Desk]
) -> None:
    """While one asks the gateway to capture, the other finds nothing to do."""
    gateway = meddle_with(money.desk)
    second = another_desk(actor="second")
    other = meddle_with(second)
    made = money.book()
    rounds: list[object] = []
    attempt_id = money.of("id", made.id)

    def other_comes() -> None:
        rounds.append(second.worker().round(lambda: False)["payments"])
        # Also where it had looked for what is due before the first one began.
        rounds.append(
            second.card.steps.take_attempt(
                attempt_id, worker="second", origin=second.origin, now=money.clock()
            )
        )

    gateway.before["capture"] = other_comes
    money.work()

    assert [0, False] == rounds
    assert [] == other.done
    assert ("confirmed", "paid", PRICE, "0.00") == money.stands(made.id)


def test_a_poisoned_payment_does_not_stand_in_the_way(money: Money) -> None:
    """What breaks a step is put aside with its error; the others go on; later it is tried again."""
    gateway = meddle_with(money.desk)
    poisoned = money.book(starts="2026-12-02T10:00")
    healthy = money.book(starts="2026-12-02T12:00")

    def poison() -> None:
        raise ZeroDivisionError

    gateway.before["capture"] = poison
    money.work()
    aside = money.stands(poisoned.id)[1], money.stands(healthy.id)[1]
    listed = money.office.attention()
    money.finish()

    assert ("authorized", "paid") == aside
    assert [(poisoned.id, "ZeroDivisionError")] == [
        (row["reservation"], row["last_error"]) for row in listed
    ]
    assert "paid" == money.stands(poisoned.id)[1]
    assert [] == money.problems()


def test_a_poisoned_refund_does_not_stand_in_the_way(money: Money) -> None:
    """The same for money on its way back."""
    gateway = meddle_with(money.desk)
    ids = [money.book(starts=f"2026-12-02T{hour}:00").id for hour in (10, 12)]
    money.work()
    for claim_id in ids:
        money.desk.cancel(claim_id)

    def poison() -> None:
        raise ZeroDivisionError

    gateway.before["refund"] = poison
    money.work()
    aside = [money.stands(claim_id)[1] for claim_id in ids]
    money.finish()

    assert ["refund_due", "refunded"] == aside
    assert {"refunded"} == {money.stands(claim_id)[1] for claim_id in ids}
    assert [] == money.problems()


def test_a_worker_survives_a_lost_commit(money: Money) -> None:
    """Whether the change was made is found out in the next round, not by dying."""
    calls: list[str] = []

    def lost(*_: object) -> int:
        calls.append("lost")
        raise CommitLost

    def fine(*_: object) -> int:
        calls.append("fine")
        return 0

    worker = Worker("w", money.desk.database, (Chore("a", lost), Chore("b", fine)), money.clock)
    done = worker.round(lambda: False)

    assert {"a": 0, "b": 0} == done
    assert ["lost", "fine"] == calls


# --- authorizations that do not hold -------------------------------------------------------------


@pytest.mark.parametrize("played", [False, True])
def test_an_authorization_that_lapsed_is_due_at_the_desk(money: Money, played: bool) -> None:
    """Nothing was taken by card, so the club takes it itself, and gives back what it took."""
    gateway = meddle_with(money.desk)
    made = money.book()
    found = gateway.find(money.of("reference", made.id))
    assert found is not None
    gateway.gateway.void(found, key="it lapsed")
    if played:
        money.psql.execute(
            "UPDATE claims SET status = 'completed', ended_at = ends_at WHERE id = %s", [made.id]
        )
    money.work()
    due = money.stands(made.id)[1]
    settled = money.desk.settle_at_desk(made.id)

    assert "due" == due
    assert ("paid", PRICE) == (settled.payment_status, f"{settled.captured:.2f}")
    if not played:
        told = money.desk.cancel(made.id)
        assert ("26.80", "refund_due") == (f"{told.refund}", told.reservation.payment_status)
        money.desk.settle_at_desk(made.id)
        assert ("cancelled", "refunded", PRICE, "26.80") == money.stands(made.id)
    assert [("voided", "0.00", "0.00")] == money.bank()
    with suppress(NothingToSettle):
        money.desk.settle_at_desk(made.id)
    assert [] == money.disagreements()


def test_a_capture_that_fails_is_due_at_the_desk(money: Money) -> None:
    """The bank would not pay out what it had promised: the booking stands, its price is due."""
    made = money.book(card="tok_chargeCustomerFail")
    money.finish()

    assert ("confirmed", "due", "0.00", "0.00") == money.stands(made.id)
    assert [("failed", "0.00", "0.00")] == money.bank()
    assert "paid" == money.desk.settle_at_desk(made.id).payment_status
    assert [] == money.disagreements()


@pytest.mark.parametrize("how", ["lapses", "fails"])
def test_a_refund_of_what_was_never_taken_is_dropped(money: Money, how: str) -> None:
    """Cancelled with a part to go back, but the capture came to nothing: nobody owes anything."""
    gateway = meddle_with(money.desk)
    made = money.book(card="tok_visa" if how == "lapses" else "tok_chargeCustomerFail")
    money.desk.cancel(made.id)
    if how == "lapses":
        found = gateway.find(money.of("reference", made.id))
        assert found is not None
        gateway.gateway.void(found, key="it lapsed")
    money.finish()

    assert "cancelled" == money.stands(made.id)[0]
    assert money.stands(made.id)[1] in {"voided", "nothing_due"}
    assert 0 == gateway.count("refund")
    assert 0 == one(money.psql, "SELECT count(*) FROM refunds WHERE state IN ('due', 'unknown')")
    assert [] == [row for row in money.office.attention() if row["refund"]]
    with pytest.raises(NothingToSettle):
        money.desk.settle_at_desk(made.id)
    assert [] == money.disagreements()


def test_card_money_on_its_way_back_is_not_handed_over_at_the_desk_too(money: Money) -> None:
    """A refund by card is the gateway's, whatever the till says."""
    made = money.book()
    money.work()
    money.desk.cancel(made.id)

    with pytest.raises(NothingToSettle):
        money.desk.settle_at_desk(made.id)


def test_the_validator_sees_a_doubt_that_nobody_looks_at(
    money: Money, goes_wrong: Callable[..., None]
) -> None:
    """An unknown payment that grows old is a warning, and gone once it is reconciled."""
    goes_wrong("authorize", FaultKind.TIMEOUT_AFTER_WORK)
    with suppress(PadelopsError):
        money.book()
    money.clock.advance(minutes=20)
    doubtful = money.desk.validator().validate_all_reservations().verdict
    money.finish()

    assert Verdict.WARNING == doubtful
    assert [] == money.problems()
