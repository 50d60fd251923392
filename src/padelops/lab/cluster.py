"""
The nodes of a cluster under Patroni: each one's configuration, and the program that runs it.

The settings are those that DESIGN.md section 8 measured: `loop_wait + 2 x retry_timeout <= ttl`, a
primary that dies is replaced instead of restarted (`primary_start_timeout: 0`), a diverged one is
never elected (`check_timeline`), and losing the store interrupts nothing (`failsafe_mode`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from padelops.adapters.postgres_cluster import ADMIN, ROLE, initdb_options
from padelops.lab import parts, store
from padelops.lab.addresses import NAMESPACE
from padelops.lab.processes import environment
from padelops.lab.state import Process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from padelops.lab.folder import Folder
    from padelops.lab.runner import Runner
    from padelops.lab.state import Node, State

REPLICATION = "replicator"
REWIND = "rewinder"
LOGINS = (ADMIN, ROLE, REPLICATION, REWIND)
"""Each gets a password of its own."""

DYNAMIC = {
    "ttl": 20,
    "loop_wait": 2,
    "retry_timeout": 3,
    "primary_start_timeout": 0,
    "maximum_lag_on_failover": 1 << 20,
    "check_timeline": True,
    "failsafe_mode": True,
}
"""What the whole cluster shares. Source: DESIGN.md section 8."""

PARAMETERS = {
    "max_connections": 200,
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_log_hints": "on",
    "wal_keep_size": "128MB",
    "max_wal_senders": 10,
    "max_replication_slots": 10,
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "500ms",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

LOCAL_PARAMETERS = {
    "unix_socket_directories": "",  # its path could be too long, and clients come by TCP
    "dynamic_shared_memory_type": "mmap",  # in the data folder, so that kill -9 leaves nothing
}

ACCESS = (
    "local all all scram-sha-256",
    "host all all 127.0.0.1/32 scram-sha-256",
    f"host replication {REPLICATION} 127.0.0.1/32 scram-sha-256",
)

# SQL outside store/, because it makes the database that the store lives in.
ORDINARY = "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {password}"
STANDBY = "CREATE ROLE {role} LOGIN REPLICATION PASSWORD {password}"
EMPTY = "CREATE DATABASE {role} OWNER {role} TEMPLATE template0"


@dataclass(frozen=True)
class Statement:
    """What makes a role, or something of its own."""

    text: str
    role: str


def furnish(*, replication: bool) -> list[Statement]:
    """What a new cluster needs; `replication` where no Patroni has made the standbys' role."""
    standby = [Statement(STANDBY, REPLICATION)] if replication else []
    return [*standby, Statement(ORDINARY, ROLE), Statement(EMPTY, ROLE)]


def process(folder: Folder, node: Node, runner: Runner, *, before: tuple[str, ...] = ()) -> Process:
    """Patroni of one node, which starts and stops the node's PostgreSQL."""
    return Process(
        name=node.name,
        command=(
            *before,
            *runner.command(sys.executable, "-m", "patroni", settings_file(folder, node)),
        ),
        environment=environment(folder.path),
        log=folder.log(node.name),
        ready=f"http:{node.rest_port}/liveness",
    )


def settings_file(folder: Folder, node: Node) -> Path:
    return folder.node(node.name) / "patroni.yml"


def data_folder(folder: Folder, node: Node) -> Path:
    return folder.node(node.name) / "data"


def configure(
    folder: Folder, state: State, node: Node, runner: Runner, passwords: Mapping[str, str]
) -> None:
    """Write a node's configuration; it holds passwords, so nobody else may read it."""
    file = settings_file(folder, node)
    text = yaml.safe_dump(settings(folder, state, node, runner, passwords), sort_keys=False)
    folder.keep(str(file.relative_to(folder.path)), text)
    runner.give(file.parent)


def settings(
    folder: Folder, state: State, node: Node, runner: Runner, passwords: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that Patroni is told about one node."""
    rest, postgres = (f"127.0.0.1:{port}" for port in (node.rest_port, node.postgres_port))
    login = {
        part: {"username": user, "password": passwords[user]}
        for part, user in (
            ("superuser", ADMIN),
            ("replication", REPLICATION),
            ("rewind", REWIND),
        )
    }
    return {
        "scope": state.name,
        "namespace": f"/{NAMESPACE}/",
        "name": node.name,
        "restapi": {"listen": rest, "connect_address": rest},
        **store.section(state.store, state.store_port, node, state.nodes, folder),
        "bootstrap": {
            "dcs": {
                **DYNAMIC,
                "synchronous_mode": state.synchronous,
                "synchronous_mode_strict": state.synchronous,
                "postgresql": {
                    "use_pg_rewind": True,
                    "use_slots": True,
                    "parameters": PARAMETERS,
                },
            },
            "initdb": _initdb(runner.programs.major),
        },
        "postgresql": {
            "listen": postgres,
            "connect_address": postgres,
            "bin_dir": str(runner.programs.bindir),
            "data_dir": str(data_folder(folder, node)),
            "pgpass": str(folder.node(node.name) / "pgpass"),
            "authentication": login,
            "parameters": LOCAL_PARAMETERS,
            "pg_hba": list(ACCESS),
            "basebackup": ["no-sync", {"checkpoint": "fast"}],
            "remove_data_directory_on_rewind_failure": True,
            "remove_data_directory_on_diverged_timelines": True,
        },
        "watchdog": {"mode": "automatic" if parts.watchdog() else "off"},
        "log": {"level": "INFO"},
    }


def _initdb(major: int) -> list[str | dict[str, str]]:
    """The embedded server's own options, in the form that Patroni wants."""
    options: list[str | dict[str, str]] = []
    for option in initdb_options(major):
        name, _, value = option.removeprefix("--").partition("=")
        if name not in {"username", "auth"}:  # Patroni's business
            options.append({name: value} if value else name)
    return options
