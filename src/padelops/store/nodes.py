"""
The PostgreSQL servers of one cluster, each asked by itself: who is primary, who follows, how far.

Every look opens a new connection with a deadline: a stopped server must not look healthy through
an old one. What cannot be asked is told as such (`problem`), never guessed.
"""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import class_row

from padelops.errors import DatabaseUnavailable, InvalidInput, NotPermitted
from padelops.store.engine import explained
from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SQL = statements("nodes")

LOOK_TIMEOUT_S = 2
"""To connect to one server, and again for its answer. libpq takes no shorter one."""

PORT = 5432

NOT_ACKNOWLEDGED = "padelops_fence"
"""The synchronous standby that a fenced server waits for: there is none, so that no commit is ever
acknowledged, also to a client that lifts the read-only default."""

Session = psycopg.Connection[tuple[Any, ...]]


class Reach(StrEnum):
    """How a server answered a new connection."""

    UP = "up"
    REFUSED = "refused"
    """Nobody listens at the address: the machine is there, the server is not."""
    SILENT = "silent"
    """No answer in time: stopped, cut off, or gone with its machine. Not the same as dead."""
    STARTING = "starting"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Address:
    """Where one server listens: a host name, or the folder of its socket."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """
    What one server says of itself; positions in bytes of log.

    Attributes:
        would_follow: the address it follows as a standby, with its password if there is one.
    """

    called: str
    major: int
    system: str
    standby: bool
    writable: bool
    timeline: int
    position: int
    replayed: int | None
    replayed_age_s: float | None
    receiver: str | None
    follows: str | None
    would_follow: str | None = field(default=None, repr=False)
    sync_names: str
    slot: str | None
    data_folder: str | None
    backups: int
    superuser: bool
    may_promote: bool
    sees_all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """A standby as its primary sees it."""

    name: str
    state: str
    sync: str
    position: int
    lag_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """
    One server of the cluster at one moment.

    Attributes:
        sync: `sync`, `quorum`, `potential` or `async`; None where no primary tells.
        behind_bytes: log that the primary has written down and this standby has not.
        last_folder: the data folder it had when it answered last, for one that does not.
        sync_as_of: when a primary last told `sync`, where none tells it now.
    """

    name: str
    address: Address
    reach: Reach
    problem: str | None = None
    facts: Facts | None = None
    followers: tuple[Follower, ...] = ()
    sync: str | None = None
    behind_bytes: int | None = None
    behind_s: float | None = None
    state: str | None = None
    last_folder: str | None = None
    sync_as_of: datetime | None = None

    @property
    def role(self) -> str:
        if self.facts is None:
            return "unknown"
        if self.facts.standby:
            return "standby"
        return "primary" if self.facts.writable else "fenced"

    @property
    def writable(self) -> bool:
        return self.facts is not None and self.facts.writable

    @property
    def timeline(self) -> int | None:
        return self.facts.timeline if self.facts else None

    @property
    def following_as(self) -> str:
        """The name under which this standby shows up at its primary."""
        given = conninfo_to_dict(self.facts.follows or "") if self.facts else {}
        return str(
            given.get("application_name") or given.get("fallback_application_name") or self.name
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "address": str(self.address),
            "role": self.role,
            "answers": self.reach.value,
            "timeline": self.timeline,
            "sync": self.sync,
            "behind_bytes": self.behind_bytes,
            "behind_s": self.behind_s,
            "state": self.state,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """
    All servers at one moment, and what manages them.

    Attributes:
        manager: what the cluster manager says, where there is one: `paused`, `failsafe`, `dcs`.
        doubts: where two sources contradict each other.
    """

    name: str
    driver: str
    nodes: tuple[Node, ...]
    sync_wanted: bool
    strict: bool = False
    paused: bool = False
    failsafe: bool = False
    manager_problem: str | None = None
    leader: str | None = None
    doubts: tuple[str, ...] = field(default=())

    @property
    def writable(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.writable)

    @property
    def primary(self) -> Node | None:
        """The one writable server; None where there is none, or more than one."""
        return self.writable[0] if len(self.writable) == 1 else None

    @property
    def standbys(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.role == "standby")

    def node(self, name: str) -> Node | None:
        """The node of that name, or at that address."""
        return next((node for node in self.nodes if name in {node.name, str(node.address)}), None)

    def as_json(self) -> dict[str, Any]:
        return {
            "cluster": self.name,
            "driver": self.driver,
            "synchronous": self.sync_wanted,
            "strict": self.strict,
            "paused": self.paused,
            "failsafe": self.failsafe,
            "manager_problem": self.manager_problem,
            "doubts": list(self.doubts),
            "nodes": [node.as_json() for node in self.nodes],
        }


class Servers:
    """
    The servers behind a multi-host address, as a role that may look at and promote them.

    Args:
        url: libpq URL or connection string; it may hold a password and is never shown.
        variable: the setting it came from, for messages.
    """

    def __init__(self, url: str, *, variable: str) -> None:
        try:
            self._parameters = conninfo_to_dict(url)
        except psycopg.Error:
            # Not chained: libpq repeats what it cannot read, and that may be a password.
            raise InvalidInput(
                "The cluster's address cannot be read.",
                fix=f"Write postgresql://USER@HOST:PORT,HOST:PORT/NAME into {variable}.",
            ) from None
        # Sessions are opened at one server each, whichever role it has.
        attrs = self._parameters.pop("target_session_attrs", None)
        self.session_attrs = None if attrs is None else str(attrs)

    @property
    def database(self) -> str:
        return str(self._parameters.get("dbname") or "postgres")

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Every host of the address, in its order."""
        hosts = str(self._parameters.get("host") or "localhost").split(",")
        ports = str(self._parameters.get("port") or PORT).split(",")
        if len(ports) == 1:
            ports *= len(hosts)
        return tuple(
            Address(host, int(port or PORT)) for host, port in zip(hosts, ports, strict=False)
        )

    def conninfo(self, address: Address, **more: str) -> str:
        """The connection string for one server; holds the password if there is one."""
        return make_conninfo(
            "", **(self._parameters | {"host": address.host, "port": address.port} | more)
        )

    @contextmanager
    def session(self, address: Address, *, timeout_s: float = LOOK_TIMEOUT_S) -> Iterator[Session]:
        """
        A new connection to one server, in autocommit, where no statement runs longer than that.

        Raises:
            DatabaseUnavailable, NotPermitted: why not; with the driver's error as its cause.
        """
        with explained():
            tx = psycopg.connect(
                self.conninfo(address),
                autocommit=True,
                connect_timeout=LOOK_TIMEOUT_S,
                application_name="padelops failover",
                # Local: what these sessions change must not wait for a standby.
                options=f"-c statement_timeout={int(timeout_s * 1000)} -c synchronous_commit=local",
            )
        with tx, explained():
            yield tx

    def look_at_all(self, names: Sequence[tuple[str | None, Address]] | None = None) -> list[Node]:
        """Every server at once; a silent one costs its own deadline, not the others'."""
        wanted = names or [(None, address) for address in self.addresses]
        with ThreadPoolExecutor(max_workers=max(len(wanted), 1)) as pool:
            found = list(pool.map(lambda pair: self.look(pair[1], name=pair[0]), wanted))
        return judged(found)

    def look(self, address: Address, *, name: str | None = None) -> Node:
        """One server as it is now. Raises nothing: what went wrong stands in the node."""
        seen = Node(name=name or str(address), address=address, reach=knock(address))
        if seen.reach is not Reach.UP:
            return replace(seen, problem=f"{address}: {TOLD[seen.reach]}")
        try:
            with self.session(address) as tx:
                with tx.cursor(row_factory=class_row(Facts)) as cursor:
                    facts = cursor.execute(_SQL["look"]).fetchone()
                if facts is not None and facts.standby and facts.receiver is None:
                    facts = replace(facts, timeline=max(facts.timeline, _received(tx)))
                with tx.cursor(row_factory=class_row(Follower)) as following:
                    followers = tuple(following.execute(_SQL["followers"]).fetchall())
        except NotPermitted as exc:
            return replace(seen, reach=Reach.DENIED, problem=str(exc))
        except DatabaseUnavailable as exc:
            starting = getattr(exc.__cause__, "sqlstate", None) == "57P03" or "starting up" in str(
                exc
            )
            reach = Reach.STARTING if starting else Reach.SILENT
            return replace(seen, reach=reach, problem=str(exc))
        if facts is None:
            raise LookupError("a server answered with no row")
        return replace(
            seen, name=name or facts.called or str(address), facts=facts, followers=followers
        )


def _received(tx: Session) -> int:
    """The newest timeline that a standby has log of; 0 where this role may not look."""
    permitted = tx.execute(_SQL["may_list_log"]).fetchone()
    if permitted is None or not permitted[0]:
        return 0
    found = tx.execute(_SQL["timeline_received"]).fetchone()
    return (found and found[0]) or 0


TOLD = {
    Reach.REFUSED: "nobody listens there",
    Reach.SILENT: f"no answer within {LOOK_TIMEOUT_S} s",
}


def knock(address: Address) -> Reach:
    """Whether anybody takes a connection there, without a login."""
    try:
        if address.host.startswith("/"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(LOOK_TIMEOUT_S)
                probe.connect(str(Path(address.host) / f".s.PGSQL.{address.port}"))
        else:
            socket.create_connection((address.host, address.port), LOOK_TIMEOUT_S).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return Reach.REFUSED
    except OSError:
        return Reach.SILENT
    return Reach.UP


def judged(nodes: list[Node]) -> list[Node]:
    """Each standby with what its primary says of it, or else how far it is behind the furthest."""
    primary = next((node for node in nodes if node.facts and not node.facts.standby), None)
    furthest = max((node.facts.position for node in nodes if node.facts), default=0)
    told = {follower.name: follower for node in nodes for follower in node.followers}
    out = []
    for node in nodes:
        if node.facts is None or not node.facts.standby:
            out.append(node)
            continue
        follower = told.get(node.following_as)
        behind = max(0, furthest - node.facts.position)
        out.append(
            replace(
                node,
                sync=follower.sync if follower else None,
                behind_bytes=behind,
                behind_s=0.0
                if not behind
                else follower.lag_s
                if follower and follower.lag_s is not None
                else node.facts.replayed_age_s,
                state=(follower.state if follower else None)
                or ("waiting for a primary" if primary is None else "not following"),
            )
        )
    return out


# --- what changes a server -----------------------------------------------------------------


def fence(tx: Session) -> None:
    """
    Take a primary's write permission and its acknowledgements.

    New sessions are read-only; whoever lifts that is never told that a commit is done, because it
    waits for a standby that does not exist. None of this is replicated, and it outlasts a restart.
    Sessions that are logged in follow only after `throw_out_clients`.
    """
    _set(tx, "default_transaction_read_only", "on")
    _set(tx, "synchronous_standby_names", f'"{NOT_ACKNOWLEDGED}"')
    _reload(tx)


def clock(tx: Session) -> datetime:
    """The server's own clock."""
    row = tx.execute(_SQL["clock"]).fetchone()
    return row[0] if row else datetime.max.replace(tzinfo=UTC)


def throw_out_clients(tx: Session) -> int:
    """Cut off everybody else who is logged in; how many there were."""
    return _number(tx, "throw_out_clients")


def clients_left(tx: Session, since: datetime) -> int:
    """How many sessions from before that moment are still there."""
    return _number(tx, "clients_left", {"since": since})


def unfence(tx: Session, sync_names: str) -> None:
    """Give a fenced primary back what `fence` took."""
    _reset(tx, "default_transaction_read_only")
    have_sync(tx, sync_names)


def have_sync(tx: Session, names: str) -> None:
    """Have commits wait for these standbys, in the words of `synchronous_standby_names`."""
    _set(tx, "synchronous_standby_names", names)
    _reload(tx)


def promote(tx: Session, *, wait_s: int) -> bool:
    """Make a standby the primary; whether it became one in time."""
    row = tx.execute(_SQL["promote"], {"wait_s": wait_s}).fetchone()
    return bool(row and row[0])


def checkpoint(tx: Session) -> None:
    """Write down where the server stands, so that a rewind can read its new timeline."""
    tx.execute("CHECKPOINT")


def have_slot(tx: Session, name: str) -> None:
    """Keep a place in the log for one standby."""
    tx.execute(_SQL["have_slot"], {"name": name})


def effective(tx: Session, names: Sequence[str]) -> dict[str, str | float]:
    """Settings in force in this session, times in seconds; an unknown one is left out."""
    rows = tx.execute(_SQL["settings"], {"names": list(names)}).fetchall()
    return {
        name: float(setting) * SECONDS[unit] if unit in SECONDS else setting
        for name, setting, unit in rows
    }


SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0}
"""What one unit of `pg_settings` is in seconds."""


def _set(tx: Session, name: str, value: str) -> None:
    tx.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))


def _reset(tx: Session, name: str) -> None:
    tx.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))


def _reload(tx: Session) -> None:
    tx.execute(_RELOAD)


_RELOAD = b"SELECT pg_reload_conf()"


def _number(tx: Session, name: str, values: dict[str, Any] | None = None) -> int:
    row = tx.execute(_SQL[name], values).fetchone()
    return int(row[0]) if row else 0
