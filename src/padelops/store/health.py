"""What a database tells about itself, and about the work that waits in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("health")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Which server answers, and by which clock."""

    version: str
    standby: bool
    read_only: bool
    clock: datetime
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """
    The standbys of a primary, or how far behind a standby is.

    Attributes:
        wanted: `synchronous_standby_names`.
        hidden: standbys that this role may not look at.
        idle_slots: places kept for standbys that are away.
        caught_up: on a standby: all that was received has been applied.
    """

    standby: bool
    wanted: str
    senders: int
    synchronous: int
    hidden: int
    lag_bytes: float | None
    lag_s: float | None
    idle_slots: list[str]
    receivers: int
    caught_up: bool
    applied_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Who waits for locks and for standbys, and since when."""

    locks: int
    lock_s: float
    blockers: list[int]
    commits: int
    commit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """How many connections there may be for this role, and how many there are."""

    allowed: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreaker:
    """A circuit breaker that is not simply closed."""

    name: str
    state: str
    reason: str
    actor: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The worker that was heard of last; None where none ever was."""

    worker: str | None
    seconds: float | None
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """Messages that are due, and those that were given up within a day."""

    due: int
    oldest_s: float
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPayments:
    """Payments and refunds that wait for somebody or for something."""

    unknown: int
    unknown_s: float
    queued: int
    review: int
    overdue: int
    overdue_s: float
    refunds_failed: int


def _one(tx: Tx, kind: type[T], name: str, values: dict[str, object] | None = None) -> T:
    with tx.cursor(row_factory=class_row(kind)) as cursor:
        row = cursor.execute(_SQL[name], values or {}).fetchone()
    if row is None:
        raise LookupError(name)
    return row


def server(tx: Tx) -> Server:
    return _one(tx, Server, "server")


def write(tx: Tx) -> None:
    """Write a row and remove it again, in one transaction that commits like a booking does."""
    tx.execute(_SQL["write_probe"], prepare=False)


def has_room(tx: Tx) -> bool:
    """Have the server write about two megabytes to its disk, and forget them."""
    tx.execute(_SQL["small_memory"])
    try:
        tx.execute(_SQL["find_room"])
    except psycopg.errors.DiskFull:
        return False
    return True


def data_folder(tx: Tx) -> str | None:
    """Where the server's data lies; None where this role may not know."""
    row = tx.execute(_SQL["data_folder"]).fetchone()
    return None if row is None else row[0]


def replication(tx: Tx) -> Replication:
    return _one(tx, Replication, "replication")


def waiting(tx: Tx) -> Waiting:
    return _one(tx, Waiting, "waiting")


def connections(tx: Tx) -> Connections:
    return _one(tx, Connections, "connections")


def breakers(tx: Tx) -> list[OpenBreaker]:
    with tx.cursor(row_factory=class_row(OpenBreaker)) as cursor:
        return cursor.execute(_SQL["breakers"]).fetchall()


def heartbeat(tx: Tx, *, now: datetime) -> Heartbeat:
    return _one(tx, Heartbeat, "heartbeat", {"now": now})


def outbox(tx: Tx, *, now: datetime) -> Outbox:
    return _one(tx, Outbox, "outbox", {"now": now})


def payments(tx: Tx, *, now: datetime) -> OpenPayments:
    return _one(tx, OpenPayments, "payments", {"now": now})
