"""
A PostgreSQL server seen from outside: its pid file, its socket and its process.

The pid file alone proves nothing. After a kill it stays, and its number may belong to a stranger
by now. A server is up if its socket takes connections, and alive if its process serves this folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from padelops.adapters.postgres_account import ENVIRONMENT
from padelops.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from padelops.adapters.postgres_account import Account
    from padelops.adapters.postgres_programs import Programs

PROBE_TIMEOUT_S = 2
PS_TIMEOUT_S = 10

PORT = 5432
"""Only part of the socket's name, but always given: PGPORT must not lead elsewhere."""
LONGEST_SOCKET_FOLDER = 103 - len(f"/.s.PGSQL.{PORT}")
"""Bytes; a socket's path may have 103 on macOS, 107 on Linux."""
PLAIN_PATH = re.compile(r"[\w./+@ -]+", re.ASCII)
"""Needs no quoting in PostgreSQL's comma-separated list of socket folders."""

STATUS_LINE, SOCKET_LINE, PORT_LINE = 7, 4, 3
"""Counted from 0; source: PostgreSQL's miscadmin.h, LOCK_FILE_LINE_*."""

children: set[int] = set()
"""Servers that this very process started: only a parent can clear away what is left of the dead."""


@dataclass(frozen=True)
class Postmaster:
    """What `postmaster.pid` says, which may be the word of a dead server."""

    data: Path
    pid: int
    socket_folder: Path | None
    port: int | None
    ready: bool

    @classmethod
    def read(cls, data: Path) -> Self | None:
        """None where there is no such file, or only the beginning of one."""
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
            pid = abs(int(lines[0]))  # single-user mode writes it negative
        except (FileNotFoundError, IndexError, ValueError):
            return None
        complete = len(lines) > STATUS_LINE and bool(lines[SOCKET_LINE])
        return cls(
            data,
            pid,
            Path(lines[SOCKET_LINE]) if complete else None,
            int(lines[PORT_LINE]) if complete else None,
            ready=complete and lines[STATUS_LINE].strip() == "ready",
        )

    def answers(self) -> bool:
        """Whether it takes connections. Well under a millisecond, and no login."""
        if not self.ready or self.socket_folder is None:
            return False
        try:
            # In a folder of somebody else's, somebody else would answer.
            if self.socket_folder.stat().st_uid != self.data.stat().st_uid:
                return False
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(PROBE_TIMEOUT_S)
                probe.connect(os.fspath(self.socket_folder / f".s.PGSQL.{self.port}"))
        except BlockingIOError:
            return True  # its queue of callers is full: busy, but there
        except OSError:
            return False
        return True

    def lives(self) -> bool:
        """Whether the process is a server of this data folder, in whatever state."""
        bury_children()
        return f" -D {self.data} " in f"{command_line(self.pid)} "


def socket_place(home: Path, uid: int) -> Path:
    """Where a server of this home listens: in it, or in /tmp where its path is too long."""
    inside = home / "socket"
    if len(str(inside)) <= LONGEST_SOCKET_FOLDER and PLAIN_PATH.fullmatch(str(inside)):
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    # Not TMPDIR, which differs between a login and cron. The folder's owner is checked.
    return Path("/tmp") / f"padelops-{uid}-{digest}"  # noqa: S108


def have_private_folder(folder: Path, account: Account) -> None:
    """
    Make a folder that only the server's user may change, or be sure that it is one already.

    In /tmp anybody could have made it first, and listened where our clients knock.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        account.own(folder)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and not found.st_mode & 0o022:
        return
    raise DatabaseUnavailable(
        f"{folder} is not a folder of the user '{account.name}' that nobody else may change.",
        fix="Look at who made it and remove it, or set PADELOPS_HOME to a shorter path.",
        reason="foreign_folder",
    )


def command_line(pid: int) -> str:
    """How a process was called, its arguments separated by blanks; empty for the dead."""
    if Path("/proc/self/cmdline").exists():
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        except OSError:
            return ""
    done = subprocess.run(  # noqa: S603 - no shell; the only argument from outside is a number
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=PS_TIMEOUT_S,
        check=False,
    )
    return done.stdout.strip()


def launch(
    programs: Programs,
    data: Path,
    *settings: str,
    socket_folder: Path,
    account: Account,
    log: Path,
    stale: Postmaster | None,
) -> subprocess.Popen[bytes]:
    """
    Start a server that outlives us, writing to `log` until its own logging begins.

    `stale` is what a dead server left in the data folder. If its pid belongs to a stranger now,
    PostgreSQL would refuse to start. Removing the file would also remove PostgreSQL's own check
    for children of the dead server that still write; so the server is told instead that this pid
    is its grandparent, which it knows to be no rival (pg_ctl's own way).
    """
    started = account.popen_arguments()
    if stale is None:  # at most the beginning of a file, from a full disk or a power cut
        (data / "postmaster.pid").unlink(missing_ok=True)
    else:
        started["env"] = ENVIRONMENT | {"PG_GRANDPARENT_PID": str(stale.pid)}
    # No server lives, and nobody else's has business in this folder.
    (socket_folder / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    # Always a new file: in a folder of the server's user, root must not write through a link.
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        account.own(log)
        process = subprocess.Popen(  # noqa: S603 - no shell; the operator's own paths
            [
                programs.bindir / "postgres",
                *("-D", data),
                *("-c", f"unix_socket_directories={socket_folder}"),
                *settings,
            ],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            **started,
        )
    finally:
        os.close(descriptor)
    children.add(process.pid)
    return process


def let_go(process: subprocess.Popen[bytes]) -> None:
    """Keep Python from complaining that the server outlives the object that started it."""
    if process.returncode is None:
        process.returncode = 0


def bury_children() -> None:
    """Clear away servers that this process started and that ended since."""
    for pid in tuple(children):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # buried already, or we are a fork of the parent
            ended = pid
        if ended:
            children.discard(pid)
