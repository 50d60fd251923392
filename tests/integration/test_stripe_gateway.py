"""
The Stripe adapter where Stripe or the way to it misbehaves; on localstripe and a scripted peer.

What every gateway must do is in test_gateway_contract.py.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import traceback
from contextlib import ExitStack
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
import stripe
from pydantic import SecretStr

from padelops.adapters import gateway_http
from padelops.adapters.stripe_gateway import StripeGateway
from padelops.booking.gateway import (
    Declined,
    GatewayOutcomeUnknown,
    GatewayRefused,
    GatewayStatus,
    GatewayUnavailable,
)
from padelops.errors import InvalidInput, PadelopsError
from testbed.gateway_peers import (
    drips,
    hangs,
    hangs_up,
    localstripe,
    resets,
    says,
    scripted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "sk_test_TellsNobody42"
TWENTY = Decimal("20.00")
MANY = 101
"""One more than fits on a page."""

INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "requires_capture",
    "amount": 2000,
    "amount_received": 0,
    "currency": "eur",
    "created": 1_780_000_000,
    "metadata": {"padelops_payment": "r"},
    "latest_charge": {"id": "ch_1", "object": "charge", "refunds": {"data": []}},
}


@pytest.fixture(scope="module")
def peer() -> Iterator[str]:
    """The address of localstripe."""
    with localstripe() as url:
        yield url


@pytest.fixture
def gateway_at() -> Iterator[Callable[..., StripeGateway]]:
    """Opens gateways at an address; closed at the end."""
    with ExitStack() as stack:

        def at(url: str, key: str = KEY, *, timeout_s: float = 5) -> StripeGateway:
            gateway = StripeGateway(
                SecretStr(key), api_base=url, connect_timeout_s=1, timeout_s=timeout_s
            )
            stack.callback(gateway.close)
            return gateway

        yield at


def authorize(gateway: StripeGateway, **changes: Any) -> Any:
    facts: dict[str, Any] = {
        "reference": "r",
        "key": "k",
        "amount": TWENTY,
        "currency": "EUR",
        "card": "tok_visa",
    }
    return gateway.authorize(**facts | changes)


def answer(status: int = 200, /, **changes: Any) -> Any:
    """The scripted peer answers with an intent."""
    return says(status, json.dumps(INTENT | changes))


def error(status: int, **facts: str) -> Any:
    """The scripted peer answers with an error in Stripe's form."""
    replayed = {"Idempotent_Replayed": facts.pop("replayed")} if "replayed" in facts else {}
    return says(status, json.dumps({"error": {"message": "No.", **facts}}), **replayed)


# --- on localstripe ------------------------------------------------------------------------


def test_the_sdk_is_the_official_one(peer: str) -> None:
    """What the tests below talk with is Stripe's own package, at the pinned major version."""
    assert "16" == stripe.VERSION.partition(".")[0]
    assert peer.startswith("http://127.0.0.1:")


def test_a_card_that_wants_the_customer_is_declined(
    peer: str, gateway_at: Callable[..., StripeGateway]
) -> None:
    """Nobody is there for 3-D Secure: declined, found as failed, and never taken."""
    client = stripe.StripeClient(KEY, base_addresses={"api": peer})
    method = client.v1.payment_methods.create(
        {
            "type": "card",
            "card": {"number": "4000002760003184", "exp_month": 12, "exp_year": 2035, "cvc": "123"},
        }
    )
    gateway = gateway_at(peer)

    with pytest.raises(Declined) as caught:
        authorize(gateway, reference="secured", card=method.id)

    found = gateway.find("secured")
    assert {"decline_code": "authentication_required"} == caught.value.facts
    assert found is not None
    assert (GatewayStatus.FAILED, "authentication_required") == (found.status, found.decline_code)


def test_a_refused_key_is_named_and_never_shown(
    peer: str, gateway_at: Callable[..., StripeGateway]
) -> None:
    """The message names the setting; neither it nor the traceback holds the key."""
    gateway = gateway_at(peer, "rk_test_TellsNobody42")  # localstripe takes sk_ keys only

    with pytest.raises(GatewayRefused) as caught:
        authorize(gateway)

    told = "".join(traceback.format_exception(caught.value))
    assert "PADELOPS_STRIPE_API_KEY" in str(caught.value)
    assert "TellsNobody42" not in told


def test_a_payment_is_found_behind_a_page_of_others(
    peer: str, gateway_at: Callable[..., StripeGateway]
) -> None:
    """The list is read on: what does not stand on its first page was not "never seen"."""
    gateway = gateway_at(peer)
    for number in range(MANY):
        authorize(gateway, reference=f"many-{number}")

    found = [gateway.find(f"many-{number}") for number in (0, MANY - 1)]

    assert ["many-0", f"many-{MANY - 1}"] == [one and one.reference for one in found]
    assert gateway.find("many-never") is None


def test_a_refund_made_by_hand_counts(peer: str, gateway_at: Callable[..., StripeGateway]) -> None:
    """What somebody gave back in Stripe's dashboard is seen, and cannot be given back again."""
    gateway = gateway_at(peer)
    payment = gateway.capture(authorize(gateway, reference="by-hand"), key="c")
    client = stripe.StripeClient(KEY, base_addresses={"api": peer})
    client.v1.refunds.create({"payment_intent": payment.gateway_ref, "amount": 1500})

    with pytest.raises(GatewayRefused) as caught:
        gateway.refund(payment, reference="ours", key="f", amount=Decimal("5.01"))

    found = gateway.find("by-hand")
    assert {"left": "5.00"} == caught.value.facts
    assert found is not None
    assert [None] == [refund.reference for refund in found.refunds]
    assert Decimal("15.00") == found.refunded


def test_more_refunds_than_come_with_the_charge_are_all_seen(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """A charge brings ten refunds along; where it says that there are more, all are listed."""

    def refund(number: int) -> dict[str, Any]:
        metadata = {"padelops_refund": f"f{number}"}
        return {"id": f"re_{number}", "amount": 100, "status": "succeeded", "metadata": metadata}

    charge = {"refunds": {"data": [refund(12)], "has_more": True}}
    captured = {"status": "succeeded", "amount_received": 2000, "latest_charge": charge}
    first = says(200, json.dumps({"data": [refund(12), refund(11)], "has_more": True}))
    second = says(200, json.dumps({"data": [refund(10)], "has_more": False}))
    with scripted(answer(**captured), first, second) as script:
        gateway = gateway_at(script.url)
        payment = gateway._retrieve("pi_1", "r")

    assert ["f12", "f11", "f10"] == [one.reference for one in payment.refunds]
    assert Decimal("3.00") == payment.refunded
    assert "starting_after=re_11" in script.asked[2].path


# --- what is sent --------------------------------------------------------------------------


def test_an_authorization_is_one_request_with_our_key(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """Manual capture, confirmed at once, our reference in the metadata, the key in its header."""
    with scripted(answer()) as script:
        authorize(gateway_at(script.url), reference="r", key="once", card="tok_1AbC")

    (asked,) = script.asked
    sent = {name: values[0] for name, values in parse_qs(asked.body).items()}
    assert ("POST", "/v1/payment_intents", "once") == (
        asked.method,
        asked.path,
        asked.headers["idempotency-key"],
    )
    assert f"Bearer {KEY}" == asked.headers["authorization"]
    assert {
        "amount": "2000",
        "currency": "eur",
        "capture_method": "manual",
        "confirm": "true",
        "payment_method_types[0]": "card",
        "payment_method_data[type]": "card",
        "payment_method_data[card][token]": "tok_1AbC",
        "metadata[padelops_payment]": "r",
    } == sent


def test_a_refund_carries_both_references(gateway_at: Callable[..., StripeGateway]) -> None:
    """The payment's, so that its webhook is understood, and its own, so that it is found."""
    made = says(200, json.dumps({"id": "re_1", "amount": 500, "status": "pending"}))
    with scripted(answer(status="succeeded", amount_received=2000), made) as script:
        gateway = gateway_at(script.url)
        payment = gateway._retrieve("pi_1", "r")
        script.asked.clear()

        gateway.refund(payment, reference="f", key="once", amount=Decimal("5.00"))

    sent = parse_qs(script.asked[1].body)
    assert "once" == script.asked[1].headers["idempotency-key"]
    assert {
        "payment_intent": ["pi_1"],
        "amount": ["500"],
        "metadata[padelops_payment]": ["r"],
        "metadata[padelops_refund]": ["f"],
    } == sent


@pytest.mark.parametrize("failure", [hangs, resets, hangs_up, error(500), error(409), error(429)])
def test_nothing_is_repeated_by_itself(
    gateway_at: Callable[..., StripeGateway], failure: Any
) -> None:
    """One call of the core is one request, whatever happens to it."""
    lost = pytest.raises((GatewayOutcomeUnknown, GatewayUnavailable))
    with scripted(failure) as script, lost:
        authorize(gateway_at(script.url, timeout_s=0.5))

    assert 1 == len(script.asked)


# --- what failures mean --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "meaning", "code"),
    [
        (error(402, code="card_declined", decline_code="lost_card"), Declined, "lost_card"),
        (
            error(402, code="card_declined", decline_code="generic_decline"),
            Declined,
            "card_declined",
        ),
        (error(402, code="expired_card"), Declined, "expired_card"),
        (error(401), GatewayRefused, None),
        (error(403), GatewayRefused, None),
        (error(400), GatewayRefused, None),
        (error(404), GatewayRefused, None),
        (error(400, type="idempotency_error"), GatewayRefused, None),
        (says(404, "<html>not Stripe</html>"), GatewayRefused, None),
        (error(429), GatewayUnavailable, None),
        (error(400, code="rate_limit"), GatewayUnavailable, None),
        (error(409), GatewayOutcomeUnknown, None),
        (error(500), GatewayOutcomeUnknown, None),
        (error(503), GatewayOutcomeUnknown, None),
        (says(502, "<html>Bad gateway</html>"), GatewayOutcomeUnknown, None),
        (says(302, "", Location="http://127.0.0.1:1/"), GatewayOutcomeUnknown, None),
        (says(200, "not JSON"), GatewayOutcomeUnknown, None),
        (says(200, "{}"), GatewayOutcomeUnknown, None),
        (says(200, '{"id": "pi_1", "status": "requires_capture"}'), GatewayOutcomeUnknown, None),
        (answer(currency="xxx"), GatewayOutcomeUnknown, None),
        (answer(amount=20.5), GatewayOutcomeUnknown, None),
        (answer(status="requires_payment_method"), Declined, "card_declined"),
        (resets, GatewayOutcomeUnknown, None),
        (hangs_up, GatewayOutcomeUnknown, None),
        (hangs, GatewayOutcomeUnknown, None),
        (drips, GatewayOutcomeUnknown, None),
    ],
)
def test_a_failed_change_is_told_apart(
    gateway_at: Callable[..., StripeGateway],
    failure: Any,
    meaning: type[PadelopsError],
    code: str | None,
) -> None:
    """It did not happen, it was refused, it was declined, or nobody knows; and never too late."""
    with scripted(failure) as script:
        gateway = gateway_at(script.url, timeout_s=0.5)
        begun = time.monotonic()
        with pytest.raises(meaning) as caught:
            authorize(gateway)
        took = time.monotonic() - begun

    assert meaning is type(caught.value)
    assert code == caught.value.facts.get("decline_code")
    assert took < 3


@pytest.mark.parametrize("failure", [error(500), error(409), error(429), hangs, resets, hangs_up])
def test_a_question_without_an_answer_leaves_nothing_in_doubt(
    gateway_at: Callable[..., StripeGateway], failure: Any
) -> None:
    """Looking up changes nothing, so it is "unavailable"; and it is never "not found"."""
    with scripted(failure) as script:
        gateway = gateway_at(script.url, timeout_s=0.5)

        with pytest.raises(GatewayUnavailable):
            gateway.find("r")
        with pytest.raises(GatewayUnavailable):
            gateway.probe()


def test_a_capture_whose_look_up_fails_was_never_asked_for(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """The state is read first; without it nothing is sent, so nothing is in doubt."""
    with scripted(answer(), error(500)) as script:
        gateway = gateway_at(script.url)
        payment = gateway._retrieve("pi_1", "r")

        with pytest.raises(GatewayUnavailable):
            gateway.capture(payment, key="c")

    assert ["GET", "GET"] == [asked.method for asked in script.asked]


def test_a_refused_connection_is_a_request_never_sent(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """Nobody listens: try again later."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(GatewayUnavailable):
        authorize(gateway_at(url))


def test_a_name_that_does_not_resolve_is_a_request_never_sent(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """`.invalid` never exists (RFC 2606)."""
    with pytest.raises(GatewayUnavailable):
        authorize(gateway_at("https://stripe.invalid", timeout_s=3))


def test_a_broken_handshake_is_a_request_never_sent(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """TLS is asked of a server that speaks none: no request went out."""
    with scripted(answer()) as script, pytest.raises(GatewayUnavailable):
        authorize(gateway_at(script.url.replace("http://", "https://"), timeout_s=2))

    assert [] == script.asked


def test_a_name_that_resolves_too_late_is_a_request_never_sent_at_all(
    gateway_at: Callable[..., StripeGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The resolver answers after the deadline: given up as never sent, and not sent afterwards either.
    """
    resolve, let_go = socket.getaddrinfo, threading.Event()
    late: list[threading.Thread] = []

    def slow(*arguments: Any, **options: Any) -> Any:
        late.append(threading.current_thread())
        let_go.wait(10)
        return resolve(*arguments, **options)

    with scripted(answer()) as script:
        gateway = gateway_at(script.url, timeout_s=0.3)
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        with pytest.raises(GatewayUnavailable):
            authorize(gateway)
        let_go.set()
        late[0].join(10)

    assert [False] == [thread.is_alive() for thread in late]
    assert [] == script.asked


def test_a_forked_child_does_not_use_its_parent_s_connection(
    gateway_at: Callable[..., StripeGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a shared connection it could read the answer to another's payment."""
    with scripted(answer()) as script:
        gateway = gateway_at(script.url)
        authorize(gateway)
        parents = gateway._http._client
        monkeypatch.setattr(gateway_http, "os", SimpleNamespace(getpid=lambda: -1))
        authorize(gateway)
        childs = gateway._http._client
        authorize(gateway)

    assert parents is not childs
    assert childs is gateway._http._client
    parents.close()


# --- keys that Stripe keeps failing --------------------------------------------------------

SPENT = error(500, replayed="true")
"""The failure that Stripe keeps under an idempotency key, given again."""


def test_a_capture_whose_key_is_spent_gets_a_fresh_one(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """After another look, because that first execution may have worked after all."""
    done = answer(status="succeeded", amount_received=2000)
    with scripted(answer(), answer(), SPENT, answer(), done) as script:
        gateway = gateway_at(script.url)
        payment = gateway._retrieve("pi_1", "r")

        captured = gateway.capture(payment, key="c")

    asked = script.asked[1:]
    keys = [one.headers["idempotency-key"] for one in asked if one.method == "POST"]
    assert GatewayStatus.CAPTURED is captured.status
    assert ["GET", "POST", "GET", "POST"] == [one.method for one in asked]
    assert "c" == keys[0]
    assert keys[1].startswith("c:")


def test_a_spent_authorization_that_worked_is_found_and_not_repeated(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """The first execution left a payment: that is the answer."""
    page = says(200, json.dumps({"data": [INTENT], "has_more": False}))
    with scripted(SPENT, page, answer()) as script:
        payment = authorize(gateway_at(script.url))

    assert ("pi_1", GatewayStatus.AUTHORIZED) == (payment.gateway_ref, payment.status)
    assert ["POST", "GET", "GET"] == [one.method for one in script.asked]


def test_a_spent_authorization_that_left_nothing_is_asked_for_again(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """The first execution is over and left no payment, so another cannot be the second."""
    nothing = says(200, json.dumps({"data": [], "has_more": False}))
    with scripted(SPENT, nothing, nothing, answer()) as script:
        payment = authorize(gateway_at(script.url))

    keys = [one.headers["idempotency-key"] for one in script.asked if one.method == "POST"]
    assert GatewayStatus.AUTHORIZED is payment.status
    assert (2, "k") == (len(set(keys)), keys[0])


def test_a_first_failure_is_not_taken_for_a_spent_key(
    gateway_at: Callable[..., StripeGateway],
) -> None:
    """Without the header that says "replayed" it is an ordinary unknown outcome."""
    with scripted(error(500)) as script, pytest.raises(GatewayOutcomeUnknown):
        authorize(gateway_at(script.url))

    assert 1 == len(script.asked)


# --- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", "pk_test_1234", "sk_test_1\nX: y", "whatever"])
def test_a_key_that_is_none_is_refused_at_once(key: str | None) -> None:
    """Before any payment; a key that would break a header is refused as well, and not shown."""
    with pytest.raises(InvalidInput) as caught:
        StripeGateway(None if key is None else SecretStr(key))

    assert "PADELOPS_STRIPE_API_KEY" in caught.value.message
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["", "api.stripe.com", "ftp://h", "https://", "https://u:p@h", "http://h/v1", "http://h:99999"],
)
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    """It names the setting; a password in the address is not shown."""
    with pytest.raises(InvalidInput) as caught:
        StripeGateway(SecretStr(KEY), api_base=address)

    assert "PADELOPS_STRIPE_API_BASE" in caught.value.message
    assert "u:p" not in str(caught.value)


def test_a_live_key_is_never_sent_unencrypted() -> None:
    """Only this machine may be spoken to without TLS."""
    StripeGateway(SecretStr("sk_live_1234"), api_base="http://127.0.0.1:1").close()
    StripeGateway(SecretStr("sk_live_1234"), api_base="https://stripe.test").close()

    with pytest.raises(InvalidInput) as caught:
        StripeGateway(SecretStr("sk_live_1234"), api_base="http://stripe.test")

    assert "PADELOPS_STRIPE_API_BASE" == caught.value.facts["variable"]


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the gateway is opened, not when the first card is charged."""
    monkeypatch.setitem(sys.modules, "stripe", None)

    with pytest.raises(InvalidInput, match=r"pip install 'padelops\[stripe\]'"):
        StripeGateway(SecretStr(KEY))
