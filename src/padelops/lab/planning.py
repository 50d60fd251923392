"""
A lab on paper: names, ports, passwords, configuration files, and the programs to start.

Everything is settled before anything is started, so that what is running can always be compared
with what was planned.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from padelops.lab import cluster, doors, network, pair, parts, services, store
from padelops.lab.addresses import variables
from padelops.lab.runner import Runner
from padelops.lab.state import Node, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.lab.folder import Folder
    from padelops.lab.state import Kind, Store


@dataclass(frozen=True)
class Wish:
    """What kind of lab is wanted."""

    nodes: int = 3
    synchronous: bool = True
    store: Store = "etcd"
    kind: Kind = "patroni"
    bare: bool = False
    """The database alone: no cache, no sandbox, no mail, no worker, no API."""
    bindir: Path | None = None

    def fits(self, state: State) -> bool:
        """Whether an existing lab is what is wished for."""
        wanted = (self.kind, self.synchronous, self.nodes, self.store)
        found = (state.kind, state.synchronous, len(state.nodes), state.store)
        return wanted == found and self.bare != ("worker" in state.processes)


def plan(folder: Folder, name: str, wish: Wish) -> State:
    """
    Write everything down, start nothing.

    Raises:
        PartMissing: this machine cannot have such a lab; says what it lacks and how to get it.
    """
    _require(wish)
    runner = Runner.of(folder.path, bindir=wish.bindir)
    if runner.switches:
        folder.path.chmod(0o711)  # its programs run as somebody who must pass; no file opens up
    passwords = {login: secrets.token_urlsafe(24) for login in cluster.LOGINS}
    lines = "".join(f"127.0.0.1:*:*:{login}:{word}\n" for login, word in passwords.items())
    folder.keep("pgpass", lines)
    if not folder.sockets.exists():
        folder.sockets.mkdir(mode=0o700)
    with ExitStack() as held:
        port = _free_ports(held)
        nodes = tuple(_node(number, wish, port) for number in range(1, wish.nodes + 1))
        state = State(
            name=name,
            kind=wish.kind,
            store=wish.store,
            synchronous=wish.synchronous,
            store_port=port() if wish.store == "etcd" else 0,
            nodes=nodes,
        )
        if wish.kind == "pair":
            for node in nodes:
                state = state.having(pair.process(folder, node, runner))
        else:
            state = _patroni(folder, state, runner, passwords, port)
        state = state.model_copy(update={"variables": variables(folder, state)})
        if not wish.bare:
            state = services.around(folder, state, port)
    folder.write(state)
    return state


def _require(wish: Wish) -> None:
    if wish.kind == "patroni":
        parts.require_patroni()
    if wish.store == "raft":
        parts.require_raft()


def _node(number: int, wish: Wish, port: Callable[[], int]) -> Node:
    managed = wish.kind == "patroni"
    return Node(
        name=f"n{number}",
        postgres_port=port(),
        rest_port=port() if managed else 0,
        raft_port=port() if wish.store == "raft" else 0,
        door_port=port() if managed else 0,
    )


def _patroni(
    folder: Folder,
    state: State,
    runner: Runner,
    passwords: dict[str, str],
    port: Callable[[], int],
) -> State:
    """The programs of a cluster, in the order they start."""
    if state.store == "etcd":
        state = state.having(store.etcd(folder, port=state.store_port, peer_port=port()))
    trouble = network.trouble()
    if trouble:
        absent = {"network": f"{trouble}: no node can be cut off"}
        state = state.model_copy(update={"absent": absent})
    else:
        state = state.having(network.outside(folder, state))
        for node in state.nodes:
            state = state.having(network.inside(folder, state, node))
    for node in state.nodes:
        cluster.configure(folder, state, node, runner, passwords)
        before = () if trouble else network.joined(node, runner)
        state = state.having(cluster.process(folder, node, runner, before=before))
    return state.having(doors.process(folder, state))


def _free_ports(held: ExitStack) -> Callable[[], int]:
    """
    Hands out ports that nobody listens on; all stay taken until `held` closes, so none comes twice.
    """

    def port() -> int:
        probe = held.enter_context(socket.socket())
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

    return port
