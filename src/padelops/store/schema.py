"""
Which schema this padelops needs, which one a database has, and the way from one to the other.

Reading the version costs one query and no Alembic; Alembic is imported only to move.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import psycopg

from padelops.errors import SchemaAhead, SchemaBehind
from padelops.store.queries import statements

if TYPE_CHECKING:
    from padelops.store.engine import Database, Tx

_SQL = statements("schema")
_MIGRATION = re.compile(r"^(\d{4})_\w+\.py$")

UPGRADE_LOCK = 0x7061_6465_6C  # "padel": the advisory lock of whoever moves the schema


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The database's version and the one this program needs; `0000` is an empty database."""

    found: str
    needed: str

    @property
    def current(self) -> bool:
        return self.found == self.needed

    def as_json(self) -> dict[str, str | bool]:
        return {"found": self.found, "needed": self.needed, "current": self.current}


def needed() -> str:
    """The newest migration that this program ships, read from the file names."""
    # By way of the store: naming the migrations' own package would import it, and Alembic with it.
    folder = resources.files("padelops.store").joinpath("migrations", "versions")
    names = (entry.name for entry in folder.iterdir())
    return max(match[1] for name in names if (match := _MIGRATION.match(name)))


def version(tx: Tx) -> SchemaVersion:
    """What the database has beside what we need."""
    try:
        row = tx.execute(_SQL["version"]).fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    return SchemaVersion(found="0000" if row is None else str(row[0]), needed=needed())


def server_version(tx: Tx) -> str:
    """What the server calls itself, such as `18.4`."""
    row = tx.execute(_SQL["server_version"]).fetchone()
    return "" if row is None else str(row[0])


def require_current(tx: Tx) -> None:
    """
    Refuse to work on a schema that is not ours.

    Raises:
        SchemaBehind: an upgrade is due. SchemaAhead: this program is older than the database.
    """
    found = version(tx)
    if found.found < found.needed:
        raise SchemaBehind(
            f"The database's schema is at {found.found}, this padelops needs {found.needed}.",
            fix="Run: padelops db upgrade",
            found=found.found,
            needed=found.needed,
        )
    if found.found > found.needed:
        raise SchemaAhead(
            f"The database's schema is at {found.found}, this padelops knows {found.needed}.",
            fix="Upgrade padelops on this machine.",
            found=found.found,
            needed=found.needed,
        )


def upgrade(database: Database) -> SchemaVersion:
    """
    Bring the database to the version that this program needs; safe to run twice, and at once.

    Raises:
        SchemaAhead: the database is newer than this program.
    """
    import sqlalchemy as sa  # noqa: PLC0415 - heavy, and only needed to move
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    from padelops.store.engine import explained  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "padelops.store:migrations")
    tx = database.connect()
    try:
        with explained():
            # Whoever comes second waits, and then finds nothing to do.
            tx.execute(_SQL["upgrade_lock"], {"key": UPGRADE_LOCK})
            if version(tx).found > needed():
                require_current(tx)
            engine = sa.create_engine(
                "postgresql+psycopg://", creator=database.connect, poolclass=sa.NullPool
            )
            try:
                with engine.begin() as connection:
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
            except sa.exc.DBAPIError as exc:
                if isinstance(exc.orig, psycopg.Error):
                    raise exc.orig from exc
                raise
            finally:
                engine.dispose()
            return version(tx)
    finally:
        tx.close()
