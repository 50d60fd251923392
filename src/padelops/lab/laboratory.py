"""
`up`, `down` and `look` of one lab.

`up` writes down what it is going to start before it starts it, so whatever kills it, the next `up`
or `down` finds and ends every process, and no other.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from pydantic import SecretStr

from padelops.adapters.postgres_cluster import ADMIN
from padelops.errors import InvalidInput, NotFound, Refused
from padelops.lab import cluster, doors, network, observing, pair, processes, servers, services
from padelops.lab import store as cluster_store
from padelops.lab.folder import Folder
from padelops.lab.planning import Wish, plan
from padelops.lab.processes import NotStarted
from padelops.lab.runner import Runner
from padelops.settings import Settings
from padelops.wiring import upgrade_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.lab.observing import LabView
    from padelops.lab.state import Node, State


START_TIMEOUT_S = 60
CLUSTER_TIMEOUT_S = 180
"""A first start initializes one node and copies it to the others; a busy machine takes its time."""
STEADY_S = 5
"""`loop_wait + retry_timeout`: a node that lost sight of the others tells what it remembers until
then."""


class Lab:
    """One lab, by its folder. Cheap to make; nothing happens before `up`."""

    def __init__(self, folder: Path, *, name: str = "lab") -> None:
        self.folder = Folder(folder)
        self.name = name

    def state(self) -> State:
        """
        Raises:
            NotFound: there is no lab in this folder.
        """
        found = self.folder.read() if self.folder.path.is_dir() else None
        if found is None:
            raise NotFound(
                f"There is no lab in {self.folder.path}.", fix="Start one: padelops lab up"
            )
        return found

    def look(self) -> LabView:
        """What is true of it now."""
        return observing.look(self.folder, self.state())

    # --- up --------------------------------------------------------------------------------

    def up(self, wish: Wish, *, tell: Callable[[str], None]) -> State:
        """
        Have the lab up, whatever was there before.

        A complete lab keeps its data and gets back what died; one that never got complete is
        cleared away and started from nothing.

        Raises:
            PartMissing: says what, and how to get it. NotStarted: with its log's last line.
            LockHeld: another command is changing this lab.
        """
        self.folder.create()
        with self.folder.alone():
            state = self.folder.read()
            if state is not None and not state.complete:
                tell("The last start did not finish; clearing away what it left.")
                self._clear(state)
                state = None
            if state is None:
                state = self._new(wish)
            elif not wish.fits(state):
                raise Refused(
                    f"The lab in {self.folder.path} is of another kind.",
                    fix="End it first: padelops lab down",
                )
            try:
                return self._started(state, wish, tell)
            except BaseException:
                if not state.complete:
                    self._clear(self.folder.read())  # its logs stay, to be read
                raise
            finally:
                processes.let_go()

    def _new(self, wish: Wish) -> State:
        processes.end_strays(self.folder.path)
        self.folder.empty()
        self.folder.create()
        try:
            return plan(self.folder, self.name, wish)
        except BaseException:
            self.folder.remove()
            raise

    def _started(self, state: State, wish: Wish, tell: Callable[[str], None]) -> State:
        idle = all(processes.alive(process) for process in state.processes.values())
        if state.kind == "pair":
            state = self._pair(state, wish, tell)
        else:
            state = self._patroni(
                state, tell, steady_s=STEADY_S if state.complete and not idle else 0
            )
        if not idle:
            tell("Bringing the schema up to date ...")
            self._upgrade(state)
        names = services.names(state)
        for name in names:
            state = self.launched(state, name)
        for name in names:
            processes.wait_until_ready(state.processes[name], timeout_s=START_TIMEOUT_S)
        state = state.model_copy(update={"complete": True})
        self.folder.write(state)
        return state

    def _patroni(self, state: State, tell: Callable[[str], None], *, steady_s: float) -> State:
        """The store, the network and the nodes; comes back when one leads and one confirms."""
        cables = [network.cable(node) for node in state.nodes]
        before = [name for name in (cluster_store.ETCD, network.OUTSIDE, *cables)
                  if name in state.processes]  # fmt: skip
        tell(f"Starting {state.store} and the network ...")
        for name in before:
            if name in cables and not processes.alive(state.processes[name]):
                self._uproot(state, state.node(name.removesuffix(network.cable(""))))
            state = self.launched(state, name)
        for name in before:
            processes.wait_until_ready(state.processes[name], timeout_s=START_TIMEOUT_S)
        for name in (*(node.name for node in state.nodes), doors.DOORS):
            state = self.launched(state, name)
        tell(f"Waiting for {len(state.nodes)} PostgreSQL nodes to form a cluster ...")
        self.wait_until_settled(state, steady_s=steady_s)
        leader = observing.leader_of(state)
        if not state.complete:
            self._furnish(leader)
        tell(f"{leader.name} leads.")
        return state

    def _pair(self, state: State, wish: Wish, tell: Callable[[str], None]) -> State:
        """A primary, and a standby that was copied from it."""
        runner = Runner.of(self.folder.path, bindir=wish.bindir)
        primary, standby = state.nodes
        tell("Starting a primary and its standby ...")
        pair.make_primary(self.folder, state, primary, runner)
        state = self._served(state, primary.name)
        if not state.complete:
            self._furnish(primary, replication=True)
        pair.make_standby(self.folder, standby, primary, runner)
        return self._served(state, standby.name)

    def _served(self, state: State, name: str) -> State:
        state = self.launched(state, name)
        processes.wait_until_ready(state.processes[name], timeout_s=START_TIMEOUT_S)
        return state

    def wait_until_settled(
        self, state: State, *, steady_s: float = 0, timeout_s: float = CLUSTER_TIMEOUT_S
    ) -> None:
        """Until all nodes agree on everything, and go on agreeing for so long."""
        agreed_at: float | None = None

        def agreed() -> bool:
            nonlocal agreed_at
            if not observing.settled(state, [observing.members(node) for node in state.nodes]):
                agreed_at = None
                return False
            agreed_at = agreed_at or time.monotonic()
            return time.monotonic() - agreed_at >= steady_s

        nodes = [state.processes[node.name] for node in state.nodes]
        processes.wait_until(agreed, *nodes, timeout_s=timeout_s)

    def launched(self, state: State, name: str) -> State:
        """The state with this process running: started, unless it runs already."""
        process = state.processes[name]
        if processes.alive(process):
            return state
        state = state.having(processes.start(process, among=state.processes))
        self.folder.write(state)
        return state

    def _uproot(self, state: State, node: Node) -> None:
        """End what stands in a network that is gone: it would never be reached again."""
        processes.end([state.processes[node.name]], at_once=True)
        servers.end([cluster.data_folder(self.folder, node)])

    def _upgrade(self, state: State) -> None:
        url = SecretStr(state.variables["PADELOPS_DATABASE_URL"])
        upgrade_schema(Settings(database_url=url, home=self.folder.path))

    def _furnish(self, leader: Node, *, replication: bool = False) -> None:
        """Make padelops' own role and database, and (in a pair) the standby's login."""
        with self._admin(leader) as admin:
            passwords = self.folder.passwords()
            for statement in cluster.furnish(replication=replication):
                text = sql.SQL(statement.text).format(
                    role=sql.Identifier(statement.role),
                    password=sql.Literal(passwords[statement.role]),
                )
                admin.execute(text)

    def _admin(self, node: Node) -> psycopg.Connection:
        """A superuser's connection to a node that may still be starting."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return psycopg.connect(
                    host="127.0.0.1", port=node.postgres_port, user=ADMIN, dbname="postgres",
                    passfile=str(self.folder.pgpass), autocommit=True,
                    connect_timeout=observing.CONNECT_TIMEOUT_S,
                    # Nobody confirms yet in a new pair; and none of this is worth a wait.
                    options="-c synchronous_commit=local",
                )  # fmt: skip
            except psycopg.OperationalError as exc:
                if time.monotonic() > deadline:
                    raise NotStarted(f"{node.name} lets nobody in: {exc}.") from exc
            time.sleep(processes.PAUSE_S)

    # --- down ------------------------------------------------------------------------------

    def down(self, *, keep: bool = False, tell: Callable[[str], None]) -> int:
        """
        End every process of the lab, and delete its folder unless it is to be kept.

        Returns:
            How many processes there were to end.
        """
        if not self.folder.is_lab():
            raise NotFound(f"There is no lab in {self.folder.path}.")
        with self.folder.alone():
            try:
                state = self.folder.read()
            except InvalidInput:
                state = None  # the marks in the processes' environments still tell which are ours
            tell("Ending the lab ...")
            count = self._clear(state, kindly=keep)
            if not keep:
                self.folder.remove()
        return count

    def _clear(self, state: State | None, *, kindly: bool = False) -> int:
        """
        End everything, recorded or not: Patroni before PostgreSQL, which it would start again.
        """
        recorded = list(state.processes.values()) if state else []
        nodes = {node.name for node in state.nodes} if state else set()
        living = [process for process in recorded if processes.alive(process)]
        # Nodes part from their store in peace only while it and the network still work.
        for group in (True, False):
            chosen = [process for process in living if (process.name in nodes) is group]
            processes.end(chosen, at_once=not kindly)
        data = [folder / "data" for folder in (self.folder.path / "nodes").glob("*")]
        count = len(living) + servers.end(data)
        count += processes.end_strays(self.folder.path)
        shutil.rmtree(self.folder.sockets, ignore_errors=True)
        return count
