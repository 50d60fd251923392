"""
Runbooks on the real thing: each trouble that one machine can have is made, and its runbook ends it.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from padelops.adapters.sandbox_faults import FaultKind, Operation, SandboxFaults
from padelops.booking.card_payments import PaymentQueued
from padelops.errors import BreakerOpen, ExitCode, LockHeld, OutcomeUnknown
from padelops.ops.locks import operator_lock
from padelops.ops.runbook_run import Answer
from padelops.ops.runbooks import Runbook, the_runbooks
from padelops.settings import Settings
from padelops.wiring.failover import opened_failover
from padelops.wiring.opening import open_desk, utc_now
from padelops.wiring.runbooks import opened_runbook
from testbed.clock import MORNING
from testbed.onlookers import Onlooker
from testbed.rows import EVENING, column, insert_hold, one, status_of, without_triggers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops import Desk
    from padelops.ops.runbook_run import Ran
    from testbed.clock import Clock
    from testbed.pair import Pair

COURT, AT_SIX = "centro/2", "2026-12-01T18:00"
GIVE_UP = "UPDATE messages SET state = 'failed', reason = 'away'"
OF_A_CLUSTER = {"multiple_primaries", "standby_lost", "replication_lag"}
KEPT = "SELECT task, outcome, actor FROM operator_runs WHERE action = 'runbook' ORDER BY id"


def hasty(name: str) -> Runbook:
    """The runbook, waiting for nothing: what is broken in a test does not mend itself."""
    book = the_runbooks()[name]
    document = book.model_dump(mode="json", by_alias=True)
    for step in document["steps"]:
        step["with"].pop("wait_s", None)
    return Runbook.model_validate(document)


class Runs:
    """Runs runbooks on this test's database, with journals of their own."""

    def __init__(self, settings: Settings, clock: Any, home: Path) -> None:
        self.settings = Settings.model_validate(settings.model_dump() | {"home": home})
        self.clock = clock
        self.onlooker = Onlooker()

    def _opened(self, name: str, **changes: Any) -> Any:
        settings = Settings.model_validate(self.settings.model_dump() | changes)
        return opened_runbook(settings, hasty(name), self.onlooker, actor="ana", clock=self.clock)

    def __call__(
        self, name: str, *, start: str | None = None, anew: bool = False, **changes: Any
    ) -> Ran:
        with self._opened(name, **changes) as ready:
            ran: Ran = ready.run(start=start, anew=anew)
            return ran

    def dry(self, name: str, **changes: Any) -> dict[str, str]:
        with self._opened(name, **changes) as ready:
            return {step.step: step.outcome for step in ready.dry_run().steps}


@pytest.fixture
def runbook(settings: Settings, clock: Clock, tmp_path: Path) -> Runs:
    return Runs(settings, clock, tmp_path)


def outcomes(ran: Ran) -> dict[str, str]:
    return {entry.step: entry.outcome for entry in ran.journal.entries}


def command(folder: Path, text: str = "exit 0") -> str:
    """A program that stands for what restarts services here; it writes down what it was told."""
    script = folder / "restart"
    script.write_text(f'#!/bin/sh\necho "$@" >> {folder}/restarted\n{text}\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def everything(psql: Any) -> list[Any]:
    """All that a runbook could change."""
    tables = (
        "claims",
        "messages",
        "payment_attempts",
        "audit_entries",
        "operator_runs",
        "breakers",
    )
    return [psql.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables]


def test_where_all_is_well_nothing_is_done_and_twice_is_no_more_than_once(
    desk: Desk, runbook: Runs, tmp_path: Path, psql: Any
) -> None:
    """
    Every runbook ends well on a database that is well, and leaves no breaker and no court behind.
    """
    made = desk.book(COURT, AT_SIX, player="Ana Ruiz").reservation.id
    with desk.worker() as worker:
        worker.until_idle(lambda: False)
    runbook.clock = utc_now
    names = sorted(set(the_runbooks()) - OF_A_CLUSTER)
    results = {name: runbook(name, restart_command=command(tmp_path)) for name in names}

    assert [] == [str(ran.failed) for ran in results.values() if ran.failed]
    assert all(ran.journal.kept for ran in results.values())
    assert [] == [one.name for one in desk.breakers.all() if one.state != "closed"]
    assert "confirmed" == status_of(psql, made)
    assert names == sorted(column(psql, "SELECT task FROM operator_runs WHERE action = 'runbook'"))
    assert 0 == one(psql, "SELECT count(*) FROM incidents")
    again = runbook("integrity_broken")
    assert outcomes(results["integrity_broken"]) == outcomes(again)


def test_a_dry_run_tells_what_every_check_says_and_writes_nothing(
    desk: Desk, runbook: Runs, psql: Any, tmp_path: Path
) -> None:
    """
    Not a row, not a journal; what would be done stands beside what would not.
    """
    desk.book(COURT, AT_SIX, player="Ana Ruiz")
    insert_hold(psql, COURT, EVENING + timedelta(days=2), MORNING - timedelta(days=1))
    before = everything(psql)

    told = runbook.dry("integrity_broken")

    assert {"mend": "would do", "reindex": "holds", "decide": "asks a person"} == {
        step: told[step] for step in ("mend", "reindex", "decide")
    }
    assert before == everything(psql)
    assert not (tmp_path / "runbooks").exists()


def test_payments_while_the_gateway_is_away_and_back_again(
    desk: Desk, runbook: Runs, psql: Any
) -> None:
    """
    The breaker is opened and the run stops; payments are queued; rerun, all of them go through.
    """
    faults = SandboxFaults(desk.database, desk.now)
    faults.set(Operation.ANY, FaultKind.OUTAGE)
    stopped = runbook("payments_failing")

    assert stopped.failed is not None
    assert ExitCode.PARTLY_DONE == stopped.failed.exit_code
    assert {"see": "done", "protect": "done", "fallback": "done", "gateway": "failed"} == outcomes(
        stopped
    )
    assert ("close", "reconcile", "queued", "verify") == stopped.remaining
    assert "Done: see, protect, fallback. Left: gateway, close" in stopped.failed.message
    assert "forced_open" == desk.breakers["payment_processing"].snapshot().state

    with pytest.raises(PaymentQueued):
        desk.book(COURT, AT_SIX, player="Ana", pay="card", card="tok_visa")
    held = one(psql, "SELECT claim_id FROM payment_attempts WHERE state = 'queued'")
    faults.clear()
    resumed = runbook("payments_failing")

    assert resumed.failed is None
    assert [True] * 3 + [False] * 5 == [entry.earlier for entry in resumed.journal.entries]
    assert ("done", "done") == (outcomes(resumed)["close"], outcomes(resumed)["queued"])
    assert "confirmed" == status_of(psql, held)
    assert "closed" == desk.breakers["payment_processing"].snapshot().state
    assert stopped.journal.run_id == resumed.journal.run_id
    assert [("payments_failing", "failed", "ana"), ("payments_failing", "ok", "ana")] == [
        tuple(row) for row in psql.execute(KEPT)
    ]


def test_payments_in_doubt_are_settled_by_asking(desk: Desk, runbook: Runs, psql: Any) -> None:
    """
    The gateway took the money and its answer was lost: asked, it says so; nothing is charged twice.
    """
    faults = SandboxFaults(desk.database, desk.now)
    faults.set(Operation.AUTHORIZE, FaultKind.TIMEOUT_AFTER_WORK)
    with pytest.raises(OutcomeUnknown):
        desk.book(COURT, AT_SIX, player="Ana", pay="card", card="tok_visa")
    held = one(psql, "SELECT id FROM claims WHERE payment_status = 'payment_unknown'")
    faults.clear()

    ran = runbook("payment_in_doubt")

    assert ("done", "done") == (ran.journal.status, outcomes(ran)["reconcile"])
    assert "confirmed" == status_of(psql, held)
    assert 1 == one(psql, "SELECT count(*) FROM sandbox_payments")
    assert ("decide",) == ran.for_people


def test_who_is_on_call_is_paged_once_and_only_for_what_is_critical(
    desk: Desk, runbook: Runs, psql: Any
) -> None:
    """
    The gateway is away, which is critical: one incident, however often it is run.
    """
    SandboxFaults(desk.database, desk.now).set(Operation.ANY, FaultKind.OUTAGE)
    first = runbook("immediate_response")
    again = runbook("immediate_response")

    assert ("done", "holds") == (outcomes(first)["page"], outcomes(again)["page"])
    assert 1 == one(psql, "SELECT count(*) FROM incidents")
    assert "forced_open" == desk.breakers["payment_processing"].snapshot().state


def test_people_are_called_although_the_database_is_away(
    runbook: Runs, outage: Callable[[], Any]
) -> None:
    """
    What is told does not pretend that somebody was reached, where nobody is on call.
    """
    with outage():
        ran = runbook("immediate_response", start="page")
    page = ran.journal.entries[0]

    assert "page" == page.step
    assert "without the database" in page.told or "Call by hand" in page.told, page


def test_what_was_done_without_effect_is_no_success(desk: Desk, runbook: Runs) -> None:
    """
    The gateway answers, and will not tell of that payment: the verification stops the run.
    """
    faults = SandboxFaults(desk.database, desk.now)
    faults.set(Operation.AUTHORIZE, FaultKind.TIMEOUT_AFTER_WORK)
    with pytest.raises(OutcomeUnknown):
        desk.book(COURT, AT_SIX, player="Ana", pay="card", card="tok_visa")
    faults.clear()
    faults.set(Operation.FIND, FaultKind.ERROR_500)

    ran = runbook("payment_in_doubt")

    assert ("reconcile", "failed") == (ran.journal.entries[-1].step, ran.journal.status)
    assert "But then: in doubt: reservations 1." in ran.journal.entries[-1].told


def test_a_worker_that_died_is_restarted_and_what_piled_up_is_worked_off(
    settings: Settings, psql: Any, tmp_path: Path, database_url: str
) -> None:
    """
    A real worker by the configured command; the hold past its deadline gives its court back.
    """
    hold = insert_hold(psql, COURT, EVENING, utc_now() - timedelta(days=1))
    worker = (
        f"PADELOPS_DATABASE_URL='{database_url}' exec {sys.executable} -m padelops worker --once"
    )
    runbook = Runs(settings, utc_now, tmp_path)

    ran = runbook("worker_stopped", restart_command=command(tmp_path, worker))

    assert ("done", "done") == (ran.journal.status, outcomes(ran)["restart"])
    assert "padelops-worker\n" == (tmp_path / "restarted").read_text()
    assert "expired" == status_of(psql, hold)
    assert any("Restart the worker?" in question for question in runbook.onlooker.asked)


def test_a_service_that_cannot_be_restarted_stops_the_run(runbook: Runs, tmp_path: Path) -> None:
    """
    The command's last words are told, and which setting it was.
    """
    failing = command(tmp_path, "echo no such unit >&2; exit 5")

    ran = runbook("restart_service", restart_command=failing)

    assert ran.failed is not None
    assert "ended with 5: no such unit" in ran.failed.message
    assert "PADELOPS_RESTART_COMMAND" in str(ran.failed)


def test_an_index_that_is_not_valid_is_rebuilt(desk: Desk, runbook: Runs, psql: Any) -> None:
    """
    As a rebuild that was broken off leaves one behind; bookings never stop.
    """
    psql.execute("SET allow_system_table_mods = on")
    psql.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'messages_pkey'::regclass"
    )

    ran = runbook("slow_responses")

    assert ("done", "done") == (ran.journal.status, outcomes(ran)["reindex"])
    assert 0 == one(psql, "SELECT count(*) FROM pg_index WHERE NOT indisvalid")
    assert desk.book(COURT, AT_SIX, player="Ana Ruiz").reservation.id


def test_what_is_safe_to_mend_is_mended(desk: Desk, runbook: Runs, psql: Any) -> None:
    """
    A message that was never written is queued; the repair and the run stand in the trail.
    """
    silent = desk.book(COURT, "2026-12-01T20:00", player="Ana").reservation.id
    without_triggers(psql, "DELETE FROM messages WHERE claim_id = %s", silent)

    ran = runbook("integrity_broken")

    assert "done" == ran.journal.status, ran.failed
    assert 1 == one(psql, "SELECT count(*) FROM messages WHERE claim_id = %s", silent)
    assert 1 == one(psql, "SELECT count(*) FROM audit_entries WHERE action = 'runbook_run'")


def test_a_broken_seal_stops_the_run_and_nothing_is_covered_up(
    desk: Desk, runbook: Runs, psql: Any
) -> None:
    """
    The entry is named; its rerun finds it again.
    """
    made = desk.book(COURT, AT_SIX, player="Ana Ruiz").reservation.id
    desk.seal_audit()
    without_triggers(psql, "UPDATE audit_entries SET actor = 'nobody' WHERE subject_id = %s", made)
    stopped = runbook("audit_broken")
    again = runbook("audit_broken")

    assert "failed" == outcomes(stopped)["verify"] == outcomes(again)["verify"]
    assert stopped.failed is not None
    assert "compliance" in str(stopped.failed)
    assert not desk.verify_audit().intact


def test_a_court_sold_twice_stops_all_bookings_until_a_person_has_decided(
    desk: Desk, another_desk: Callable[..., Desk], runbook: Runs, psql: Any
) -> None:
    """
    With nobody there the run stops before bookings are taken again.
    """
    first = desk.book(COURT, AT_SIX, player="Ana Ruiz").reservation.id
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
    without_triggers(
        psql,
        "UPDATE claims SET (starts_at, ends_at, free_at) ="
        " (SELECT starts_at, ends_at, free_at FROM claims WHERE id = %s) WHERE id = %s",
        first,
        desk.book(COURT, "2026-12-01T20:00", player="Eva Gil").reservation.id,
    )

    ran = runbook("double_booking")

    assert ("failed", "proof") == (ran.journal.status, ran.journal.entries[-1].step)
    assert "no_double_booking: 1" in ran.journal.entries[-1].seen
    with pytest.raises(BreakerOpen):
        another_desk().book(COURT, "2026-12-02T18:00", player="Leo Paz")


def test_messages_that_failed_are_sent_once_the_way_is_open(
    desk: Desk, runbook: Runs, psql: Any
) -> None:
    """
    The mail server is away: the run stops. It is back: what gave up is sent.
    """
    desk.book(COURT, AT_SIX, player="Ana Ruiz <x>", minutes=60)
    without_triggers(psql, GIVE_UP)
    stopped = runbook("notifications_undelivered", smtp_url="smtp://127.0.0.1:1")
    done = runbook("notifications_undelivered")

    assert "way" == stopped.journal.entries[-1].step
    assert "done" == outcomes(done)["again"]
    assert [] == column(psql, "SELECT id FROM messages WHERE state = 'failed'")


@pytest.mark.needs("redis-server")
def test_a_cache_that_is_away_and_back(runbook: Runs, redis_url: str) -> None:
    """
    Nobody at its address: the run stops. Back again, it is cleared and filled.
    """
    stopped = runbook("low_cache_hit_rate", cache_url="redis://127.0.0.1:1")
    done = runbook("low_cache_hit_rate", cache_url=redis_url)

    assert ("back", "failed") == (stopped.journal.entries[-1].step, stopped.journal.status)
    assert "done" == outcomes(done)["warm"], outcomes(done)


def test_a_dead_primary_is_replaced_and_bookings_go_on(pair: Pair, tmp_path: Path) -> None:
    """
    Its power is cut: the standby is promoted through all gates, and the journal is caught up with.
    """
    runbook = Runs(pair.settings(), utc_now, tmp_path)
    with opened_failover(runbook.settings) as failover:
        failover.observe()  # as status does, which cron asks: it remembers who was in step
    pair.kill(pair.a)

    ran = runbook("database_down")

    assert "done" == outcomes(ran)["promote"], ran.failed
    assert "done" == outcomes(ran)["writes"]
    assert pair.ask(pair.b, "SELECT NOT pg_is_in_recovery()")
    assert 1 == pair.ask(pair.b, "SELECT count(*) FROM operator_runs WHERE action = 'runbook'")


def test_a_cluster_that_is_whole_one_without_standby_and_one_with_two_primaries(
    pair: Pair, tmp_path: Path
) -> None:
    """
    What only looks ends well on the first; with two primaries the application takes no booking.
    """
    runbook = Runs(pair.settings(), utc_now, tmp_path)
    whole = [runbook(name) for name in ("replication_lag", "standby_lost")]
    assert [] == [str(ran.failed) for ran in whole if ran.failed]

    with pair.admin(pair.b, "postgres") as admin:
        admin.execute("SELECT pg_promote()")
    pair.set(pair.a, synchronous_standby_names="")
    alone = runbook("standby_lost")
    two = runbook("multiple_primaries")

    assert ("whole", "failed") == (alone.journal.entries[-1].step, alone.journal.status)
    assert ("one", "failed") == (two.journal.entries[-1].step, two.journal.status)
    assert "Two servers take writes" in two.journal.entries[-1].seen
    with open_desk(runbook.settings) as desk, pytest.raises(BreakerOpen):
        desk.book(COURT, AT_SIX, player="Ana Ruiz")


def test_a_run_is_kept_on_disk_while_the_database_is_away(
    runbook: Runs, outage: Callable[[], Any], psql: Any
) -> None:
    """
    It says that only this machine knows of it; the next run tells the database of both.
    """
    with outage():
        away = runbook("restart_service")
    assert (False, "failed") == (away.journal.kept, away.journal.status)
    assert any("Mend that first: database_down." in note for note in away.notes)

    runbook("error_budget")

    assert {"restart_service", "error_budget"} == set(
        column(psql, "SELECT task FROM operator_runs WHERE action = 'runbook'")
    )


def test_only_one_at_a_time(runbook: Runs, desk: Desk) -> None:
    """
    Of one runbook: here by a lock on disk, elsewhere by the operator lock; both name the holder.
    """
    locked = operator_lock(
        desk.bulk, "runbook.error_budget", purpose="runbook error_budget", origin=desk.origin
    )
    with locked, pytest.raises(LockHeld, match="held by tester"):
        runbook("error_budget")
    with (
        runbook._opened("error_budget") as ready,
        ready.journals.held("error_budget", actor="eva", now=desk.now()),
        pytest.raises(LockHeld, match=r"eva \(process \d+\) has been running error_budget"),
    ):
        runbook("error_budget")


def test_a_run_begins_at_a_step_or_anew_or_another_night(
    runbook: Runs, desk: Desk, clock: Clock
) -> None:
    """
    An unfinished run is gone on with for six hours, unless somebody says otherwise.
    """
    SandboxFaults(desk.database, desk.now).set(Operation.ANY, FaultKind.OUTAGE)
    first = runbook("payments_failing")
    from_there = runbook("payments_failing", start="fallback")
    anew = runbook("payments_failing", anew=True)
    clock.advance(hours=7)
    next_night = runbook("payments_failing")

    assert ["fallback", "gateway"] == list(outcomes(from_there))
    assert "holds" == outcomes(anew)["protect"]
    runs = {ran.journal.run_id for ran in (first, anew, next_night)}
    assert 3 == len(runs)


def test_a_run_that_died_in_the_middle_goes_on_at_that_step(runbook: Runs) -> None:
    """
    Killed while it asked somebody: what was done before is not done again.
    """
    runbook.onlooker.answer = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        runbook("breaker_open")
    runbook.onlooker.answer = Answer.DONE
    ran = runbook("breaker_open")

    assert {"see": True, "why": True, "decide": False, "verify": False} == {
        entry.step: entry.earlier for entry in ran.journal.entries
    }
    assert "done" == ran.journal.status


def test_a_budget_that_is_over_is_said_and_stops_nothing(runbook: Runs) -> None:
    """
    30 seconds, and each look at the clock takes eight: over, with whom to call.
    """
    seconds = iter(range(0, 1000, 8))
    with runbook._opened("breaker_open") as ready:
        ready.steady = lambda: float(next(seconds))
        ran = ready.run()

    assert ("done", False) == (ran.journal.status, ran.within_budget)
    assert 0 > ran.journal.entries[-1].left_s
    assert any("s over the budget. By the level" in note for note in ran.notes)
    assert any("s over:" in line for line in runbook.onlooker.lines)


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        (Answer.DONE, "done", "done"),
        (Answer.SKIP, "skipped", "done"),
        (Answer.STOP, "failed", "failed"),
    ],
)
def test_a_person_says_done_put_off_or_stop(
    runbook: Runs, answer: Answer, outcome: str, status: str
) -> None:
    """
    What a person says is written down as theirs.
    """
    runbook.onlooker.answer = answer
    ran = runbook("breaker_open")

    assert (outcome, status) == (outcomes(ran)["decide"], ran.journal.status)


def test_what_is_risky_is_not_done_unless_somebody_agrees(runbook: Runs, desk: Desk) -> None:
    """
    A no stops the run before the breaker is opened.
    """
    SandboxFaults(desk.database, desk.now).set(Operation.ANY, FaultKind.OUTAGE)
    runbook.onlooker.agreeing = False

    ran = runbook("payments_failing")

    assert ("protect", "failed") == (ran.journal.entries[-1].step, ran.journal.status)
    assert "closed" == desk.breakers["payment_processing"].snapshot().state
