"""
Where breakers keep what all processes share: two operations, each one atomic round trip.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from padelops.circuit_breakers.record import BreakerRecord
from padelops.circuit_breakers.window import Tally

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    What one process's window holds. Whole numbers of now, not additions: sent twice counts once.

    Attributes:
        name: the breaker.
        process: unique to each breaker object in each process.
        generation: the one that the calls were made in.
        at: the process's wall clock, aware UTC.
    """

    name: str
    process: str
    generation: int
    at: datetime
    tally: Tally


@dataclass(frozen=True, slots=True)
class Shared:
    """
    What a memory knows about one breaker.

    Attributes:
        record: the state that stands; `BreakerRecord(name=…)` where nothing was ever stored.
        others: the sum of the other processes' fresh reports about that record's generation.
    """

    record: BreakerRecord
    others: Tally


class BreakerMemory(Protocol):
    """
    The shared state of named breakers.

    Called at most once per breaker and refresh interval in each process, and once for each move;
    never while a guarded call runs inside it, but by a thread that wants to make one. So an
    implementation bounds its own time (a tenth of a second is plenty), and uses a connection of its
    own: never the caller's transaction, never a pool that a fault elsewhere can drain.

    Raises:
        Unavailable: it is away. The breaker goes on alone, and offers its state when it is back.
            Any other `PadelopsError` and any `OSError` is taken the same way; a driver's own
            errors must be translated. From `swap` it means that nothing was stored; where that is
            not known, raise `OutcomeUnknown`.
    """

    def exchange(self, report: Report, *, since: datetime) -> Shared:
        """
        Leave a report, and say what stands.

        The report replaces the process's last one, an empty one removes it. Other processes'
        reports count if they are about the generation that stands and not older than `since`;
        older ones may be deleted.
        """

    def swap(self, record: BreakerRecord, *, expected: str) -> BreakerRecord:
        """
        Store the record if the one that stands has the stamp `expected`; say which stands now.

        An empty `expected` means that none is stored yet. Whoever gets back the stamp that it sent
        has won, exactly one of any number of rivals.
        """


class LocalMemory:
    """A memory inside one process, shared by its threads. The default."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._records: dict[str, BreakerRecord] = {}
        self._reports: dict[str, dict[str, Report]] = {}

    def exchange(self, report: Report, *, since: datetime) -> Shared:
        """See `BreakerMemory.exchange`."""
        with self._lock:
            reports = self._reports.setdefault(report.name, {})
            reports.pop(report.process, None)
            for stale in [each.process for each in reports.values() if each.at < since]:
                del reports[stale]
            record = self._records.get(report.name) or BreakerRecord(name=report.name)
            others = Tally()
            for each in reports.values():
                if each.generation == record.generation:
                    others += each.tally
            if report.tally.calls:
                reports[report.process] = report
            return Shared(record, others)

    def swap(self, record: BreakerRecord, *, expected: str) -> BreakerRecord:
        """See `BreakerMemory.swap`."""
        with self._lock:
            stands = self._records.get(record.name)
            if (stands.stamp if stands else "") != expected:
                return stands or BreakerRecord(name=record.name)
            self._records[record.name] = record
            return record
