"""
Each daily task finds what it is there to find, shown by breaking the real thing.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from padelops.ops.maintenance_work import WORK, Finding
from padelops.ops.verdict import Verdict
from padelops.wiring.maintenance import maintenance_of
from testbed.racing import race
from testbed.rows import EVENING, insert, one, reservation_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.ops.maintenance import Maintenance
    from padelops.wiring import Desk
    from testbed.clock import Clock


@pytest.fixture
def maintenance(desk: Desk) -> Maintenance:
    return maintenance_of(desk)


@pytest.fixture
def did(maintenance: Maintenance) -> Callable[[str], Finding]:
    """Does one task and returns what it found."""

    def did(name: str) -> Finding:
        report = maintenance.run(name.partition("/")[0], only=(name,))
        (result,) = report.results
        return result.finding

    return did


@pytest.mark.parametrize("name", WORK)
def test_every_task_can_be_done_and_kept(
    maintenance: Maintenance, did: Callable[[str], Finding], name: str
) -> None:
    """
    On a database that nobody used yet: a finding with a line and evidence, none of it unknown.
    """
    finding = did(name)
    kept = maintenance.report()

    assert finding.summary
    assert [(name, finding.verdict.word)] == [(run.task, run.outcome) for run in kept.runs]
    if name != "daily/health_report":  # what that finds is its own tests' business
        assert finding.verdict in {Verdict.OK, Verdict.WARNING}


def test_the_cache_is_swept_and_its_rate_judged(
    desk: Desk, psql: Any, did: Callable[[str], Finding]
) -> None:
    """
    60 hits of 100 is below the goal of 80%; 90 of 100 is not.
    """
    psql.execute(
        "INSERT INTO cache_entries VALUES ('old', '', '', now() - interval '1 h'),"
        " ('new', '', '', now() + interval '1 h')"
    )
    desk.counts.add("cache.hit", 60)
    desk.counts.add("cache.miss", 40)
    desk.counts.flush(desk.database)
    low = did("daily/cache_optimization")
    desk.counts.add("cache.hit", 840)
    desk.counts.add("cache.miss", 60)
    desk.counts.flush(desk.database)
    high = did("daily/cache_optimization")

    assert (Verdict.WARNING, Verdict.OK) == (low.verdict, high.verdict)
    assert "60.0% of 100 lookups hit, goal 80%" in low.summary
    assert 1 == low.evidence["swept"]
    assert 1 == one(psql, "SELECT count(*) FROM cache_entries")


def test_errors_are_found_where_they_are_written_down(
    desk: Desk, clock: Clock, psql: Any, did: Callable[[str], Finding]
) -> None:
    """
    A message given up and a breaker forced open show in the next analysis, and are named.
    """
    calm = did("daily/error_log_analysis")
    made = desk.book("centro/2", "2026-12-04T18:00", player="Eva Gil")
    # What the database writes down by itself has the real time.
    clock.at = one(psql, "SELECT clock_timestamp()") + timedelta(minutes=1)
    psql.execute(
        "UPDATE messages SET state = 'failed', reason = 'no_such_address', attempted_at = %s"
        " WHERE claim_id = %s",
        [desk.now() - timedelta(minutes=2), made.reservation.id],
    )
    desk.breakers["notification"].force_open(actor="ana", reason="mail server moves")
    found = did("daily/error_log_analysis")

    assert Verdict.OK == calm.verdict
    assert Verdict.WARNING == found.verdict
    assert "1 messages given up" in found.summary
    assert "breakers opened: notification" in found.summary
    assert "no_such_address" == found.evidence["failed_messages"][0]["reason"]
    assert "not at hand" in found.summary


def test_what_the_server_counts_is_told_once(
    psql: Any, raw: Callable[[], Any], did: Callable[[str], Finding]
) -> None:
    """
    A deadlock warns in the analysis after it, and not for ever.
    """
    did("daily/error_log_analysis")
    deadlock(psql, raw())
    found, later = did("daily/error_log_analysis"), did("daily/error_log_analysis")

    assert Verdict.WARNING == found.verdict
    assert "1 deadlocks" in found.summary
    assert Verdict.OK == later.verdict


def deadlock(*sessions: Any) -> None:
    """Two sessions that wait for each other until the server ends one of them."""
    barrier = Barrier(2)

    def cross(session: Any, first: int, second: int) -> None:
        session.execute("SET deadlock_timeout = '10ms'")
        with suppress(psycopg.errors.DeadlockDetected), session.transaction():
            session.execute("SELECT pg_advisory_xact_lock(%s)", [first])
            barrier.wait(20)
            session.execute("SELECT pg_advisory_xact_lock(%s)", [second])
        session.execute("SELECT pg_stat_force_next_flush()")

    race(partial(cross, sessions[0], 1, 2), partial(cross, sessions[1], 2, 1))


def test_a_broken_invariant_is_critical(psql: Any, did: Callable[[str], Finding]) -> None:
    """
    An overlap that got in past a dropped constraint is found by the daily check.
    """
    insert(psql, "claims", reservation_row(psql))
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
    insert(psql, "claims", reservation_row(psql, starts_at=EVENING + timedelta(minutes=30)))
    found = did("daily/integrity_check")

    assert Verdict.CRITICAL == found.verdict
    assert "no_double_booking" in {check["check"] for check in found.evidence["checks"]}
    assert 20261130 == found.evidence["seed"]


def test_old_counts_go_and_the_month_stays(
    desk: Desk, clock: Clock, psql: Any, did: Callable[[str], Finding]
) -> None:
    """
    What objectives are judged by is kept; what is older is not.
    """
    now = clock.at
    for days in (1, 30, 34, 36, 400):
        clock.at = now - timedelta(days=days)
        desk.counts.add("x")
    desk.counts.flush(desk.database)
    clock.at = now
    found = did("daily/forget_old_rows")

    assert 2 == found.evidence["counts"]
    assert 3 == one(psql, "SELECT count(*) FROM counters WHERE name = 'x'")


def test_a_role_with_too_much_power_is_named(psql: Any, did: Callable[[str], Finding]) -> None:
    """
    Padelops needs no superuser; one that works as such is a finding.
    """
    proper = did("weekly/security_audit")
    psql.execute("ALTER ROLE padelops CREATEROLE")
    try:
        found = did("weekly/security_audit")
    finally:
        psql.execute("ALTER ROLE padelops NOCREATEROLE")

    assert Verdict.OK == proper.verdict
    assert Verdict.WARNING == found.verdict
    assert "makes roles" in found.summary


def test_a_task_that_cannot_be_done_is_unknown_and_hides_no_other(
    maintenance: Maintenance, psql: Any
) -> None:
    """
    A right taken away: that task is unknown with its reason, the next one is done.
    """
    psql.execute("REVOKE ALL ON audit_seals FROM padelops")
    psql.execute("ALTER TABLE audit_seals OWNER TO CURRENT_USER")
    tasks = ("daily/audit_verification", "daily/forget_old_rows")
    report = maintenance.run("daily", only=tasks)

    assert [Verdict.UNKNOWN, Verdict.OK] == [r.finding.verdict for r in report.results]
    assert Verdict.UNKNOWN == report.verdict
    assert "not_permitted" == report.results[0].finding.evidence["error"]["code"]


def test_what_was_never_done_counts_from_first_use(
    maintenance: Maintenance, clock: Clock, psql: Any
) -> None:
    """
    A new installation is not late on its first day; after two without a daily run it is critical.
    """
    clock.at = one(psql, "SELECT min(at) FROM audit_entries") + timedelta(hours=1)
    fresh = maintenance.due()
    clock.advance(days=2)
    late = maintenance.due()
    maintenance.run("daily", only=("daily/forget_old_rows",))
    after = maintenance.due()

    assert (Verdict.OK, ()) == (fresh.verdict, fresh.in_state("late"))
    assert Verdict.CRITICAL == late.verdict
    assert {"daily"} == {standing.name.partition("/")[0] for standing in late.in_state("late")}
    assert "daily/forget_old_rows" not in {standing.name for standing in after.in_state("late")}


def test_an_unknown_outcome_is_no_success(
    maintenance: Maintenance, clock: Clock, psql: Any
) -> None:
    """
    A task that could not be done stays due, however often it was tried.
    """
    psql.execute("ALTER TABLE audit_seals OWNER TO CURRENT_USER")
    clock.at = one(psql, "SELECT min(at) FROM audit_entries") + timedelta(days=3)
    maintenance.run("daily", only=("daily/audit_verification",))

    assert "daily/audit_verification" in {s.name for s in maintenance.due().in_state("late")}


def test_what_is_laid_out_for_a_person_is_not_done(desk: Desk, maintenance: Maintenance) -> None:
    """
    The weekly run gathers what to look at; only a signature makes it done, in every number.
    """
    name = "weekly/security_audit"
    maintenance.run("weekly", only=(name,))
    gathered = desk.metrics("padel_maintenance_age_seconds").value(
        "padel_maintenance_age_seconds", task=name
    )
    maintenance.sign_off(name, "logins reviewed")
    signed = desk.metrics("padel_maintenance_age_seconds").value(
        "padel_maintenance_age_seconds", task=name
    )

    assert (None, 0) == (gathered, signed)
    assert f'last_success_timestamp_seconds{{task="{name}"}}' in maintenance.metrics()
