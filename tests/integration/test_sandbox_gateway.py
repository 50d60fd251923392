"""
The sandbox in process: its books, its cards, and each way in which it can be told to fail.

What every gateway must do is in test_gateway_contract.py.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from padelops.adapters import sandbox_ledger
from padelops.adapters.sandbox_faults import FaultKind, Operation
from padelops.adapters.sandbox_gateway import SandboxGateway
from padelops.booking.gateway import (
    Declined,
    GatewayOutcomeUnknown,
    GatewayPayment,
    GatewayRefused,
    GatewayStatus,
    GatewayUnavailable,
)
from padelops.errors import InvalidInput
from padelops.model import Origin
from padelops.store.engine import Database
from testbed.racing import Running, race, waiting_on_a_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbed.clock import Clock

TWENTY = Decimal("20.00")
PATIENCE_S = 10.0


@pytest.fixture
def pauses() -> list[float]:
    """How long the gateway waited, had it really waited."""
    return []


@pytest.fixture
def restarted(
    database_url: str, clock: Clock, pauses: list[float]
) -> Iterator[Callable[[], SandboxGateway]]:
    """Opens the gateway as a process that just started does."""
    with ExitStack() as stack:

        def start() -> SandboxGateway:
            database = Database(database_url, budget_ms=10_000)
            stack.callback(database.close)
            return SandboxGateway(database, timeout_s=PATIENCE_S, clock=clock, pause=pauses.append)

        yield start


@pytest.fixture
def gateway(restarted: Callable[[], SandboxGateway]) -> SandboxGateway:
    return restarted()


def authorize(gateway: SandboxGateway, **changes: Any) -> GatewayPayment:
    facts: dict[str, Any] = {
        "reference": "r",
        "key": "k",
        "amount": TWENTY,
        "currency": "EUR",
        "card": "tok_visa",
    }
    return gateway.authorize(**facts | changes)


def in_the_books(gateway: SandboxGateway) -> list[tuple[str, Decimal, Decimal]]:
    """Status, captured and refunded of everything that ever happened."""
    return [
        (payment.status.value, payment.captured, payment.refunded)
        for payment, _ in gateway.ledger.payments()
    ]


# --- its books -----------------------------------------------------------------------------


def test_charges_and_keys_survive_a_restart(restarted: Callable[[], SandboxGateway]) -> None:
    """The same key gets the same answer from another process; another request is refused."""
    before = restarted()
    payment = before.capture(authorize(before), key="c")
    refund = before.refund(payment, reference="f", key="f", amount=TWENTY)
    with pytest.raises(Declined):
        authorize(before, key="d", reference="d", card="tok_chargeDeclinedLostCard")

    after = restarted()

    assert payment == after.capture(payment, key="c")
    assert refund == after.refund(payment, reference="f", key="f", amount=TWENTY)
    with pytest.raises(Declined):
        authorize(after, key="d", reference="d", card="tok_chargeDeclinedLostCard")
    with pytest.raises(GatewayRefused):
        authorize(after, amount=Decimal("21.00"))
    assert [("captured", TWENTY, TWENTY), ("failed", Decimal(0), Decimal(0))] == in_the_books(after)


def test_a_key_is_answered_with_what_was_true_then(gateway: SandboxGateway) -> None:
    """As at Stripe the first answer is repeated, though the payment was captured meanwhile."""
    held = authorize(gateway)
    gateway.capture(held, key="c")

    assert held == authorize(gateway)
    assert GatewayStatus.AUTHORIZED is held.status


def test_a_second_key_is_a_second_charge(gateway: SandboxGateway) -> None:
    """The bank does not know our references: a core that asks twice shows in its books."""
    authorize(gateway, key="one")
    authorize(gateway, key="two")

    assert 2 == len(in_the_books(gateway))


def test_a_charge_outlives_the_transaction_of_whoever_asked(
    gateway: SandboxGateway, database_url: str
) -> None:
    """The sandbox commits by itself: what rolls back around it does not take the money back."""
    core = Database(database_url, budget_ms=10_000)
    with suppress(InterruptedError), core.transaction(Origin("tester")):
        authorize(gateway)
        raise InterruptedError
    core.close()

    assert [("authorized", Decimal(0), Decimal(0))] == in_the_books(gateway)


def test_the_dump_goes_through_all_pages(
    gateway: SandboxGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every charge once, first to last, with its refunds and its card."""
    monkeypatch.setattr(sandbox_ledger, "PAGE", 2)
    for number in range(5):
        payment = gateway.capture(
            authorize(gateway, reference=f"r{number}", key=f"k{number}"), key=f"c{number}"
        )
        gateway.refund(payment, reference=f"f{number}", key=f"f{number}", amount=TWENTY)

    dumped = list(gateway.ledger.payments())

    assert [f"r{number}" for number in range(5)] == [payment.reference for payment, _ in dumped]
    assert [f"f{number}" for number in range(5)] == [
        refund.reference for payment, _ in dumped for refund in payment.refunds
    ]
    assert {"tok_visa"} == {card for _, card in dumped}


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("captured = 20.01", "sandbox_payments_amounts_agree"),
        ("refunded = 1", "sandbox_payments_amounts_agree"),
        ("captured = 20", "sandbox_payments_taken_when_captured"),
        ("status = 'captured'", "sandbox_payments_taken_when_captured"),
        ("status = 'paid'", "sandbox_payments_status_known"),
        ("reference = ''", "sandbox_payments_texts_bounded"),
    ],
)
def test_the_books_cannot_be_made_to_lie(
    gateway: SandboxGateway, psql: Any, change: str, constraint: str
) -> None:
    """Also by a superuser in psql: never taken without a capture, never more than was held."""
    authorize(gateway)

    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        psql.execute(f"UPDATE sandbox_payments SET {change}")

    assert constraint == caught.value.diag.constraint_name


def test_without_its_books_it_is_unavailable(clock: Clock) -> None:
    """Nobody listens at the database's address: nothing was done."""
    away = Database("postgresql://nobody@127.0.0.1:1/nothing", budget_ms=500)
    gateway = SandboxGateway(away, clock=clock)

    calls: list[Callable[[], object]] = [
        lambda: authorize(gateway),
        lambda: gateway.find("r"),
        gateway.probe,
    ]
    for call in calls:
        with pytest.raises(GatewayUnavailable):
            call()


def test_a_commit_that_is_lost_is_an_unknown_outcome(gateway: SandboxGateway, psql: Any) -> None:
    """The bank's own server dies while it commits: nobody knows, and nobody is told "no"."""
    psql.execute(
        """
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER die AFTER INSERT ON sandbox_payments
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die();
        """
    )

    with pytest.raises(GatewayOutcomeUnknown):
        authorize(gateway)


# --- its cards -----------------------------------------------------------------------------


def test_a_card_that_can_be_held_and_not_taken(gateway: SandboxGateway) -> None:
    """tok_chargeCustomerFail: the capture is declined, each time, and the payment has failed."""
    payment = authorize(gateway, card="tok_chargeCustomerFail")

    for key in ("c", "c", "c2"):
        with pytest.raises(Declined) as caught:
            gateway.capture(payment, key=key)
        assert {"decline_code": "card_declined"} == caught.value.facts

    found = gateway.find("r")
    assert GatewayStatus.AUTHORIZED is payment.status
    assert found is not None
    assert (GatewayStatus.FAILED, "card_declined", Decimal(0)) == (
        found.status,
        found.decline_code,
        found.captured,
    )


def test_a_card_that_takes_nothing_back(gateway: SandboxGateway) -> None:
    """tok_refundFail: the refund is there, failed, and nothing was given back."""
    payment = gateway.capture(authorize(gateway, card="tok_refundFail"), key="c")

    refund = gateway.refund(payment, reference="f", key="f", amount=TWENTY)

    found = gateway.find("r")
    assert found is not None
    assert refund.failed
    assert ((refund,), Decimal(0)) == (found.refunds, found.refunded)
    assert refund == gateway.refund(payment, reference="f", key="f2", amount=TWENTY)


@pytest.mark.parametrize("card", ["tok_visa_chargeDeclinedStolenCard"])
def test_stripe_s_second_spelling_is_known(gateway: SandboxGateway, card: str) -> None:
    """The names in Stripe's present documentation."""
    with pytest.raises(Declined) as caught:
        authorize(gateway, card=card)

    assert {"decline_code": "stolen_card"} == caught.value.facts


# --- faults --------------------------------------------------------------------------------

LOST = [
    (FaultKind.TIMEOUT_BEFORE_WORK, False),
    (FaultKind.TIMEOUT_AFTER_WORK, True),
    (FaultKind.ERROR_500, False),
    (FaultKind.ERROR_500_AFTER_WORK, True),
    (FaultKind.RESET_BEFORE_WORK, False),
    (FaultKind.RESET, True),
]
"""Faults that cost the answer, and whether the work is done all the same."""


@pytest.mark.parametrize(("kind", "done"), LOST)
def test_a_lost_answer_leaves_every_change_unknown(
    gateway: SandboxGateway, kind: FaultKind, done: bool
) -> None:
    """Whether it was done is told by a look-up; asked again with the same key, it is done once."""

    def lose(operation: Operation, call: Callable[[], object]) -> bool:
        before = in_the_books(gateway)
        gateway.faults.set(operation, kind, times=1)
        with pytest.raises(GatewayOutcomeUnknown):
            call()
        changed = in_the_books(gateway) != before
        call()
        return changed

    voided = authorize(gateway, reference="v", key="v")
    changed = [
        lose(Operation.AUTHORIZE, lambda: authorize(gateway)),
        lose(Operation.VOID, lambda: gateway.void(voided, key="void")),
    ]
    payment = gateway.find("r")
    assert payment is not None
    changed += [
        lose(Operation.CAPTURE, lambda: gateway.capture(payment, key="c")),
        lose(
            Operation.REFUND,
            lambda: gateway.refund(payment, reference="f", key="f", amount=Decimal("5.00")),
        ),
    ]

    assert [done] * 4 == changed
    assert [
        ("voided", Decimal(0), Decimal(0)),
        ("captured", TWENTY, Decimal("5.00")),
    ] == in_the_books(gateway)


@pytest.mark.parametrize("kind", [kind for kind, _ in LOST])
def test_a_lost_look_up_leaves_nothing_in_doubt(gateway: SandboxGateway, kind: FaultKind) -> None:
    """It is never "not found"; the next one tells."""
    payment = authorize(gateway)
    gateway.faults.set(Operation.FIND, kind, times=1)

    with pytest.raises(GatewayUnavailable):
        gateway.find("r")

    assert payment == gateway.find("r")


def test_a_decline_whose_answer_is_lost_is_unknown_too(gateway: SandboxGateway) -> None:
    """Whoever is not answered does not learn of the decline; the look-up tells it."""
    gateway.faults.set(Operation.AUTHORIZE, FaultKind.TIMEOUT_AFTER_WORK, times=1)

    with pytest.raises(GatewayOutcomeUnknown):
        authorize(gateway, card="tok_chargeDeclined")

    found = gateway.find("r")
    assert found is not None
    assert GatewayStatus.FAILED is found.status


def test_an_outage_is_for_everything_until_it_is_cleared(gateway: SandboxGateway) -> None:
    """Nothing arrives, so nothing is in doubt."""
    payment = authorize(gateway)
    gateway.faults.set(Operation.ANY, FaultKind.OUTAGE)

    calls: list[Callable[[], object]] = [
        lambda: authorize(gateway, reference="x", key="x"),
        lambda: gateway.capture(payment, key="c"),
        lambda: gateway.find("r"),
        gateway.probe,
    ]
    for call in calls:
        with pytest.raises(GatewayUnavailable):
            call()
    gateway.faults.clear()

    gateway.probe()
    assert [("authorized", Decimal(0), Decimal(0))] == in_the_books(gateway)
    assert payment == gateway.find("r")


def test_a_latency_is_waited_for(gateway: SandboxGateway, pauses: list[float]) -> None:
    """Slow, and right."""
    gateway.faults.set(Operation.AUTHORIZE, FaultKind.LATENCY_MS, latency_ms=800, times=1)

    authorize(gateway)

    assert [0.8] == pauses


def test_a_latency_beyond_patience_costs_the_answer(
    gateway: SandboxGateway, pauses: list[float]
) -> None:
    """The caller waits as long as it would for a real gateway; the work is done behind its back."""
    gateway.faults.set(Operation.AUTHORIZE, FaultKind.LATENCY_MS, latency_ms=60_000, times=1)

    with pytest.raises(GatewayOutcomeUnknown):
        authorize(gateway)

    assert [PATIENCE_S] == pauses
    assert [("authorized", Decimal(0), Decimal(0))] == in_the_books(gateway)


def test_a_counted_fault_happens_exactly_so_often(gateway: SandboxGateway) -> None:
    """Eight race for three failures: three get one each, and five are served."""
    gateway.faults.set(Operation.ANY, FaultKind.ERROR_500, times=3)

    finishes = race(
        *(
            lambda number=number: authorize(gateway, reference=f"r{number}", key=f"k{number}")
            for number in range(8)
        )
    )

    (fault,) = gateway.faults.all()
    assert [GatewayOutcomeUnknown] * 3 == [type(one.error) for one in finishes if not one.ok]
    assert 5 == len(in_the_books(gateway))
    assert (0, 3) == (fault.remaining, fault.fired)


def test_two_that_wait_for_the_last_fault_do_not_both_get_it(
    gateway: SandboxGateway, raw: Callable[[], Any]
) -> None:
    """Both have seen it; the one that comes second looks again, and is served."""
    gateway.faults.set(Operation.AUTHORIZE, FaultKind.ERROR_500, times=1)
    holder, watcher = raw(), raw()
    with holder.transaction():
        holder.execute("SELECT FROM sandbox_faults FOR UPDATE")
        both = [
            Running(lambda: authorize(gateway, reference="a", key="a")),
            Running(lambda: authorize(gateway, reference="b", key="b")),
        ]
        waiting_on_a_lock(watcher, many=2)
    finishes = [one.finish() for one in both]

    assert [GatewayOutcomeUnknown] == [type(one.error) for one in finishes if not one.ok]
    assert 1 == len(in_the_books(gateway))


def test_faults_happen_in_the_order_in_which_they_were_set(gateway: SandboxGateway) -> None:
    """Other operations are not touched; one process sets what happens in another."""
    gateway.faults.set(Operation.CAPTURE, FaultKind.ERROR_500)
    gateway.faults.set(Operation.AUTHORIZE, FaultKind.TIMEOUT_AFTER_WORK, times=1)
    gateway.faults.set(Operation.AUTHORIZE, FaultKind.ERROR_500, times=1)

    for why in ("timeout_after_work", "error_500"):
        with pytest.raises(GatewayOutcomeUnknown, match=why):
            authorize(gateway)

    assert GatewayStatus.AUTHORIZED is authorize(gateway).status


def test_faults_are_cleared_by_operation_or_all(gateway: SandboxGateway) -> None:
    """How many were cleared is told; what is left goes on happening."""
    gateway.faults.set(Operation.AUTHORIZE, FaultKind.ERROR_500)
    gateway.faults.set(Operation.AUTHORIZE, FaultKind.RESET)
    gateway.faults.set(Operation.FIND, FaultKind.ERROR_500)

    assert 2 == gateway.faults.clear(Operation.AUTHORIZE)
    assert GatewayStatus.AUTHORIZED is authorize(gateway).status
    with pytest.raises(GatewayUnavailable):
        gateway.find("r")
    assert 1 == gateway.faults.clear()
    assert [] == gateway.faults.all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": FaultKind.LATENCY_MS},
        {"kind": FaultKind.LATENCY_MS, "latency_ms": 0},
        {"kind": FaultKind.LATENCY_MS, "latency_ms": 10**9},
        {"kind": FaultKind.RESET, "latency_ms": 5},
        {"kind": FaultKind.RESET, "times": 0},
        {"kind": FaultKind.RESET, "times": 10**9},
        {"kind": FaultKind.OUTAGE},
        {"kind": FaultKind.OUTAGE, "operation": Operation.ANY, "times": 1},
    ],
)
def test_a_fault_that_makes_no_sense_is_not_set(
    gateway: SandboxGateway, wrong: dict[str, Any]
) -> None:
    """One clear refusal; nothing goes wrong by mistake."""
    with pytest.raises(InvalidInput):
        gateway.faults.set(wrong.pop("operation", Operation.AUTHORIZE), wrong.pop("kind"), **wrong)

    assert [] == gateway.faults.all()
