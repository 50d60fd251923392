"""How a desk is opened: the database found or started, its schema checked, everything wired up."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from padelops.model import Door, Origin
from padelops.settings import Settings
from padelops.store import schema
from padelops.wiring.databases import open_database, upgrade_schema
from padelops.wiring.desk import Desk

if TYPE_CHECKING:
    from collections.abc import Callable


def utc_now() -> datetime:
    return datetime.now(UTC)


def open_desk(
    settings: Settings | None = None,
    *,
    actor: str | None = None,
    door: Door = Door.LIBRARY,
    clock: Callable[[], datetime] = utc_now,
) -> Desk:
    """
    Open the desk: find or start the database, check its schema, wire everything up.

    Args:
        settings: read from `PADELOPS_*` when left out.
        actor: who acts, for the audit trail; the login when left out.

    Raises:
        DatabaseUnavailable: it cannot be reached or started. SchemaBehind, SchemaAhead: not ours.
    """
    settings = settings or Settings.from_environment()
    database = open_database(settings, budget_ms=settings.level1_budget_ms)
    try:
        with database.reading() as tx:
            found = schema.version(tx)
        if settings.database_url is None and found.found < found.needed:
            # The embedded database is ours alone, so its schema follows the program.
            upgrade_schema(settings)
        with database.reading() as tx:
            schema.require_current(tx)
    except BaseException:
        database.close()
        raise
    origin = Origin(actor or settings.actor or login(), door)
    desk = Desk(settings, database, origin, clock)
    if door is not Door.CLI:
        desk.flusher.start()
    return desk


def login() -> str:
    """The name of whoever runs this process; in a container without a name, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
