"""
What is true of a lab right now: every process is looked at, every node is asked, twice.

Patroni's word and PostgreSQL's are told apart, because the interesting moments are those in which
they differ: a node that its Patroni still calls leader while it takes no writes, or a PostgreSQL
that goes on accepting them after its Patroni died.
"""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from padelops.adapters.postgres_cluster import DATABASE, ROLE
from padelops.lab import processes
from padelops.lab.processes import PROBE_TIMEOUT_S, http_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padelops.lab.folder import Folder
    from padelops.lab.state import Node, State

CONNECT_TIMEOUT_S = 2
HTTP_OK = 200
LEADING = {"leader", "standby_leader", "primary", "master"}
FOLLOWING = {"sync_standby", "quorum_standby"}
"""Patroni's words for a standby that confirms commits."""


@dataclass(frozen=True)
class NodeView:
    """One node, as Patroni tells it and as PostgreSQL does."""

    name: str
    address: str
    role: str | None
    """Patroni's: leader, sync_standby, replica; None where it does not answer."""
    state: str | None
    timeline: int | None
    lag_bytes: int | None
    writable: bool | None
    """PostgreSQL's own answer; None where it gives none."""
    problem: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ProcessView:
    """One process: recorded, alive, serving."""

    name: str
    pid: int | None
    state: str
    """serving, silent (alive, but gives no answer), frozen, or dead."""
    log: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LabView:
    """A whole lab, with the verdict that an exit status needs."""

    name: str
    folder: str
    kind: str
    store: str
    synchronous: bool
    nodes: tuple[NodeView, ...]
    processes: tuple[ProcessView, ...]
    absent: dict[str, str]
    complete: bool

    @property
    def leaders(self) -> list[str]:
        """Nodes that take writes, by PostgreSQL's own word."""
        return [node.name for node in self.nodes if node.writable]

    @property
    def confirming(self) -> list[str]:
        return [node.name for node in self.nodes if node.role in FOLLOWING]

    @property
    def problems(self) -> list[str]:
        """What is wrong, worst first."""
        found = []
        if len(self.leaders) != 1:
            words = f"Writable: {' and '.join(self.leaders)}." if self.leaders else ""
            found.append(words or "No node takes writes.")
        if self.kind == "patroni" and self.synchronous and not self.confirming:
            found.append("No standby confirms commits: writes wait.")
        found += [
            f"{process.name} is {process.state}."
            for process in self.processes
            if process.state != "serving"
        ]
        found += [f"{node.name}: {node.problem}" for node in self.nodes if node.problem]
        if not self.complete:
            found.append("`padelops lab up` did not finish; run it again, or `padelops lab down`.")
        return found

    @property
    def exit_code(self) -> int:
        """As checks answer: 0 all there, 1 something is away, 2 no writes or two primaries."""
        if len(self.leaders) != 1:
            return 2
        return 1 if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "lab": self.name,
            "folder": self.folder,
            "kind": self.kind,
            "store": self.store,
            "synchronous": self.synchronous,
            "leader": self.leaders[0] if len(self.leaders) == 1 else None,
            "ok": not self.problems,
            "problems": self.problems,
            "nodes": [node.as_json() for node in self.nodes],
            "processes": [process.as_json() for process in self.processes],
            "absent": self.absent,
        }


def look(folder: Folder, state: State) -> LabView:
    """Ask everybody, all at once: one that hangs delays the answer by its own time limit only."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        nodes = pool.map(lambda node: look_at(folder, state, node), state.nodes)
        views = pool.map(_process_view, state.processes.values())
    return LabView(
        name=state.name,
        folder=str(folder.path),
        kind=state.kind,
        store=state.store,
        synchronous=state.synchronous,
        nodes=tuple(nodes),
        processes=tuple(views),
        absent=state.absent,
        complete=state.complete,
    )


def _process_view(process: Any) -> ProcessView:
    if not processes.alive(process):
        state = "dead" if process.pid else "not started"
    elif processes.frozen(process.pid):
        state = "frozen"
    else:
        state = "serving" if processes.serves(process) else "silent"
    return ProcessView(process.name, process.pid, state, str(process.log))


def look_at(folder: Folder, state: State, node: Node) -> NodeView:
    """One node, asked through its own addresses."""
    told = members(node) if state.kind == "patroni" else {}
    mine = told.get(node.name, {})
    writable, problem = ask_postgres(folder, node)
    if state.kind == "patroni" and not told:
        problem = "Patroni does not answer." if problem is None else f"{problem} Nor does Patroni."
    role = mine.get("role")
    if state.kind == "pair" and writable is not None:
        role = "primary" if writable else "standby"
    lag = mine.get("lag")
    return NodeView(
        name=node.name,
        address=f"127.0.0.1:{node.postgres_port}",
        role=role,
        state=mine.get("state") or (None if writable is None else "running"),
        timeline=mine.get("timeline"),
        lag_bytes=lag if isinstance(lag, int) else None,
        writable=writable,
        problem=problem,
    )


def ask_postgres(folder: Folder, node: Node) -> tuple[bool | None, str | None]:
    """
    Whether a node takes writes, in the words that it greets every client with.

    A standby announces itself while logging in (`in_hot_standby`): no statement is needed, and a
    server that hangs is given up after the time limit.
    """
    try:
        with psycopg.connect(
            host="127.0.0.1",
            port=node.postgres_port,
            user=ROLE,
            dbname=DATABASE,
            passfile=str(folder.pgpass),
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="padelops-lab",
        ) as connection:
            status = connection.pgconn.parameter_status
            standby, read_only = status(b"in_hot_standby"), status(b"default_transaction_read_only")
            return standby == b"off" and read_only == b"off", None
    except psycopg.OperationalError as exc:
        # libpq adds hints on lines of their own.
        return None, f"PostgreSQL: {str(exc).splitlines()[0].rpartition('failed: ')[2]}."


def members(node: Node) -> dict[str, dict[str, Any]]:
    """The cluster as this node's Patroni sees it, by member; empty where it does not answer."""
    found = fetch(node.rest_port, "/cluster")
    return {member["name"]: member for member in (found or {}).get("members", ())}


def leader_of(state: State) -> Node:
    """The node that Patroni calls leader. Ask only when the nodes agree (`settled`)."""
    told = members(state.nodes[0])
    name = next(name for name, member in told.items() if member.get("role") in LEADING)
    return state.node(name)


def fetch(port: int, path: str) -> dict[str, Any] | None:
    """A JSON document from an HTTP server on this machine; None for no such answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        document = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return document if isinstance(document, dict) else None


def settled(state: State, views: Sequence[dict[str, dict[str, Any]]]) -> bool:
    """
    Whether every node's Patroni names the same leader, all stream, and (strict) one confirms.

    A node that was just resumed tells stale facts, so all have to say the same.
    """
    leaders = {
        name for seen in views for name, member in seen.items() if member.get("role") in LEADING
    }
    if len(leaders) != 1 or not all(len(seen) == len(state.nodes) for seen in views):
        return False
    # A leader that has just lost the lock still stands in what the others remember.
    if sum(http_status(node.rest_port, "/primary") == HTTP_OK for node in state.nodes) != 1:
        return False
    if any(
        member.get("state") not in {"running", "streaming"}
        for seen in views
        for member in seen.values()
    ):
        return False
    # A standby that has not heard of the new primary yet still streams an older timeline.
    if len({member.get("timeline") for seen in views for member in seen.values()}) != 1:
        return False
    return not state.synchronous or all(
        any(member.get("role") in FOLLOWING for member in seen.values()) for seen in views
    )
