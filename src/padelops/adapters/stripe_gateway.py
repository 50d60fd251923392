"""
Critical path 2: cards are charged through Stripe, once, whatever becomes of our idempotency keys.

An authorization is a PaymentIntent with manual capture, created and confirmed in one request. Every
change carries the core's key, and none rests on it: what a capture, a void or a refund would do is
looked up first, and what was done already is the answer. More than was captured is never asked
back. The SDK repeats nothing by itself; the core decides that.

Stripe keeps a key's first answer for a day, also when that was a failure of its own. Such a key
would fail for ever, so it is replaced, once, after looking at what the first execution left behind.

Source: DESIGN.md sections 2, 4.2 and 8; https://docs.stripe.com/api/idempotent_requests.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from padelops.adapters import gateway_events, stripe_lookup
from padelops.adapters.gateway_choice import counting
from padelops.adapters.gateway_events import PAYMENT_KEY, REFUND_KEY
from padelops.adapters.gateway_http import GatewayHttp
from padelops.adapters.stripe_amounts import to_stripe
from padelops.adapters.stripe_answers import (
    UnreadableError,
    declined,
    error_of,
    expanded,
    payment_of,
    refund_of,
)
from padelops.booking.gateway import (
    GatewayOutcomeUnknown,
    GatewayRefused,
    GatewayStatus,
    GatewayUnavailable,
)
from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from pydantic import SecretStr
    from stripe import StripeError, StripeObject

    from padelops.booking.gateway import GatewayPayment, GatewayRefund, WebhookEvent

T = TypeVar("T")

API_BASE = "https://api.stripe.com"
PAGE = 100
MOST_REFUND_PAGES = 20
SERVER_FAILED = 500
LONGEST_KEY = 255
"""Source: https://docs.stripe.com/api/idempotent_requests."""

TEST_CARDS = {
    "tok_visa": "pm_card_visa",
    "tok_mastercard": "pm_card_mastercard",
    "tok_amex": "pm_card_amex",
    "tok_chargeDeclined": "pm_card_visa_chargeDeclined",
    "tok_chargeDeclinedInsufficientFunds": "pm_card_visa_chargeDeclinedInsufficientFunds",
    "tok_chargeDeclinedLostCard": "pm_card_visa_chargeDeclinedLostCard",
    "tok_chargeDeclinedStolenCard": "pm_card_visa_chargeDeclinedStolenCard",
    "tok_chargeDeclinedExpiredCard": "pm_card_chargeDeclinedExpiredCard",
    "tok_chargeDeclinedIncorrectCvc": "pm_card_chargeDeclinedIncorrectCvc",
    "tok_chargeDeclinedProcessingError": "pm_card_chargeDeclinedProcessingError",
    "tok_chargeCustomerFail": "pm_card_chargeCustomerFail",
}
"""Stripe's test cards by their names as tokens and as payment methods; peers know only the latter.
Source: https://docs.stripe.com/testing."""

_KEY = re.compile(r"(sk|rk)_[A-Za-z0-9_]{3,250}")
_TOKEN = re.compile(r"tok_[A-Za-z0-9_]{1,200}")
_METHOD = re.compile(r"(pm|card|src)_[A-Za-z0-9_]{1,200}")


class _KeySpent(GatewayOutcomeUnknown):
    """Stripe answers this idempotency key with the failure that it met the first time."""


class StripeGateway:
    """Implements `booking.gateway.PaymentGateway`; safe to share between threads."""

    name = "stripe"

    def __init__(
        self,
        api_key: SecretStr | None,
        *,
        api_base: str = API_BASE,
        webhook_secret: SecretStr | None = None,
        connect_timeout_s: float = 2,
        timeout_s: float = 10,
    ) -> None:
        """
        Args:
            api_key: a secret or restricted key, `sk_…` or `rk_…`.
            api_base: Stripe, or a peer that speaks its API.
            webhook_secret: `whsec_…` of the endpoint that webhooks come to.
            connect_timeout_s: until a connection stands.
            timeout_s: for one request as a whole.

        Raises:
            InvalidInput: a setting is missing or wrong, or the `stripe` package is not installed.
        """
        secret = "" if api_key is None else api_key.get_secret_value().strip()
        if not _KEY.fullmatch(secret):
            raise InvalidInput(
                "PADELOPS_STRIPE_API_KEY must hold a secret key of Stripe.",
                fix="It starts with sk_ or rk_.",
                variable="PADELOPS_STRIPE_API_KEY",
            )
        try:
            import stripe  # noqa: PLC0415 - an optional dependency, and 0.4 s to import

            from padelops.adapters.stripe_transport import SdkTransport  # noqa: PLC0415
        except ModuleNotFoundError as exc:
            raise InvalidInput(
                "The gateway is Stripe, but the stripe package is missing.",
                fix="Run: pip install 'padelops[stripe]'",
            ) from exc
        self._http = GatewayHttp(
            api_base,
            variable="PADELOPS_STRIPE_API_BASE",
            connect_timeout_s=connect_timeout_s,
            timeout_s=timeout_s,
        )
        if "_live_" in secret and not self._http.is_private:
            raise InvalidInput(
                "A live key of Stripe is never sent unencrypted.",
                fix="Write https:// in PADELOPS_STRIPE_API_BASE.",
                variable="PADELOPS_STRIPE_API_BASE",
            )
        self._webhook_secret = webhook_secret
        self._error: type[StripeError] = stripe.StripeError
        self._stripe = stripe.StripeClient(
            secret,
            base_addresses={"api": self._http.origin},
            max_network_retries=0,
            http_client=SdkTransport(self._http),
        ).v1

    def close(self) -> None:
        self._http.close()

    def probe(self) -> None:
        """
        Ask for something small, with our key.

        Raises:
            GatewayUnavailable: no answer. GatewayRefused: the key is.
        """
        with self._asking(changes=False):
            self._stripe.payment_intents.list({"limit": 1})

    # --- the protocol ------------------------------------------------------------------------

    def authorize(
        self, *, reference: str, key: str, amount: Decimal, currency: str, card: str
    ) -> GatewayPayment:
        params: Any = {
            "amount": to_stripe(amount, currency),
            "currency": currency.lower(),
            "capture_method": "manual",
            "confirm": True,
            "payment_method_types": ["card"],
            "metadata": {PAYMENT_KEY: reference},
            **_paid_by(card),
        }

        def create(key: str) -> GatewayPayment:
            with self._asking(changes=True):
                intent = self._stripe.payment_intents.create(params, {"idempotency_key": key})
                return payment_of(_plain(intent), reference=reference)

        try:
            payment = create(key)
        except _KeySpent:
            # That execution is over: what it left can be seen, and if nothing, another is safe.
            payment = self.find(reference) or create(_fresh(key))
        if payment.status is GatewayStatus.FAILED:
            raise declined(payment.decline_code or "card_declined")
        return payment

    def capture(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        return _with_fresh_key_if_spent(lambda key: self._capture(payment, key), key)

    def void(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        return _with_fresh_key_if_spent(lambda key: self._void(payment, key), key)

    def refund(
        self, payment: GatewayPayment, *, reference: str, key: str, amount: Decimal
    ) -> GatewayRefund:
        return _with_fresh_key_if_spent(
            lambda key: self._refund(payment, reference, amount, key), key
        )

    def find(self, reference: str) -> GatewayPayment | None:
        """
        See `stripe_lookup` for how sure the answer is.

        Raises:
            GatewayUnavailable: no answer, or not sure enough to say "never seen".
        """
        with self._asking(changes=False):
            intents = stripe_lookup.with_reference(self, reference)
            chosen = counting(payment_of(intent) for intent in intents)
        return None if chosen is None else self._retrieve(chosen.gateway_ref, reference)

    def event(self, body: bytes, signature: str, *, now: datetime) -> WebhookEvent:
        return gateway_events.read(body, signature, self._webhook_secret, now=now)

    # --- one step each, looked up before it is taken -------------------------------------------

    def _capture(self, payment: GatewayPayment, key: str) -> GatewayPayment:
        found = self._retrieve(payment.gateway_ref, payment.reference)
        if found.status is GatewayStatus.CAPTURED:
            return found
        if found.status is GatewayStatus.FAILED:
            raise declined(found.decline_code or "card_declined")
        if found.status is not GatewayStatus.AUTHORIZED:
            raise GatewayRefused(f"The payment is {found.status}, so there is nothing to take.")
        intents = self._stripe.payment_intents
        return self._moved(
            found,
            GatewayStatus.CAPTURED,
            lambda: intents.capture(found.gateway_ref, None, {"idempotency_key": key}),
        )

    def _void(self, payment: GatewayPayment, key: str) -> GatewayPayment:
        found = self._retrieve(payment.gateway_ref, payment.reference)
        if found.status in {GatewayStatus.VOIDED, GatewayStatus.FAILED}:
            return found
        if found.status is GatewayStatus.CAPTURED:
            raise GatewayRefused("The payment was taken already; it can only be given back.")
        intents = self._stripe.payment_intents
        return self._moved(
            found,
            GatewayStatus.VOIDED,
            lambda: intents.cancel(found.gateway_ref, None, {"idempotency_key": key}),
        )

    def _moved(
        self, payment: GatewayPayment, wanted: GatewayStatus, move: Callable[[], StripeObject]
    ) -> GatewayPayment:
        try:
            with self._asking(changes=True):
                after = payment_of(_plain(move()), reference=payment.reference)
        except GatewayRefused:
            # Perhaps only because somebody was faster: then what they did is the answer.
            after = self._retrieve(payment.gateway_ref, payment.reference)
            if after.status is not wanted:
                raise
        if after.status not in {wanted, GatewayStatus.PROCESSING}:
            raise GatewayRefused(f"The payment is {after.status} meanwhile.")
        return after

    def _refund(
        self, payment: GatewayPayment, reference: str, amount: Decimal, key: str
    ) -> GatewayRefund:
        found = self._retrieve(payment.gateway_ref, payment.reference)
        whole = to_stripe(amount, found.currency)
        known = next((one for one in found.refunds if one.reference == reference), None)
        if known is not None:
            if known.amount != amount:
                raise GatewayRefused(
                    f"Under this reference {known.amount} {found.currency} were given back already."
                )
            return known
        if found.status is not GatewayStatus.CAPTURED:
            raise GatewayRefused(f"The payment is {found.status}: there is nothing to give back.")
        left = found.captured - found.refunded
        if amount > left:
            raise GatewayRefused(
                f"Only {left} {found.currency} of the payment are left to give back.",
                left=str(left),
            )
        params: Any = {
            "payment_intent": found.gateway_ref,
            "amount": whole,
            "metadata": {PAYMENT_KEY: payment.reference, REFUND_KEY: reference},
        }
        with self._asking(changes=True):
            made = self._stripe.refunds.create(params, {"idempotency_key": key})
            return refund_of(_plain(made), found.currency)

    def _retrieve(self, gateway_ref: str, reference: str) -> GatewayPayment:
        with self._asking(changes=False):
            intent = _plain(
                self._stripe.payment_intents.retrieve(
                    gateway_ref, {"expand": ["latest_charge.refunds"]}
                )
            )
            charge = intent.get("latest_charge")
            if isinstance(charge, dict) and (charge.get("refunds") or {}).get("has_more"):
                charge["refunds"] = {"data": self._all_refunds(gateway_ref)}
            return payment_of(intent, reference=reference)

    def _all_refunds(self, gateway_ref: str) -> list[Mapping[str, Any]]:
        refunds: list[Mapping[str, Any]] = []
        for _ in range(MOST_REFUND_PAGES):
            params: Any = {"payment_intent": gateway_ref, "limit": PAGE}
            if refunds:
                params["starting_after"] = refunds[-1]["id"]
            page = _plain(self._stripe.refunds.list(params))
            refunds += expanded(page)
            if not page.get("has_more"):
                return refunds
        raise GatewayUnavailable("The payment has more refunds than can be read.")

    # --- what a look-up reads (`stripe_lookup.Intents`) -----------------------------------------

    def page(self, after: str | None) -> tuple[Sequence[Mapping[str, Any]], bool]:
        params: Any = {"limit": PAGE} | ({} if after is None else {"starting_after": after})
        with self._asking(changes=False):
            page = _plain(self._stripe.payment_intents.list(params))
        return expanded(page), bool(page.get("has_more"))

    def search(self, query: str) -> Sequence[Mapping[str, Any]] | None:
        try:
            with self._asking(changes=False):
                return expanded(
                    _plain(self._stripe.payment_intents.search({"query": query, "limit": PAGE}))
                )
        except GatewayRefused:
            return None  # not offered to this merchant, or by this peer

    # --- what every request has around it -------------------------------------------------------

    @contextmanager
    def _asking(self, *, changes: bool) -> Iterator[None]:
        """The one place where the SDK's errors become ours."""
        try:
            yield
        except self._error as exc:
            replayed = (exc.headers or {}).get("idempotent-replayed") == "true"
            if changes and replayed and (exc.http_status or 0) >= SERVER_FAILED:
                raise _KeySpent from exc
            raise error_of(exc, changes=changes) from exc
        except UnreadableError as exc:
            kind = GatewayOutcomeUnknown if changes else GatewayUnavailable
            raise kind(str(exc)) from exc


def _with_fresh_key_if_spent(step: Callable[[str], T], key: str) -> T:
    """Take a step that looks before it acts; a key that can only fail is replaced once."""
    try:
        return step(key)
    except _KeySpent:
        return step(_fresh(key))


def _fresh(key: str) -> str:
    return f"{key[: LONGEST_KEY - 33]}:{uuid4().hex}"


def _paid_by(card: str) -> Mapping[str, Any]:
    """A token of any kind, as what PaymentIntents take."""
    if card in TEST_CARDS:
        return {"payment_method": TEST_CARDS[card]}
    if _METHOD.fullmatch(card):
        return {"payment_method": card}
    if _TOKEN.fullmatch(card):
        return {"payment_method_data": {"type": "card", "card": {"token": card}}}
    raise GatewayRefused("The card must be a token of Stripe, such as tok_visa or pm_….")


def _plain(answer: StripeObject) -> dict[str, Any]:
    """An answer of the SDK as plain JSON."""
    return answer.to_dict()
