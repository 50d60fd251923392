"""
Card payments in any order that a machine comes up with, against a model in memory.

Bookings, cancellations, faults of the gateway, webhooks in any order, workers and time are mixed
at random. After each step the invariants hold; once what was wrong is mended and workers have gone
on, nothing is in doubt and the bank's books are ours, charge by charge.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import hypothesis
import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr

from padelops.adapters.sandbox_faults import FaultKind, Operation
from padelops.adapters.sandbox_gateway import SandboxGateway
from padelops.booking.card_payments import LatePayment, PaymentQueued, PaymentUnknown
from padelops.booking.gateway import Declined
from padelops.booking.payments import NothingToSettle
from padelops.errors import CannotCancel, CourtTaken
from padelops.settings import Settings
from padelops.wiring import open_desk
from testbed.clock import Clock
from testbed.invariants import broken
from testbed.money import DISAGREEMENTS, Money
from testbed.rows import column

if TYPE_CHECKING:
    from conftest import Databases

SLOTS = [
    (court, f"2026-12-03T{hour}:00") for court in ("centro/1", "centro/2") for hour in (12, 18)
]
LOST = [kind for kind in FaultKind if kind not in {FaultKind.LATENCY_MS, FaultKind.OUTAGE}]
EVENTS = (
    "payment_intent.amount_capturable_updated",
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
    "payment_intent.canceled",
)
NOT_BOOKED = (CourtTaken, Declined, LatePayment, PaymentQueued, PaymentUnknown)
STEPS, EXAMPLES = 20, 20


class Payments(RuleBasedStateMachine):
    """
    The model: which reservations were acknowledged as confirmed or as cancelled. A confirmed one
    stays so until it is cancelled, and a cancelled one for ever.
    """

    databases: Databases
    template: str

    def __init__(self) -> None:
        super().__init__()
        self.name = self.databases.create(self.template)
        server = self.databases.server
        settings = Settings(
            database_url=SecretStr(server.url(self.name)),
            home=server.home,
            level1_budget_ms=5000,
        )
        self.psql = psycopg.connect(
            server.admin_url(self.name), autocommit=True, options="-c timezone=UTC"
        )
        clock = Clock()
        self.desk = open_desk(settings, actor="machine", clock=clock)
        self.money = Money(self.desk, clock, self.psql)
        gateway = self.desk.card.gateway
        assert isinstance(gateway, SandboxGateway)
        self.faults = gateway.faults
        self.confirmed: set[int] = set()
        self.cancelled: set[int] = set()
        self.events = 0

    @property
    def known(self) -> list[int]:
        rows = self.psql.execute("SELECT id FROM claims WHERE kind = 'reservation' ORDER BY id")
        return [row[0] for row in rows.fetchall()]

    def _any(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(self.known))

    @rule(
        slot=st.sampled_from(SLOTS),
        card=st.sampled_from(["tok_visa", "tok_visa", "tok_chargeDeclined", "tok_refundFail"]),
        key=st.sampled_from([None, "k1", "k2"]),
    )
    def book_by_card(self, slot: tuple[str, str], card: str, key: str | None) -> None:
        key = None if key is None else f"{key}-{slot}-{card}"
        with suppress(*NOT_BOOKED):
            made = self.money.book(*slot, card=card, key=key)
            # A key may also answer with what was cancelled since.
            assert made.status in {"confirmed", "cancelled"}
            if made.status == "confirmed":
                self.confirmed.add(made.id)

    @rule(slot=st.sampled_from(SLOTS))
    def book_at_the_desk(self, slot: tuple[str, str]) -> None:
        with suppress(CourtTaken):
            self.confirmed.add(self.money.book(*slot, pay="desk", card=None).id)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), reason=st.sampled_from(["user_requested", "weather"]))
    def cancel(self, data: st.DataObject, reason: str) -> None:
        claim_id = self._any(data)
        with suppress(CannotCancel):
            done = self.desk.cancel(claim_id, reason=reason)
            assert done.replayed == (claim_id in self.cancelled)
            self.cancelled.add(claim_id)

    @rule(
        operation=st.sampled_from(["authorize", "capture", "void", "refund", "find"]),
        kind=st.sampled_from(LOST),
    )
    def goes_wrong(self, operation: str, kind: FaultKind) -> None:
        self.faults.set(Operation(operation), kind, times=1)

    @rule()
    def goes_away(self) -> None:
        self.faults.set(Operation.ANY, FaultKind.OUTAGE)

    @rule()
    def is_mended(self) -> None:
        self.faults.clear()

    @precondition(lambda self: self.known)
    @rule(data=st.data(), kind=st.sampled_from(EVENTS), again=st.booleans())
    def webhook(self, data: st.DataObject, kind: str, again: bool) -> None:
        self.events += not again
        with suppress(AssertionError):  # paid at the desk, so the gateway knows nothing of it
            event = self.money.event(kind, self._any(data), f"evt_{self.events}")
            self.desk.receive_webhook(*event)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def reconcile(self, data: st.DataObject) -> None:
        with suppress(NothingToSettle):
            self.desk.reconcile_payment(self._any(data))

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        with suppress(NothingToSettle, *NOT_BOOKED):
            self.desk.retry_payment(self._any(data), reason="machine")

    @rule()
    def work(self) -> None:
        self.money.work()

    @rule(minutes=st.sampled_from([1, 11, 60, 13 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.money.time_passes(minutes=minutes)

    @invariant()
    def holds(self) -> None:
        statuses: dict[int, str] = dict(
            self.psql.execute("SELECT id, status FROM claims").fetchall()
        )
        twice = self.psql.execute(DISAGREEMENTS["charged twice"].encode()).fetchall()

        assert [] == broken(self.psql)
        assert [] == twice
        assert {"cancelled"} >= {statuses[one] for one in self.cancelled}
        assert {"confirmed", "completed"} >= {
            statuses[one] for one in self.confirmed - self.cancelled
        }

    def teardown(self) -> None:
        try:
            self._ends_well()
        finally:
            self.desk.close()
            self.psql.close()
            self.databases.done_with(self.name)

    def _ends_well(self) -> None:
        self.faults.clear()
        self.money.time_passes(minutes=20)
        self.money.finish(rounds=8)
        for row in self.money.office.attention():
            if row["state"] == "queued":
                self.desk.release_payment(row["reservation"], reason="nobody came")
        self.holds()
        left = {row["reservation"] for row in self.money.office.attention()}
        failed = column(self.psql, "SELECT claim_id FROM refunds WHERE state = 'failed'")

        assert [] == self.money.problems()
        assert set(failed) == left  # what no retry can mend: the bank cannot give it back


@pytest.mark.timeout(300)
def test_any_order_of_payments_ends_with_equal_books(databases: Databases, template: str) -> None:
    """Whatever happens in whatever order, money is taken once, for a court, or not at all."""
    Payments.databases, Payments.template = databases, template

    run_state_machine_as_test(
        Payments,
        settings=hypothesis.settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
