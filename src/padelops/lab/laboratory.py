"""
`up`, `down`, `look` and `variables` of one lab.

`up` writes down what it is going to start before it starts it, so whatever kills it, the next `up`
or `down` finds and ends every process, and no other.
"""

from __future__ import annotations

import secrets
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from pydantic import SecretStr

from padelops.adapters.postgres_cluster import ADMIN, ROLE
from padelops.errors import InvalidInput, NotFound, Refused
from padelops.lab import cluster, observing, parts, processes, servers, store
from padelops.lab.addresses import variables
from padelops.lab.folder import Folder
from padelops.lab.runner import Runner
from padelops.lab.state import Node, State
from padelops.settings import Settings
from padelops.wiring import upgrade_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.lab.observing import LabView
    from padelops.lab.state import Store

STORE_TIMEOUT_S = 60
CLUSTER_TIMEOUT_S = 180
"""A first start initializes one node and copies it to the others; a busy machine takes its time."""
STEADY_S = 5
"""`loop_wait + retry_timeout`: a node that lost sight of the others tells what it remembers until
then."""


@dataclass(frozen=True)
class Wish:
    """What kind of lab is wanted."""

    nodes: int = 3
    synchronous: bool = True
    store: Store = "etcd"
    bindir: Path | None = None


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
                processes.end_strays(self.folder.path)
                self.folder.empty()
                self.folder.create()
                try:
                    state = self._planned(wish)
                except BaseException:
                    self.folder.remove()
                    raise
            elif (state.kind, state.synchronous, len(state.nodes), state.store) != (
                "patroni", wish.synchronous, wish.nodes, wish.store,
            ):  # fmt: skip
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

    def _planned(self, wish: Wish) -> State:
        """A lab that exists on paper: names and ports."""
        parts.require_patroni()
        if wish.store == "raft":
            parts.require_raft()
        with ExitStack() as held:
            port = _free_ports(held)
            nodes = tuple(
                Node(
                    name=f"n{number}",
                    postgres_port=port(),
                    rest_port=port(),
                    raft_port=port() if wish.store == "raft" else 0,
                )
                for number in range(1, wish.nodes + 1)
            )
            state = State(
                name=self.name,
                kind="patroni",
                store=wish.store,
                synchronous=wish.synchronous,
                store_port=port(),
                nodes=nodes,
            )
            if wish.store == "etcd":
                state = state.having(
                    store.etcd(self.folder, port=state.store_port, peer_port=port())
                )
        runner = Runner.of(self.folder.path, bindir=wish.bindir)
        passwords = {login: secrets.token_urlsafe(24) for login in cluster.LOGINS}
        self.folder.keep(
            "pgpass",
            "".join(f"127.0.0.1:*:*:{login}:{word}\n" for login, word in passwords.items()),
        )
        for node in state.nodes:
            cluster.configure(self.folder, state, node, runner, passwords)
            state = state.having(cluster.process(self.folder, node, runner))
        state = state.model_copy(update={"variables": variables(self.folder, state)})
        self.folder.write(state)
        return state

    def _started(self, state: State, wish: Wish, tell: Callable[[str], None]) -> State:
        idle = all(processes.alive(process) for process in state.processes.values())
        if wish.store == "etcd":
            state = self._serving(state, store.ETCD, tell, timeout_s=STORE_TIMEOUT_S)
        for node in state.nodes:
            state = self._launched(state, node.name)
        tell(f"Waiting for {len(state.nodes)} PostgreSQL nodes to form a cluster ...")
        self._wait_until_settled(state, steady_s=0 if idle or not state.complete else STEADY_S)
        leader = observing.leader_of(state)
        tell(f"{leader.name} leads; the schema is brought up to date.")
        if not state.complete:
            self._furnish(leader)
        upgrade_schema(
            Settings(
                database_url=SecretStr(state.variables["PADELOPS_DATABASE_URL"]),
                home=self.folder.path,
            )
        )
        state = state.model_copy(update={"complete": True})
        self.folder.write(state)
        return state

    def _wait_until_settled(self, state: State, *, steady_s: float) -> None:
        """Until all nodes agree, and go on agreeing for so long."""
        agreed_at: float | None = None

        def agreed() -> bool:
            nonlocal agreed_at
            if not observing.settled(state, [observing.members(node) for node in state.nodes]):
                agreed_at = None
                return False
            agreed_at = agreed_at or time.monotonic()
            return time.monotonic() - agreed_at >= steady_s

        nodes = [state.processes[node.name] for node in state.nodes]
        processes.wait_until(agreed, *nodes, timeout_s=CLUSTER_TIMEOUT_S)

    def _launched(self, state: State, name: str) -> State:
        """The state with this process running: started, unless it runs already."""
        process = state.processes[name]
        if processes.alive(process):
            return state
        state = state.having(processes.start(process))
        self.folder.write(state)
        return state

    def _serving(
        self, state: State, name: str, tell: Callable[[str], None], *, timeout_s: float
    ) -> State:
        tell(f"Starting {name} ...")
        state = self._launched(state, name)
        processes.wait_until_ready(state.processes[name], timeout_s=timeout_s)
        return state

    def _furnish(self, leader: Node) -> None:
        """Make padelops' own role and database, unless they are there."""
        password = next(
            line.rpartition(":")[2]
            for line in self.folder.pgpass.read_text().splitlines()
            if f":{ROLE}:" in line
        )
        with psycopg.connect(
            host="127.0.0.1", port=leader.postgres_port, user=ADMIN, dbname="postgres",
            passfile=str(self.folder.pgpass), autocommit=True,
        ) as admin:  # fmt: skip
            for statement in cluster.FURNISH:
                try:
                    admin.execute(
                        sql.SQL(statement).format(
                            role=sql.Identifier(ROLE), password=sql.Literal(password)
                        )
                    )
                except (psycopg.errors.DuplicateObject, psycopg.errors.DuplicateDatabase):
                    continue

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
        End everything, recorded or not: Patroni first, so that it starts no PostgreSQL again.
        """
        recorded = list(state.processes.values()) if state else []
        living = [process for process in recorded if processes.alive(process)]
        processes.end(living, at_once=not kindly)
        data = [folder / "data" for folder in (self.folder.path / "nodes").glob("*")]
        count = len(living) + sum(servers.end(folder) for folder in data)
        return count + processes.end_strays(self.folder.path)


def _free_ports(held: ExitStack) -> Callable[[], int]:
    """
    Hands out ports that nobody listens on; all stay taken until `held` closes, so none comes twice.
    """

    def port() -> int:
        probe = held.enter_context(socket.socket())
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

    return port
