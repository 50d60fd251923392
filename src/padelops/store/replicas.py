"""How far behind a replica is, as it knows itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.store.queries import statements

if TYPE_CHECKING:
    from padelops.store.engine import Tx

_SQL = statements("replicas")


def staleness_s(tx: Tx) -> float | None:
    """How old its answers may be at the most; None when it cannot tell."""
    row = tx.execute(_SQL["staleness"]).fetchone()
    return None if row is None else row[0]
