"""
One state of each circuit breaker for all processes: a row in PostgreSQL.

Not in the cache's Redis, although that is where many put it. An operator's word has to be committed
together with its audit entry and survive a restart; two stores can disagree, and a process that is
configured for the other one would follow a state of its own. While the database is away breakers
go on alone, which then costs little: nearly all that they guard is away with it.

Each exchange is one round trip, at most every half second for each breaker in use, written to an
UNLOGGED table that waits for no disk and no standby.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from padelops.circuit_breakers import BreakerRecord, Shared, Tally
from padelops.errors import CourtBusy, DatabaseUnavailable
from padelops.store import breakers as rows
from padelops.store.engine import unknown_if_lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from padelops.circuit_breakers import Report
    from padelops.model import Door
    from padelops.store.engine import Tx


class DatabaseBreakerMemory:
    """
    Implements `circuit_breakers.BreakerMemory`.

    Args:
        line: lends a connection, such as `BreakerLine`.
        door: what the audit trail names besides the actor.
    """

    def __init__(self, line: Callable[[], AbstractContextManager[Tx]], door: Door) -> None:
        self._line = line
        self._door = door

    def exchange(self, report: Report, *, since: datetime) -> Shared:
        """See `BreakerMemory.exchange`."""
        with self._reachable() as tx:
            text, *others = rows.exchange(
                tx,
                report.name,
                process=report.process,
                generation=report.generation,
                at=report.at,
                calls=report.tally.calls,
                failures=report.tally.failures,
                slow=report.tally.slow,
                since=since,
            )
        return Shared(_record(report.name, text), Tally(*others))

    def swap(self, record: BreakerRecord, *, expected: str) -> BreakerRecord:
        """
        See `BreakerMemory.swap`.

        Raises:
            OutcomeUnknown: the server fell silent or went away in the middle.
        """
        with self._reachable() as tx, unknown_if_lost(tx):
            text = rows.swap(
                tx,
                record.name,
                record.to_json(),
                expected=expected,
                actor=record.actor,
                door=self._door.value,
            )
        return _record(record.name, text)

    @contextmanager
    def _reachable(self) -> Iterator[Tx]:
        try:
            with self._line() as tx:
                yield tx
        except CourtBusy as exc:
            raise DatabaseUnavailable("The breakers' table did not answer in time.") from exc
        except psycopg.Error as exc:
            # Such as a standby, which has no UNLOGGED tables. Whatever it is, a booking must not
            # fail for want of a breaker's state; `breakers list` shows it.
            raise DatabaseUnavailable(
                f"The breakers' table cannot be used: {type(exc).__name__}."
            ) from exc


def _record(name: str, text: str | None) -> BreakerRecord:
    return BreakerRecord(name=name) if text is None else BreakerRecord.from_json(text)
