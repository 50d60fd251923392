"""
The one place that builds real things and puts them together.

`desk` joins the rooms into a `Desk`, `opening` opens one, `databases` finds the database,
`gateways` the payment gateway, `money` the worker, `health` what a health check looks at.

Names are loaded when they are first used: who only asks about health does not wait for the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "DatabaseStatus": "databases",
    "Desk": "desk",
    "database_status": "databases",
    "login": "opening",
    "open_database": "databases",
    "open_desk": "opening",
    "stop_embedded": "databases",
    "upgrade_schema": "databases",
    "utc_now": "opening",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
