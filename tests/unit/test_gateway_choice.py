"""Where a gateway knows several payments under one reference, the one with the money counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations

from padelops.adapters.gateway_choice import counting
from padelops.booking.gateway import GatewayPayment, GatewayStatus

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


def payment(status: GatewayStatus, *, minutes: int = 0, ref: str = "pi_1") -> GatewayPayment:
    return GatewayPayment(
        gateway_ref=ref,
        reference="r",
        status=status,
        currency="EUR",
        amount=Decimal("20.00"),
        captured=Decimal("0.00"),
        refunded=Decimal("0.00"),
        created_at=NOW + timedelta(minutes=minutes),
    )


def test_the_most_that_happened_to_money_counts() -> None:
    """Taken before held, held before on its way, anything before let go or failed."""
    order = [
        GatewayStatus.CAPTURED,
        GatewayStatus.AUTHORIZED,
        GatewayStatus.PROCESSING,
        GatewayStatus.VOIDED,
        GatewayStatus.FAILED,
    ]
    for best, *rest in (order[start:] for start in range(len(order))):
        chosen = counting([*(payment(status) for status in reversed(rest)), payment(best)])

        assert chosen is not None
        assert best is chosen.status
    assert set(order) == set(GatewayStatus)


def test_everybody_chooses_the_same() -> None:
    """Of two equal ones the oldest, in whatever order they were listed."""
    rivals = [
        payment(GatewayStatus.AUTHORIZED, minutes=1, ref="pi_1"),
        payment(GatewayStatus.AUTHORIZED, minutes=0, ref="pi_3"),
        payment(GatewayStatus.AUTHORIZED, minutes=0, ref="pi_2"),
    ]

    assert {"pi_2"} == {
        (counting(order) or rivals[0]).gateway_ref for order in permutations(rivals)
    }
    assert counting([]) is None
