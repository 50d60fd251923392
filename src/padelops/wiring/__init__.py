"""
The one place that builds real things and puts them together.

`desk` joins the rooms into a `Desk`, `opening` opens one, `databases` finds the database, `money`
the gateway and the worker.
"""

from padelops.wiring.databases import (
    DatabaseStatus,
    database_status,
    open_database,
    stop_embedded,
    upgrade_schema,
)
from padelops.wiring.desk import Desk
from padelops.wiring.opening import login, open_desk, utc_now

__all__ = [
    "DatabaseStatus",
    "Desk",
    "database_status",
    "login",
    "open_database",
    "open_desk",
    "stop_embedded",
    "upgrade_schema",
    "utc_now",
]
