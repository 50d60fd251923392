"""What Stripe's states and reasons mean to the core."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from padelops.adapters.stripe_answers import UnreadableError, payment_of, reason, refund_of
from padelops.booking.gateway import GatewayStatus

INTENT: dict[str, Any] = {
    "id": "pi_1",
    "status": "succeeded",
    "amount": 2000,
    "amount_received": 2000,
    "currency": "eur",
    "created": 1_780_000_000,
    "metadata": {"padelops_payment": "r"},
    "latest_charge": {"id": "ch_1"},
}


def refund(number: int, amount: int, status: str, **metadata: str) -> dict[str, Any]:
    return {"id": f"re_{number}", "amount": amount, "status": status, "metadata": metadata}


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("requires_capture", GatewayStatus.AUTHORIZED),
        ("succeeded", GatewayStatus.CAPTURED),
        ("canceled", GatewayStatus.VOIDED),
        ("requires_payment_method", GatewayStatus.FAILED),
        ("requires_action", GatewayStatus.FAILED),
        ("requires_confirmation", GatewayStatus.PROCESSING),
        ("processing", GatewayStatus.PROCESSING),
        ("a_status_of_next_year", GatewayStatus.PROCESSING),
    ],
)
def test_each_status_has_its_meaning(status: str, meaning: GatewayStatus) -> None:
    """One that we do not know is under way: neither believed to be paid, nor asked for again."""
    payment = payment_of(INTENT | {"status": status})

    assert meaning is payment.status
    assert Decimal("20.00" if meaning is GatewayStatus.CAPTURED else "0.00") == payment.captured


def test_only_what_was_given_back_is_refunded() -> None:
    """Refunds that wait count, those that failed or were cancelled do not; all are shown."""
    refunds = [
        refund(1, 500, "succeeded", padelops_refund="a"),
        refund(2, 300, "pending"),
        refund(3, 200, "failed", padelops_refund="b"),
        refund(4, 100, "canceled"),
    ]

    payment = payment_of(INTENT | {"latest_charge": {"refunds": {"data": refunds}}})

    assert Decimal("8.00") == payment.refunded
    assert [("a", False), (None, False), ("b", True), (None, True)] == [
        (one.reference, one.failed) for one in payment.refunds
    ]


def test_letting_an_authorization_go_gives_nothing_back() -> None:
    """Stripe shows the released amount as refunded on the charge; nothing had been taken."""
    charge = {"amount_refunded": 2000, "refunds": {"data": [refund(1, 2000, "succeeded")]}}

    payment = payment_of(INTENT | {"status": "canceled", "latest_charge": charge})

    assert (Decimal(0), Decimal(0), ()) == (payment.captured, payment.refunded, payment.refunds)


def test_part_of_an_amount_can_have_been_taken_by_hand() -> None:
    """What was received counts, not what was authorized."""
    assert Decimal("12.34") == payment_of(INTENT | {"amount_received": 1234}).captured


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "card_declined", "decline_code": "insufficient_funds"}, "insufficient_funds"),
        ({"code": "card_declined", "decline_code": "generic_decline"}, "card_declined"),
        ({"code": "expired_card"}, "expired_card"),
        ({"code": None}, "card_declined"),
        ({}, "card_declined"),
    ],
)
def test_a_decline_has_the_bank_s_reason(error: dict[str, Any], code: str) -> None:
    """The most that is known; "generic" tells nothing, so it is not told."""
    assert code == reason(error)


def test_why_a_payment_failed_is_kept_with_it() -> None:
    """Its last error; none where nobody tried yet."""
    failed = INTENT | {"status": "requires_payment_method"}
    error = {"code": "card_declined", "decline_code": "lost_card"}

    assert "lost_card" == payment_of(failed | {"last_payment_error": error}).decline_code
    assert payment_of(failed).decline_code is None


@pytest.mark.parametrize("missing", ["id", "status", "amount", "currency", "created"])
def test_half_an_intent_is_none(missing: str) -> None:
    """What must be there and is not makes the answer unreadable, not a guess."""
    with pytest.raises(UnreadableError):
        payment_of({name: value for name, value in INTENT.items() if name != missing})
    with pytest.raises(UnreadableError):
        payment_of(INTENT | {missing: None})


def test_half_a_refund_is_none() -> None:
    """The same for refunds."""
    with pytest.raises(UnreadableError):
        refund_of({"id": "re_1"}, "EUR")
    with pytest.raises(UnreadableError):
        refund_of({"id": "re_1", "amount": 2.5}, "EUR")
