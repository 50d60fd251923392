"""The circuit breakers, over one state for all processes that work on a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.adapters.breaker_line import BreakerLine
from padelops.adapters.breaker_memory import DatabaseBreakerMemory
from padelops.circuit_breakers import Breakers

if TYPE_CHECKING:
    from padelops.model import Door
    from padelops.store.engine import Database


class SharedBreakers(Breakers):
    """The named breakers of one process. Nothing is connected before the first of them is used."""

    def __init__(self, database: Database, door: Door) -> None:
        self._database = database
        self._line = BreakerLine(database)
        super().__init__(DatabaseBreakerMemory(self._line, door))

    def close(self) -> None:
        """Leave the last counts, unless that meant waiting for a database that is away."""
        if self._database.connected:
            self.farewell()
        self._line.close()
