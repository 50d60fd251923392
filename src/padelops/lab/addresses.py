"""
How clients reach a lab: one address that names every node, with time limits for each way to hang.

libpq tries the hosts in turn until one takes writes; the keepalives and the user timeout end a
connection whose other side has fallen silent, which no statement timeout does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from padelops.adapters.postgres_cluster import DATABASE, ROLE

if TYPE_CHECKING:
    from padelops.lab.folder import Folder
    from padelops.lab.state import State

CONNECT_TIMEOUT_S = 2
CLIENT = {
    "target_session_attrs": "read-write",
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 3000,
}
"""Seconds, and milliseconds for the last."""


def database_url(folder: Folder, state: State) -> str:
    """
    The multi-host address; the password stays in a file that only we may read.
    """
    ports = [node.door_port or node.postgres_port for node in state.nodes]
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    options = urlencode({**CLIENT, "passfile": str(folder.pgpass)}, quote_via=quote)
    return f"postgresql://{ROLE}@{hosts}/{DATABASE}?{options}"
