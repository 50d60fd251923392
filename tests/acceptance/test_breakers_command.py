"""
`padelops breakers`: what an engineer on call sees and does, and what every other command does then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from testbed.rows import one

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [
    "payment_processing",
    "reservation_creation",
    "availability_check",
    "cancellation",
    "price_calculation",
    "notification",
]


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


@pytest.fixture
def run(database_url: str) -> Callable[..., Ended]:
    """Run `padelops` on this test's database, as ana."""

    def run(*arguments: str, **changes: str) -> Ended:
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ
        }
        done = subprocess.run(
            [sys.executable, "-m", "padelops", *arguments],
            env=kept
            | {"LANG": "C.UTF-8", "PADELOPS_DATABASE_URL": database_url, "PADELOPS_ACTOR": "ana"}
            | changes,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def listed(run: Callable[..., Ended], name: str) -> dict[str, Any]:
    breakers: list[dict[str, Any]] = run("breakers", "list", "--json").document["breakers"]
    return next(breaker for breaker in breakers if breaker["breaker"] == name)


def test_the_list_has_every_breaker_with_its_fallback(run: Callable[..., Ended]) -> None:
    """
    One line each, in the order of the critical paths, closed where nothing ever happened.
    """
    table, document = run("breakers", "list"), run("breakers", "list", "--json").document
    rows = [line.split() for line in table.out.splitlines()[2:]]

    assert (0, "") == (table.code, table.err)
    assert NAMES == [row[0] for row in rows]
    assert {"closed"} == {row[1] for row in rows}
    assert NAMES == [breaker["breaker"] for breaker in document["breakers"]]
    assert {
        "breaker": "availability_check",
        "path": 4,
        "level": 2,
        "state": "closed",
        "since": None,
        "actor": None,
        "reason": None,
        "retry_after_s": 0.0,
        "window_s": 30,
        "calls": 0,
        "failures": 0,
        "slow": 0,
        "failure_rate": 0.0,
        "slow_rate": 0.0,
        "probes_under_way": 0,
        "probes_succeeded": 0,
        "probes_needed": 3,
        "degraded": False,
        "memory_error": None,
        "fallback": "conservative_blocking",
    } == document["breakers"][2]


def test_open_stops_bookings_and_says_by_whom_and_why(run: Callable[..., Ended], psql: Any) -> None:
    """
    The next command of anybody is refused with 8, as something that is away; nothing is written.
    """
    opened = run("breakers", "open", "reservation_creation", "--reason", "overbooked by a bug")
    refused = run("book", "centro/2", "2030-12-05T18:00", "--player", "Eva Gil", "--json")
    table = run("breakers", "list")

    assert 0 == opened.code
    assert "forced_open" in opened.out
    assert "padelops breakers release reservation_creation --reason" in opened.err
    assert 8 == refused.code
    assert {
        "code": "breaker_open",
        "retryable": True,
        "breaker": "reservation_creation",
        "state": "forced_open",
        "retry_after_s": 5.0,
        "fallback": "refuse_with_retry_after",
    }.items() <= refused.document["error"].items()
    assert 0 == one(psql, "SELECT count(*) FROM claims")
    row = next(line for line in table.out.splitlines() if line.startswith("reservation_creation"))
    assert "ana  overbooked by a bug" in row


def test_open_and_close_are_audited(run: Callable[..., Ended], psql: Any) -> None:
    """
    One entry each, with the actor, the door and the reason.
    """
    run("breakers", "open", "notification", "--reason", "mail server moves")
    closed = run("breakers", "close", "notification", "--reason", "it has moved", "--json")
    entries = psql.execute(
        "SELECT action, actor, door, changes ->> 'reason' FROM audit_entries"
        " WHERE subject_kind = 'breaker' ORDER BY id"
    ).fetchall()

    assert (0, "closed") == (closed.code, closed.document["state"])
    assert [
        ("forced_open", "ana", "cli", "mail server moves"),
        ("closed", "ana", "cli", "it has moved"),
    ] == entries
    assert 0 == run("audit", "verify").code


def test_close_leaves_it_automatic_unless_told_to_hold(run: Callable[..., Ended]) -> None:
    """
    A breaker that was closed may open again; one that is held closed is a person's, until released.
    """
    closed = run("breakers", "close", "cancellation", "--reason", "looked into it", "--json")
    held = run("breakers", "close", "cancellation", "--hold", "--reason", "false alarm", "--json")
    released = run("breakers", "release", "cancellation", "--reason", "repaired", "--json")

    assert ["closed", "forced_closed", "closed"] == [
        each.document["state"] for each in (closed, held, released)
    ]


def test_release_sends_probes_first(run: Callable[..., Ended]) -> None:
    """
    After a forced stop nobody knows how the thing is doing; commands are probes like any call.
    """
    run("breakers", "open", "price_calculation", "--reason", "wrong tariff")
    stopped = run("price", "centro/2", "2030-12-05T18:00", "--json")
    released = run(
        "breakers", "release", "price_calculation", "--reason", "tariff repaired", "--json"
    )
    prices = [run("price", "centro/2", "2030-12-05T18:00", "--json").document for _ in range(3)]

    assert (0, "fallback") == (stopped.code, stopped.document["source"])
    assert "half_open" == released.document["state"]
    assert ["tariff"] * 3 == [price["source"] for price in prices]
    after = listed(run, "price_calculation")
    assert ("closed", "breaker") == (after["state"], after["actor"])


def test_availability_says_that_nothing_is_certain_and_why(run: Callable[..., Ended]) -> None:
    """
    Nothing is free, marked, and an exit code that no script takes for an answer.
    """
    run("breakers", "open", "availability_check", "--reason", "wrong hours")
    ended, shown = run("availability", "centro", "--json"), run("availability", "centro")

    assert (8, 8) == (ended.code, shown.code)
    assert not ended.document["certain"]
    assert "availability_check is switched off by an operator" in ended.document["doubt"]
    assert [] == [free for court in ended.document["courts"] for free in court["free"]]
    assert "UNCERTAIN: nothing is shown as free. availability_check is switched off" in shown.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["open", "notification"], 2, "Missing option '--reason'"),
        (["open", "notification", "--reason", " "], 2, "The reason must be one line"),
        (["close", "notification", "--reason", "two\nlines"], 2, "The reason must be one line"),
        (["open", "notifications", "--reason", "x"], 1, "There are: payment_processing, "),
        (["release", "notification", "--reason", "x"], 1, "is not forced, it is closed"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    run: Callable[..., Ended], psql: Any, arguments: list[str], code: int, said: str
) -> None:
    """
    With what to write instead, and nothing changed.
    """
    ended = run("breakers", *arguments)

    assert (code, "") == (ended.code, ended.out)
    assert said in ended.err
    assert 1 == len(ended.err.splitlines())
    assert 0 == one(psql, "SELECT count(*) FROM breakers")


def test_without_permission_it_says_what_is_missing(run: Callable[..., Ended], psql: Any) -> None:
    """
    4 for the operator, and for a list that is only this process's own view.
    """
    psql.execute("REVOKE INSERT, UPDATE ON breakers, breaker_reports FROM padelops")
    opened = run("breakers", "open", "notification", "--reason", "mail server moves")
    seen = run("breakers", "list", "--json")

    assert 4 == opened.code
    assert "permission denied for table breaker" in opened.err
    assert 4 == seen.code
    assert {True} == {breaker["degraded"] for breaker in seen.document["breakers"]}
    assert "not_permitted" == seen.document["error"]["code"]


def test_without_the_database_it_says_so(run: Callable[..., Ended]) -> None:
    """
    8, nothing was changed; a list of guesses is not shown.
    """
    nowhere = "postgresql://padelops@/padelops?host=/nonexistent"
    ended = run("breakers", "list", PADELOPS_DATABASE_URL=nowhere)

    assert (8, "") == (ended.code, ended.out)
    assert "database_unavailable" in ended.err
