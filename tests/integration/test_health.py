"""
Every health check is shown red by breaking the real thing, and green once it is whole again.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis
from psycopg import sql
from pydantic import SecretStr

from padelops import critical_health_check
from padelops.adapters.sandbox_faults import FaultKind, Operation, SandboxFaults
from padelops.errors import OutcomeUnknown
from padelops.ops.verdict import Verdict
from padelops.settings import Settings
from padelops.store.engine import server_name
from padelops.wiring.health import CHECKS, check_health
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops import Desk
    from padelops.adapters.embedded_postgres import EmbeddedPostgres
    from padelops.ops.health import Finding

OK, WARNING, CRITICAL, UNKNOWN = Verdict
PATIENT_S = 30.0
"""A deadline that a busy machine keeps, where the test is not about silence."""


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def ask(settings: Settings) -> Callable[..., Finding]:
    """One check's finding on this test's database; keywords change the settings."""

    def ask(check: str, *, clock: Callable[[], datetime] = now, **changes: Any) -> Finding:
        changed = Settings.model_validate(settings.model_dump() | changes)
        report = check_health(changed, clock=clock, deadline_s=PATIENT_S, only=[check])
        return report.of(check)

    return ask


def test_a_whole_house_is_green(desk: Desk, settings: Settings, tmp_path: Path) -> None:
    """
    With a worker at work every check is asked and finds nothing.
    """
    desk.now = now
    desk.worker().round(lambda: False)

    report = check_health(settings.model_copy(update={"spool": tmp_path}), deadline_s=PATIENT_S)

    assert [] == [one.as_json() for one in report.findings if one.verdict]
    assert list(CHECKS) == [one.check for one in report.findings]
    assert OK is report.verdict


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_stopped_postmaster_is_critical(
    desk: Desk, settings: Settings, database_url: str, postgres_server: EmbeddedPostgres
) -> None:
    """
    A pooled connection still answers; health makes a new one, and does not wait for ever. What
    needs no database is still told.
    """
    pid = postgres_server.status().pid
    assert pid is not None
    assert desk.clubs()

    with stopped(pid):
        assert desk.clubs()
        began = time.monotonic()
        report = check_health(settings, deadline_s=1.0)
        took = time.monotonic() - began

    told = report.of("database")
    assert CRITICAL is told.verdict
    assert f"from {server_name(database_url)}" in told.answer.message
    assert "padelops db status" in told.answer.fix
    assert CRITICAL is report.of("write").verdict
    assert UNKNOWN is report.of("waiting").verdict
    assert OK is report.of("delivery").verdict
    assert took < PATIENT_S
    assert OK is check_health(settings, deadline_s=PATIENT_S, only=["database"]).verdict


def test_a_server_that_is_not_there_is_named(settings: Settings) -> None:
    """
    Where, and why; all that would have been asked of it is unknown.
    """
    url = "postgresql://ana:s3cret@127.0.0.1:1/padelops"
    report = check_health(settings.model_copy(update={"database_url": SecretStr(url)}))

    told = report.of("database")
    assert CRITICAL is told.verdict
    assert "127.0.0.1" in told.answer.message
    assert "refused" in told.answer.message
    assert UNKNOWN is report.of("schema").verdict
    assert "s3cret" not in str(report.as_json())


def test_an_embedded_server_is_looked_at_and_not_started(homes: Path) -> None:
    """
    A check changes nothing: who asks about a stopped server does not start it.
    """
    report = check_health(Settings(home=homes / "nobody"), only=["database"])

    assert CRITICAL is report.verdict
    assert "not running" in report.of("database").answer.message
    assert not (homes / "nobody").exists()


def test_a_read_only_server_cannot_be_booked_through(
    ask: Callable[..., Finding], psql: Any, database_url: str
) -> None:
    """
    Fenced by default_transaction_read_only: it answers, and it is critical all the same.
    """
    name = sql.Identifier(psql.info.dbname)
    psql.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))

    assert CRITICAL is ask("database").verdict
    assert CRITICAL is ask("write").verdict

    psql.execute("SET default_transaction_read_only = off")
    psql.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
    assert OK is ask("database").verdict
    assert OK is ask("write").verdict
    assert database_url


def test_the_write_leaves_nothing_behind(ask: Callable[..., Finding], psql: Any) -> None:
    """
    The row of the write probe is never seen by anybody.
    """
    assert OK is ask("write").verdict

    assert 0 == psql.execute("SELECT count(*) FROM counters").fetchone()[0]


def test_a_schema_that_is_behind_is_critical(ask: Callable[..., Finding], psql: Any) -> None:
    """
    What to run is said.
    """
    psql.execute("UPDATE alembic_version SET version_num = '0001'")

    found = ask("schema")

    assert (CRITICAL, "Run: padelops db upgrade") == (found.verdict, found.answer.fix)


@contextmanager
def waits_for_a_lock(raw: Callable[[], Any], url: str) -> Iterator[int]:
    """A connection waits for another one's lock; the holder's process id."""
    holder = raw()
    with psycopg.connect(url, autocommit=True) as waiter:
        with holder.transaction():
            holder.execute("LOCK TABLE clubs IN ACCESS EXCLUSIVE MODE")
            thread = Thread(target=lambda: waiter.execute("SELECT count(*) FROM clubs"))
            thread.start()
            until(
                lambda: raw().execute(
                    "SELECT 1 FROM pg_locks WHERE NOT granted AND pid = %s"
                    " AND clock_timestamp() - waitstart > interval '1.1 s'",
                    [waiter.info.backend_pid],
                ).fetchone()
            )  # fmt: skip
            yield holder.info.backend_pid
        thread.join(20)


def test_who_waits_for_a_lock_is_told(
    ask: Callable[..., Finding], raw: Callable[[], Any], database_url: str
) -> None:
    """
    And behind which process.
    """
    with waits_for_a_lock(raw, database_url) as holder:
        found = ask("waiting")

    assert found.verdict in {WARNING, CRITICAL}
    assert f"behind process {holder}." in found.answer.message
    assert OK is ask("waiting").verdict


def test_connections_that_run_out(
    ask: Callable[..., Finding], psql: Any, database_url: str
) -> None:
    """
    The tightest limit counts, here the database's; without one left, health itself gets none.
    """
    name = sql.Identifier(psql.info.dbname)
    psql.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 5").format(name))
    assert OK is ask("connections").verdict

    def gone() -> bool:
        """A connection that was closed ends on the server a moment later."""
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
        row = psql.execute(others, [psql.info.dbname, psql.info.backend_pid]).fetchone()
        return bool(row[0] == len(held))

    held: list[psycopg.Connection[Any]] = []
    until(gone)
    held += [psycopg.connect(database_url) for _ in range(3)]
    full = ask("connections")
    until(gone)
    held.append(psycopg.connect(database_url))
    none_left = ask("database")
    for one in held:
        one.close()

    assert CRITICAL is full.verdict
    assert "of 5 connections are in use" in full.answer.message
    assert CRITICAL is none_left.verdict
    assert "too many connections" in none_left.answer.message


@pytest.mark.parametrize(("ahead_s", "verdict"), [(-3, WARNING), (90, CRITICAL)])
def test_a_clock_that_is_wrong(
    ask: Callable[..., Finding], ahead_s: float, verdict: Verdict
) -> None:
    """
    Which of the two is ahead is said.
    """
    found = ask("clock", clock=lambda: now() + timedelta(seconds=ahead_s))

    assert verdict is found.verdict
    assert ("ahead of" if ahead_s > 0 else "behind") in found.answer.message
    assert OK is ask("clock").verdict


@pytest.mark.needs("redis-server")
def test_a_redis_that_is_away_is_a_warning_and_bookings_go_on(
    another_desk: Callable[..., Desk], ask: Callable[..., Finding], redis_url: str
) -> None:
    """
    Acceptance 27.
    """
    gone = SecretStr("redis://127.0.0.1:1/0")

    assert WARNING is ask("cache", cache_url=gone).verdict
    desk = another_desk(cache_url=gone)
    assert desk.book("centro/2", "2026-12-01T18:00", minutes=60, player="Ana").reservation.id
    assert OK is ask("cache", cache_url=SecretStr(redis_url)).verdict


@pytest.mark.needs("redis-server")
def test_a_redis_that_is_stopped(ask: Callable[..., Finding], redis_url: str) -> None:
    """
    It takes connections and never answers; that is no more than a warning, and soon told.
    """
    client = redis.Redis.from_url(redis_url)
    with stopped(client.info()["process_id"]):
        assert WARNING is ask("cache", cache_url=SecretStr(redis_url)).verdict

    assert OK is ask("cache", cache_url=SecretStr(redis_url)).verdict
    client.close()


def test_a_cache_table_that_is_gone_is_a_warning(ask: Callable[..., Finding], psql: Any) -> None:
    """
    The rest of the database is not blamed for it.
    """
    assert OK is ask("cache").verdict
    psql.execute("ALTER TABLE cache_entries RENAME TO mislaid")

    assert WARNING is ask("cache").verdict
    assert OK is ask("write").verdict


def test_a_gateway_that_is_away_is_critical(desk: Desk, ask: Callable[..., Finding]) -> None:
    """
    Nobody at its address, and a sandbox that was told to fail.
    """
    assert CRITICAL is ask("payment_gateway", sandbox_url="http://127.0.0.1:1").verdict
    assert OK is ask("payment_gateway").verdict

    faults = SandboxFaults(desk.database, desk.now)
    faults.set(Operation.ANY, FaultKind.OUTAGE)

    assert CRITICAL is ask("payment_gateway").verdict
    faults.clear()
    assert OK is ask("payment_gateway").verdict


def test_payments_that_nobody_looks_at(desk: Desk, ask: Callable[..., Finding], psql: Any) -> None:
    """
    One in doubt is critical once it has been so for a while; one that waits for a person warns.
    """
    faults = SandboxFaults(desk.database, desk.now)
    faults.set(Operation.AUTHORIZE, FaultKind.TIMEOUT_AFTER_WORK)
    with pytest.raises(OutcomeUnknown):
        desk.book(
            "centro/2", "2026-12-01T18:00", minutes=60, player="Ana", pay="card", card="tok_visa"
        )

    def after(seconds: float) -> Verdict:
        later = desk.now() + timedelta(seconds=seconds)
        return ask("stuck_payments", clock=lambda: later).verdict

    assert [OK, WARNING, CRITICAL] == [after(10), after(300), after(1000)]
    psql.execute("UPDATE payment_attempts SET state = 'queued', next_step = 'review'")
    assert WARNING is after(10)
    psql.execute("UPDATE payment_attempts SET next_step = NULL, next_step_at = NULL")
    assert OK is after(1000)


@pytest.mark.parametrize(
    ("breaker", "verdict"), [("payment_processing", CRITICAL), ("notification", WARNING)]
)
def test_an_open_breaker(
    desk: Desk, ask: Callable[..., Finding], breaker: str, verdict: Verdict
) -> None:
    """
    As bad as the level of the path that it guards, and with the reason that somebody gave.
    """
    desk.breakers[breaker].force_open(actor="ana", reason="bank at lunch")

    found = ask("circuit_breakers")

    assert verdict is found.verdict
    assert f"{breaker} is forced open" in found.answer.message
    assert "by ana: bank at lunch" in found.answer.message
    desk.breakers[breaker].reset(actor="ana", reason="back")
    assert OK is ask("circuit_breakers").verdict


@pytest.mark.parametrize(("after_s", "verdict"), [(10, OK), (180, WARNING), (400, CRITICAL)])
def test_a_worker_that_is_dead(
    desk: Desk, ask: Callable[..., Finding], after_s: float, verdict: Verdict
) -> None:
    """
    Its last heartbeat gets old; one that never was is a warning.
    """
    assert WARNING is ask("worker").verdict
    desk.worker().round(lambda: False)

    later = desk.now() + timedelta(seconds=after_s)

    assert verdict is ask("worker", clock=lambda: later).verdict


def test_messages_that_nobody_sends(desk: Desk, ask: Callable[..., Finding], psql: Any) -> None:
    """
    A booking's confirmation waits: the longer the worse. Given up, it is a warning for a day.
    """
    desk.book("centro/2", "2026-12-01T18:00", minutes=60, player="Ana", email="ana@example.com")
    queued = psql.execute("SELECT next_attempt_at FROM messages").fetchone()[0]

    def after(seconds: float) -> Finding:
        return ask("outbox", clock=lambda: queued + timedelta(seconds=seconds))

    assert OK is after(60).verdict
    assert WARNING is after(300).verdict
    assert CRITICAL is after(1000).verdict
    assert "Messages due: 1" in after(60).answer.message
    psql.execute(
        "UPDATE messages SET state = 'failed', reason = 'refused', attempted_at = %s", [queued]
    )
    assert WARNING is after(60).verdict
    assert OK is after(100_000).verdict


def test_the_spool_that_cannot_be_written(ask: Callable[..., Finding], tmp_path: Path) -> None:
    """
    Where messages are only written to a folder, the folder is looked at.
    """
    assert OK is ask("delivery", spool=tmp_path / "spool").verdict

    file = tmp_path / "file"
    file.touch(mode=0o600)

    assert WARNING is ask("delivery", spool=file / "spool").verdict


def test_a_mail_server_that_refuses(ask: Callable[..., Finding]) -> None:
    """
    It is named; nothing is sent to find out.
    """
    found = ask("delivery", smtp_url=SecretStr("smtp://127.0.0.1:1"), mail_from="padel@example.com")

    assert WARNING is found.verdict
    assert "127.0.0.1:1" in found.answer.message


def test_the_shape_of_critical_paths(settings: Settings, desk: Desk) -> None:
    """
    CRITICAL_PATHS.md's `critical_health_check`: four names, and the emergency response when one
    is down.
    """
    called: list[str] = []

    def respond() -> None:
        called.append("paged")

    checks = critical_health_check(settings, trigger_emergency_response=respond)

    four = ["cache", "circuit_breakers", "database", "payment_gateway"]
    assert dict.fromkeys(four, True) == checks
    assert [] == called
    desk.breakers["payment_processing"].force_open(actor="ana", reason="test")
    checks = critical_health_check(settings, trigger_emergency_response=respond)
    assert ["circuit_breakers"] == [name for name in four if not checks[name]]
    assert ["paged"] == called
