"""
How clients reach a lab: one address that names every node, with time limits for each way to hang.

libpq tries the hosts in turn until one takes writes; the keepalives and the user timeout end a
connection whose other side has fallen silent, which no statement timeout does.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from padelops.adapters.postgres_cluster import ADMIN, DATABASE, ROLE

if TYPE_CHECKING:
    from padelops.lab.folder import Folder
    from padelops.lab.state import State

NAMESPACE = "padelops"
"""Of the cluster's keys in its store."""

CONNECT_TIMEOUT_S = 2
CLIENT: dict[str, str | int] = {
    "target_session_attrs": "read-write",
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 3000,
}
"""Seconds, and milliseconds for the last."""


def variables(folder: Folder, state: State) -> dict[str, str]:
    """What points padelops at a lab: bookings at its primary, failover at all of it."""
    found = {
        "PADELOPS_DATABASE_URL": database_url(folder, state),
        "PADELOPS_CLUSTER_URL": cluster_url(folder, state),
        "PADELOPS_CONNECT_TIMEOUT_S": str(CONNECT_TIMEOUT_S),
        # Gone with the lab: the next one of this name must not go on with this one's failover.
        "PADELOPS_FAILOVER_STATE": str(folder.path / "failover"),
    }
    if state.kind == "patroni":
        found["PADELOPS_PATRONI_URLS"] = ",".join(
            f"http://127.0.0.1:{node.rest_port}" for node in state.nodes
        )
    else:
        words = (sys.executable, "-m", "padelops.lab.rejoining", str(folder.path))
        found["PADELOPS_REJOIN_COMMAND"] = shlex.join(words)
    if state.store == "etcd":
        found["PADELOPS_ETCD_URLS"] = f"http://127.0.0.1:{state.store_port}/{NAMESPACE}"
    return found


def database_url(folder: Folder, state: State) -> str:
    """
    The multi-host address; the password stays in a file that only we may read.
    """
    ports = [node.door_port or node.postgres_port for node in state.nodes]
    return _url(ROLE, ports, {**CLIENT, "passfile": str(folder.pgpass)})


def cluster_url(folder: Folder, state: State) -> str:
    """Every node itself, as the role that may look at it and promote it."""
    ports = [node.postgres_port for node in state.nodes]
    return _url(ADMIN, ports, {"passfile": str(folder.pgpass)})


def _url(role: str, ports: list[int], options: dict[str, str | int]) -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://{role}@{hosts}/{DATABASE}?{urlencode(options, quote_via=quote)}"
