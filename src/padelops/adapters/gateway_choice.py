"""Which payment counts where a gateway knows several under one reference of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.booking.gateway import GatewayStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from padelops.booking.gateway import GatewayPayment

_MONEY_FIRST = (
    GatewayStatus.CAPTURED,
    GatewayStatus.AUTHORIZED,
    GatewayStatus.PROCESSING,
    GatewayStatus.VOIDED,
    GatewayStatus.FAILED,
)


def counting(payments: Iterable[GatewayPayment]) -> GatewayPayment | None:
    """
    The one in which most happened to money, the oldest of those: everybody who asks sees the same.

    There should be one. There are more where an attempt was declined and repeated, or where a
    gateway that ignores idempotency keys was asked twice.
    """
    return min(
        payments,
        key=lambda one: (_MONEY_FIRST.index(one.status), one.created_at, one.gateway_ref),
        default=None,
    )
