"""
The sandbox gateway from another process: what `padelops sandbox serve` answers, over real sockets.

Lost answers are real here: the server hangs, resets or is not there, and which of the gateway's
errors that is follows from whether the request was sent (`gateway_http`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from padelops.adapters import gateway_events
from padelops.adapters.gateway_http import Answer, GatewayHttp
from padelops.adapters.sandbox_wire import UnreadableError, payment_from, refund_from
from padelops.booking.gateway import (
    Declined,
    GatewayOutcomeUnknown,
    GatewayPayment,
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    WebhookEvent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from decimal import Decimal

    from pydantic import SecretStr

T = TypeVar("T")

DONE = 200
NOT_FOUND = 404
CARD_REFUSED = 402
REFUSED = frozenset({400, 404, 405, 409, 411, 413})


class SandboxHttp:
    """Implements `booking.gateway.PaymentGateway`; safe to share between threads."""

    name = "sandbox"

    def __init__(
        self,
        url: str,
        *,
        webhook_secret: SecretStr | None = None,
        connect_timeout_s: float = 2,
        timeout_s: float = 10,
    ) -> None:
        """
        Args:
            url: what `padelops sandbox serve` printed.
            webhook_secret: what events are signed with.
            connect_timeout_s: until a connection stands.
            timeout_s: for one request as a whole.

        Raises:
            InvalidInput: the address is none.
        """
        self._http = GatewayHttp(
            url,
            variable="PADELOPS_SANDBOX_URL",
            connect_timeout_s=connect_timeout_s,
            timeout_s=timeout_s,
            # An outage shows as what it is: nobody there to connect to.
            keep_alive=False,
        )
        self._webhook_secret = webhook_secret

    def close(self) -> None:
        self._http.close()

    def probe(self) -> None:
        """
        Raises:
            GatewayUnavailable: no answer.
        """
        self._get("/health", dict)

    def authorize(
        self, *, reference: str, key: str, amount: Decimal, currency: str, card: str
    ) -> GatewayPayment:
        facts = {"reference": reference, "amount": amount, "currency": currency, "card": card}
        return self._post("/payments", key, facts, payment_from)

    def capture(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        return self._post(f"/payments/{_part(payment)}/capture", key, {}, payment_from)

    def void(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        return self._post(f"/payments/{_part(payment)}/void", key, {}, payment_from)

    def refund(
        self, payment: GatewayPayment, *, reference: str, key: str, amount: Decimal
    ) -> GatewayRefund:
        facts = {"reference": reference, "amount": amount}
        return self._post(f"/payments/{_part(payment)}/refunds", key, facts, refund_from)

    def find(self, reference: str) -> GatewayPayment | None:
        path = f"/payments?reference={quote(reference, safe='')}"
        return self._get(path, _found)

    def event(self, body: bytes, signature: str, *, now: datetime) -> WebhookEvent:
        return gateway_events.read(body, signature, self._webhook_secret, now=now)

    def _post(
        self, path: str, key: str, facts: Mapping[str, Any], read: Callable[[dict[str, Any]], T]
    ) -> T:
        body = json.dumps({"key": key, **facts}, default=str).encode()
        headers = {"Content-Type": "application/json"}
        answer = self._http.exchange("POST", self._http.origin + path, headers=headers, body=body)
        return _read(answer, read, lost=GatewayOutcomeUnknown)

    def _get(self, path: str, read: Callable[[dict[str, Any]], T]) -> T:
        answer = self._http.exchange("GET", self._http.origin + path, headers={})
        return _read(answer, read, lost=GatewayUnavailable)


def _found(document: dict[str, Any]) -> GatewayPayment | None:
    payment = document["payment"]
    return None if payment is None else payment_from(payment)


def _part(payment: GatewayPayment) -> str:
    return quote(payment.gateway_ref, safe="")


def _read(
    answer: Answer,
    read: Callable[[dict[str, Any]], T],
    *,
    lost: type[GatewayOutcomeUnknown | GatewayUnavailable],
) -> T:
    """The one place where the sandbox's answers become results or errors."""
    try:
        document = json.loads(answer.body)
        if answer.status == DONE:
            return read(document)
        told = document["error"]
        message, facts = str(told["message"]), dict(told.get("facts") or {})
    except (ValueError, KeyError, TypeError, UnreadableError) as exc:
        raise lost(f"The sandbox answered with nothing readable (HTTP {answer.status}).") from exc
    if answer.status == CARD_REFUSED:
        raise Declined(message, **facts)
    if answer.status in REFUSED:
        raise GatewayRefused(message, **facts)
    raise lost(f"The sandbox failed (HTTP {answer.status}): {message}")
