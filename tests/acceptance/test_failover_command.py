"""
`padelops failover`: what an engineer on call sees at a terminal, and a script by its exit status.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from testbed.pair import children_of

if TYPE_CHECKING:
    from testbed.pair import Pair


def run(pair: Pair, *arguments: str, **changes: str) -> tuple[int, dict[str, Any], str]:
    """The exit status, the JSON document, and what was said beside it."""
    done = subprocess.run(
        [sys.executable, "-m", "padelops", "failover", *arguments, "--json"],
        env=pair.environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_who_is_primary(pair: Pair) -> None:
    """
    Status is a check: 0 with a primary and its standby in step, 1 without a standby, 2 with two.
    """
    code, document, _ = run(pair, "status")
    assert (0, "ok", "a") == (code, document["verdict"], document["primary"])
    assert ["sync"] == [n["sync"] for n in document["nodes"] if n["role"] == "standby"]

    with pair.admin(pair.b, "postgres") as admin:
        admin.execute("SELECT pg_promote()")
    code, document, _ = run(pair, "status")

    assert (2, "critical", None) == (code, document["verdict"], document["primary"])
    assert any("Two servers take writes" in remark["text"] for remark in document["remarks"])


def test_nobody_to_ask(pair: Pair) -> None:
    """
    Without a terminal and without --yes: refused at once, with the flag, and nothing looked at.
    """
    code, document, said = run(pair, "switchover")

    assert (5, "safety_gate") == (code, document["error"]["code"])
    assert "--yes" in said
    assert not (pair.home / "padelops").exists()


def test_a_dry_run(pair: Pair) -> None:
    """
    Every gate is asked and answered, nothing is written anywhere, and it exits as it would.
    """
    before = pair.ask(pair.a, "SELECT count(*) FROM audit_entries")
    code, document, _ = run(pair, "switchover", "--dry-run")
    assert (0, True, "a", "b") == (code, document["dry_run"], document["from"], document["to"])
    assert all(gate["passed"] and gate["reason"] for gate in document["gates"])
    names = {gate["gate"] for gate in document["gates"]}
    assert {"one_primary", "primary", "candidate", "permission", "same_data", "timeline",
            "synchronous", "lag", "fencing", "backups"} == names  # fmt: skip

    code, document, _ = run(pair, "promote", "--dry-run")

    assert (5, "safety_gate") == (code, document["error"]["code"])
    assert ["primary"] == [gate["gate"] for gate in document["gates"] if not gate["passed"]]
    assert before == pair.ask(pair.a, "SELECT count(*) FROM audit_entries")
    assert pair.ask(pair.b, "SELECT pg_is_in_recovery()")
    assert not (pair.home / "padelops").exists()


def test_a_switchover_at_the_command_line(pair: Pair) -> None:
    """
    Done and verified is 0, with each step and its time; progress is talk on standard error.
    """
    code, document, said = run(pair, "switchover", "--yes", "--to", "b", "--reason", "drill")

    assert 0 == code, said
    assert "done" == document["status"]
    steps = [step["name"] for step in document["steps"]]
    assert ["fence", "catch_up", "promote", "serve", "rejoin", "standby", "verify"] == steps
    assert document["within_30_s"]
    assert "promote: done" in said


@pytest.mark.cluster
def test_a_dead_primary_and_a_rejoin_that_remains(pair: Pair) -> None:
    """
    6 with what remains and how; running it again finishes it, with 0.
    """
    run(pair, "status")
    pair.kill(pair.a)
    code, document, _ = run(pair, "promote", "--yes", PADELOPS_REJOIN_COMMAND="false")
    assert (6, "partly", "partly_done") == (code, document["status"], document["error"]["code"])
    assert document["remaining"]
    assert 1 == run(pair, "status")[0]

    code, document, _ = run(pair, "promote", "--yes")

    assert (0, "done") == (code, document["status"])


@pytest.mark.cluster
def test_killed_between_fence_and_promotion(pair: Pair) -> None:
    """
    Kill -9 in the middle leaves a record and no lock: the next run goes on.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "padelops", "failover", "switchover", "--yes"],
        env=pair.environment(PADELOPS_FENCE_COMMAND="sleep 30"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    record = pair.home / "padelops" / "failover" / "failover.json"
    while not record.exists():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
    code, document, said = run(pair, "switchover", "--yes")
    assert (7, "lock_held") == (code, document["error"]["code"])
    assert f"process {process.pid}" in said
    for child in children_of(process.pid):
        os.kill(child, signal.SIGKILL)
    process.kill()
    process.communicate(timeout=20)

    code, document, said = run(pair, "switchover", "--yes")

    assert (0, "done") == (code, document["status"]), said


def test_no_cluster(pair: Pair) -> None:
    """
    On the embedded server there is nothing to fail over to, and that is said in one line.
    """
    code, document, _ = run(pair, "status", PADELOPS_DATABASE_URL="")

    assert (2, "invalid_input") == (code, document["error"]["code"])


@pytest.mark.cluster
def test_what_the_settings_promise(pair: Pair) -> None:
    """
    Asked of the running servers: what breaks the promise is critical, and named. (Tests do
    not sync.)
    """
    code, document, _ = run(pair, "lint")
    named = {finding["setting"]: finding["verdict"] for finding in document["findings"]}
    assert (2, "Nothing that was acknowledged.") == (code, document["loss"])
    assert ("critical", "warning") == (named["fsync"], named["cluster manager"])

    pair.set(pair.a, synchronous_standby_names="", wal_sender_timeout="0")
    code, document, _ = run(pair, "lint")

    named = {finding["setting"]: finding["verdict"] for finding in document["findings"]}
    assert (2, "critical") == (code, named["synchronous_standby_names"])
    assert "warning" == named["wal_sender_timeout"]
