"""
One operator at a time: a long action holds its lock on a connection of its own, and says whose.

The lock belongs to the database session, so it ends with the process that holds it, also by
kill -9, and with a host that vanished once its connection is given up. Nobody waits for it:
whoever comes second is told who is at it and for how long.

It is as lasting as that session: a failover or a restart of the server takes it away. So whoever
does several things under it asks `Held.still` between two of them.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from padelops.errors import LockHeld, LockLost
from padelops.store import operator_locks
from padelops.store.engine import explained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.model import Origin
    from padelops.store.engine import Database, Tx
    from padelops.store.operator_locks import Holder

MOST_TRIES = 3
"""How often the lock is tried for when its holder was gone before it could be named."""


class Held:
    """A lock in hand."""

    def __init__(self, tx: Tx, name: str) -> None:
        self._tx = tx
        self.name = name

    def still(self) -> None:
        """
        Raises:
            LockLost: the session is gone, and the lock with it; somebody else may have it by now.
        """
        try:
            mine = operator_locks.is_mine(self._tx, self.name)
        except psycopg.Error as exc:
            raise LockLost(lock=self.name) from exc
        if not mine:
            raise LockLost(lock=self.name)


@contextmanager
def operator_lock(database: Database, name: str, *, purpose: str, origin: Origin) -> Iterator[Held]:
    """
    Hold the operator lock `name` for the block.

    Args:
        name: what only one may do at a time: `maintenance`, `reindex`, `repair`, `failover` ...
        purpose: one line for whoever is kept waiting, such as `daily`.

    Raises:
        LockHeld: another process has it; carries its owner and its age.
        DatabaseUnavailable: nobody can be asked.
    """
    tx = database.connect()
    try:
        with explained():
            operator_locks.prepare_session(tx)
            _take(tx, name)
            operator_locks.sign(
                tx,
                name,
                host=socket.gethostname(),
                pid=os.getpid(),
                actor=origin.actor,
                purpose=purpose,
            )
        yield Held(tx, name)
    finally:
        # Closing frees it too, but only once the server has noticed, and whoever comes next may be
        # quicker. Where the server is gone the lock is gone with it.
        with suppress(psycopg.Error):
            operator_locks.release(tx)
        tx.close()


def _take(tx: Tx, name: str) -> None:
    for left in reversed(range(MOST_TRIES)):
        if operator_locks.take(tx, name):
            return
        found = operator_locks.holders(tx, name)
        if found:
            raise held_by(found[0])
        if not left:
            raise LockHeld(f"The lock '{name}' changes hands too fast to be taken.", lock=name)


def held_by(holder: Holder) -> LockHeld:
    """The refusal that names who has a lock, since when and for what."""
    who = "a process that has not said who it is"
    if holder.since is not None and holder.age_s is not None:
        who = (
            f"{holder.actor} (pid {holder.pid} on {holder.host}: {holder.purpose})"
            f" since {holder.since:%Y-%m-%d %H:%M:%S} UTC, {age(holder.age_s)} ago"
        )
    facts = holder.as_json()
    return LockHeld(
        f"The lock '{holder.name}' is held by {who}.",
        fix="Wait for it; if that process hangs, end it: the lock frees itself.",
        lock=facts["name"],
        owner={name: facts[name] for name in ("actor", "host", "pid", "purpose")},
        since=facts["since"],
        age_s=facts["age_s"],
    )


def age(seconds: float) -> str:
    """A length of time as people say it, in its two largest units: `2 h 5 min`."""
    left = int(seconds)
    parts = []
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
