"""
Break one thing in a lab, and undo it: what failover tests and chaos experiments are made of.

    with Faults(lab).cut_off("n1"):
        ...                              # n1 lives, and reaches nobody

Each returns a `Fault`; leaving its block, or calling `undo`, brings back what was broken. Undoing
twice, or undoing what has mended itself, does no harm.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from padelops.errors import Refused
from padelops.lab import cluster, network, observing, processes, servers
from padelops.lab import store as cluster_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.lab.laboratory import Lab
    from padelops.lab.state import Process

TURN_TIMEOUT_S = 30
"""An undo waits so long for another command on the same lab."""
GONE_TIMEOUT_S = 10


class CannotBreak(Refused):
    """This lab or machine has no way to break that."""

    code = "cannot_break"


@dataclass
class Fault:
    """Something that is broken now."""

    what: str
    _mend: Callable[[], object] = field(repr=False)
    undone: bool = False

    def undo(self) -> None:
        if not self.undone:
            self._mend()
            self.undone = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.undo()


class Faults:
    """Breaks things in one lab; nodes are named as `lab status` names them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def leader(self) -> str:
        """
        The node that takes writes, by PostgreSQL's own word.

        Raises:
            CannotBreak: none does, or several do.
        """
        leaders = self.lab.look().leaders
        if len(leaders) != 1:
            raise CannotBreak(f"There is no one leader to break: {', '.join(leaders) or 'none'}.")
        return leaders[0]

    def standby(self, *, confirming: bool = True) -> str:
        """A standby that confirms commits, or one that does not."""
        for node in self.lab.look().nodes:
            if node.writable is False and (node.role in observing.FOLLOWING) is confirming:
                return node.name
        raise CannotBreak("There is no such standby to break.")

    # --- killed ----------------------------------------------------------------------------

    def kill_postmaster(self, node: str) -> Fault:
        """Kill -9 of a node's PostgreSQL. Patroni brings it back by itself; a pair's needs undo."""
        pid = self._postmaster(node)
        servers.signal_all([pid], signal.SIGKILL)
        self._until_gone(node, pid)
        mend = self._restart(node) if self.lab.state().kind == "pair" else _nothing
        return Fault(f"kill -9 of {node}'s postmaster", mend)

    def kill_patroni(self, node: str) -> Fault:
        """Kill -9 of a node's Patroni: its PostgreSQL goes on, and nobody looks after it."""
        processes.end([self._process(node)], at_once=True)
        return Fault(f"kill -9 of {node}'s Patroni", self._restart(node))

    def kill_node(self, node: str) -> Fault:
        """Kill -9 of a node's Patroni and PostgreSQL, as when its machine dies."""
        pid = self._postmaster(node)
        family = servers.family(pid)
        processes.end([self._process(node)], at_once=True)
        servers.signal_all(family, signal.SIGKILL)
        self._until_gone(node, pid)
        return Fault(f"kill -9 of {node}", self._restart(node))

    def kill_store(self) -> Fault:
        """Kill -9 of etcd."""
        return self.kill(cluster_store.ETCD)

    def kill(self, name: str) -> Fault:
        """Kill -9 of any process of the lab: `cache`, `mail`, `worker`, `doors` ..."""
        processes.end([self._process(name)], at_once=True)
        return Fault(f"kill -9 of {name}", self._restart(name))

    # --- frozen ----------------------------------------------------------------------------

    def freeze_patroni(self, node: str) -> Fault:
        """SIGSTOP of a node's Patroni: its PostgreSQL goes on while its lease runs out."""
        return self.freeze(node)

    def freeze_postmaster(self, node: str, *, backends: bool = False) -> Fault:
        """
        SIGSTOP of a node's postmaster: nobody new comes in, those inside go on.

        With `backends` everything of that PostgreSQL hangs, as when its disk does.
        """
        pid = self._postmaster(node)
        pids = servers.family(pid) if backends else [pid]
        servers.signal_all(pids, signal.SIGSTOP)

        def thaw() -> None:
            if servers.postmaster(self._data(node)) == pid:
                servers.signal_all(pids, signal.SIGCONT)

        whole = "PostgreSQL" if backends else "postmaster"
        return Fault(f"SIGSTOP of {node}'s {whole}", thaw)

    def freeze_node(self, node: str) -> Fault:
        """SIGSTOP of a node's Patroni and PostgreSQL with all backends: a stalled machine."""
        patroni = self.freeze_patroni(node)
        postgres = self.freeze_postmaster(node, backends=True)

        def thaw() -> None:
            postgres.undo()
            patroni.undo()

        return Fault(f"SIGSTOP of {node}", thaw)

    def freeze_store(self) -> Fault:
        """SIGSTOP of etcd: it takes connections and never answers."""
        return self.freeze(cluster_store.ETCD)

    def freeze(self, name: str) -> Fault:
        """SIGSTOP of any process of the lab."""
        process = self._process(name)
        processes.freeze(process)
        return Fault(f"SIGSTOP of {name}", lambda: processes.send(process, signal.SIGCONT))

    # --- cut off ---------------------------------------------------------------------------

    def cut_off(self, node: str) -> Fault:
        """
        Cut a node's network: it lives, reaches nobody, and whatever is sent to it vanishes.

        Raises:
            CannotBreak: this machine allows no namespaces, so the nodes share its network.
        """
        state = self.lab.state()
        name = network.cable(node)
        if name not in state.processes:
            raise CannotBreak(state.absent.get("network", "This lab has no network to cut."))
        process = state.processes[name]
        processes.freeze(process)
        return Fault(f"network of {node} cut", lambda: processes.send(process, signal.SIGCONT))

    # --- within ----------------------------------------------------------------------------

    def _process(self, name: str) -> Process:
        state = self.lab.state()
        if name not in state.processes:
            raise CannotBreak(f"This lab has no {name}.")
        return state.processes[name]

    def _data(self, node: str) -> Path:
        return cluster.data_folder(self.lab.folder, self.lab.state().node(node))

    def _postmaster(self, node: str) -> int:
        pid = servers.postmaster(self._data(node))
        if pid is None:
            raise CannotBreak(f"{node} runs no PostgreSQL.")
        return pid

    def _until_gone(self, node: str, pid: int) -> None:
        deadline = time.monotonic() + GONE_TIMEOUT_S
        while servers.postmaster(self._data(node)) == pid and time.monotonic() < deadline:
            time.sleep(processes.PAUSE_S)

    def _restart(self, name: str) -> Callable[[], None]:
        def restart() -> None:
            with self.lab.folder.alone(timeout_s=TURN_TIMEOUT_S):
                self.lab.launched(self.lab.state(), name)
            processes.let_go()

        return restart


def _nothing() -> None:
    """What mends itself."""
