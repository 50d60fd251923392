"""A plain primary and its standby on this machine: real servers, made in about a second."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from pydantic import SecretStr

from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.adapters.postgres_account import account_for
from padelops.settings import Settings
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENT_MS = 3_000


@dataclass(frozen=True)
class Pair:
    """
    Two servers, `a` the primary and `b` its synchronous standby, with the demo clubs in them.
    """

    home: Path
    a: EmbeddedPostgres
    b: EmbeddedPostgres

    def hosts(self) -> str:
        return ",".join(str(server.status().socket_folder) for server in (self.a, self.b))

    def url(self, role: str, database: str = "padelops", more: str = "") -> str:
        return f"postgresql://{role}@/{database}?host={self.hosts()}&port=5432,5432{more}"

    def settings(self, **changes: Any) -> Settings:
        """What padelops is set to here: every server in one address, and who may promote."""
        return Settings.model_validate(
            {
                "home": self.home / "padelops",
                "database_url": SecretStr(
                    self.url("padelops", more="&target_session_attrs=read-write")
                ),
                "cluster_url": SecretStr(self.url("postgres")),
                "postgres_bindir": self.a.bindir,
                "level1_budget_ms": PATIENT_MS,
                "connect_timeout_s": 2,
                **changes,
            }
        )

    def environment(self, **changes: str) -> dict[str, str]:
        """The same for a process of its own."""
        settings = self.settings()
        assert settings.database_url is not None
        assert settings.cluster_url is not None
        kept = {name: value for name, value in os.environ.items() if "PADELOPS" not in name}
        return {
            **kept,
            "PADELOPS_HOME": str(settings.home),
            "PADELOPS_DATABASE_URL": settings.database_url.get_secret_value(),
            "PADELOPS_CLUSTER_URL": settings.cluster_url.get_secret_value(),
            "PADELOPS_POSTGRES_BINDIR": str(self.a.bindir),
            "PADELOPS_LEVEL1_BUDGET_MS": str(PATIENT_MS),
            "PADELOPS_CONNECT_TIMEOUT_S": "2",
            **changes,
        }

    def admin(self, server: EmbeddedPostgres, database: str = "padelops") -> Any:
        """A superuser's connection to one server."""
        return psycopg.connect(
            server.admin_url(database), autocommit=True, options="-c synchronous_commit=local"
        )

    def set(self, server: EmbeddedPostgres, **settings: str) -> None:
        """Change settings of one server, and be sure that new sessions have them."""
        with self.admin(server) as admin:
            for name, value in settings.items():
                admin.execute(
                    sql.SQL("ALTER SYSTEM SET {} = {}").format(
                        sql.Identifier(name), sql.Literal(value)
                    )
                )
            admin.execute("SELECT pg_reload_conf()")
        for name, value in settings.items():
            until(lambda name=name, value=value: self.ask(server, f"SHOW {name}") == value)

    def ask(self, server: EmbeddedPostgres, query: str) -> Any:
        """One value that one server tells now."""
        with self.admin(server) as admin:
            row = admin.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    def kill(self, server: EmbeddedPostgres) -> None:
        """As the power does: the postmaster and all its children, at once."""
        pid = server.status().pid
        assert pid is not None
        for child in children_of(pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not server.status().running)


def children_of(pid: int) -> list[int]:
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in done.stdout.split()]


@contextmanager
def pair_of(seed: EmbeddedPostgres, home: Path) -> Iterator[Pair]:
    """
    A pair whose data is a copy of the seed's, which must be stopped. Ended and removed at the end.
    """
    home.mkdir(mode=0o755)
    bindir = seed.bindir
    a, b = (EmbeddedPostgres(home / name, bindir=bindir, durable=False) for name in "ab")
    pair = Pair(home, a, b)
    account = account_for(seed.data)
    try:
        (home / "a").mkdir(mode=0o755)
        subprocess.run(["cp", "-a", str(seed.data), str(a.data)], check=True)
        _append(a, "cluster_name = 'a'\nwal_sender_timeout = '5s'\nwal_receiver_timeout = '5s'\n")
        a.ensure_running()
        (home / "b").mkdir(mode=0o755)
        conninfo = f"host={a.status().socket_folder} user=postgres application_name=b"
        subprocess.run(
            [str(a.bindir / "pg_basebackup"), "-D", str(b.data), "-R", "-X", "stream",
             "-c", "fast", "-d", conninfo, "--no-sync"],
            check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        (b.data / "postmaster.pid").unlink(missing_ok=True)
        _append(b, "cluster_name = 'b'\n")
        for path in (b.data, *b.data.rglob("*")):
            account.own(path)
        b.ensure_running()
        pair.set(a, synchronous_standby_names="b")
        until(lambda: pair.ask(a, "SELECT sync_state FROM pg_stat_replication") == "sync")
        yield pair
    finally:
        for server in (b, a):
            server.stop("immediate")
        shutil.rmtree(home, ignore_errors=True)


def _append(server: EmbeddedPostgres, lines: str) -> None:
    with (server.data / "postgresql.conf").open("a") as file:
        file.write(lines)
