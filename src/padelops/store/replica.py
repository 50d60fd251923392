"""
Reads that may be a little old come from a replica, but only while it is proved to be fresh enough.

Fresh means: the last commit that it replayed is no older than the stated staleness. That is asked
of the replica itself, on the same connection, before each read; a replica that lags, is away, or
has nothing new to replay is passed over, and the primary answers. Availability and everything that
a decision rests on never come from here.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from padelops.errors import NotPermitted, Unavailable
from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy

    from padelops.store.engine import Database, Tx

_SQL = statements("replica")

REST_S = 10.0
"""How long a replica that was away is left alone: finding that out costs a connect timeout."""


class Readers:
    """
    Stands in for a `Database` where reading is all that is done.

    Args:
        replica: None where there is none.
        staleness_s: how old what is read may be.
    """

    def __init__(self, primary: Database, replica: Database | None, *, staleness_s: float) -> None:
        self._primary = primary
        self._replica = replica
        self._staleness_s = staleness_s
        self._rests_until = 0.0

    @property
    def dialect(self) -> sqlalchemy.Dialect:
        return self._primary.dialect

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """A connection for statements that change nothing: the replica's, or the primary's."""
        with ExitStack() as lent:
            yield self._from_replica(lent) or lent.enter_context(self._primary.reading())

    def _from_replica(self, lent: ExitStack) -> Tx | None:
        """The replica's connection if it is fresh; None leaves the read to the primary."""
        if self._replica is None or monotonic() < self._rests_until:
            return None
        try:
            with ExitStack() as trial:
                tx = trial.enter_context(self._replica.reading())
                if not self._is_fresh(tx):
                    return None
                lent.push(trial.pop_all())
                return tx
        except (Unavailable, NotPermitted):
            self._rests_until = monotonic() + REST_S
            return None

    def close(self) -> None:
        """Close the replica's connections; the primary's belong to somebody else."""
        if self._replica is not None:
            self._replica.close()

    def _is_fresh(self, tx: Tx) -> bool:
        age = age_s(tx)
        return age is not None and age <= self._staleness_s


def age_s(tx: Tx) -> float | None:
    """How old what this server tells may be at the most; None when it cannot tell."""
    row = tx.execute(_SQL["age_s"]).fetchone()
    return None if row is None else row[0]
