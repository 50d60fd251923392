"""Backups of the configured database: which server is copied, and where restored ones are tried."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from padelops.adapters.base_backup import BaseBackups
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.errors import DatabaseUnavailable
from padelops.ops.backups import Backup, Backups
from padelops.store.engine import Database
from padelops.wiring.databases import open_database
from padelops.wiring.failover import servers_of
from padelops.wiring.opening import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.ops.backups import Restored
    from padelops.settings import Settings


def back_up(settings: Settings, parent: Path | None, *, timeout_s: float) -> Backup:
    """Copy the server that the configured database is on, and verify the copy."""
    live = open_database(settings, budget_ms=None, pool_size=1)
    try:
        return _backups(settings, timeout_s).take(
            live, _conninfo(settings), parent or settings.home / "backups"
        )
    finally:
        live.close()


def restore(
    settings: Settings,
    folder: Path,
    home: Path | None,
    *,
    timeout_s: float,
    told: Callable[[str], None],
) -> Restored:
    """Bring a backup to life: in `home` and left running, or in a scratch folder and removed."""
    backup = Backup.read(folder.absolute())
    trial = _backups(settings, timeout_s)
    if home is not None:
        return trial.restore(backup, home.absolute(), keep=True, told=told)
    with _scratch(settings) as scratch:
        return trial.restore(backup, scratch / "server", keep=False, told=told)


def recovery_test(settings: Settings, *, timeout_s: float, told: Callable[[str], None]) -> Restored:
    """Back up, restore and ask the restored one, in a scratch folder that is gone afterwards."""
    with _scratch(settings) as scratch:
        backup = back_up(settings, scratch, timeout_s=timeout_s)
        told(f"backup: {backup.seconds:.1f} s, {backup.bytes >> 20} MB")
        return _backups(settings, timeout_s).restore(
            backup, scratch / "server", keep=False, told=told
        )


def _backups(settings: Settings, timeout_s: float) -> Backups:
    def opened(url: str) -> Database:
        return Database(url, budget_ms=None, connect_timeout_s=settings.connect_timeout_s)

    copier = BaseBackups(settings.home, bindir=settings.postgres_bindir)
    return Backups(copier, opened=opened, clock=utc_now, timeout_s=timeout_s)


def _conninfo(settings: Settings) -> str:
    """The primary, as a role that may replicate."""
    if settings.database_url is None:
        embedded = EmbeddedPostgres(settings.home, bindir=settings.postgres_bindir)
        embedded.ensure_running()
        return embedded.admin_url()
    servers = servers_of(settings)
    seen = servers.look_at_all()
    primary = next((node for node in seen if node.writable), None)
    if primary is None:
        raise DatabaseUnavailable(
            "No server takes writes, so there is nothing to back up now.",
            fix="Look at it: padelops failover status",
        )
    return servers.conninfo(primary.address)


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """A folder on the disk that has room for the database; gone at the end."""
    parent = settings.home / "scratch"
    parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix="try-") as folder:
        Path(folder).chmod(0o755)  # the server runs as another user where we are root
        yield Path(folder)
