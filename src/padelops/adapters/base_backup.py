"""
A copy of a whole server, taken, verified and brought to life again in a folder of its own.

A backup appears under its name only when every byte of it was read again and found as written. What
is made of one is a scratch server: reached over its socket, with our configuration instead of the
copied one, so that it can neither be mistaken for the live database nor ship its log anywhere.
"""

from __future__ import annotations

import os
import shutil
from itertools import islice
from typing import TYPE_CHECKING

from padelops.adapters.backup_manifest import damage, wal_ranges
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.adapters.postgres_account import account_for
from padelops.adapters.postgres_cluster import configure_copy
from padelops.adapters.postgres_passwords import without_password
from padelops.adapters.postgres_programs import Programs, bindirs_in_wheel, make_public
from padelops.adapters.postgres_troubles import last_complaint, told_plainly
from padelops.errors import Corrupt, DatabaseUnavailable, SafetyGate, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from padelops.adapters.postgres_account import Account

MOST_DAMAGE = 5
"""Files named in an error; one is enough not to rely on any."""

SPARE = 1.2
"""A copy needs the log that is written meanwhile, too."""


class BackupDamaged(Corrupt):
    """The backup is not what was written. Do not rely on it."""

    code = "backup_damaged"


class BaseBackups:
    """
    Args:
        home: where programs are copied to if the server's user cannot reach the wheel's.
        bindir: PostgreSQL's programs; those in the wheel when left out.
    """

    def __init__(self, home: Path, *, bindir: Path | None = None) -> None:
        self._home = home
        self._bindir = bindir

    def take(
        self, conninfo: str, folder: Path, *, major: int, bytes_wanted: int, timeout_s: float
    ) -> None:
        """
        Copy the server into `folder/data` and verify the copy.

        Raises:
            Unavailable: no room, no programs of that version, or the server would not. Nothing is
                left behind.
            BackupDamaged: the copy does not match its own manifest.
        """
        with told_plainly(folder):
            account, programs = self._prepared(folder, major)
            free = shutil.disk_usage(folder).free
            if free < bytes_wanted * SPARE:
                raise Unavailable(
                    f"A backup of {bytes_wanted >> 20} MB does not fit into {folder}: "
                    f"{free >> 20} MB are free.",
                    fix="Free space there, or pass --to a folder on another disk.",
                )
            with without_password(conninfo, folder, account) as source:
                done = programs.run(
                    "pg_basebackup",
                    *("-w", "-D", folder / "data", "-d", source, "-X", "stream", "-c", "fast"),
                    "--manifest-checksums=SHA256",
                    account=account,
                    timeout_s=timeout_s,
                )
            if done.returncode != 0:
                raise DatabaseUnavailable(
                    f"The server gave no backup: {last_complaint(done.stderr)}.",
                    fix="Its role needs REPLICATION, and pg_hba.conf a line for replication.",
                )
        self.verify(folder, major=major, timeout_s=timeout_s)

    def verify(self, folder: Path, *, major: int, timeout_s: float) -> None:
        """
        Read every file of a backup and compare it with the backup's own manifest.

        Raises:
            BackupDamaged: says which file.
        """
        data = folder / "data"
        with told_plainly(folder):
            account, programs = self._prepared(folder, major)
            found = list(islice(damage(data), MOST_DAMAGE))
            for timeline, first, last in [] if found else wal_ranges(data):
                done = programs.run(
                    "pg_waldump", "--quiet", f"--path={data / 'pg_wal'}",
                    f"--timeline={timeline}", f"--start={first}", f"--end={last}",
                    account=account, timeout_s=timeout_s,
                )  # fmt: skip
                if done.returncode != 0:
                    found.append(f"its log: {last_complaint(done.stderr)}")
        if found:
            raise BackupDamaged(
                f"The backup in {folder} is damaged: {'; '.join(found)}.",
                fix="Use an older one, and look at that disk.",
            )

    def bring_to_life(
        self, backup: Path, home: Path, *, database: str, role: str
    ) -> EmbeddedPostgres:
        """
        Start a scratch server on a copy of the backup; the backup itself is not touched.

        Args:
            home: the scratch server's folder, which must not exist or be empty.

        Raises:
            SafetyGate: there is something in that folder.
            DatabaseUnavailable: the server does not recover.
        """
        if home.exists() and any(home.iterdir()):
            raise SafetyGate(
                f"{home} is not empty, and nothing is ever restored over anything.",
                fix="Pass --to a folder that does not exist.",
            )
        with told_plainly(home):
            make_public(home)
            account = account_for(backup / "data")
            account.own(home)
            shutil.copytree(backup / "data", home / "data", symlinks=True)
            for path in ((home / "data"), *(home / "data").rglob("*")):
                account.own(path)
            configure_copy(home / "data", account, role)
        server = EmbeddedPostgres(home, bindir=self._bindir)
        server.start_as(database, role)
        return server

    def _prepared(self, folder: Path, major: int) -> tuple[Account, Programs]:
        if os.geteuid() == 0:
            make_public(folder)
        else:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = account_for(folder / "data")
        account.own(folder)
        for place in [self._bindir] if self._bindir else bindirs_in_wheel():
            programs = Programs.at(place)
            if programs.major == major:
                return account, programs.reachable_by(account, self._home / "programs")
        raise Unavailable(
            f"The server is PostgreSQL {major}, and there are no programs of that version here.",
            fix=f"Set PADELOPS_POSTGRES_BINDIR to the programs of PostgreSQL {major}.",
        )
