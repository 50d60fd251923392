"""
Health of whole servers, broken for real: a standby lost in strict mode, a disk that is full.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr

from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.ops.verdict import Verdict
from padelops.settings import Settings
from padelops.wiring import upgrade_schema
from padelops.wiring.health import check_health
from testbed.standbys import standby_of
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OK, WARNING, CRITICAL, UNKNOWN = Verdict
PATIENT_S = 30.0
ROOM = "160M"

ASKED = ("write", "replication", "waiting")


def verdicts(settings: Settings, *checks: str, deadline_s: float = PATIENT_S) -> dict[str, Verdict]:
    report = check_health(settings, deadline_s=deadline_s, only=checks)
    return {finding.check: finding.verdict for finding in report.findings}


@contextmanager
def set_to(admin: psycopg.Connection[Any], name: str, value: str) -> Iterator[None]:
    admin.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
    admin.execute("SELECT pg_reload_conf()")
    until(lambda: admin.execute(f"SHOW {name}".encode()).fetchone() == (value,))
    try:
        yield
    finally:
        admin.execute(f"ALTER SYSTEM RESET {name}".encode())
        admin.execute("SELECT pg_reload_conf()")


@contextmanager
def slot(admin: psycopg.Connection[Any]) -> Iterator[str]:
    """A place for a standby."""
    admin.execute("SELECT pg_create_physical_replication_slot('padelops_health')")
    try:
        yield "padelops_health"
    finally:
        admin.execute("SELECT pg_drop_replication_slot('padelops_health')")


def commit(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as booking:
        booking.execute("SELECT pg_logical_emit_message(true, 'booking', '')")


def test_a_synchronous_standby_that_is_lost(
    settings: Settings, postgres_server: EmbeddedPostgres, memory: Path, database_url: str
) -> None:
    """
    Acceptance 29: with it all is well; without it commits wait, health says how many and for how
    long, its own write gives up, and leaves no process waiting behind. Back again, all is well.
    """
    with (
        psycopg.connect(postgres_server.admin_url(), autocommit=True) as admin,
        slot(admin) as name,
        standby_of(postgres_server, memory, "-S", name) as standby,
    ):
        admin.execute("GRANT pg_monitor TO padelops")

        def waiting() -> int:
            row = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                " AND clock_timestamp() - query_start > interval '1.1 s'"
            ).fetchone()
            return row[0] if row else 0

        with set_to(admin, "synchronous_standby_names", "*"):
            until(lambda: verdicts(settings, "replication")["replication"] is OK)
            assert dict.fromkeys(ASKED, OK) == verdicts(settings, *ASKED)

            standby.stop("immediate")
            booking = Thread(target=commit, args=[database_url], daemon=True)
            booking.start()
            until(waiting)
            report = check_health(settings, deadline_s=2.0, only=ASKED)
            told = report.of("waiting").answer

            assert CRITICAL is report.of("write").verdict
            assert CRITICAL is report.of("replication").verdict
            assert told.verdict in {WARNING, CRITICAL}
            assert "Waiting for the synchronous standby: 1 to commit" in told.message
            until(lambda: waiting() == 1)  # our own write was told to give up

            standby.ensure_running()
            booking.join(30)
            until(lambda: verdicts(settings, "replication")["replication"] is OK)
            assert dict.fromkeys(ASKED, OK) == verdicts(settings, *ASKED)

        assert OK is verdicts(settings, "replication")["replication"]
        admin.execute("REVOKE pg_monitor FROM padelops")
        assert UNKNOWN is verdicts(settings, "replication")["replication"]
        standby.stop("immediate")
        until(lambda: verdicts(settings, "replication")["replication"] is WARNING)
    assert OK is verdicts(settings, "replication")["replication"]


def test_a_standby_is_no_place_to_book(
    settings: Settings, postgres_server: EmbeddedPostgres, memory: Path, template: str
) -> None:
    """
    It answers and follows, and what is written is refused.
    """
    with standby_of(postgres_server, memory) as standby:
        there = settings.model_copy(update={"database_url": SecretStr(standby.url(template))})

        found = verdicts(there, "database", "write", "replication", "cache")

    assert CRITICAL is found["database"]
    assert CRITICAL is found["write"]
    assert OK is found["replication"]
    assert WARNING is found["cache"]


@pytest.fixture
def small_disk(homes: Path) -> Iterator[Path]:
    """A folder with a small disk of its own."""
    folder = homes / "small"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=755", "padelops-test", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mount.returncode:
        pytest.skip(f"no small disk can be mounted here: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        EmbeddedPostgres(folder / "home").stop("immediate")
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_full(small_disk: Path, pg_bindir: Path | None) -> None:
    """
    Filling up is a warning, then critical; a server that cannot write a byte says so itself, also
    where nobody can see its disk from here.
    """
    home = small_disk / "home"
    settings = Settings(home=home, postgres_bindir=pg_bindir)
    upgrade_schema(settings)
    elsewhere = settings.model_copy(
        update={"database_url": SecretStr(EmbeddedPostgres(home, bindir=pg_bindir).url())}
    )
    assert OK is verdicts(elsewhere, "disk")["disk"]

    filler = home / "filler"
    stat = os.statvfs(home)
    size, free = stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - size // 7))
        assert WARNING is verdicts(settings, "disk")["disk"]
        os.posix_fallocate(file.fileno(), 0, free - size // 50)
        assert CRITICAL is verdicts(settings, "disk")["disk"]
        assert OK is verdicts(elsewhere, "disk")["disk"]
        os.posix_fallocate(file.fileno(), 0, free)

        assert CRITICAL is verdicts(elsewhere, "disk")["disk"]
        report = check_health(elsewhere, deadline_s=PATIENT_S, only=["disk"])
        assert "The database's disk is full." == report.of("disk").answer.message

    filler.unlink()
    assert OK is verdicts(elsewhere, "disk")["disk"]
