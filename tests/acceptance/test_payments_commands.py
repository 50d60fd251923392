"""
Card payments at the terminal: every ending of `book --pay card`, and what settles it.

Source: DESIGN.md section 6, exit codes; ACCEPTANCE scenarios 11, 12, 28.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from testbed.rows import one
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.settings import Settings

STARTS = f"{datetime.now(UTC).date() + timedelta(days=3)}T18:00"
"""The terminal has the real clock, so the courts are booked three days from now."""

BOOK = ("book", "centro/2", STARTS, "--minutes", "60", "--player", "Ana", "--pay", "card")


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.document["error"]
        return error


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    assert settings.database_url is not None
    return kept | {
        "LANG": "C.UTF-8",
        "PADELOPS_HOME": str(settings.home),
        "PADELOPS_DATABASE_URL": settings.database_url.get_secret_value(),
        "PADELOPS_LEVEL1_BUDGET_MS": "5000",
        "PADELOPS_ACTOR": "ana",
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., Ended]:
    """Run `padelops` on this test's database, as ana."""

    def run(*arguments: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "padelops", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def test_a_card_that_pays(run: Callable[..., Ended], psql: Any) -> None:
    """Confirmed with exit 0; the worker captures it; nothing is left for a person."""
    booked = run(*BOOK, "--card", "tok_visa", "--key", "k", "--json")
    again = run(*BOOK, "--card", "tok_visa", "--key", "k", "--json")
    worked = run("worker", "--once", "--json")
    listed = run("payments", "list", "--json")
    everything = run("payments", "list", "--all", "--json")

    assert (0, "confirmed", "authorized", False) == (
        booked.code,
        booked.document["status"],
        booked.document["payment_status"],
        booked.document["replayed"],
    )
    assert (0, booked.document["id"], True) == (
        again.code,
        again.document["id"],
        again.document["replayed"],
    )
    assert (0, 1) == (worked.code, worked.document["done"]["payments"])
    assert [] == listed.document["payments"]
    assert ["captured"] == [row["state"] for row in everything.document["payments"]]
    assert "captured" == one(psql, "SELECT status FROM sandbox_payments")


def test_a_card_that_is_declined(run: Callable[..., Ended], psql: Any) -> None:
    """Exit 1 with the bank's reason; the court is free again at once, for the same key too."""
    declined = run(*BOOK, "--card", "tok_chargeDeclinedInsufficientFunds", "--key", "k", "--json")
    retried = run(*BOOK, "--card", "tok_visa", "--key", "k", "--json")

    assert (1, "card_declined", "insufficient_funds", False) == (
        declined.code,
        declined.error["code"],
        declined.error["decline_code"],
        declined.error["retryable"],
    )
    assert (0, "confirmed") == (retried.code, retried.document["status"])
    assert ["expired", "confirmed"] == [
        row[0] for row in psql.execute("SELECT status FROM reservations ORDER BY id").fetchall()
    ]


def test_an_outage_is_queued_and_retried(run: Callable[..., Ended], psql: Any) -> None:
    """Exit 6 and what to run when the gateway is back; the retry is kept with who and why."""
    run("sandbox", "fault", "any", "outage")
    queued = run(*BOOK, "--card", "tok_visa", "--key", "k", "--json")
    listed = run("payments", "list")
    run("sandbox", "clear")
    reservation_id = str(queued.error["reservation_id"])
    retried = run("payments", "retry", reservation_id, "--reason", "it is back", "--json")
    refused = run("payments", "retry", reservation_id, "--reason", "once more", "--json")

    assert (6, "payment_queued", "k") == (queued.code, queued.error["code"], queued.error["key"])
    assert f"padelops payments retry {reservation_id}" in queued.error["fix"]
    assert "queued" in listed.out
    assert (0, "confirmed") == (retried.code, retried.document["status"])
    assert (1, "nothing_to_settle") == (refused.code, refused.error["code"])
    assert [("ana", "cli", "it is back")] == psql.execute(
        "SELECT actor, door, changes ->> 'reason' FROM audit_entries WHERE action = 'payment_retry'"
    ).fetchall()


def test_a_queued_hold_is_released(run: Callable[..., Ended], psql: Any) -> None:
    """The court is free again; who did it and why is kept; a booking that stands is refused."""
    run("sandbox", "fault", "any", "outage")
    queued = run(*BOOK, "--card", "tok_visa", "--json")
    reservation_id = str(queued.error["reservation_id"])
    released = run("payments", "release", reservation_id, "--reason", "gave up", "--json")
    again = run("payments", "release", reservation_id, "--reason", "gave up", "--json")
    booked = run(*BOOK[:-2], "--json")

    assert (0, "cancelled", "nothing_due") == (
        released.code,
        released.document["status"],
        released.document["payment_status"],
    )
    assert (1, "nothing_to_settle") == (again.code, again.error["code"])
    assert 0 == booked.code
    assert [("ana", "gave up")] == psql.execute(
        "SELECT actor, changes ->> 'reason' FROM audit_entries WHERE action = 'payment_release'"
    ).fetchall()


@pytest.mark.parametrize("arrived", [True, False])
def test_an_unknown_outcome_says_what_settles_it(
    run: Callable[..., Ended], psql: Any, arrived: bool
) -> None:
    """Exit 3, never "confirmed"; the key, and the command that finds out; one charge at most."""
    fault = "timeout_after_work" if arrived else "timeout_before_work"
    run("sandbox", "fault", "authorize", fault, "--times", "1")
    run("sandbox", "fault", "find", "timeout_before_work", "--times", "1")
    unknown = run(*BOOK, "--card", "tok_visa", "--key", "my-key")
    reservation_id = one(psql, "SELECT max(id) FROM reservations")
    doubtful = run("payments", "reconcile", str(reservation_id), "--json")
    reconciled = run("payments", "reconcile", "--json")

    assert (3, "") == (unknown.code, unknown.out)
    assert f"padelops payments reconcile {reservation_id}" in unknown.err
    assert "my-key" in unknown.err
    assert "confirmed" not in unknown.err
    assert 3 == doubtful.code
    if arrived:
        assert (0, ["confirmed"]) == (
            reconciled.code,
            [row["status"] for row in reconciled.document["reservations"]],
        )
    else:  # the gateway may still be at work on it, so nothing is believed before the grace is over
        assert 3 == reconciled.code
    assert int(arrived) == one(psql, "SELECT count(*) FROM sandbox_payments")


def test_a_refund_in_doubt_is_not_shown_as_settled(run: Callable[..., Ended], psql: Any) -> None:
    """While the gateway does not tell, reconciling ends with 3; then with 0, refunded once."""
    booked = run(*BOOK, "--card", "tok_visa", "--json")
    run("worker", "--once")
    run("cancel", str(booked.document["id"]))
    run("sandbox", "fault", "refund", "timeout_after_work", "--times", "1")
    run("worker", "--once")
    run("sandbox", "fault", "find", "timeout_before_work", "--times", "1")
    doubtful = run("payments", "reconcile", "--json")
    settled = run("payments", "reconcile", "--json")

    assert 3 == doubtful.code
    assert (0, ["refunded"]) == (
        settled.code,
        [row["payment_status"] for row in settled.document["reservations"]],
    )
    assert 1 == one(psql, "SELECT count(*) FROM sandbox_refunds")


def test_a_card_number_is_refused_and_not_repeated(run: Callable[..., Ended], psql: Any) -> None:
    """A usage error; the number appears nowhere."""
    refused = run(*BOOK, "--card", "4242424242424242")

    assert 2 == refused.code
    assert "4242" not in refused.out + refused.err
    assert 0 == one(psql, "SELECT count(*) FROM reservations")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_ends_with_0(
    environment: dict[str, str], run: Callable[..., Ended], psql: Any, number: signal.Signals
) -> None:
    """It works off what is due, finishes the row in hand, and says what it did."""
    run(*BOOK, "--card", "tok_visa")
    with subprocess.Popen(
        [sys.executable, "-m", "padelops", "worker", "--json"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as worker:
        until(lambda: "captured" == one(psql, "SELECT status FROM sandbox_payments"))
        worker.send_signal(number)
        out, err = worker.communicate(timeout=30)

    assert (0, 1) == (worker.returncode, json.loads(out)["done"]["payments"]), err
    assert 0 == one(psql, "SELECT count(*) FROM leases")
    assert "paid" == one(psql, "SELECT payment_status FROM reservations")
