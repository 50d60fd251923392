"""
A throw-away PostgreSQL with clubs on it, gone when the benchmark ends, however it ends.

The server is durable (fsync on), because the price of a commit is part of what is measured.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import yaml
from psycopg import sql
from pydantic import SecretStr

from padelops import wiring
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.wiring import Desk

CLUB = "bench"
COURTS = 120
HOUR = timedelta(hours=1)
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST_START = MIDNIGHT + timedelta(days=2)
"""Court time is used up hour by hour from here, on every court."""

SEED = Path(__file__).parent / "sql" / "seed_claims.sql"
SECONDARY_INDEXES = """
    SELECT relname, pg_get_indexdef(indexrelid)
      FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
     WHERE indrelid = 'claims'::regclass AND NOT indisprimary
"""

GUARD = """
import shutil, sys
from pathlib import Path
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.errors import DatabaseUnavailable

sys.stdin.read()
try:
    EmbeddedPostgres(Path(sys.argv[1], "home")).stop("immediate")
except DatabaseUnavailable as exc:
    print(exc, file=sys.stderr)
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
"""Waits for the end of its input, which comes with the end of the benchmark, even by kill -9."""


class Stage:
    """A running server, and ways to look at it as its superuser."""

    def __init__(self, server: EmbeddedPostgres, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.url = server.url()
        self._admin = psycopg.connect(server.admin_url("padelops"), autocommit=True)

    def close(self) -> None:
        self._admin.close()

    def ask(self, sql: str, *values: Any) -> tuple[Any, ...]:
        """The one row that a statement gives."""
        row = self._admin.execute(sql.encode(), values).fetchone()
        if row is None:
            raise LookupError(sql)
        return row

    def do(self, sql: str, *values: Any) -> int:
        """Run a statement as the superuser; how many rows it touched."""
        return self._admin.execute(sql.encode(), values).rowcount

    def database(self, name: str, clubs: list[dict[str, Any]], *, pool_size: int = 16) -> Desk:
        """A desk on a fresh database with these clubs; `padelops` is there already."""
        if name != "padelops":
            self.do(f"CREATE DATABASE {name} OWNER padelops")
        settings = Settings(database_url=SecretStr(self.server.url(name)), pool_size=pool_size)
        wiring.upgrade_schema(settings)
        desk = wiring.open_desk(settings, actor="bench")
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all(clubs), encoding="utf-8")
        desk.apply_club_file(path)
        return desk

    def first_court(self) -> int:
        """The id of the club's first court; the others follow without a gap."""
        return int(self.ask("SELECT min(id) FROM courts")[0])

    def free_from(self, courts: range) -> datetime:
        """The first start that is still free on all of these courts, by their ids."""
        latest = self.ask(
            "SELECT max(ends_at) FROM claims WHERE court_id = ANY (%s)", list(courts)
        )[0]
        return FIRST_START if latest is None else latest.astimezone(UTC)

    def live(self, courts: range) -> int:
        """How many live reservations these courts have."""
        sql = "SELECT count(*) FROM claims WHERE court_id = ANY (%s) AND status = 'confirmed'"
        return int(self.ask(sql, list(courts))[0])

    def seed(
        self,
        database: str,
        rows: int,
        *,
        first_start: datetime,
        ended_percent: int,
        bare: bool = False,
    ) -> None:
        """
        Fill the courts of a database hour by hour, past its triggers.

        Args:
            ended_percent: how many were cancelled, and a third as many did not turn up.
            bare: build the indexes afterwards and go without the exclusion constraint, which
                takes minutes for a million rows and which reading does not use.
        """
        values = {"rows": rows, "first_start": first_start, "ended_percent": ended_percent}
        with psycopg.connect(self.server.admin_url(database), autocommit=True) as admin:
            admin.execute("SET session_replication_role = replica")
            admin.execute("SET maintenance_work_mem = '256MB'")
            again = []
            if bare:
                admin.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
                for index, definition in admin.execute(SECONDARY_INDEXES).fetchall():
                    admin.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(index)))
                    again.append(definition)
            admin.execute(SEED.read_bytes(), values)
            for definition in again:
                admin.execute(definition)
            admin.execute("VACUUM (ANALYZE) claims")
            admin.execute("CHECKPOINT")


@contextmanager
def raised() -> Iterator[Stage]:
    """A stage of our own, taken down at the end."""
    folder = Path(tempfile.mkdtemp(prefix="padelops-bench-"))
    folder.chmod(0o755)  # the server runs as another user when we are root, and must pass through
    guard = subprocess.Popen(
        [sys.executable, "-c", GUARD, folder], stdin=subprocess.PIPE, start_new_session=True
    )
    server = EmbeddedPostgres(folder / "home", durable=True)
    try:
        server.ensure_running()
        stage = Stage(server, folder)
        try:
            yield stage
        finally:
            stage.close()
    finally:
        server.stop("immediate")
        guard.communicate(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def club_file(slug: str = CLUB, *, courts: int = COURTS) -> dict[str, Any]:
    """A club that is open day and night, with bands, holidays and tiers as a real one has."""
    return {
        "slug": slug,
        "name": f"Club {slug}",
        "time_zone": "Europe/Madrid",
        "currency": "EUR",
        "tax": {"percent": "21", "mode": "inclusive"},
        "default_hourly_price": "24.00",
        "courts": [{"name": str(number + 1)} for number in range(courts)],
        "hours": {"weekly": {"mon-sun": "00:00-24:00"}},
        "tariff": {
            "bands": [
                {"name": "peak", "from": "18:00", "to": "22:00", "percent": "20"},
                {"name": "weekend", "days": ["sat", "sun"], "percent": "10"},
                {"name": "holiday", "days": ["holiday"], "percent": "15"},
            ],
            "holidays": [f"{MIDNIGHT.year + 1}-01-06", f"{MIDNIGHT.year + 1}-12-25"],
            "member_tiers": [{"name": "gold", "discount_percent": "10"}],
        },
        "rules": {
            "slot_step_minutes": 60,
            "min_minutes": 60,
            "max_minutes": 120,
            "default_minutes": 60,
            "advance_days": 3650,
        },
        "cancellation": {
            "tiers": [
                {"hours_before": 24, "refund_percent": "100"},
                {"hours_before": 6, "refund_percent": "50"},
            ],
            "fee": "2.00",
        },
    }
