"""
One contract, three gateways: the sandbox in process, the sandbox over HTTP, Stripe on localstripe.

Where localstripe cannot agree it is named in `DIFFERENCES` with the reason, and what it does
instead is tested as well: if it learns better, its line here must go.

Source: DESIGN.md section 8, "localstripe"; ACCEPTANCE scenarios 11, 12, 17.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from padelops.adapters.sandbox_gateway import SandboxGateway
from padelops.adapters.sandbox_http import SandboxHttp
from padelops.adapters.stripe_gateway import StripeGateway
from padelops.booking.gateway import (
    Declined,
    GatewayPayment,
    GatewayRefused,
    GatewayStatus,
    PaymentGateway,
)
from padelops.store.engine import Database
from testbed import gateway_peers
from testbed.racing import race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Databases
    from padelops.adapters.embedded_postgres import EmbeddedPostgres

TWENTY = Decimal("20.00")

GATEWAYS = ("sandbox", "sandbox over HTTP", "stripe on localstripe")

DIFFERENCES = {
    "honours idempotency keys": "localstripe reads no Idempotency-Key header",
    "declines by many test cards": "of the test cards that decline, localstripe knows"
    " pm_card_chargeCustomerFail, and pm_card_visa_chargeDeclined only when it is saved",
    "gives the bank's reason": "localstripe has no decline_code",
}
"""What `stripe on localstripe` cannot do, and why. All of it works at Stripe and in the sandbox."""

DECLINED_CARD = {
    "sandbox": "tok_chargeDeclined",
    "sandbox over HTTP": "tok_chargeDeclined",
    "stripe on localstripe": "tok_chargeCustomerFail",
}
"""A card whose authorization is declined; see "declines by many test cards"."""


def where_it_can(difference: str) -> pytest.MarkDecorator:
    """Only the gateways that can do it; for the other there is a test `where_it_cannot`."""
    assert difference in DIFFERENCES
    return pytest.mark.parametrize("kind", GATEWAYS[:2], indirect=True)


def where_it_cannot(difference: str) -> pytest.MarkDecorator:
    assert difference in DIFFERENCES
    return pytest.mark.parametrize("kind", GATEWAYS[2:], indirect=True)


@pytest.fixture(scope="module")
def books_url(
    databases: Databases, postgres_server: EmbeddedPostgres, template: str
) -> Iterator[str]:
    """The database of this module's sandboxes."""
    name = databases.create(template)
    yield postgres_server.url(name)
    databases.done_with(name)


@pytest.fixture(scope="module", params=GATEWAYS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(kind: str, books_url: str) -> Iterator[PaymentGateway]:
    """Each gateway in turn, as the core sees it."""
    match kind:
        case "sandbox":
            database = Database(books_url, budget_ms=10_000)
            yield SandboxGateway(database, clock=lambda: datetime.now(UTC))
            database.close()
        case "sandbox over HTTP":
            with gateway_peers.sandbox(books_url) as peer:
                http = SandboxHttp(peer.url)
                yield http
                http.close()
        case _:
            with gateway_peers.localstripe() as url:
                stripe = StripeGateway(SecretStr("sk_test_contract"), api_base=url)
                yield stripe
                stripe.close()


@pytest.fixture
def reference() -> str:
    """A reference that no other test uses."""
    return f"claim-{uuid4().hex}"


@pytest.fixture
def authorize(gateway: PaymentGateway, reference: str) -> Callable[..., GatewayPayment]:
    """Authorizes 20 EUR on a good card; keywords change that."""

    def authorize(**changes: Any) -> GatewayPayment:
        facts: dict[str, Any] = {
            "reference": reference,
            "key": f"authorize:{reference}",
            "amount": TWENTY,
            "currency": "EUR",
            "card": "tok_visa",
        }
        return gateway.authorize(**facts | changes)

    return authorize


@pytest.fixture
def captured(gateway: PaymentGateway, authorize: Any) -> GatewayPayment:
    """20 EUR, taken."""
    return gateway.capture(authorize(), key=f"capture:{uuid4().hex}")


# --- authorize -----------------------------------------------------------------------------


def test_an_authorization_holds_and_takes_nothing(
    gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """What was authorized is found again by our reference, with nothing taken."""
    before = datetime.now(UTC) - timedelta(seconds=2)

    payment = authorize()

    assert (GatewayStatus.AUTHORIZED, reference, None) == (
        payment.status,
        payment.reference,
        payment.decline_code,
    )
    assert ("EUR", "20.00", "0.00", "0.00") == (
        payment.currency,
        str(payment.amount),
        str(payment.captured),
        str(payment.refunded),
    )
    assert before < payment.created_at < datetime.now(UTC) + timedelta(seconds=2)
    assert payment == gateway.find(reference)


def test_what_was_never_asked_for_is_not_found(gateway: PaymentGateway, reference: str) -> None:
    """An unknown reference is None, not an error."""
    assert gateway.find(reference) is None


@pytest.mark.parametrize(
    ("currency", "amount"), [("EUR", "0.50"), ("JPY", "2000"), ("KWD", "6.250"), ("ISK", "3500")]
)
def test_amounts_keep_the_digits_of_their_currency(
    gateway: PaymentGateway, authorize: Any, reference: str, currency: str, amount: str
) -> None:
    """Currencies of none, two and three digits go there and back exactly, in every amount."""
    authorize(currency=currency, amount=Decimal(amount))
    found = gateway.find(reference)
    assert found is not None
    gateway.capture(found, key=f"capture:{reference}")
    gateway.refund(found, reference=f"r-{reference}", key=f"r:{reference}", amount=Decimal(amount))

    found = gateway.find(reference)

    assert found is not None
    assert {(currency, amount)} == {
        (found.currency, str(sum_))
        for sum_ in (found.amount, found.captured, found.refunded, found.refunds[0].amount)
    }


@pytest.mark.parametrize("amount", ["0", "-5", "20.001", "0.005", "NaN", "Infinity", "1E+20"])
def test_an_impossible_amount_is_refused(
    gateway: PaymentGateway, authorize: Any, reference: str, amount: str
) -> None:
    """Nothing is rounded, and nothing is written."""
    with pytest.raises(GatewayRefused):
        authorize(amount=Decimal(amount))

    assert gateway.find(reference) is None


@pytest.mark.parametrize("card", ["tok_neverIssued", "4242424242424242", "", "tok_visa\n", "é"])
def test_an_unknown_card_is_refused(
    gateway: PaymentGateway, authorize: Any, reference: str, card: str
) -> None:
    """Only tokens that the gateway knows are taken; a card number is none."""
    with pytest.raises(GatewayRefused):
        authorize(card=card)

    assert gateway.find(reference) is None


def test_a_decline_charges_nothing_and_is_found_as_failed(
    kind: str, gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """The reason is among the error's facts and with the failed payment."""
    with pytest.raises(Declined) as caught:
        authorize(card=DECLINED_CARD[kind])

    found = gateway.find(reference)
    assert {"decline_code": "card_declined"} == caught.value.facts
    assert found is not None
    assert (GatewayStatus.FAILED, "card_declined", Decimal(0)) == (
        found.status,
        found.decline_code,
        found.captured,
    )


def test_after_a_decline_another_card_works(
    kind: str, gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """The retry has a key of its own; under a shared reference the money is what is found."""
    with pytest.raises(Declined):
        authorize(card=DECLINED_CARD[kind])

    payment = authorize(key=f"again:{reference}")

    assert GatewayStatus.AUTHORIZED is payment.status
    assert payment == gateway.find(reference)


def test_a_declined_payment_can_be_let_go_but_not_taken(
    kind: str, gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """Voiding what failed is harmless; taking it is declined for the same reason."""
    with pytest.raises(Declined):
        authorize(card=DECLINED_CARD[kind])
    failed = gateway.find(reference)
    assert failed is not None

    voided = gateway.void(failed, key=f"void:{reference}")
    with pytest.raises(Declined) as caught:
        gateway.capture(failed, key=f"capture:{reference}")

    assert GatewayStatus.FAILED is voided.status
    assert {"decline_code": "card_declined"} == caught.value.facts


@where_it_can("gives the bank's reason")
@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("tok_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("tok_chargeDeclinedLostCard", "lost_card"),
        ("tok_chargeDeclinedExpiredCard", "expired_card"),
        ("tok_chargeDeclinedProcessingError", "processing_error"),
    ],
)
def test_each_card_is_declined_for_its_own_reason(authorize: Any, card: str, reason: str) -> None:
    """The code says what to tell the customer."""
    with pytest.raises(Declined) as caught:
        authorize(card=card)

    assert {"decline_code": reason} == caught.value.facts


@where_it_cannot("declines by many test cards")
def test_localstripe_holds_what_stripe_declines(authorize: Any) -> None:
    """Kept to notice when localstripe learns to decline it."""
    assert GatewayStatus.AUTHORIZED is authorize(card="tok_chargeDeclined").status


# --- capture and void ----------------------------------------------------------------------


def test_a_capture_takes_all_of_it_once(
    gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """Captured again, with the same key or another, it stays captured once."""
    payment = authorize()

    first = gateway.capture(payment, key=f"capture:{reference}")
    same_key = gateway.capture(payment, key=f"capture:{reference}")
    other_key = gateway.capture(payment, key=f"capture-again:{reference}")

    assert (GatewayStatus.CAPTURED, TWENTY, Decimal(0)) == (
        first.status,
        first.captured,
        first.refunded,
    )
    assert [first] * 3 == [same_key, other_key, gateway.find(reference)]


def test_a_void_lets_go_once(gateway: PaymentGateway, authorize: Any, reference: str) -> None:
    """Voided again, with the same key or another, it stays voided; nothing was taken or given."""
    payment = authorize()

    first = gateway.void(payment, key=f"void:{reference}")
    same_key = gateway.void(payment, key=f"void:{reference}")
    other_key = gateway.void(payment, key=f"void-again:{reference}")

    assert (GatewayStatus.VOIDED, Decimal(0), Decimal(0), ()) == (
        first.status,
        first.captured,
        first.refunded,
        first.refunds,
    )
    assert [first] * 3 == [same_key, other_key, gateway.find(reference)]


def test_what_was_let_go_cannot_be_taken(
    gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """A capture after the void is refused and changes nothing."""
    voided = gateway.void(authorize(), key=f"void:{reference}")

    with pytest.raises(GatewayRefused):
        gateway.capture(voided, key=f"capture:{reference}")

    assert voided == gateway.find(reference)


def test_what_was_taken_cannot_be_let_go(
    gateway: PaymentGateway, captured: GatewayPayment, reference: str
) -> None:
    """A void after the capture is refused and changes nothing."""
    with pytest.raises(GatewayRefused):
        gateway.void(captured, key=f"void:{reference}")

    assert captured == gateway.find(reference)


def test_workers_that_capture_at_once_take_it_once(
    gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """Whoever loses the race gets the captured payment as well."""
    payment = authorize()

    finishes = race(
        *(
            lambda worker=worker: gateway.capture(payment, key=f"{worker}:{reference}")
            for worker in range(6)
        )
    )

    found = gateway.find(reference)
    assert found is not None
    assert TWENTY == found.captured
    assert [found] * 6 == [finish.value for finish in finishes]


def test_a_capture_racing_a_void_ends_one_way(
    gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """One of them wins; the other is refused, and what is found agrees with the winner."""
    payment = authorize()

    finishes = race(
        lambda: gateway.capture(payment, key=f"capture:{reference}"),
        lambda: gateway.void(payment, key=f"void:{reference}"),
    )

    won = [finish.value for finish in finishes if finish.ok]
    assert [GatewayRefused] == [type(finish.error) for finish in finishes if not finish.ok]
    assert won == [gateway.find(reference)]


def test_an_unknown_payment_is_refused(gateway: PaymentGateway, captured: GatewayPayment) -> None:
    """A payment that the gateway never made can be neither taken, let go nor given back."""
    stranger = replace(captured, gateway_ref="pi_sandbox_999999999999")

    with pytest.raises(GatewayRefused):
        gateway.capture(stranger, key=uuid4().hex)
    with pytest.raises(GatewayRefused):
        gateway.void(stranger, key=uuid4().hex)
    with pytest.raises(GatewayRefused):
        gateway.refund(stranger, reference="x", key=uuid4().hex, amount=TWENTY)


# --- refunds -------------------------------------------------------------------------------


def test_refunds_add_up_to_what_was_taken_and_no_further(
    gateway: PaymentGateway, captured: GatewayPayment, reference: str
) -> None:
    """Two parts make the whole; a cent more is refused before or by the gateway."""
    part = gateway.refund(captured, reference="part", key=f"1:{reference}", amount=Decimal("7.50"))
    with pytest.raises(GatewayRefused) as caught:
        gateway.refund(captured, reference="more", key=f"2:{reference}", amount=Decimal("12.51"))
    rest = gateway.refund(captured, reference="rest", key=f"3:{reference}", amount=Decimal("12.50"))
    with pytest.raises(GatewayRefused):
        gateway.refund(captured, reference="cent", key=f"4:{reference}", amount=Decimal("0.01"))

    found = gateway.find(reference)

    assert found is not None
    assert {"left": "12.50"} == caught.value.facts
    assert ("part", Decimal("7.50"), False) == (part.reference, part.amount, part.failed)
    assert {part, rest} == set(found.refunds)
    assert (GatewayStatus.CAPTURED, TWENTY, TWENTY) == (
        found.status,
        found.captured,
        found.refunded,
    )


def test_one_refund_under_one_reference(
    gateway: PaymentGateway, captured: GatewayPayment, reference: str
) -> None:
    """Asked again, with the same key or another, the refund that was made is the answer."""
    amount = Decimal("5.00")

    first = gateway.refund(captured, reference="r", key=f"1:{reference}", amount=amount)
    same_key = gateway.refund(captured, reference="r", key=f"1:{reference}", amount=amount)
    other_key = gateway.refund(captured, reference="r", key=f"2:{reference}", amount=amount)
    with pytest.raises(GatewayRefused):
        gateway.refund(captured, reference="r", key=f"3:{reference}", amount=Decimal("6.00"))

    found = gateway.find(reference)
    assert found is not None
    assert [first] * 2 == [same_key, other_key]
    assert ((first,), amount) == (found.refunds, found.refunded)


def test_what_was_not_taken_cannot_be_given_back(
    gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """Neither a held payment nor a voided one has anything to give back."""
    held = authorize()

    with pytest.raises(GatewayRefused):
        gateway.refund(held, reference="r", key=f"1:{reference}", amount=TWENTY)
    voided = gateway.void(held, key=f"void:{reference}")
    with pytest.raises(GatewayRefused):
        gateway.refund(voided, reference="r", key=f"2:{reference}", amount=TWENTY)

    assert voided == gateway.find(reference)


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN"])
def test_an_impossible_refund_is_refused(
    gateway: PaymentGateway, captured: GatewayPayment, reference: str, amount: str
) -> None:
    """Nothing is rounded, and nothing is given back."""
    with pytest.raises(GatewayRefused):
        gateway.refund(captured, reference="r", key=f"1:{reference}", amount=Decimal(amount))

    assert captured == gateway.find(reference)


# --- idempotency keys ----------------------------------------------------------------------


@where_it_can("honours idempotency keys")
def test_the_same_key_is_the_same_payment(authorize: Any) -> None:
    """Asked twice, charged once."""
    assert authorize() == authorize()


@where_it_can("honours idempotency keys")
def test_a_key_used_for_something_else_is_refused(
    gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """The key belongs to its first request, whatever part of it changes."""
    payment = authorize()

    for change in ({"amount": Decimal("21.00")}, {"card": "tok_amex"}, {"reference": "other"}):
        with pytest.raises(GatewayRefused):
            authorize(**change)
    with pytest.raises(GatewayRefused):
        gateway.capture(payment, key=f"authorize:{reference}")

    assert payment == gateway.find(reference)


@where_it_can("honours idempotency keys")
def test_a_decline_is_kept_under_its_key(authorize: Any) -> None:
    """The same key is declined again, and no second attempt is made on the card."""
    for _ in range(2):
        with pytest.raises(Declined) as caught:
            authorize(card="tok_chargeDeclinedInsufficientFunds")

        assert {"decline_code": "insufficient_funds"} == caught.value.facts


@where_it_can("honours idempotency keys")
def test_a_refused_request_does_not_use_its_key_up(authorize: Any) -> None:
    """What was malformed can be corrected under the same key."""
    with pytest.raises(GatewayRefused):
        authorize(card="tok_neverIssued")

    assert GatewayStatus.AUTHORIZED is authorize().status


@where_it_can("honours idempotency keys")
def test_racing_requests_with_one_key_are_one_charge(authorize: Any) -> None:
    """Eight at once get one and the same payment."""
    finishes = race(*[authorize] * 8)

    assert [True] * 8 == [finish.ok for finish in finishes]
    assert 1 == len({finish.value.gateway_ref for finish in finishes})


@where_it_can("honours idempotency keys")
def test_racing_refunds_with_one_reference_are_one_refund(
    gateway: PaymentGateway, captured: GatewayPayment, reference: str
) -> None:
    """Eight at once give back once."""
    finishes = race(
        *[
            lambda: gateway.refund(
                captured, reference="r", key=f"r:{reference}", amount=Decimal("5.00")
            )
        ]
        * 8
    )

    found = gateway.find(reference)
    assert found is not None
    assert [True] * 8 == [finish.ok for finish in finishes]
    assert {found.refunds} == {(finish.value,) for finish in finishes}


@where_it_cannot("honours idempotency keys")
def test_localstripe_charges_one_key_twice(
    gateway: PaymentGateway, authorize: Any, reference: str
) -> None:
    """So the core looks up before it repeats; the older of the two is what everybody finds."""
    first, second = authorize(), authorize()

    assert first.gateway_ref != second.gateway_ref
    assert gateway.find(reference) in {first, second}
    assert gateway.find(reference) == gateway.find(reference)
