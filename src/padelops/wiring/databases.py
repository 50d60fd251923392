"""Which database there is: found, started, upgraded, looked at and stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.errors import NotPermitted, Refused, Unavailable
from padelops.store import schema
from padelops.store.engine import Database
from padelops.store.replica import Readers

if TYPE_CHECKING:
    from padelops.settings import Settings


def open_database(
    settings: Settings, *, budget_ms: int | None, pool_size: int | None = None
) -> Database:
    """A pool on the configured database; the embedded server is started where none is."""
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
    else:
        from padelops.adapters.embedded_postgres import EmbeddedPostgres  # noqa: PLC0415

        url = EmbeddedPostgres(settings.home, bindir=settings.postgres_bindir).ensure_running()
    return Database(
        url,
        budget_ms=budget_ms,
        connect_timeout_s=settings.connect_timeout_s,
        pool_size=pool_size or settings.pool_size,
    )


def open_readers(settings: Settings, primary: Database) -> Readers:
    """The configured replica before the primary; nothing is connected before the first read."""
    replica = None
    if settings.replica_url is not None:
        replica = Database(
            settings.replica_url.get_secret_value(),
            budget_ms=settings.level1_budget_ms,
            connect_timeout_s=settings.connect_timeout_s,
            pool_size=settings.pool_size,
        )
    return Readers(primary, replica, staleness_s=settings.replica_staleness_s)


def upgrade_schema(settings: Settings) -> schema.SchemaVersion:
    """Bring the configured database to the schema that this program needs."""
    database = open_database(settings, budget_ms=None, pool_size=2)
    try:
        return schema.upgrade(database)
    finally:
        database.close()


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """Which database is configured, whether it answers, and what its schema is."""

    where: str
    embedded: bool
    answers: bool
    problem: str | None
    server: str | None
    schema: schema.SchemaVersion | None
    data_folder: str | None
    log_file: str | None

    @property
    def exit_code(self) -> int:
        """As checks answer: 0 fine, 2 not usable as it is."""
        return 0 if self.schema is not None and self.schema.current else 2

    def as_json(self) -> dict[str, Any]:
        return {
            "database": self.where,
            "answers": self.answers,
            "problem": self.problem,
            "server": self.server,
            "schema": None if self.schema is None else self.schema.found,
            "schema_needed": schema.needed(),
            "data_folder": self.data_folder,
            "log_file": self.log_file,
        }


def database_status(settings: Settings) -> DatabaseStatus:
    """Look at the configured database; an embedded server that is stopped is not started."""
    where = "PADELOPS_DATABASE_URL"
    data: str | None = None
    log: str | None = None
    embedded = settings.database_url is None
    if embedded:
        from padelops.adapters.embedded_postgres import EmbeddedPostgres  # noqa: PLC0415

        found = EmbeddedPostgres(settings.home, bindir=settings.postgres_bindir).status()
        where, data, log = "embedded", str(found.data_folder), str(found.log_file)
        if not found.running:
            problem = "It is not running; any command starts it."
            return DatabaseStatus(where, embedded, False, problem, None, None, data, log)
    database = open_database(settings, budget_ms=settings.level1_budget_ms, pool_size=1)
    try:
        with database.reading() as tx:
            server, version = schema.server_version(tx), schema.version(tx)
    except (Unavailable, NotPermitted) as exc:
        return DatabaseStatus(where, embedded, False, str(exc), None, None, data, log)
    finally:
        database.close()
    doubt = None if version.current else "The schema is not what this padelops needs."
    return DatabaseStatus(where, embedded, True, doubt, server, version, data, log)


def stop_embedded(settings: Settings) -> bool:
    """
    Stop the embedded server; whether it was running.

    Raises:
        Refused: the database is not the embedded one.
    """
    if settings.database_url is not None:
        raise Refused(
            "The database is not the embedded one, so padelops does not stop it.",
            fix="Unset PADELOPS_DATABASE_URL, or stop that server yourself.",
        )
    from padelops.adapters.embedded_postgres import EmbeddedPostgres  # noqa: PLC0415

    server = EmbeddedPostgres(settings.home, bindir=settings.postgres_bindir)
    running = server.status().running
    server.stop()
    return running
