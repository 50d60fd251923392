"""
One operator at a time: who comes second is told who is at it, and who dies lets go.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from padelops.errors import ExitCode, LockHeld, LockLost
from padelops.ops.locks import age, operator_lock
from padelops.store import operator_locks, operator_runs
from testbed.clock import MORNING
from testbed.racing import race
from testbed.rows import column, one
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops import Desk

HOLDER = """
import sys
from padelops.ops.locks import operator_lock
from testbed.workers import desk_on

with desk_on(sys.argv[1]) as desk:
    with operator_lock(desk.database, "maintenance", purpose="daily", origin=desk.origin):
        print("held", flush=True)
        sys.stdin.read()
"""


@contextmanager
def holder(database_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the lock `maintenance` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": "tests"},
    )
    try:
        assert process.stdout is not None
        assert b"held\n" == process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def take(desk: Desk, name: str = "maintenance") -> None:
    with operator_lock(desk.database, name, purpose="by hand", origin=desk.origin) as held:
        held.still()


def free(desk: Desk) -> bool:
    try:
        take(desk)
    except LockHeld:
        return False
    return True


def test_a_live_holder_is_named_with_its_age(desk: Desk, database_url: str) -> None:
    """
    Whoever comes second learns who holds it, where, what for and since when, and ends with 7.
    """
    with holder(database_url) as process, pytest.raises(LockHeld) as caught:
        take(desk)

    error = caught.value
    assert ExitCode.LOCK_HELD == error.exit_code
    assert {
        "actor": f"process {process.pid}",
        "host": socket.gethostname(),
        "pid": process.pid,
        "purpose": "daily",
    } == error.facts["owner"]
    assert 0 <= error.facts["age_s"] < 600
    assert f"pid {process.pid} on {socket.gethostname()}: daily" in error.message


def test_a_killed_holder_lets_go(desk: Desk, database_url: str) -> None:
    """
    Nothing has to be cleaned up after kill -9: the lock ends with the session.
    """
    with holder(database_url) as process:
        assert not free(desk)
        process.kill()
        until(partial(free, desk))


def test_a_stopped_holder_still_has_it(desk: Desk, database_url: str) -> None:
    """
    A process that only stands still may go on any moment: its lock is not given away.
    """
    with holder(database_url) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(LockHeld, match=f"pid {process.pid}"):
            take(desk)


def test_it_is_free_after_success_and_after_failure(desk: Desk) -> None:
    """
    The block's end frees it, whichever way it ends.
    """
    take(desk)
    with (
        pytest.raises(ZeroDivisionError),
        operator_lock(desk.database, "maintenance", purpose="x", origin=desk.origin),
    ):
        raise ZeroDivisionError
    take(desk)

    with desk.database.reading() as tx:
        assert [] == operator_locks.holders(tx)


def test_different_actions_do_not_wait_for_each_other(desk: Desk) -> None:
    """
    A long reindex does not keep the nightly audit from running.
    """
    with operator_lock(desk.database, "reindex", purpose="claims", origin=desk.origin):
        take(desk, "maintenance")
        with desk.database.reading() as tx:
            assert ["reindex"] == [found.name for found in operator_locks.holders(tx)]


def test_a_lost_session_is_noticed(desk: Desk, psql: Any) -> None:
    """
    A server that restarts or fails over takes the lock away; going on would be two at once.
    """
    with operator_lock(desk.database, "maintenance", purpose="daily", origin=desk.origin) as held:
        held.still()
        psql.execute("SELECT pg_terminate_backend(backend_pid, 5000) FROM operator_locks")
        take(desk)
        with pytest.raises(LockLost) as caught:
            held.still()

    assert ExitCode.PARTLY_DONE == caught.value.exit_code


def test_a_dead_holders_row_is_not_believed(desk: Desk, raw: Callable[[], Any]) -> None:
    """
    The row of whoever had it before says nothing about the session that has it now.
    """
    take(desk)
    with raw() as other:
        number = one(other, "SELECT id FROM operator_locks WHERE name = 'maintenance'")
        other.execute("SELECT pg_advisory_lock(%s, %s)", [operator_locks.LOCK_CLASS, number])
        with pytest.raises(LockHeld, match="a process that has not said who it is") as caught:
            take(desk)

    assert caught.value.facts["owner"]["pid"] is None


def test_racers_for_one_lock(desk: Desk, another_desk: Callable[..., Desk]) -> None:
    """
    Four at once: one has it while the others are told so.
    """
    done = []
    desks = [desk, *(another_desk() for _ in range(3))]

    def hold(mine: Desk) -> None:
        with operator_lock(mine.database, "repair", purpose="race", origin=mine.origin):
            done.append(mine)
            until(lambda: len(refused) == len(desks) - 1)

    refused: list[LockHeld] = []

    def attempt(mine: Desk) -> None:
        try:
            hold(mine)
        except LockHeld as exc:
            refused.append(exc)

    finishes = race(*[partial(attempt, each) for each in desks])

    assert [None] * 4 == [finish.error for finish in finishes]
    assert (1, 3) == (len(done), len(refused))


def test_a_run_is_kept_with_its_end(desk: Desk, psql: Any) -> None:
    """
    What a run found stays as it was found, also for an engineer in psql.
    """
    run = uuid4()
    with desk.database.transaction(desk.origin) as tx:
        number = operator_runs.begin(tx, run, "reindex", "claims", host="h", pid=7, now=MORNING)
        assert operator_runs.end(tx, number, "ok", "2 indexes", {"indexes": 2}, now=MORNING)
        assert not operator_runs.end(tx, number, "failed", "no", {}, now=MORNING)
        (kept,) = operator_runs.runs(tx, "reindex", run_id=run, limit=10)

    assert ("ok", "2 indexes", {"indexes": 2}) == (kept.outcome, kept.summary, kept.evidence)
    assert ("tester", "h", 7) == (kept.actor, kept.host, kept.pid)
    with pytest.raises(psycopg.errors.CheckViolation, match="never changed"):
        psql.execute("UPDATE operator_runs SET outcome = 'critical'")


def test_what_a_dead_process_left_open_is_closed(desk: Desk) -> None:
    """
    The next holder of the lock closes it as abandoned; other actions' runs are left alone.
    """
    with desk.database.transaction(desk.origin) as tx:
        for action in ("maintenance", "reindex"):
            operator_runs.begin(tx, uuid4(), action, "x", host="h", pid=1, now=MORNING)
        closed = operator_runs.abandon(tx, "maintenance", now=MORNING + timedelta(hours=1))
        (other,) = operator_runs.runs(tx, "reindex", limit=10)

    assert [("maintenance", "abandoned")] == [(run.action, run.outcome) for run in closed]
    assert other.outcome is None


def test_old_runs_are_forgotten_but_not_the_last(desk: Desk, psql: Any) -> None:
    """
    When something was last done is known however long ago that is.
    """
    with desk.database.transaction(desk.origin) as tx:
        for days in (900, 800, 1):
            for task in ("yearly", "daily") if days > 1 else ("daily",):
                at = MORNING - timedelta(days=days)
                number = operator_runs.begin(
                    tx, uuid4(), "maintenance", task, host="h", pid=1, now=at
                )
                operator_runs.end(tx, number, "ok", "", {}, now=at)
        forgotten = operator_runs.forget(tx, before=MORNING - timedelta(days=400))
        last = operator_runs.last_runs(tx, "maintenance", ["ok"])

    assert 3 == forgotten
    assert {"yearly": 800, "daily": 1} == {
        task: (MORNING - run.started_at).days for task, run in last.items()
    }
    assert 2 == len(column(psql, "SELECT id FROM operator_runs"))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (61, "1 min 1 s"), (7500, "2 h 5 min"), (90_000, "1 d 1 h"), (86_400, "1 d")],
)
def test_ages_are_said_in_two_units(seconds: float, said: str) -> None:
    """
    As much as somebody who waits wants to know.
    """
    assert said == age(seconds)
