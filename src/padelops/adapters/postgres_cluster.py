"""
A PostgreSQL data folder: there as a whole or not at all, and with what padelops needs inside.

It is made beside its place and renamed once it is complete and on disk, so that neither a kill nor
a full disk halfway leaves half a cluster that a later start would take for a whole one.

Who may connect: over the socket only, and only the operating system's user that owns the data,
or root. No passwords, no TCP.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from padelops.adapters.postgres_troubles import explain
from padelops.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from padelops.adapters.postgres_account import Account
    from padelops.adapters.postgres_programs import Programs

ADMIN = "postgres"
"""The bootstrap superuser: for scratch databases and repairs, never for bookings."""

ROLE = DATABASE = "padelops"
"""An ordinary role, which append-only tables bind too, and the database that it owns."""

DRAFT = "data.new-"
BUILTIN_LOCALE_SINCE = 17

SETTINGS = """
# --- padelops ---
listen_addresses = ''            # the socket is the only way in
unix_socket_permissions = 0700
max_connections = 200
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = on           # one file per weekday, overwritten a week later
log_directory = '../log'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
log_rotation_size = 0
log_file_mode = 0600
"""

ACCESS = f"""\
# Over the socket only; pg_ident.conf says which users of this machine.
local  all          all      peer map=padelops
local  replication  {ADMIN}  peer map=padelops
"""

SINGLE_USER = ("--single", "-F", "-j", "-c", "exit_on_error=on", "-c", "log_checkpoints=off")

# SQL outside store/, because it makes the database that the store lives in.
# In single-user mode a command ends at an empty line.
FURNISH = f"""\
CREATE ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

CREATE DATABASE {DATABASE} OWNER {ROLE} TEMPLATE template0;

"""


def made_by_major(data: Path) -> int | None:
    """
    Which PostgreSQL made this data folder; None where there is none yet.

    Raises:
        DatabaseUnavailable: there is something, but not a cluster.
    """
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError as exc:
        if not data.exists() or not any(data.iterdir()):
            return None
        cause: Exception = exc
    except ValueError as exc:
        cause = exc
    raise DatabaseUnavailable(
        f"{data} is not a PostgreSQL data folder: its PG_VERSION is missing or damaged.",
        fix="Restore it from a backup, or move it away to start with an empty database.",
        reason="damaged",
    ) from cause


def create(data: Path, programs: Programs, account: Account, *, durable: bool) -> None:
    """
    Make a cluster at `data`, which must not exist, or be an empty folder.

    `durable` waits until everything is on disk; False is for tests.

    Raises:
        DatabaseUnavailable: says why; nothing is left behind.
    """
    home = data.parent
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=home))

    def run(program: str, *arguments: str | Path, stdin: str = "") -> None:
        done = programs.run(program, *arguments, account=account, stdin=stdin)
        if done.returncode != 0:
            raise explain(
                "Making the database",
                done.stdout + done.stderr,
                home=home,
                user=account.name,
                fix="See whether the disk is healthy and PADELOPS_HOME is a local folder.",
            )

    try:
        account.own(draft)
        run("initdb", "-D", draft, *initdb_options(programs.major))
        _configure(draft, account)
        run("postgres", *SINGLE_USER, "-D", draft, ADMIN, stdin=FURNISH)
        if durable:
            run("initdb", "-D", draft, "--sync-only")
        draft.rename(data)
        if durable:
            _sync_folder(home)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def initdb_options(major: int) -> list[str]:
    """
    UTF-8, sorted by code point the same way everywhere.

    The built-in locale also knows upper and lower case beyond ASCII without the machine's help;
    older versions need the machine's C.UTF-8 for it.
    """
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if major >= BUILTIN_LOCALE_SINCE
        else ["--locale=C.UTF-8", "--lc-messages=C"]
    )
    return [
        f"--username={ADMIN}",
        "--encoding=UTF8",
        *locale,
        "--auth=peer",
        "--data-checksums",
        "--no-sync",  # once at the end instead
        "--no-instructions",
    ]


def remove_drafts(home: Path) -> None:
    """Clear away what killed attempts left. Only for who holds the home's lock."""
    for draft in home.glob(f"{DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)


def configure_copy(data: Path, account: Account, role: str) -> None:
    """
    Give a copy of somebody else's cluster our configuration, and this role a way in.

    What it brought along is gone: its address, its archive, its standbys.
    """
    for name in ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"):
        (data / name).unlink(missing_ok=True)  # some keep them elsewhere
        (data / name).touch(mode=0o600)
        account.own(data / name)
    for name in ("standby.signal", "recovery.signal"):
        (data / name).unlink(missing_ok=True)
    _configure(data, account, role)


def _configure(draft: Path, account: Account, *roles: str) -> None:
    root = pwd.getpwuid(0).pw_name
    users = dict.fromkeys((account.name, root))
    known = dict.fromkeys((ADMIN, ROLE, *roles))
    ident = "".join(f'padelops  "{user}"  "{role}"\n' for user in users for role in known)
    _write(draft / "pg_hba.conf", ACCESS, os.O_TRUNC)
    _write(draft / "pg_ident.conf", ident, os.O_TRUNC)
    _write(draft / "postgresql.conf", SETTINGS, os.O_APPEND)


def _write(path: Path, text: str, how: int) -> None:
    # The folder is another user's while we may be root: never follow a link that was put there.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | how), "w") as file:
        file.write(text)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
