"""
The sandbox's payments as JSON: over HTTP, in the answers kept for idempotency keys, and in dumps.

Amounts travel as text in the currency's own digits, times as ISO 8601; nothing is rounded.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from padelops.booking.gateway import GatewayPayment, GatewayRefund, GatewayStatus

if TYPE_CHECKING:
    from collections.abc import Mapping


class UnreadableError(ValueError):
    """This is no answer of a sandbox."""


def payment_json(payment: GatewayPayment) -> dict[str, Any]:
    return {
        "gateway_ref": payment.gateway_ref,
        "reference": payment.reference,
        "status": payment.status.value,
        "currency": payment.currency,
        "amount": str(payment.amount),
        "captured": str(payment.captured),
        "refunded": str(payment.refunded),
        "created_at": payment.created_at.isoformat(),
        "decline_code": payment.decline_code,
        "refunds": [refund_json(refund) for refund in payment.refunds],
    }


def refund_json(refund: GatewayRefund) -> dict[str, Any]:
    return {
        "gateway_ref": refund.gateway_ref,
        "reference": refund.reference,
        "amount": str(refund.amount),
        "failed": refund.failed,
    }


def payment_from(document: Mapping[str, Any]) -> GatewayPayment:
    """
    Raises:
        UnreadableError: something is missing or no payment has it so.
    """
    try:
        return GatewayPayment(
            gateway_ref=str(document["gateway_ref"]),
            reference=str(document["reference"]),
            status=GatewayStatus(document["status"]),
            currency=str(document["currency"]),
            amount=amount_from(document["amount"]),
            captured=amount_from(document["captured"]),
            refunded=amount_from(document["refunded"]),
            created_at=datetime.fromisoformat(document["created_at"]),
            refunds=tuple(refund_from(refund) for refund in document["refunds"]),
            decline_code=document["decline_code"],
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise UnreadableError("It is no payment.") from exc


def refund_from(document: Mapping[str, Any]) -> GatewayRefund:
    """
    Raises:
        UnreadableError: something is missing or no refund has it so.
    """
    try:
        return GatewayRefund(
            gateway_ref=str(document["gateway_ref"]),
            reference=document["reference"],
            amount=amount_from(document["amount"]),
            failed=bool(document["failed"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise UnreadableError("It is no refund.") from exc


def amount_from(text: Any) -> Decimal:
    """
    Raises:
        ValueError: it is no finite number written as text.
    """
    if not isinstance(text, str) or len(text) > 40:  # noqa: PLR2004 - more digits than any money has
        raise ValueError("An amount is a number written as text.")
    try:
        amount = Decimal(text)
    except InvalidOperation as exc:
        raise ValueError("An amount is a number written as text.") from exc
    if not amount.is_finite():
        raise ValueError("An amount is finite.")
    return amount
