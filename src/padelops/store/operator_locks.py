"""Operators' locks as the database keeps them: a session has the lock, a row says whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("operators")

LOCK_CLASS = 0x7061_646C  # "padl": the first half of every operator lock's number


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """
    Who has a lock now; all but the name is None where the holder has not said yet.

    Attributes:
        pid: of the process on its host, not of the database session.
        since, age_s: by the database's clock.
    """

    name: str
    host: str | None
    pid: int | None
    actor: str | None
    purpose: str | None
    since: datetime | None
    age_s: float | None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {
            "since": None if self.since is None else self.since.isoformat(),
            "age_s": None if self.age_s is None else round(self.age_s, 1),
        }


def prepare_session(tx: Tx) -> None:
    """Make this connection one that lasts as long as its process, and ends with its host."""
    tx.execute(_SQL["lock_session"])


def take(tx: Tx, name: str) -> bool:
    """Take the lock for this session, or say that another one has it. Waits for nobody."""
    tx.execute(_SQL["know_lock"], {"name": name})
    row = tx.execute(_SQL["take_lock"], {"class": LOCK_CLASS, "name": name}).fetchone()
    return bool(row and row[0])


def sign(tx: Tx, name: str, *, host: str, pid: int, actor: str, purpose: str) -> None:
    """Write down whose lock it is; only for the session that has it."""
    tx.execute(
        _SQL["own_lock"],
        {"name": name, "host": host, "pid": pid, "actor": actor, "purpose": purpose},
    )


def is_mine(tx: Tx, name: str) -> bool:
    """Whether this session still has the lock."""
    row = tx.execute(_SQL["lock_is_mine"], {"class": LOCK_CLASS, "name": name}).fetchone()
    return bool(row and row[0])


def release(tx: Tx) -> None:
    """Let go of every lock of this session, at once."""
    tx.execute(_SQL["release_locks"])


def holders(tx: Tx, name: str | None = None) -> list[Holder]:
    """Who has this lock, or any operator lock, at this moment."""
    with tx.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(_SQL["lock_holders"], {"class": LOCK_CLASS, "name": name}).fetchall()
