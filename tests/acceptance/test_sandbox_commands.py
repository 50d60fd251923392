"""
`padelops sandbox …`: serve it, make it fail from outside, and read what it really charged.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from padelops.adapters.sandbox_gateway import SandboxGateway
from padelops.adapters.sandbox_http import SandboxHttp
from padelops.booking.gateway import GatewayOutcomeUnknown, GatewayUnavailable
from padelops.store.engine import Database
from testbed.gateway_peers import kept_environment, says, scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PADELOPS = (sys.executable, "-m", "padelops")


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    return kept_environment() | {
        "PADELOPS_DATABASE_URL": database_url,
        "PADELOPS_LEVEL1_BUDGET_MS": "5000",
    }


@pytest.fixture
def padelops(
    environment: dict[str, str],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `padelops` on this test's database."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PADELOPS, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def bank(database_url: str) -> Iterator[SandboxGateway]:
    """The sandbox as another process sees it."""
    database = Database(database_url, budget_ms=10_000)
    yield SandboxGateway(database, clock=lambda: datetime.now(UTC))
    database.close()


def authorize(gateway: Any, reference: str, card: str = "tok_visa") -> Any:
    return gateway.authorize(
        reference=reference, key=reference, amount=Decimal("20.00"), currency="EUR", card=card
    )


def test_a_fault_is_set_listed_and_cleared_from_outside(
    padelops: Callable[..., Any], bank: SandboxGateway
) -> None:
    """It happens in every process on the database, as often as was said."""
    done = padelops("sandbox", "fault", "authorize", "timeout_after_work", "--times", "1", "--json")
    with pytest.raises(GatewayOutcomeUnknown):
        authorize(bank, "r")
    listed = padelops("sandbox", "faults", "--json")
    padelops("sandbox", "fault", "any", "outage")
    with pytest.raises(GatewayUnavailable):
        bank.probe()
    cleared = padelops("sandbox", "clear", "--json")
    after = padelops("sandbox", "faults")

    assert [0, 0, 0, 0] == [one.returncode for one in (done, listed, cleared, after)]
    assert {"operation": "authorize", "kind": "timeout_after_work", "remaining": 1} == {
        name: json.loads(done.stdout)[name] for name in ("operation", "kind", "remaining")
    }
    assert [(0, 1)] == [
        (fault["remaining"], fault["fired"]) for fault in json.loads(listed.stdout)["faults"]
    ]
    assert 2 == json.loads(cleared.stdout)["cleared"]
    assert "Nothing is set to go wrong.\n" == after.stdout
    bank.probe()


@pytest.mark.parametrize(
    ("arguments", "says_so"),
    [
        (("fault", "authorise", "reset"), "authorize, capture"),
        (("fault", "authorize", "slow"), "timeout_after_work"),
        (("fault", "authorize", "latency_ms"), "Milliseconds"),
        (("fault", "authorize", "outage"), "An outage"),
        (("fault", "authorize", "reset", "--times", "0"), "between 1 and"),
        (("deliver", "not-a-url"), "The URL"),
        (("deliver", "http://127.0.0.1:1", "--order", "sideways"), "shuffled"),
        (("serve", "--port", "99999"), "65535"),
        (("serve", "--host", "no.such.host.invalid"), "Cannot listen"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    padelops: Callable[..., Any],
    bank: SandboxGateway,
    arguments: tuple[str, ...],
    says_so: str,
) -> None:
    """One line that names what there is; exit code 2; nothing set."""
    done = padelops("sandbox", *arguments)

    assert (2, "") == (done.returncode, done.stdout)
    assert says_so in done.stderr
    assert 1 == done.stderr.count("\n")
    assert [] == bank.faults.all()


def test_the_books_are_shown_charge_by_charge(
    padelops: Callable[..., Any], bank: SandboxGateway
) -> None:
    """What is compared with what the core believes: status, amounts, refunds, references."""
    payment = bank.capture(authorize(bank, "claim-1"), key="c")
    bank.refund(payment, reference="refund-1", key="f", amount=Decimal("5.00"))
    authorize(bank, "claim-2")

    shown = padelops("sandbox", "payments")
    document = json.loads(padelops("sandbox", "payments", "--json").stdout)

    first, second = document["payments"]
    assert {
        "reference": "claim-1",
        "status": "captured",
        "currency": "EUR",
        "amount": "20.00",
        "captured": "20.00",
        "refunded": "5.00",
        "card": "tok_visa",
    }.items() <= first.items()
    assert [("refund-1", "5.00", False)] == [
        (one["reference"], one["amount"], one["failed"]) for one in first["refunds"]
    ]
    assert ("claim-2", "authorized", "0.00") == (
        second["reference"],
        second["status"],
        second["captured"],
    )
    assert "claim-1" in shown.stdout


def test_webhooks_are_delivered_on_demand(
    padelops: Callable[..., Any], bank: SandboxGateway
) -> None:
    """The exit code says whether all were taken."""
    authorize(bank, "r")

    with scripted(says(500, ""), says(200, "")) as script:
        refused = padelops("sandbox", "deliver", script.url, "--json")
        taken = padelops("sandbox", "deliver", script.url, "--copies", "3", "--json")
        nothing = padelops("sandbox", "deliver", script.url)

    assert [1, 0, 0] == [one.returncode for one in (refused, taken, nothing)]
    assert [500] == [one["status"] for one in json.loads(refused.stdout)["deliveries"]]
    assert [200] * 3 == [one["status"] for one in json.loads(taken.stdout)["deliveries"]]
    assert 4 == len(script.asked)


@pytest.mark.parametrize(
    ("as_json", "stop", "code"), [(True, signal.SIGTERM, 143), (False, signal.SIGINT, 130)]
)
def test_served_until_stopped(
    environment: dict[str, str], as_json: bool, stop: signal.Signals, code: int
) -> None:
    """Its address is all there is on standard output; a signal ends it without complaint."""
    arguments = ["sandbox", "serve", *(["--json"] if as_json else [])]
    with subprocess.Popen(
        [*PADELOPS, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = process.stdout.readline().strip()
        url = json.loads(told)["url"] if as_json else told
        gateway = SandboxHttp(url)
        payment = authorize(gateway, "r")
        gateway.close()

        process.send_signal(stop)
        out, err = process.communicate(timeout=20)

    assert url.startswith("http://127.0.0.1:")
    assert "20.00" == str(payment.amount)
    assert (code, "") == (process.returncode, out)
    assert "Traceback" not in err
