"""
A former primary on this machine becomes a standby of the new one: rewound, or copied anew.

It keeps its own configuration. `pg_rewind` and `pg_basebackup` would bring the new primary's files
along, with a port, a name and a slot that are not this server's. What diverged is never destroyed
by a copy: the old data folder is put aside, because it may hold commits that nobody else has.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from padelops.adapters.postgres_account import Account, account_for, refuse_strangers
from padelops.adapters.postgres_cluster import made_by_major
from padelops.adapters.postgres_passwords import without_password
from padelops.adapters.postgres_programs import Programs, bindirs_in_wheel
from padelops.adapters.postgres_troubles import last_complaint, told_plainly
from padelops.adapters.postmaster import Postmaster, bury_children, children, let_go
from padelops.errors import DatabaseUnavailable, SafetyGate

STOP_TIMEOUT_S = 10
START_TIMEOUT_S = 30
PAUSE_S = 0.05

OWN_FILES = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf")
"""What a server keeps of its own when its data becomes another's."""

FENCED_BY = (
    "default_transaction_read_only",
    "synchronous_standby_names",
    "primary_conninfo",
    "primary_slot_name",
)
"""Lines of postgresql.auto.conf that the fence wrote, or that say whom to follow."""


@dataclass(frozen=True, slots=True)
class Rejoined:
    """How a server came back: `rewound` or `copied`, and where its old data lies after a copy."""

    how: str
    kept: Path | None = None


def rejoin(
    data: Path,
    *,
    primary: str,
    follow: str | None = None,
    slot: str | None = None,
    sync_names: str = "",
    bindir: Path | None = None,
    copy: bool = False,
) -> Rejoined:
    """
    Stop the server of this folder, make it a standby of `primary`, and start it as it was started.

    Args:
        data: the former primary's data folder, on this machine.
        primary: the new primary's connection string, as a role that may read all of it.
        follow: the same as a role that may replicate, with the `application_name` to appear under;
            `primary` when left out.
        slot: a replication slot at the new primary.
        sync_names: whom this server is to wait for should it be primary again.
        copy: take a new base backup without trying to rewind.

    Raises:
        DatabaseUnavailable: says at which step, with what PostgreSQL complained about.
        SafetyGate: the folder is not a PostgreSQL server's.
    """
    with told_plainly(data.parent):
        refuse_strangers(data)
        major = made_by_major(data)
        if major is None:
            raise SafetyGate(
                f"{data} is not a PostgreSQL data folder.", fix="Give its data folder."
            )
        if data.stat().st_uid == 0:
            # As in a user namespace, where its server is not what it looks like from here.
            raise DatabaseUnavailable(
                f"{data} belongs to root, and PostgreSQL's programs do not run as root.",
                fix="Set PADELOPS_REJOIN_COMMAND to what brings that server back.",
                reason="wrong_user",
            )
        account = account_for(data)
        programs = _programs(major, bindir, account, data)
        command = started_as(data)
        done = made_standby(
            data, programs, account,
            primary=primary, follow=follow, slot=slot, sync_names=sync_names, copy=copy,
        )  # fmt: skip
        start(data, command, programs, account)
    return done


def made_standby(
    data: Path,
    programs: Programs,
    account: Account,
    *,
    primary: str,
    follow: str | None = None,
    slot: str | None = None,
    sync_names: str = "",
    copy: bool = False,
) -> Rejoined:
    """The same without starting it, for those who start their servers in a way of their own."""
    stop(data)
    own = {name: (data / name).read_bytes() for name in OWN_FILES if (data / name).exists()}
    kept, why = None, "as asked"
    with without_password(primary, data.parent, account) as source:
        trouble = why if copy else _rewind(programs, data, source, account)
    if trouble is not None:
        with without_password(follow or primary, data.parent, account) as source:
            kept, why = _copied(programs, data, source, account), trouble
    for name, content in own.items():
        _write(data / name, content, account)
    _follow(data, follow or primary, slot, sync_names, account)
    return Rejoined(f"copied ({why})" if kept else "rewound", kept)


def started_as(data: Path) -> list[str]:
    """
    The arguments that the server of this folder was last started with, after the program's name.

    Raises:
        DatabaseUnavailable: it was never started.
    """
    try:
        words = shlex.split((data / "postmaster.opts").read_text())
    except (FileNotFoundError, ValueError) as exc:
        raise DatabaseUnavailable(
            f"{data} does not tell how its server is started.",
            fix="Start it once as it is started usually, then run this again.",
        ) from exc
    return words[1:]


def stop(data: Path, *, politely: bool = True) -> None:
    """
    End the server of this folder and wait until it is gone, its children too.

    Args:
        politely: give clients and the last checkpoint time first; else at once, as in a crash.

    Raises:
        DatabaseUnavailable: a process did not end.
    """
    server = Postmaster.read(data)
    if server is None:
        return
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)[not politely :]:
        if not serves(server):
            return
        whole = [server.pid, *_children(server.pid)]
        _signal(whole if how is signal.SIGKILL else [server.pid], how)
        _signal(whole, signal.SIGCONT)  # a server that was stopped hears nothing else
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while serves(server) and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
    if serves(server):
        raise DatabaseUnavailable(f"PostgreSQL (process {server.pid}) did not end.")


def _signal(processes: list[int], how: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, how)


def _children(pid: int) -> list[int]:
    """A server's processes; where the system does not tell, none: they end with their parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            # The name in parentheses may hold blanks.
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def keep_down(data: Path) -> None:
    """
    End the server of this folder for good: should anything start it again, it is a standby.

    Raises:
        DatabaseUnavailable: its process did not end, or the folder cannot be written to.
    """
    with told_plainly(data.parent):
        refuse_strangers(data)
        # Root's data, as in a user namespace, stays root's: its server would not see another's.
        owner = data.stat().st_uid
        account = account_for(data) if owner else Account(owner, data.stat().st_gid, "root")
        # Before the end: a supervisor may start it again at once.
        _write(data / "standby.signal", b"", account)
        stop(data, politely=False)


def serves(server: Postmaster) -> bool:
    """Whether that process is a PostgreSQL server of that folder, however it was started."""
    bury_children()
    if server.lives():
        return True
    with suppress(OSError):
        return Path(f"/proc/{server.pid}/cwd").resolve() == server.data.resolve()
    return False


def start(data: Path, arguments: list[str], programs: Programs, account: Account) -> None:
    """
    Start a server as it was started before, and wait until it takes connections.

    Raises:
        DatabaseUnavailable: it ended, or did not get ready in time.
    """
    log = data.parent / "rejoin.log"
    log.unlink(missing_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        account.own(log)
        process = subprocess.Popen(  # noqa: S603 - no shell; the operator's own arguments
            [programs.bindir / "postgres", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            **account.popen_arguments(),
        )
    finally:
        os.close(descriptor)
    children.add(process.pid)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            server = Postmaster.read(data)
            if server and server.pid == process.pid and server.ready:
                return
            time.sleep(PAUSE_S)
    finally:
        let_go(process)
    raise DatabaseUnavailable(
        f"The server in {data} did not start as a standby: {last_complaint(log.read_text())}.",
        fix=f"Its log is {log}",
    )


def _programs(major: int, bindir: Path | None, account: Account, data: Path) -> Programs:
    for place in [bindir] if bindir else bindirs_in_wheel():
        programs = Programs.at(place)
        if programs.major == major:
            return programs.reachable_by(account, data.parent / "programs")
    raise DatabaseUnavailable(
        f"{data} is PostgreSQL {major}'s, and there are no programs of that version here.",
        fix=f"Set PADELOPS_POSTGRES_BINDIR to the programs of PostgreSQL {major}.",
    )


def _rewind(programs: Programs, data: Path, primary: str, account: Account) -> str | None:
    """Why pg_rewind could not do it; None when it did. It touches nothing before it is sure."""
    done = programs.run(
        "pg_rewind", f"--target-pgdata={data}", f"--source-server={primary}", account=account
    )
    return None if done.returncode == 0 else f"not rewound: {last_complaint(done.stderr)}"


def _copied(programs: Programs, data: Path, primary: str, account: Account) -> Path:
    fresh = data.with_name(f"{data.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    account.own(fresh)
    done = programs.run(
        "pg_basebackup",
        "-w",
        "-D",
        fresh,
        "-d",
        primary,
        "-X",
        "stream",
        "-c",
        "fast",
        account=account,
    )
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise DatabaseUnavailable(
            f"Copying the new primary failed: {last_complaint(done.stderr)}.",
            fix="See whether it admits a replication connection from here, and the disk has room.",
        )
    kept = data.with_name(f"{data.name}.before-{int(time.time())}")
    (fresh / "postmaster.opts").write_bytes((data / "postmaster.opts").read_bytes())
    account.own(fresh / "postmaster.opts")
    data.rename(kept)
    fresh.rename(data)
    return kept


def _follow(data: Path, primary: str, slot: str | None, sync_names: str, account: Account) -> None:
    auto = data / "postgresql.auto.conf"
    lines = [
        line
        for line in auto.read_text().splitlines()
        if line.partition("=")[0].strip() not in FENCED_BY
    ]
    lines.append(f"primary_conninfo = '{_quoted(primary)}'")
    if sync_names:
        lines.append(f"synchronous_standby_names = '{_quoted(sync_names)}'")
    if slot:
        lines.append(f"primary_slot_name = '{_quoted(slot)}'")
    _write(auto, ("\n".join(lines) + "\n").encode(), account)
    _write(data / "standby.signal", b"", account)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''")


def _write(path: Path, content: bytes, account: Account) -> None:
    """A file of the server, whole or not at all: no crash may leave half a configuration."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    # The folder is another user's while we may be root: never follow a link that was put there.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    account.own(draft)
    draft.replace(path)
