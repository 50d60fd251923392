"""
What a lab is made of, as data: written down before a process is started, and read by every command.

A process number alone proves nothing: after a kill it may belong to a stranger. So each process is
known by its number *and* the moment it was born, and only one that matches both is ever touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["patroni", "pair"]
Store = Literal["etcd", "raft", "none"]


class Frozen(BaseModel):
    """Data that never changes; a change is a new object."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Process(Frozen):
    """One program of the lab."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    ready: str
    """How to see that it serves: `tcp:PORT`, `http:PORT/path`, `unix:PATH`, or `alive`."""
    stop: Literal["TERM", "INT", "QUIT"] = "TERM"
    pid: int | None = None
    """None while it is only planned."""
    born: str | None = None


class Node(Frozen):
    """One PostgreSQL server."""

    name: str
    postgres_port: int
    rest_port: int = 0
    """Patroni's; 0 in a pair."""
    raft_port: int = 0
    door_port: int = 0
    """Where clients come in: a door that is shut while the node is no primary. 0 without one."""


class State(Frozen):
    """One lab."""

    version: Literal[1] = 1
    name: str
    kind: Kind
    store: Store
    synchronous: bool
    store_port: int = 0
    nodes: tuple[Node, ...]
    processes: dict[str, Process] = {}
    variables: dict[str, str] = {}
    """What points padelops at this lab."""
    absent: dict[str, str] = {}
    """Parts this machine has not, and what stands in for them."""
    complete: bool = False
    """False until `up` has seen everything serve."""

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def having(self, process: Process) -> State:
        """The same with this process in it."""
        return self.model_copy(update={"processes": {**self.processes, process.name: process}})
