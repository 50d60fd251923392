"""
A real PostgreSQL that nobody has to set up: started on first use, left running between commands.

One server per home folder, however many processes ask for it at once. It survives kills at any
point: a lock makes starters take turns, a cluster appears only when complete, and what a dead
server left behind never stops the next start.

    HOME/data        the cluster; its owner is the user that the server runs as
    HOME/log         the server's log, one file per weekday
    HOME/socket      the only way in (a short folder in /tmp where this path is too long)
    HOME/programs    root only: a copy of the programs, if the server's user can't reach them

Source: DESIGN.md, section 2, "PostgreSQL".
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from padelops.adapters import postgres_cluster as cluster
from padelops.adapters.postgres_account import account_for, refuse_strangers
from padelops.adapters.postgres_log import ServerLog
from padelops.adapters.postgres_programs import Programs, bindirs_in_wheel, make_public
from padelops.adapters.postgres_troubles import FIX_HOME, explain, told_plainly
from padelops.adapters.postmaster import (
    PORT,
    Postmaster,
    have_private_folder,
    launch,
    let_go,
    socket_place,
)
from padelops.errors import DatabaseUnavailable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from padelops.adapters.postgres_account import Account

LOCK_TIMEOUT_S = 300
"""Longer than somebody else's slowest first start."""
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
ORPHANS_TIMEOUT_S = 20
"""How long a killed server's children may take to notice that it is gone."""
LOGIN_TIMEOUT_S = 5
PAUSE_S = 0.02

LONGEST_HOME = 800
"""Bytes; PostgreSQL keeps paths in 1024, and adds to them."""

UNDURABLE = ("-c", "fsync=off", "-c", "full_page_writes=off")
STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@dataclass(frozen=True)
class ServerStatus:
    """What can be told about the embedded server without a login."""

    running: bool
    pid: int | None
    version: int | None
    """The major version that made the data; None before the first start."""
    data_folder: Path
    socket_folder: Path
    log_file: Path


class EmbeddedPostgres:
    """The server of one home folder. Cheap to make; nothing starts before `ensure_running`."""

    def __init__(self, home: Path, *, bindir: Path | None = None, durable: bool = True) -> None:
        """
        Args:
            home: the server's folder; made on first use. Every spelling of it is one server.
            bindir: PostgreSQL's programs; the newest in the wheel when left out.
            durable: False lets a crash of the machine lose data; for tests.

        Raises:
            DatabaseUnavailable: PostgreSQL could not live at such a path.
        """
        self.home = Path(os.path.realpath(home.expanduser()))
        self.data = self.home / "data"
        self.log = ServerLog(self.home / "log")
        self._given_bindir = bindir
        self._durable = durable
        self._login = (cluster.DATABASE, cluster.ROLE)
        if len(os.fsencode(self.home)) > LONGEST_HOME:
            raise DatabaseUnavailable(
                f"The path of the database's home is longer than {LONGEST_HOME} bytes.",
                fix=FIX_HOME,
                reason="bad_home",
            )
        if not str(self.home).isprintable():
            raise DatabaseUnavailable(
                f"The path of the database's home has unprintable characters: {str(self.home)!r}.",
                fix=FIX_HOME,
                reason="bad_home",
            )

    def ensure_running(self) -> str:
        """
        Have the server up, and say how to reach it.

        Returns:
            A libpq URL for the database `padelops` as the ordinary role `padelops`. Where the
            server is up already this takes well under a millisecond and starts no program.

        Raises:
            DatabaseUnavailable: in one line why not, what to do, and a `reason`.
        """
        with told_plainly(self.home):
            refuse_strangers(self.data)
            if not self._answers():
                with self._turn() as account:
                    # Whoever had the turn before us may have done it all.
                    if not self._answers():
                        self._start(account)
            return self.url()

    def start_as(self, database: str, role: str) -> str:
        """As `ensure_running`, for a copy of a cluster whose database and role are not ours."""
        self._login = (database, role)
        self.ensure_running()
        return self.url(database, role=role)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """
        End the server, if there is one, and wait until it is gone.

        Args:
            mode: `fast` cuts off clients and writes everything down; `immediate` is a crash that
                the next start recovers from.
        """
        with told_plainly(self.home):
            refuse_strangers(self.data)
            if not self.data.exists():
                return
            with self._turn():
                self._stop(STOP_SIGNALS[mode])

    def status(self) -> ServerStatus:
        """Look, and change nothing."""
        with told_plainly(self.home):
            refuse_strangers(self.data)
            server = Postmaster.read(self.data)
            running = server is not None and server.answers()
            return ServerStatus(
                running=running,
                pid=server.pid if server and (running or server.lives()) else None,
                version=cluster.made_by_major(self.data),
                data_folder=self.data,
                socket_folder=self._socket_folder(),
                log_file=self.log.latest(),
            )

    def url(self, database: str = cluster.DATABASE, *, role: str = cluster.ROLE) -> str:
        """The libpq URL of a database here; starts nothing."""
        with told_plainly(self.home):
            folder = quote(str(self._socket_folder()), safe="")
        return f"postgresql://{role}@/{quote(database, safe='')}?host={folder}&port={PORT}"

    def admin_url(self, database: str = "postgres") -> str:
        """The same as the superuser, who may create databases; not for bookings."""
        return self.url(database, role=cluster.ADMIN)

    @property
    def bindir(self) -> Path:
        """The folder of programs that fit this server: pgbench, pg_dump, psql."""
        with told_plainly(self.home):
            return self._programs(cluster.made_by_major(self.data)).bindir

    # --- taking turns ------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Iterator[Account]:
        """
        Be the only one who starts or stops this server, and know as whom it runs.

        The kernel gives the lock back when its holder dies, however it dies.
        """
        if os.geteuid() == 0:
            make_public(self.home)  # its server runs as another user, who must pass through
        else:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = account_for(self.data)
        descriptor = _open_lock(self.home / "lock", account)
        try:
            deadline = time.monotonic() + LOCK_TIMEOUT_S
            while not _locked(descriptor):
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(
                        f"Another process has been busy with {self.home} for {LOCK_TIMEOUT_S} s.",
                        fix=f"Find it with: fuser {self.home / 'lock'}",
                        reason="busy",
                    )
                time.sleep(PAUSE_S)
            yield account
        finally:
            os.close(descriptor)

    # --- starting ----------------------------------------------------------------------------

    def _answers(self) -> bool:
        server = Postmaster.read(self.data)
        return server is not None and server.answers()

    def _start(self, account: Account) -> None:
        major = cluster.made_by_major(self.data)
        programs = self._programs(major).reachable_by(account, self.home / "programs")
        cluster.remove_drafts(self.home)
        if major is None:
            cluster.create(self.data, programs, account, durable=self._durable)
        socket_folder = socket_place(self.home, account.uid)
        for folder in (self.log.folder, socket_folder):
            have_private_folder(folder, account)
        self.log.drop_old()
        self._bring_up(programs, account, socket_folder)

    def _bring_up(self, programs: Programs, account: Account, socket_folder: Path) -> None:
        """Start the server, or wait for one that is just starting or stopping, until it serves."""
        settings = () if self._durable else UNDURABLE
        begun = time.monotonic()
        process: subprocess.Popen[bytes] | None = None
        trouble = ""
        sizes: dict[Path, int] = {}
        try:
            while (waited := time.monotonic() - begun) < START_TIMEOUT_S:
                server = Postmaster.read(self.data)
                if server and server.answers():
                    trouble = self._login_trouble()
                    if not trouble:
                        return
                elif process is None and not (server and server.lives()):
                    sizes = self.log.sizes()
                    process = launch(
                        programs,
                        self.data,
                        *settings,
                        socket_folder=socket_folder,
                        account=account,
                        log=self.log.startup,
                        stale=server,
                    )
                elif process is not None and process.poll() is not None:
                    told = self.log.since(sizes)
                    process = None
                    if "pre-existing shared memory block" not in told:
                        raise explain(
                            "Starting PostgreSQL",
                            told,
                            home=self.home,
                            user=account.name,
                            fix=f"Its log is {self.log.latest()}",
                        )
                    if waited > ORPHANS_TIMEOUT_S:
                        raise DatabaseUnavailable(
                            "Processes of the killed server before still use its memory.",
                            fix=f"End the postgres processes of the user '{account.name}'.",
                            reason="busy",
                        )
                time.sleep(PAUSE_S)
        finally:
            if process is not None:
                let_go(process)
        raise DatabaseUnavailable(
            f"PostgreSQL in {self.home} took no connections within {START_TIMEOUT_S} s"
            f"{': ' + trouble if trouble else '; it may still be recovering'}.",
            fix=f"Try again, or run `padelops db stop` first; its log is {self.log.latest()}",
            reason="timeout",
        )

    def _login_trouble(self) -> str:
        import psycopg  # noqa: PLC0415 - 0.2 s that only the one who starts the server pays

        try:
            psycopg.connect(
                self.url(self._login[0], role=self._login[1]), connect_timeout=LOGIN_TIMEOUT_S
            ).close()
        except psycopg.OperationalError as exc:
            return str(exc).strip().splitlines()[-1]
        return ""

    def _programs(self, major: int | None) -> Programs:
        """The newest programs, or those that fit existing data."""
        bindirs = [self._given_bindir] if self._given_bindir else bindirs_in_wheel()
        newest: Programs | None = None
        for bindir in bindirs:
            programs = Programs.at(bindir)
            newest = newest or programs
            if major in {None, programs.major}:
                return programs
        raise DatabaseUnavailable(
            f"The data in {self.data} is PostgreSQL {major}'s, "
            f"and the programs are version {newest.major if newest else '?'}.",
            fix=f"Set PADELOPS_POSTGRES_BINDIR to the programs of PostgreSQL {major}, "
            "or dump with those and restore into a new PADELOPS_HOME.",
            reason="wrong_version",
        )

    def _socket_folder(self) -> Path:
        """The running server's, or else the one that the next start will use."""
        server = Postmaster.read(self.data)
        if server and server.socket_folder:
            return server.socket_folder
        me = os.geteuid()
        return socket_place(self.home, account_for(self.data).uid if me == 0 else me)

    # --- stopping ----------------------------------------------------------------------------

    def _stop(self, how: signal.Signals) -> None:
        server = Postmaster.read(self.data)
        if server is None:
            return
        if not server.lives():
            if server.answers():
                raise DatabaseUnavailable(
                    f"The server of {self.home} runs where its processes cannot be seen from here.",
                    fix="Stop it in the container it was started in.",
                    reason="busy",
                )
            return
        with suppress(ProcessLookupError):
            os.kill(server.pid, how)
            os.kill(server.pid, signal.SIGCONT)  # a server that was stopped hears nothing else
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while server.lives():
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"PostgreSQL (process {server.pid}) did not end within {STOP_TIMEOUT_S} s.",
                    fix=f"It may be writing much to disk; its log is {self.log.latest()}",
                    reason="timeout",
                )
            time.sleep(PAUSE_S)


def _open_lock(path: Path, account: Account) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    account.own(path)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
