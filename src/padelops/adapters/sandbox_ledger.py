"""
The sandbox's bank: what it does is committed, happens once per idempotency key, and survives.

Each operation is one transaction of the sandbox's own: the key, what happened on the card, and the
answer are written together or not at all. The same key with the same request gets that answer for
ever, also after a restart; with another request it is refused; two at once are one. As at Stripe,
a decline is an answer and is kept, a malformed request is not.

The bank does not know our rules and charges as often as it is asked with different keys: a core
that charges twice must show here.

Source: DESIGN.md section 2; https://docs.stripe.com/api/idempotent_requests.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from padelops.adapters.gateway_choice import counting
from padelops.adapters.sandbox_cards import card as card_named
from padelops.adapters.sandbox_wire import payment_from, payment_json, refund_from, refund_json
from padelops.booking.gateway import (
    Declined,
    GatewayOutcomeUnknown,
    GatewayPayment,
    GatewayRefund,
    GatewayRefused,
    GatewayStatus,
    GatewayUnavailable,
)
from padelops.errors import (
    ConstraintBroken,
    Corrupt,
    InvalidInput,
    NotPermitted,
    OutcomeUnknown,
    SchemaBehind,
    Unavailable,
)
from padelops.model import Origin, round_to_currency
from padelops.store import sandbox as books

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from decimal import Decimal

    from padelops.store.engine import Database, Tx

BANK = Origin("sandbox")
MOST = 10**12
LONGEST_TEXT = 255
PAGE = 500
_REF = re.compile(r"pi_sandbox_(\d{1,18})")


class SandboxLedger:
    """
    The books and the rules of the bank; shared by all processes on one database.

    Args:
        database: its connections are borrowed for one operation each, never the caller's.
        clock: says when something happened.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def authorize(
        self, *, reference: str, key: str, amount: Decimal, currency: str, card: str
    ) -> GatewayPayment:
        """
        Hold an amount on a card.

        Raises:
            Declined, GatewayRefused, GatewayUnavailable, GatewayOutcomeUnknown.
        """
        behaviour = card_named(card)
        amount = _exact(amount, currency)
        _texts(reference=reference)

        def work(tx: Tx, now: datetime) -> dict[str, Any]:
            row = books.insert_payment(
                tx,
                reference=reference,
                status="failed" if behaviour.decline else "authorized",
                currency=currency,
                amount=amount,
                card=card,
                decline_code=behaviour.decline,
                now=now,
            )
            books.insert_event(
                tx,
                "payment_intent.payment_failed"
                if behaviour.decline
                else "payment_intent.amount_capturable_updated",
                row.id,
                now=now,
            )
            return _answer(_payment(row, []))

        return _payment_in(
            self._once(key, ("authorize", reference, str(amount), currency, card), work)
        )

    def capture(self, gateway_ref: str, *, key: str) -> GatewayPayment:
        """Take the whole amount of a held payment; one already taken is the answer as it is."""

        def work(tx: Tx, now: datetime) -> dict[str, Any]:
            row = _locked(tx, gateway_ref)
            if row.status == "voided":
                raise GatewayRefused("The payment is voided, so there is nothing to take.")
            if row.status == "authorized":
                fails = card_named(row.card).capture_fails
                row = books.move_payment(
                    tx,
                    row.id,
                    "failed" if fails else "captured",
                    decline_code="card_declined" if fails else None,
                )
                kind = "payment_intent.payment_failed" if fails else "payment_intent.succeeded"
                books.insert_event(tx, kind, row.id, now=now)
            return _answer(_payment(row, books.refunds_of(tx, [row.id])))

        return _payment_in(self._once(key, ("capture", gateway_ref), work))

    def void(self, gateway_ref: str, *, key: str) -> GatewayPayment:
        """Let a held payment go; one that holds nothing any more is the answer as it is."""

        def work(tx: Tx, now: datetime) -> dict[str, Any]:
            row = _locked(tx, gateway_ref)
            if row.status == "captured":
                raise GatewayRefused("The payment was taken already; it can only be given back.")
            if row.status == "authorized":
                row = books.move_payment(tx, row.id, "voided")
                books.insert_event(tx, "payment_intent.canceled", row.id, now=now)
            # Not by `_answer`: that a payment had failed before is no decline of this request.
            return {"payment": payment_json(_payment(row, []))}

        return _payment_in(self._once(key, ("void", gateway_ref), work))

    def refund(
        self, gateway_ref: str, *, reference: str, key: str, amount: Decimal
    ) -> GatewayRefund:
        """Give back at most what is left; what was given under the reference is the answer."""
        _texts(reference=reference)

        def work(tx: Tx, now: datetime) -> dict[str, Any]:
            row = _locked(tx, gateway_ref)
            exact = _exact(amount, row.currency)
            for known in books.refunds_of(tx, [row.id]):
                if known.reference == reference:
                    if known.amount != exact:
                        raise GatewayRefused(
                            f"Under this reference {known.amount} {row.currency}"
                            " were given back already."
                        )
                    return {"refund": refund_json(_refund(known))}
            if row.status != "captured":
                raise GatewayRefused(f"The payment is {row.status}: there is nothing to give back.")
            left = row.captured - row.refunded
            if exact > left:
                raise GatewayRefused(
                    f"Only {left} {row.currency} of the payment are left to give back.",
                    left=str(left),
                )
            fails = card_named(row.card).refund_fails
            made = books.insert_refund(
                tx, row.id, reference=reference, amount=exact, failed=fails, now=now
            )
            books.insert_event(tx, "refund.failed" if fails else "charge.refunded", row.id, now=now)
            return {"refund": refund_json(_refund(made))}

        request = ("refund", gateway_ref, reference, f"{amount.normalize():f}")
        answer = self._once(key, request, work)
        return refund_from(answer["refund"])

    def find(self, reference: str) -> GatewayPayment | None:
        """The payment that counts under a reference, with its refunds."""
        with explained(), self._database.reading() as tx:
            rows = books.payments_under(tx, reference)
            refunds = books.refunds_of(tx, [row.id for row in rows])
        return counting(
            _payment(row, [one for one in refunds if one.payment_id == row.id]) for row in rows
        )

    def probe(self) -> None:
        """
        Raises:
            GatewayUnavailable: the books cannot be opened.
        """
        with explained(), self._database.reading() as tx:
            books.outage(tx)

    def payments(self) -> Iterator[tuple[GatewayPayment, str]]:
        """Every payment there ever was with its card, first to last: what really happened."""
        after = 0
        while True:
            with explained(), self._database.reading() as tx:
                rows = books.payments_after(tx, after, limit=PAGE)
                refunds = books.refunds_of(tx, [row.id for row in rows])
            for row in rows:
                yield _payment(row, [one for one in refunds if one.payment_id == row.id]), row.card
            if len(rows) < PAGE:
                return
            after = rows[-1].id

    def _once(
        self, key: str, request: tuple[str, ...], work: Callable[[Tx, datetime], dict[str, Any]]
    ) -> dict[str, Any]:
        """Do the work and keep its answer under the key, or give the answer that was kept."""
        _texts(key=key)
        digest = hashlib.sha256(json.dumps(request).encode()).hexdigest()
        now = self._clock()
        with explained(), self._database.transaction(BANK) as tx:
            if books.begin_request(tx, key, digest, now=now):
                answer = work(tx, now)
                books.answer_request(tx, key, answer)
                return answer
            known, kept = books.request(tx, key)
        if known != digest or kept is None:
            raise GatewayRefused("This idempotency key was used for another request.")
        return kept


def _locked(tx: Tx, gateway_ref: str) -> books.PaymentRow:
    match = _REF.fullmatch(gateway_ref)
    row = books.lock_payment(tx, int(match[1])) if match else None
    if row is None:
        raise GatewayRefused(f"The sandbox knows no payment {gateway_ref[:60]!r}.")
    return row


def _payment(row: books.PaymentRow, refunds: list[books.RefundRow]) -> GatewayPayment:
    return GatewayPayment(
        gateway_ref=f"pi_sandbox_{row.id}",
        reference=row.reference,
        status=GatewayStatus(row.status),
        currency=row.currency,
        amount=row.amount,
        captured=round_to_currency(row.captured, row.currency),
        refunded=round_to_currency(row.refunded, row.currency),
        created_at=row.created_at,
        refunds=tuple(_refund(refund) for refund in refunds),
        decline_code=row.decline_code,
    )


def _refund(row: books.RefundRow) -> GatewayRefund:
    return GatewayRefund(
        gateway_ref=f"re_sandbox_{row.id}",
        reference=row.reference,
        amount=row.amount,
        failed=row.failed,
    )


def _answer(payment: GatewayPayment) -> dict[str, Any]:
    if payment.status is GatewayStatus.FAILED:
        return {"declined": payment.decline_code}
    return {"payment": payment_json(payment)}


def _payment_in(answer: dict[str, Any]) -> GatewayPayment:
    if "declined" in answer:
        code = answer["declined"]
        raise Declined(f"The card was declined: {code}.", decline_code=code)
    return payment_from(answer["payment"])


def _exact(amount: Decimal, currency: str) -> Decimal:
    """The amount in the currency's own digits; refused, never rounded."""
    if not amount.is_finite() or not 0 < amount < MOST:
        raise GatewayRefused("The amount must be above zero, and below a million millions.")
    try:
        exact = round_to_currency(amount, currency)
    except InvalidInput as exc:
        raise GatewayRefused(exc.message) from exc
    if exact != amount:
        raise GatewayRefused(f"{amount} is no amount of {currency}.")
    return exact


def _texts(**texts: str) -> None:
    for name, text in texts.items():
        if not 0 < len(text) <= LONGEST_TEXT or not text.isprintable():
            raise GatewayRefused(f"The {name} has 1 to {LONGEST_TEXT} printable characters.")


@contextmanager
def explained() -> Iterator[None]:
    """The bank's own troubles as a customer sees them."""
    try:
        yield
    except OutcomeUnknown as exc:
        raise GatewayOutcomeUnknown(f"The sandbox's books: {exc.message}") from exc
    except ConstraintBroken as exc:
        raise GatewayRefused(f"The sandbox's books: {exc.message}") from exc
    except (Unavailable, SchemaBehind, NotPermitted, Corrupt) as exc:
        raise GatewayUnavailable(f"The sandbox's books cannot be used: {exc.message}") from exc
