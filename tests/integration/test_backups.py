"""
Backups of a server that takes bookings meanwhile, brought to life elsewhere and asked everything.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr

from padelops import open_desk
from padelops.adapters.backup_manifest import damage
from padelops.adapters.base_backup import BackupDamaged
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.errors import DatabaseUnavailable, InvalidInput, SafetyGate, Unavailable
from padelops.ops.backups import MANIFEST, Backup
from padelops.ops.verdict import Verdict
from padelops.wiring.backups import back_up, recovery_test, restore
from testbed.bookings import Booking
from testbed.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbed.pair import Pair

AT = "2026-12-01T18:00"


def quiet(_text: str) -> None:
    """Nobody listens."""


@pytest.fixture
def folder(pair: Pair) -> Path:
    """Where backups go: on the same quick disk as the servers."""
    return pair.home / "backups"


@pytest.fixture
def backup(pair: Pair, folder: Path) -> Backup:
    with open_desk(pair.settings(), clock=Clock()) as desk:
        desk.book("centro/1", AT, minutes=60, player="A")
    return back_up(pair.settings(), folder, timeout_s=60)


def bring(pair: Pair, backup: Backup, home: Path | None = None) -> Any:
    return restore(pair.settings(), backup.folder, home, timeout_s=60, told=quiet)


def test_a_backup_while_bookings_run(pair: Pair, folder: Path) -> None:
    """
    It holds what there was when it began, and at most what there was at its end; and it is sound.
    """
    with Booking(pair.settings()) as booking:
        before = set(booking.acknowledged)
        backup = back_up(pair.settings(), folder, timeout_s=60)
    home = pair.home / "restored"
    done = bring(pair, backup, home)
    try:
        with psycopg.connect(str(done.address)) as restored:
            there = {row[0] for row in restored.execute("SELECT id FROM claims").fetchall()}
    finally:
        EmbeddedPostgres(home).stop()

    assert Verdict.OK is done.verdict, done.problems
    assert before <= there
    assert backup.before.claims <= done.contents.claims <= backup.after.claims
    assert {"verify", "restore", "validate"} == set(done.steps)
    assert done.recovery_point_s >= 0
    assert [backup.folder] == list(folder.iterdir())


@pytest.mark.cluster
def test_the_monthly_test_leaves_nothing_behind(pair: Pair) -> None:
    """
    One command: backed up, restored elsewhere, asked it all; the live database is as it was.
    """
    done = recovery_test(pair.settings(), timeout_s=60, told=quiet)

    assert Verdict.OK is done.verdict, done.problems
    assert 0 < done.recovery_time_s
    assert [] == list((pair.home / "padelops" / "scratch").iterdir())


def test_the_monthly_test_at_the_command_line(pair: Pair) -> None:
    """
    0 with what was measured, for a cron job that keeps quiet about success.
    """
    command = [sys.executable, "-m", "padelops", "db", "recovery-test"]
    told = subprocess.run(
        [*command, "--json"], env=pair.environment(), capture_output=True, text=True, check=False
    )
    document = json.loads(told.stdout)

    assert 0 == told.returncode, told.stderr
    assert ("ok", []) == (document["verdict"], document["problems"])
    assert document["recovery_time_s"] > 0
    assert document["recovery_point_s"] >= 0


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_backup_that_was_damaged(backup: Backup) -> None:
    """
    A bit, a file too few, one too many: found by reading, and named.
    """
    data = backup.folder / "data"
    control, version, manifest = (
        data / name for name in ("global/pg_control", "PG_VERSION", "backup_manifest")
    )
    harms: dict[str, tuple[Path, Callable[[], Any]]] = {
        "pg_control does not match its checksum": (control, lambda: changed(control)),
        "pg_control has 0 bytes instead of 8192": (control, lambda: control.write_bytes(b"")),
        "PG_VERSION is missing": (version, version.unlink),
        "backup_manifest is missing": (manifest, manifest.unlink),
        "backup_manifest ": (manifest, lambda: changed(manifest)),
    }
    assert [] == list(damage(data))
    for named, (path, harm) in harms.items():
        original = path.read_bytes()
        harm()
        assert any(named in found for found in damage(data)), named
        path.write_bytes(original)
    (data / "base" / "evil").write_text("x")

    assert ["base/evil is not in the manifest"] == list(damage(data))


@pytest.mark.cluster
def test_a_damaged_backup_is_not_restored(pair: Pair, backup: Backup) -> None:
    """
    Neither with a changed file nor with a log that cannot be replayed.
    """
    log = next(path for path in (backup.folder / "data" / "pg_wal").iterdir() if path.is_file())
    original = log.read_bytes()
    log.write_bytes(bytes(len(original)))
    with pytest.raises(BackupDamaged, match="its log"):
        bring(pair, backup)
    log.write_bytes(original)
    changed(backup.folder / "data" / "global" / "pg_control")
    with pytest.raises(BackupDamaged, match="pg_control"):
        bring(pair, backup)

    assert [] == list((pair.home / "padelops" / "scratch").iterdir())


def test_nothing_is_restored_over_anything(pair: Pair, backup: Backup) -> None:
    """
    A folder with something in it is refused, a live server's most of all.
    """
    for place in (pair.a.home, backup.folder):
        with pytest.raises(SafetyGate, match="not empty"):
            bring(pair, backup, place)

    assert pair.ask(pair.a, "SELECT count(*) FROM claims")


@pytest.mark.cluster
def test_a_backup_of_broken_data(pair: Pair, folder: Path) -> None:
    """
    A faithful copy of data that breaks an invariant is no good backup: critical, with the check.
    """
    with open_desk(pair.settings(), clock=Clock()) as desk:
        desk.book("centro/1", AT, minutes=60, player="A")
    with pair.admin(pair.a) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute("DELETE FROM audit_entries WHERE subject_kind = 'reservation'")
    done = bring(pair, back_up(pair.settings(), folder, timeout_s=60))

    assert Verdict.CRITICAL is done.verdict
    assert any("violations" in problem for problem in done.problems)


@pytest.mark.cluster
def test_a_backup_that_lacks_what_there_was(pair: Pair, backup: Backup) -> None:
    """
    Fewer reservations than there were when it began is a loss, and is told in numbers.
    """
    document = json.loads((backup.folder / MANIFEST).read_text())
    document["before"]["claims"] += 5
    document["after"]["claims"] += 5
    (backup.folder / MANIFEST).write_text(json.dumps(document))
    done = bring(pair, backup)

    assert Verdict.CRITICAL is done.verdict
    assert any("1 claims were restored; there were 6 to 6" in told for told in done.problems)


@pytest.mark.cluster
def test_a_role_that_may_not_replicate(pair: Pair, folder: Path) -> None:
    """
    The server gives no backup: said with what is missing, and no half a backup stays.
    """
    settings = pair.settings(cluster_url=SecretStr(pair.url("padelops")))
    with pytest.raises(DatabaseUnavailable, match="REPLICATION"):
        back_up(settings, folder, timeout_s=60)

    assert [] == list(folder.iterdir())


@pytest.mark.cluster
def test_a_disk_that_is_too_small(
    pair: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Refused before anything is copied, with both sizes.
    """
    monkeypatch.setattr("padelops.ops.backups.stored.size", lambda _tx: 1 << 60)
    with pytest.raises(Unavailable, match="does not fit"):
        back_up(pair.settings(), folder, timeout_s=60)

    assert [] == list(folder.iterdir())


@pytest.mark.cluster
def test_a_folder_that_is_no_backup(pair: Pair, tmp_path: Path) -> None:
    """
    Said in one line that names what makes one.
    """
    with pytest.raises(InvalidInput, match="padelops db backup"):
        restore(pair.settings(), tmp_path, None, timeout_s=60, told=quiet)
