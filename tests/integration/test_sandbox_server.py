"""
The sandbox over HTTP, in a process of its own: it really hangs, resets, dies and comes back.

What every gateway must do is in test_gateway_contract.py.
"""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from padelops.adapters import gateway_events
from padelops.adapters.sandbox_faults import FaultKind, Operation, SandboxFaults
from padelops.adapters.sandbox_gateway import SandboxGateway
from padelops.adapters.sandbox_http import SandboxHttp
from padelops.adapters.sandbox_ledger import SandboxLedger
from padelops.adapters.sandbox_server import SandboxServer
from padelops.adapters.sandbox_webhooks import Manner, Order, SandboxWebhooks
from padelops.booking.gateway import (
    GatewayOutcomeUnknown,
    GatewayPayment,
    GatewayStatus,
    GatewayUnavailable,
)
from padelops.errors import InvalidInput, NotPermitted
from padelops.store.engine import Database
from testbed.gateway_peers import Peer, hangs, hangs_up, listens, sandbox, says, scripted
from testbed.racing import Running
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Databases
    from padelops.adapters.embedded_postgres import EmbeddedPostgres

TWENTY = Decimal("20.00")
SECRET = SecretStr("whsec_test")
PATIENCE_S = 1.0


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def books_url(
    databases: Databases, postgres_server: EmbeddedPostgres, template: str
) -> Iterator[str]:
    """The database that this module's processes share."""
    name = databases.create(template)
    yield postgres_server.url(name)
    databases.done_with(name)


@pytest.fixture(scope="module")
def database(books_url: str) -> Iterator[Database]:
    database = Database(books_url, budget_ms=10_000)
    yield database
    database.close()


@pytest.fixture
def bank(database: Database) -> Iterator[SandboxGateway]:
    """The same sandbox in this process: its books, and its faults, which end with the test."""
    gateway = SandboxGateway(database, clock=now)
    yield gateway
    gateway.faults.clear()


@pytest.fixture(scope="module")
def server(books_url: str) -> Iterator[Peer]:
    with sandbox(books_url) as peer:
        yield peer


@pytest.fixture
def ref() -> str:
    """A reference that no other test uses."""
    return f"r-{uuid4().hex}"


@pytest.fixture
def client() -> Iterator[Callable[[str], SandboxHttp]]:
    """Opens clients that lose patience soon; closed at the end."""
    with ExitStack() as stack:

        def at(url: str) -> SandboxHttp:
            gateway = SandboxHttp(url, timeout_s=PATIENCE_S)
            stack.callback(gateway.close)
            return gateway

        yield at


def authorize(gateway: SandboxHttp | SandboxGateway, ref: str, **changes: Any) -> GatewayPayment:
    facts: dict[str, Any] = {
        "reference": ref,
        "key": ref,
        "amount": TWENTY,
        "currency": "EUR",
        "card": "tok_visa",
    }
    return gateway.authorize(**facts | changes)


def charges(bank: SandboxGateway, ref: str) -> int:
    """How often the bank was made to hold money under this reference."""
    return sum(payment.reference == ref for payment, _ in bank.ledger.payments())


# --- faults --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "done", "waits"),
    [
        (FaultKind.TIMEOUT_BEFORE_WORK, False, True),
        (FaultKind.TIMEOUT_AFTER_WORK, True, True),
        (FaultKind.ERROR_500, False, False),
        (FaultKind.ERROR_500_AFTER_WORK, True, False),
        (FaultKind.RESET_BEFORE_WORK, False, False),
        (FaultKind.RESET, True, False),
    ],
)
def test_each_fault_is_real(
    bank: SandboxGateway,
    server: Peer,
    client: Callable[[str], SandboxHttp],
    ref: str,
    kind: FaultKind,
    done: bool,
    waits: bool,
) -> None:
    """Set by one process, it happens in another, on the wire; a repeated request charges once."""
    gateway = client(server.url)
    bank.faults.set(Operation.AUTHORIZE, kind, times=1)
    bank.faults.set(Operation.FIND, kind, times=1)
    begun = time.monotonic()

    with pytest.raises(GatewayOutcomeUnknown):
        authorize(gateway, ref)
    took = time.monotonic() - begun
    with pytest.raises(GatewayUnavailable):
        gateway.find(ref)

    assert done == (gateway.find(ref) is not None)
    assert waits == (took >= PATIENCE_S)
    authorize(gateway, ref)
    assert 1 == charges(bank, ref)


def test_a_latency_is_waited_for(
    bank: SandboxGateway, server: Peer, client: Callable[[str], SandboxHttp], ref: str
) -> None:
    """Slow, and right; slower than the client's patience, and unknown."""
    bank.faults.set(Operation.AUTHORIZE, FaultKind.LATENCY_MS, latency_ms=300, times=1)
    bank.faults.set(Operation.AUTHORIZE, FaultKind.LATENCY_MS, latency_ms=1500, times=1)
    gateway = client(server.url)
    begun = time.monotonic()

    authorize(gateway, ref)
    took = time.monotonic() - begun
    with pytest.raises(GatewayOutcomeUnknown):
        authorize(gateway, f"late-{ref}")
    not_yet = bank.find(f"late-{ref}")

    assert took >= 0.3
    assert not_yet is None
    until(lambda: bank.find(f"late-{ref}"))


def test_an_outage_is_nobody_there(
    bank: SandboxGateway, server: Peer, client: Callable[[str], SandboxHttp], ref: str
) -> None:
    """The port refuses connections, so nothing can be in doubt; then it is back at the same one."""
    gateway = client(server.url)
    authorize(gateway, ref)

    bank.faults.set(Operation.ANY, FaultKind.OUTAGE)
    until(lambda: not listens(server.port))
    with pytest.raises(GatewayUnavailable):
        authorize(gateway, f"away-{ref}")
    with pytest.raises(GatewayUnavailable):
        gateway.probe()
    bank.faults.clear()
    until(lambda: listens(server.port))

    gateway.probe()
    assert gateway.find(f"away-{ref}") is None
    assert GatewayStatus.AUTHORIZED is authorize(gateway, ref).status


def test_killed_between_the_work_and_the_answer(
    bank: SandboxGateway, books_url: str, client: Callable[[str], SandboxHttp], ref: str
) -> None:
    """
    By kill -9 after the commit: the caller does not know, the books do, and the same key is no
    second charge at the server's successor.
    """
    with sandbox(books_url) as server:
        gateway = SandboxHttp(server.url, timeout_s=30)
        bank.faults.set(Operation.AUTHORIZE, FaultKind.TIMEOUT_AFTER_WORK, times=1)
        asking = Running(lambda: authorize(gateway, ref))
        until(lambda: bank.find(ref))

        server.process.kill()
        server.process.wait()
        finish = asking.finish()
        gateway.close()

    assert GatewayOutcomeUnknown is type(finish.error)
    charged = bank.find(ref)
    with sandbox(books_url, port=server.port) as successor:
        again = client(successor.url)

        assert charged == again.find(ref)
        assert charged == authorize(again, ref)
    assert 1 == charges(bank, ref)


# --- the server ----------------------------------------------------------------------------


def asked(peer: Peer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """Send a request as it is, and read its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=20)
    connection.putrequest(method, path)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text.startswith(b"{") else text


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/nothing", b"", {}, 404),
        ("POST", "/payments/pi_sandbox_1/burn", b"{}", {"Content_Length": "2"}, 404),
        (
            "POST",
            "/payments/pi_sandbox_99999999/capture",
            b'{"key": "k"}',
            {"Content_Length": "12"},
            400,
        ),
        ("POST", "/payments/../../etc/passwd", b"{}", {"Content_Length": "2"}, 404),
        ("POST", "/payments", b"", {}, 411),
        ("POST", "/payments", b"", {"Content_Length": "-1"}, 411),
        ("POST", "/payments", b"", {"Content_Length": "99999999"}, 413),
        ("POST", "/payments", b"", {"Content_Length": "9" * 30}, 411),
        ("POST", "/payments", b"[]", {"Content_Length": "2"}, 400),
        ("POST", "/payments", b"{,", {"Content_Length": "2"}, 400),
        ("POST", "/payments", b"{}", {"Content_Length": "2"}, 400),
        ("POST", "/payments", b"[" * 60_000, {"Content_Length": "60000"}, 400),
        ("DELETE", "/payments", b"", {}, 501),
    ],
)
def test_a_request_that_is_none_is_refused(
    server: Peer, method: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    """With a status and one line, before anything is read that has no end."""
    code, _ = asked(server, method, path, body, **headers)

    assert status == code


def test_what_is_no_text_is_no_fact(server: Peer) -> None:
    """Numbers for names and amounts as floating point are refused, not converted."""
    facts = {"reference": "r", "key": "k", "amount": "20.00", "currency": "EUR", "card": "tok_visa"}
    for name in facts:
        for wrong in (20.0, None, ["x"], "\x00", "x" * 300):
            body = json.dumps(facts | {name: wrong}).encode()
            status, answer = asked(server, "POST", "/payments", body, Content_Length=str(len(body)))

            assert (400, "message") == (status, next(iter(answer["error"])))


def test_a_port_that_is_taken_is_said_so(server: Peer, database: Database) -> None:
    """One line that names the address."""
    with pytest.raises(InvalidInput, match=f"127.0.0.1:{server.port}"):
        SandboxServer(
            SandboxLedger(database, now),
            SandboxFaults(database, now),
            host="127.0.0.1",
            port=server.port,
        )


@pytest.mark.parametrize(
    "answer",
    [
        says(200, "{}"),
        says(200, "[]"),
        says(200, "hello"),
        says(500, "{}"),
        says(402, "no"),
        hangs_up,
        hangs,
    ],
)
def test_an_answer_that_is_none_is_an_unknown_outcome(
    client: Callable[[str], SandboxHttp], answer: Any
) -> None:
    """Whatever sits at that address, nobody knows what it did; looking up leaves no doubt."""
    with scripted(answer) as script:
        gateway = client(script.url)

        with pytest.raises(GatewayOutcomeUnknown):
            authorize(gateway, "r")
        with pytest.raises(GatewayUnavailable):
            gateway.find("r")


# --- webhooks ------------------------------------------------------------------------------


@pytest.fixture
def webhooks(database: Database) -> SandboxWebhooks:
    """With nothing to tell yet: what other tests did was told."""
    with database.reading() as tx:
        tx.execute("DELETE FROM sandbox_events")
    return SandboxWebhooks(database, SECRET, clock=now)


def kinds_told(script: Any) -> list[str]:
    """What kinds of events came in, in their order, each checked as the core checks it."""
    return [
        gateway_events.read(
            one.body.encode(), one.headers["stripe-signature"], SECRET, now=now()
        ).kind
        for one in script.asked
    ]


def test_webhooks_tell_what_happened_and_are_signed(
    bank: SandboxGateway, webhooks: SandboxWebhooks, ref: str
) -> None:
    """In order, once, each with our reference; told again only if asked for."""
    payment = bank.capture(authorize(bank, ref), key=f"c-{ref}")
    bank.refund(payment, reference="f", key=f"f-{ref}", amount=TWENTY)

    with scripted(says(200, "")) as script:
        told = webhooks.deliver(f"{script.url}/hooks?club=centro", Manner())
        silence = webhooks.deliver(script.url, Manner())
        again = webhooks.deliver(script.url, Manner(again=True))

    events = [
        gateway_events.read(one.body.encode(), one.headers["stripe-signature"], SECRET, now=now())
        for one in script.asked[:3]
    ]
    assert "/hooks?club=centro" == script.asked[0].path
    assert [
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
        "charge.refunded",
    ] == [event.kind for event in events]
    assert {(ref, payment.gateway_ref)} == {(one.reference, one.gateway_ref) for one in events}
    assert [True] * 3 == [one.accepted for one in told]
    assert ([], 3) == (silence, len(again))
    with pytest.raises(NotPermitted):
        gateway_events.read(
            script.asked[0].body.encode(),
            script.asked[1].headers["stripe-signature"],
            SECRET,
            now=now(),
        )


def test_webhooks_come_often_and_in_a_bad_order(
    bank: SandboxGateway, webhooks: SandboxWebhooks, ref: str
) -> None:
    """Ten copies at once; the last first; shuffled the same way for the same seed."""
    bank.capture(authorize(bank, ref), key=f"c-{ref}")
    first, last = "payment_intent.amount_capturable_updated", "payment_intent.succeeded"

    with scripted(says(200, "")) as script:
        webhooks.deliver(script.url, Manner(copies=10, at_once=10))
        often = kinds_told(script)
        script.asked.clear()
        webhooks.deliver(script.url, Manner(order=Order.BACKWARD, again=True))
        backward = kinds_told(script)
        shuffled = []
        for _ in range(2):
            script.asked.clear()
            manner = Manner(copies=8, order=Order.SHUFFLED, again=True, seed=7)
            webhooks.deliver(script.url, manner)
            shuffled.append(kinds_told(script))

    assert {first: 10, last: 10} == Counter(often)
    assert [last, first] == backward
    assert shuffled[0] == shuffled[1]
    assert shuffled[0] not in ([first] * 8 + [last] * 8, [last] * 8 + [first] * 8)


def test_a_webhook_that_was_not_taken_is_told_again(
    bank: SandboxGateway, webhooks: SandboxWebhooks, ref: str
) -> None:
    """A receiver that fails, or is not there, gets it with the next delivery."""
    authorize(bank, ref)

    with scripted(says(500, ""), says(200, "")) as script:
        refused = webhooks.deliver(script.url, Manner())
        taken = webhooks.deliver(script.url, Manner())
    away = webhooks.deliver(script.url, Manner(again=True))

    assert [500] == [one.status for one in refused]
    assert [200] == [one.status for one in taken]
    assert [(None, True)] == [(one.status, bool(one.problem)) for one in away]


@pytest.mark.parametrize(
    "wrong", [{"copies": 0}, {"copies": 10_000}, {"at_once": 0}, {"at_once": 1000}]
)
def test_a_manner_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    """Bounded in copies and in parallel."""
    with pytest.raises(InvalidInput):
        Manner(**wrong)  # type: ignore[arg-type] # numbers only
