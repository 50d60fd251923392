"""
Processes share each breaker's state through PostgreSQL, do without it while it is away, and every
opening, closing and operator's word is in the audit trail once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from padelops.adapters.breaker_line import BreakerLine
from padelops.adapters.breaker_memory import DatabaseBreakerMemory
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.circuit_breakers import (
    BREAKERS,
    Breaker,
    BreakerRecord,
    Lease,
    Limits,
    Report,
    Shared,
    State,
    Tally,
)
from padelops.errors import (
    BreakerOpen,
    DatabaseUnavailable,
    NotPermitted,
    OutcomeUnknown,
    Unavailable,
)
from padelops.model import Door
from padelops.settings import Settings
from padelops.store.engine import Database
from padelops.wiring import open_desk, upgrade_schema
from padelops.wiring.breakers import SharedBreakers
from testbed.clock import Clock
from testbed.racing import Running, race
from testbed.rows import column, one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops import Desk

NAME = "payment_processing"
SPEC = replace(
    BREAKERS[NAME],
    limits=Limits(slow_s=30, minimum_calls=4, window_s=60, open_s=10, probes=3, lease_s=90),
)
ENTRIES = "SELECT action FROM audit_entries WHERE subject_kind = 'breaker' ORDER BY id"
PATIENCE_S = 30
AT_SIX = "2026-12-01T18:00"

WATCHER = """
import select, sys, time
from padelops.circuit_breakers import AUTOMATIC
from padelops.errors import BreakerOpen, DatabaseUnavailable
from padelops.model import Door
from padelops.store.engine import Database
from padelops.wiring.breakers import SharedBreakers

url, job = sys.argv[1:]
breaker = SharedBreakers(Database(url, budget_ms=500), Door.WORKER)["payment_processing"]

def fail():
    raise DatabaseUnavailable

breaker.call(int)
print("ready", flush=True)
sys.stdin.readline()
while not select.select([sys.stdin], [], [], 0.01)[0]:  # ends with the test, however that ends
    try:
        breaker.call(fail if job == "fail" else int)
    except DatabaseUnavailable:
        continue
    except BreakerOpen:
        print(time.time(), flush=True)
        break
"""
"""A process that calls, and tells when it was refused for the first time."""


def fail(error: type[Exception] = DatabaseUnavailable) -> None:
    raise error


def failing(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(DatabaseUnavailable):
            breaker.call(fail)


@pytest.fixture
def process(database_url: str) -> Iterator[Callable[..., Breaker]]:
    """Makes breakers that stand for one process each: a connection and a copy of their own."""
    with ExitStack() as stack:

        def make(url: str = database_url, *, clock: Clock | None = None, **more: Any) -> Breaker:
            database = Database(url, budget_ms=500, pool_size=1)
            line = BreakerLine(database)
            stack.callback(database.close)
            stack.callback(line.close)
            if clock is not None:
                more |= {"now": clock, "monotonic": lambda: clock().timestamp()}
            return Breaker(SPEC, DatabaseBreakerMemory(line, Door.WORKER), **more)

        yield make


@pytest.fixture(scope="module")
def server(homes: Path, pg_bindir: Path | None) -> EmbeddedPostgres:
    """A server of this module's own, to be stopped and started; it has the schema and no club."""
    server = EmbeddedPostgres(homes / "breakers", bindir=pg_bindir)
    settings = Settings(database_url=SecretStr(server.ensure_running()), home=server.home)
    upgrade_schema(settings)
    return server


@pytest.fixture
def running(server: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """The server, with no breaker's state in it."""
    server.ensure_running()
    with psycopg.connect(server.admin_url("padelops"), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM breakers")
    yield server
    server.ensure_running()


def memory_of(breaker: Breaker) -> DatabaseBreakerMemory:
    memory = breaker._replica._memory
    assert isinstance(memory, DatabaseBreakerMemory)
    return memory


def begun(url: str) -> Database:
    """A database as a command has it: a connection lies ready in its pool."""
    database = Database(url, budget_ms=500, pool_size=1)
    with database.reading() as tx:
        tx.execute("SELECT 1")
    return database


def line_of(breaker: Breaker) -> BreakerLine:
    line = memory_of(breaker)._line
    assert isinstance(line, BreakerLine)
    return line


def backend_of(breaker: Breaker) -> int:
    """The server's process behind a breaker's connection, which is made if there is none."""
    assert not breaker.snapshot().degraded
    tx = line_of(breaker)._tx
    assert tx is not None
    return tx.info.backend_pid


# --- the memory keeps its word ----------------------------------------------------------------


def a_record(**changes: Any) -> BreakerRecord:
    now = datetime.now(UTC)
    return replace(
        BreakerRecord(
            name=NAME,
            stamp=uuid4().hex,
            state=State.HALF_OPEN,
            generation=7,
            changed_at=now,
            retry_at=now + timedelta(seconds=10),
            actor="ana",
            reason="«migración» 100% 'quoted'",
            leases=(Lease("l", "42-abc", now), Lease("m", "43-abc", now)),
            successes=2,
        ),
        **changes,
    )


def a_report(process: str, calls: int, **changes: Any) -> Report:
    usual = Report(
        name=NAME, process=process, generation=7, at=datetime.now(UTC), tally=Tally(calls, 1, 2)
    )
    return replace(usual, **changes)


def test_a_record_comes_back_as_it_was_stored(process: Callable[..., Breaker]) -> None:
    """
    Also in another process, to the microsecond; and where nothing is stored, that is said.
    """
    mine, other = memory_of(process()), memory_of(process())
    record = a_record()
    nothing = mine.exchange(a_report("mine", 0), since=record.changed_at)
    stored = mine.swap(record, expected="")
    heard = other.exchange(a_report("other", 0), since=record.changed_at)

    assert Shared(BreakerRecord(name=NAME), Tally()) == nothing
    assert record == stored
    assert Shared(record, Tally()) == heard


@pytest.mark.parametrize("expected", ["", "known"])
def test_of_racing_swaps_one_wins(process: Callable[..., Breaker], expected: str) -> None:
    """
    Eight processes store a first state, or the next one: all hear who won.
    """
    memories = [memory_of(process()) for _ in range(8)]
    if expected:
        memories[0].swap(a_record(stamp=expected), expected="")
    rivals = [a_record(generation=8 + number) for number in range(8)]
    finishes = race(
        *(
            partial(memory.swap, rival, expected=expected)
            for memory, rival in zip(memories, rivals, strict=True)
        )
    )

    assert 1 == len({finish.value.stamp for finish in finishes})
    assert 1 == sum(finish.value == rival for finish, rival in zip(finishes, rivals, strict=True))


def test_a_swap_of_something_older_changes_nothing(process: Callable[..., Breaker]) -> None:
    """
    Whoever missed a move hears what stands, and stores nothing.
    """
    memory = memory_of(process())
    first, second = a_record(), a_record(generation=8)
    memory.swap(first, expected="")
    memory.swap(second, expected=first.stamp)

    assert second == memory.swap(a_record(generation=9), expected=first.stamp)
    assert second == memory.swap(a_record(generation=9), expected="")
    assert BreakerRecord(name="notification") == memory.swap(
        a_record(name="notification"), expected="never stored"
    )


def test_reports_replace_and_are_summed_for_the_others(
    process: Callable[..., Breaker], psql: Any
) -> None:
    """
    Sent twice counts once; one's own, an empty, a stale and another generation's do not count.
    """
    memory = memory_of(process())
    memory.swap(a_record(generation=7), expected="")
    now = datetime.now(UTC)
    since = now - timedelta(seconds=30)
    for report in (
        a_report("mine", 1000),
        a_report("other", 5),
        a_report("other", 7),
        a_report("third", 20, at=since),
        a_report("gone", 300),
        a_report("gone", 0, tally=Tally()),
        a_report("past", 4000, generation=6),
        a_report("elsewhere", 4000, name="notification"),
    ):
        memory.exchange(report, since=since)
    memory.exchange(a_report("stale", 50_000, at=since - timedelta(seconds=1)), since=since)
    shared = memory.exchange(a_report("mine", 1001), since=since)

    assert Tally(27, 2, 4) == shared.others
    assert ["mine", "other", "past", "third"] == column(
        psql, "SELECT process FROM breaker_reports WHERE breaker = %s ORDER BY 1", NAME
    )


def test_who_tidies_up_does_not_wait_for_another_who_does(
    process: Callable[..., Breaker], raw: Any, psql: Any
) -> None:
    """
    A stale report that somebody else is about to remove is passed over, and removed next time.
    """
    memory = memory_of(process())
    now = datetime.now(UTC)
    memory.exchange(a_report("stale", 1, at=now - timedelta(seconds=9), tally=Tally(1)), since=now)
    rival = raw()
    rival.autocommit = False
    rival.execute("SELECT * FROM breaker_reports FOR UPDATE")
    memory.exchange(a_report("mine", 5), since=now)
    rival.rollback()
    during = column(psql, "SELECT process FROM breaker_reports ORDER BY 1")
    memory.exchange(a_report("mine", 5), since=now)

    assert ["mine", "stale"] == during
    assert ["mine"] == column(psql, "SELECT process FROM breaker_reports")


# --- several processes ------------------------------------------------------------------------


@contextmanager
def watching(url: str, job: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", WATCHER, url, job],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert "ready\n" == child.stdout.readline()
        yield child
        with suppress(BrokenPipeError):
            child.stdin.close()


def told(child: subprocess.Popen[str]) -> float:
    assert child.stdout is not None
    return float(child.stdout.readline())


def start(*children: subprocess.Popen[str]) -> None:
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()


def test_processes_see_an_open_within_a_second(database_url: str) -> None:
    """
    One process fails until its breaker opens; two others, which never failed, refuse.
    """
    with (
        watching(database_url, "fail") as failing_one,
        watching(database_url, "watch") as one,
        watching(database_url, "watch") as two,
    ):
        start(one, two, failing_one)
        opened, seen = told(failing_one), [told(one), told(two)]

    assert [True, True] == [each - opened < 1 for each in seen], seen


def test_processes_see_what_an_operator_does_within_a_second(
    database_url: str, process: Callable[..., Breaker]
) -> None:
    """
    The word of a person in one process stops calls in another.
    """
    operator = process()
    with watching(database_url, "watch") as child:
        start(child)
        operator.force_open(actor="ana", reason="gateway migration")
        said = time.time()

        assert told(child) - said < 1


def test_failures_of_processes_add_up(process: Callable[..., Breaker]) -> None:
    """
    Two failures here and two there are four: neither would have opened it alone.
    """
    mine, other = process(refresh_s=0), process(refresh_s=0)
    failing(mine, times=2)
    mine.snapshot()
    failing(other, times=2)

    assert State.OPEN is other.state
    assert "4 of 4 calls failed in 60 s" == other.snapshot().reason


def test_processes_of_one_call_each_add_up(database_url: str) -> None:
    """
    Commands end before they would report: they leave what went wrong when they end.
    """
    states = []
    for _ in range(5):
        database = begun(database_url)
        breakers = SharedBreakers(database, Door.CLI)
        failing(breakers[NAME])
        states.append(breakers[NAME].state)
        breakers.close()
        database.close()

    assert [State.CLOSED] * 4 + [State.OPEN] == states


def test_a_storm_over_processes_lets_exactly_its_probes_through(
    process: Callable[..., Breaker],
) -> None:
    """
    Sixteen threads of two processes at once: three call, thirteen are refused meanwhile.
    """
    processes = [process(), process()]
    processes[0].force_open(actor="ana", reason="gateway migration")
    processes[0].release(actor="ana", reason="migrated")
    processes[1].snapshot()
    answer, inside = Event(), []

    def probe() -> str:
        inside.append("in")
        assert answer.wait(PATIENCE_S)
        return "probed"

    def call(breaker: Breaker) -> str:
        try:
            return breaker.call(probe)
        except BreakerOpen:
            refused.append("out")
            if len(refused) == 13:
                answer.set()
            raise

    refused: list[str] = []
    finishes = race(*(partial(call, processes[number % 2]) for number in range(16)))

    assert 3 == len(inside)
    assert ["probed"] * 3 == [finish.value for finish in finishes if finish.ok]
    assert [BreakerOpen] * 13 == [type(each.error) for each in finishes if not each.ok]
    assert {State.CLOSED} == {each.snapshot().state for each in processes}


# --- the audit trail --------------------------------------------------------------------------


def test_an_outage_leaves_one_entry_when_it_begins_and_one_when_it_is_over(
    process: Callable[..., Breaker], desk: Desk, psql: Any
) -> None:
    """
    However often it is probed in between, and although two processes opened it at once.
    """
    clock = Clock()
    mine, other = process(clock=clock), process(clock=clock)
    failing(mine, times=3)
    mine.snapshot()
    other.snapshot()
    race(partial(failing, mine), partial(failing, other))
    for _ in range(3):
        clock.advance(seconds=10)
        failing(mine)
    clock.advance(seconds=10)
    for _ in range(3):
        mine.call(int)

    assert ["open", "closed"] == column(psql, ENTRIES)
    assert ["breaker", "breaker"] == column(
        psql, "SELECT actor FROM audit_entries WHERE subject_kind = 'breaker'"
    )
    assert () == desk.verify_audit().findings


def test_each_word_of_an_operator_leaves_one_entry(
    process: Callable[..., Breaker], desk: Desk, psql: Any
) -> None:
    """
    Who, through which door, what and why; also where it changed nothing that it was so already.
    """
    breaker = process()
    breaker.force_open(actor="ana", reason="gateway migration")
    breaker.force_open(actor="eva", reason="still going on")
    breaker.release(actor="eva", reason="migrated")
    breaker.reset(actor="ana", reason="looks good")
    breaker.force_closed(actor="ana", reason="false alarms")
    breaker.release(actor="ana", reason="alarm repaired")
    entries = psql.execute(
        "SELECT actor, door, changes ->> 'reason', changes ->> 'state' FROM audit_entries"
        " WHERE subject_kind = 'breaker' ORDER BY id"
    ).fetchall()

    assert [
        ("ana", "worker", "gateway migration", '["closed", "forced_open"]'),
        ("eva", "worker", "still going on", '["forced_open", "forced_open"]'),
        ("eva", "worker", "migrated", '["forced_open", "half_open"]'),
        ("ana", "worker", "looks good", '["half_open", "closed"]'),
        ("ana", "worker", "false alarms", '["closed", "forced_closed"]'),
        ("ana", "worker", "alarm repaired", '["forced_closed", "closed"]'),
    ] == entries
    assert () == desk.verify_audit().findings


def test_probes_after_a_release_leave_no_entries(
    process: Callable[..., Breaker], psql: Any
) -> None:
    """
    The record still names who released it while probes come and go: that is no word of theirs.
    """
    breaker = process()
    breaker.force_open(actor="ana", reason="gateway migration")
    breaker.release(actor="ana", reason="migrated")
    for _ in range(3):
        breaker.call(int)

    assert ["forced_open", "half_open", "closed"] == column(psql, ENTRIES)


def test_a_change_whose_entry_fails_does_not_happen(
    process: Callable[..., Breaker], psql: Any
) -> None:
    """
    State and entry are one commit.
    """
    psql.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the trail is broken'; END $$"
    )
    psql.execute(
        "CREATE TRIGGER broken BEFORE INSERT ON audit_entries"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    breaker = process()
    with pytest.raises(Unavailable):
        breaker.force_open(actor="ana", reason="gateway migration")

    assert 0 == one(psql, "SELECT count(*) FROM breakers")


def test_a_hand_at_psql_reaches_every_process(process: Callable[..., Breaker], psql: Any) -> None:
    """
    An UPDATE of the state is enough, or an INSERT where there was none; it is audited as done so.
    """
    breaker = process(refresh_s=0)
    psql.execute(
        "INSERT INTO breakers (name, state, reason) VALUES (%s, 'forced_open', 'by hand')", (NAME,)
    )
    with pytest.raises(BreakerOpen):
        breaker.call(int)
    psql.execute("UPDATE breakers SET state = 'closed', reason = 'over'")
    breaker.call(int)
    shown = breaker.snapshot()

    assert (State.CLOSED, "postgres", "over") == (shown.state, shown.actor, shown.reason)
    assert ["sql", "sql"] == column(
        psql, "SELECT door FROM audit_entries WHERE subject_kind = 'breaker'"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM breakers",
        "TRUNCATE breakers",
        "UPDATE breakers SET state = 'ajar'",
        "UPDATE breakers SET stamp = 'new', leases = '{}'",
        "INSERT INTO breakers (name, state, reason) VALUES ('No Name', 'closed', '')",
        "INSERT INTO breakers (name, state, reason) VALUES ('payment_processing', 'open', '')",
    ],
)
def test_the_database_refuses_what_makes_no_sense(
    process: Callable[..., Breaker], psql: Any, statement: str
) -> None:
    """
    A state that no process could read, or a story cut off, cannot be written by hand either.
    """
    process().force_open(actor="ana", reason="gateway migration")
    with pytest.raises(psycopg.errors.IntegrityError):
        psql.execute(statement)

    assert ["forced_open"] == column(psql, "SELECT state FROM breakers")


# --- the database away, silent, broken, forbidding ----------------------------------------------


def test_without_the_database_breakers_go_on_alone_and_agree_afterwards(
    running: EmbeddedPostgres, process: Callable[..., Breaker]
) -> None:
    """
    One opens by itself while the server is down, and all have it when the server is back.
    """
    alone = {"refresh_s": 0, "memory_retry_s": 0}
    mine, other = process(running.url(), **alone), process(running.url(), **alone)
    mine.call(int)
    other.call(int)
    running.stop("immediate")
    failing(mine, times=3)
    during = mine.snapshot()
    other.call(int)
    running.ensure_running()
    with pytest.raises(BreakerOpen):
        mine.call(int)
    with pytest.raises(BreakerOpen):
        other.call(int)

    assert (State.OPEN, True) == (during.state, during.degraded)
    assert during.memory_error
    assert (False, False) == (mine.snapshot().degraded, other.snapshot().degraded)


def test_a_forced_state_survives_a_crash_of_the_server(
    running: EmbeddedPostgres, process: Callable[..., Breaker]
) -> None:
    """
    A process that starts afterwards refuses as well, and knows why.
    """
    process(running.url()).force_open(actor="ana", reason="gateway migration")
    running.stop("immediate")
    running.ensure_running()
    shown = process(running.url()).snapshot()

    assert (State.FORCED_OPEN, "ana", "gateway migration", False) == (
        shown.state,
        shown.actor,
        shown.reason,
        shown.degraded,
    )


def test_a_silent_server_costs_a_moment_and_then_nothing(
    running: EmbeddedPostgres, process: Callable[..., Breaker]
) -> None:
    """
    Stopped like a machine that hangs: neither asking nor connecting makes anybody wait for long.
    """
    breaker = process(running.url(), refresh_s=0, memory_retry_s=0)
    frozen = [backend_of(breaker), running.status().pid]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        taken = []
        for _ in range(4):
            began = time.monotonic()
            breaker.call(int)
            taken.append(time.monotonic() - began)
        during = breaker.snapshot()
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)

    assert during.degraded
    assert max(taken) < 1, taken
    assert max(taken[2:]) < 0.2, taken


def test_a_slow_connection_is_used_once_it_is_there(
    running: EmbeddedPostgres, process: Callable[..., Breaker]
) -> None:
    """
    Nobody waits for it, and it is not made again and again either.
    """
    breaker = process(running.url())
    pid = running.status().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        before = breaker.snapshot()
    finally:
        os.kill(pid, signal.SIGCONT)
    dialling = line_of(breaker)._dialling
    assert dialling is not None
    dialling.join(PATIENCE_S)

    assert before.degraded
    assert not breaker.snapshot().degraded


def test_only_a_process_that_has_just_begun_borrows(desk: Desk) -> None:
    """
    A command has a connection already and is over soon; whoever lives on gets one of its own.
    """
    breaker = desk.breakers[NAME]
    breaker.snapshot()
    before = line_of(breaker)._tx
    line_of(breaker)._born -= 1
    backend = backend_of(breaker)
    with desk.database.reading() as tx:
        theirs = tx.info.backend_pid

    assert before is None
    assert theirs != backend


def test_a_drained_pool_does_not_take_the_breakers_with_it(another_desk: Any) -> None:
    """
    Their connection is their own.
    """
    desk = another_desk(pool_size=1)
    with desk.database.reading():
        shown = desk.breakers[NAME].snapshot()

    assert not shown.degraded


def test_a_locked_row_costs_a_moment(process: Callable[..., Breaker], raw: Any) -> None:
    """
    Somebody at psql forgot to commit: the breaker opens alone instead of waiting.
    """
    breaker = process()
    breaker.reset(actor="ana", reason="so that there is a row")
    holder = raw()
    holder.autocommit = False
    holder.execute("SELECT * FROM breakers FOR UPDATE")
    began = time.monotonic()
    failing(breaker, times=4)
    taken = time.monotonic() - began
    holder.rollback()

    assert taken < 1
    assert (State.OPEN, False) == (breaker.snapshot().state, breaker.snapshot().degraded)


@pytest.mark.parametrize("makes", [begun, partial(Database, budget_ms=500)])
def test_a_standby_that_is_lost_holds_nobody_up(
    running: EmbeddedPostgres, makes: Callable[[str], Database]
) -> None:
    """
    Commits that wait for it would wait for ever; an operator's word takes effect at once.
    """
    with psycopg.connect(running.admin_url("padelops"), autocommit=True) as superuser:
        database = makes(running.url())
        breakers = SharedBreakers(database, Door.CLI)
        superuser.execute("ALTER SYSTEM SET synchronous_standby_names = 'lost'")
        superuser.execute("SELECT pg_reload_conf()")
        try:
            wait_until(superuser, "SELECT current_setting('synchronous_standby_names') = 'lost'")
            shown = breakers[NAME].force_open(actor="ana", reason="gateway migration")
        finally:
            superuser.execute("ALTER SYSTEM RESET synchronous_standby_names")
            superuser.execute("SELECT pg_reload_conf()")
            breakers.close()
            database.close()

    assert (State.FORCED_OPEN, False) == (shown.state, shown.degraded)


def wait_until(connection: Any, question: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not connection.execute(question).fetchone()[0]:
        assert time.monotonic() < deadline, question


def test_a_mistake_in_the_memory_fails_no_call(process: Callable[..., Breaker], psql: Any) -> None:
    """
    Whatever the database says that padelops has no word for, the guarded call is none of it.
    """
    psql.execute(
        "CREATE FUNCTION surprise() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'surprise'; END $$"
    )
    psql.execute(
        "CREATE TRIGGER surprise BEFORE INSERT ON breaker_reports"
        " FOR EACH ROW EXECUTE FUNCTION surprise()"
    )
    breaker = process(refresh_s=0)
    results = [breaker.call(int) for _ in range(3)]

    assert [0, 0, 0] == results
    assert "The breakers' table cannot be used: RaiseException." == breaker.snapshot().memory_error


@pytest.mark.parametrize(("table", "degraded"), [("breaker_reports", True), ("breakers", False)])
def test_without_permission_calls_pass_and_an_operator_is_told(
    process: Callable[..., Breaker], psql: Any, table: str, degraded: bool
) -> None:
    """
    A role that may not write the state can do its job; forcing names what is missing.
    """
    psql.execute(f"REVOKE INSERT, UPDATE ON {table} FROM padelops")
    breaker = process()
    breaker.call(int)
    shown = breaker.snapshot()
    with pytest.raises(NotPermitted, match=f"permission denied for table {table}"):
        breaker.force_open(actor="ana", reason="gateway migration")

    assert degraded is shown.degraded
    assert 0 == one(psql, "SELECT count(*) FROM breakers")


def test_a_command_does_not_wait_for_a_database_that_has_gone(
    running: EmbeddedPostgres,
) -> None:
    """
    It was there when the command began; what is left to report is not worth a second timeout.
    """
    database = begun(running.url())
    breakers = SharedBreakers(database, Door.CLI)
    failing(breakers[NAME])
    running.stop("immediate")
    with pytest.raises(DatabaseUnavailable), database.reading() as tx:
        tx.execute("SELECT 1")
    asked = breakers[NAME]._replica.refresh_at
    breakers.close()
    database.close()

    assert asked == breakers[NAME]._replica.refresh_at


def test_a_child_process_makes_a_connection_of_its_own(process: Callable[..., Breaker]) -> None:
    """
    After a fork the connection is the parent's, and stays as it is.
    """
    breaker = process()
    before = backend_of(breaker)
    child = os.fork()
    if child == 0:
        ended = 1
        try:
            ended = int(before == backend_of(breaker))
        finally:
            os._exit(ended)
    _, status = os.waitpid(child, 0)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert before == backend_of(breaker)


def test_closing_hangs_up_on_a_connection_that_is_being_made(
    running: EmbeddedPostgres, process: Callable[..., Breaker]
) -> None:
    """
    A desk that is closed meanwhile leaves no connection behind.
    """
    breaker = process(running.url())
    pid = running.status().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        asking = Running(breaker.snapshot)
        asking.finish()
        dialling = line_of(breaker)._dialling
        assert dialling is not None
        line_of(breaker).close()
    finally:
        os.kill(pid, signal.SIGCONT)
    dialling.join(PATIENCE_S)

    assert dialling._tx is not None
    assert dialling._tx.closed


def test_a_database_that_is_away_opens_creation_and_is_found_again(
    running: EmbeddedPostgres, demo_clubs: Path
) -> None:
    """
    Bookings fail, then are refused at once; when the server is back, probes close it.
    """
    settings = Settings(database_url=SecretStr(running.url()), home=running.home)
    with open_desk(settings, clock=Clock()) as desk:
        desk.apply_club_file(demo_clubs)
        desk.book("centro/2", AT_SIX, player="Ana Ruiz", dry_run=True)
        breaker = desk.breakers["reservation_creation"]
        breaker._replica._memory_retry_s = 0
        running.stop("immediate")
        met = []
        for _ in range(25):
            with pytest.raises((Unavailable, OutcomeUnknown)) as caught:
                desk.book("centro/2", AT_SIX, player="Ana Ruiz")
            met.append(type(caught.value))
        running.ensure_running()
        late = datetime.now(UTC) + timedelta(seconds=breaker.spec.limits.open_s)
        breaker._now = breaker._replica._now = lambda: late
        for _ in range(3):
            desk.book("centro/2", AT_SIX, player="Ana Ruiz", dry_run=True)
        shown = breaker.snapshot()

    # The first one found its connection cut off while it sent.
    assert [OutcomeUnknown, DatabaseUnavailable, BreakerOpen] == list(dict.fromkeys(met))
    assert 5 <= met.count(BreakerOpen)
    assert (State.CLOSED, False) == (shown.state, shown.degraded)
