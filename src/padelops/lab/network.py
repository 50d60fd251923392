"""
A network of its own for each node, so that one can be cut off while its processes live on.

Each node stands in a network namespace with nothing but a loopback, and every address is the same
127.0.0.1:PORT wherever one stands. Two relays join a node to the world: one inside, one outside for
all. The one inside is the node's cable: frozen, nothing comes in or out, and nobody is told.

Where namespaces are forbidden the nodes share this machine's network, and none can be cut off.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from padelops.lab.processes import environment
from padelops.lab.runner import as_user
from padelops.lab.state import Node, Process, State

if TYPE_CHECKING:
    from pathlib import Path

    from padelops.lab.folder import Folder
    from padelops.lab.runner import Runner

OUTSIDE = "network"
APART = ("unshare", "--user", "--map-root-user", "--net", "--")
PROGRAM_TIMEOUT_S = 20


def trouble() -> str | None:
    """Why nodes cannot have networks of their own here; None where they can."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "util-linux's unshare and nsenter are not installed"
    done = subprocess.run(  # noqa: S603 - no shell; fixed arguments
        [*APART, "unshare", "--user", "--map-user=1000", "--", "true"],
        capture_output=True, timeout=PROGRAM_TIMEOUT_S, check=False, cwd="/",
    )  # fmt: skip
    return None if done.returncode == 0 else "this machine forbids user and network namespaces"


def cable(node: Node | str) -> str:
    """The name of the process that joins a node to the world."""
    return f"{node if isinstance(node, str) else node.name}-network"


def joined(node: Node, runner: Runner) -> tuple[str, ...]:
    """
    What to put before a node's command so that it runs in the node's network.

    In there whoever made the network is root, so an ordinary user becomes themselves again.
    """
    target = f"--target={{{cable(node)}}}"
    enter = ("nsenter", target, "--user", "--net", "--preserve-credentials", "--")
    return enter if runner.prefix else (*enter, *as_user(runner.account))


def outside(folder: Folder, state: State) -> Process:
    """The one relay that makes every node's ports answer on this machine."""
    routes = [f"unix:{_socket(folder, 'store')}>tcp:{state.store_port}"] if state.store_port else []
    for node in state.nodes:
        routes += [f"tcp:{port}>unix:{_socket(folder, node, word)}" for word, port in _ports(node)]
    return _relay(folder, OUTSIDE, (), routes)


def inside(folder: Folder, state: State, node: Node) -> Process:
    """A node's cable: what comes in for it, and what it may reach."""
    routes = [f"unix:{_socket(folder, node, word)}>tcp:{port}" for word, port in _ports(node)]
    if state.store_port:
        routes.append(f"tcp:{state.store_port}>unix:{_socket(folder, 'store')}")
    for other in state.nodes:
        if other.name != node.name:
            routes += [
                f"tcp:{port}>unix:{_socket(folder, other, word)}" for word, port in _ports(other)
            ]
    return _relay(folder, cable(node), APART, [*routes, "--own-network"])


def _relay(folder: Folder, name: str, before: tuple[str, ...], routes: list[str]) -> Process:
    ready = _socket(folder, f"{name}.up")
    return Process(
        name=name,
        command=(*before, sys.executable, "-m", "padelops.lab.relay", *routes, f"--ready={ready}"),
        environment=environment(folder.path),
        log=folder.log(name),
        ready=f"unix:{ready}",
    )


def _ports(node: Node) -> list[tuple[str, int]]:
    ports = [("postgres", node.postgres_port), ("rest", node.rest_port), ("raft", node.raft_port)]
    return [(word, port) for word, port in ports if port]


def _socket(folder: Folder, node: Node | str, word: str = "") -> Path:
    name = node if isinstance(node, str) else f"{node.name}.{word}"
    return folder.sockets / name
