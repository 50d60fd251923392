"""
What can be made to go wrong at the sandbox, on demand, from any process.

A fault is a row: an operation, a kind, and how often. Whoever performs the operation takes it, and
it then happens to nobody else. The same faults steer the sandbox in process and over HTTP; only
what they look like differs (`sandbox_gateway`, `sandbox_server`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from padelops.errors import InvalidInput
from padelops.store import sandbox as books

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from padelops.store.engine import Database

W = TypeVar("W", bound=StrEnum)

LONGEST_LATENCY_MS = 60_000
MOST_TIMES = 1_000_000


class Operation(StrEnum):
    """What a fault happens to."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    FIND = "find"
    PROBE = "probe"
    ANY = "any"


class FaultKind(StrEnum):
    """How an operation goes wrong."""

    LATENCY_MS = "latency_ms"
    TIMEOUT_BEFORE_WORK = "timeout_before_work"
    TIMEOUT_AFTER_WORK = "timeout_after_work"
    ERROR_500 = "error_500"
    ERROR_500_AFTER_WORK = "error_500_after_work"
    RESET = "reset"
    RESET_BEFORE_WORK = "reset_before_work"
    OUTAGE = "outage"

    @property
    def works(self) -> bool:
        """Whether the operation is carried out all the same."""
        return self in {
            FaultKind.LATENCY_MS,
            FaultKind.TIMEOUT_AFTER_WORK,
            FaultKind.ERROR_500_AFTER_WORK,
            FaultKind.RESET,
        }


def named(words: type[W], word: str) -> W:
    """
    The member that a person means.

    Raises:
        InvalidInput: there is none; lists those there are.
    """
    try:
        return words(word)
    except ValueError as exc:
        raise InvalidInput(f"Unknown: {word[:60]!r}.", fix=f"Use {', '.join(words)}.") from exc


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it happens."""

    kind: FaultKind
    latency_s: float = 0.0


class SandboxFaults:
    """The faults of the sandbox on one database; every process there sees the same."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def set(
        self,
        operation: Operation,
        kind: FaultKind,
        *,
        times: int | None = None,
        latency_ms: int | None = None,
    ) -> books.FaultRow:
        """
        Make an operation go wrong from now on.

        Args:
            times: how often; until it is cleared when left out.
            latency_ms: how long an answer takes longer; for `latency_ms` only.

        Raises:
            InvalidInput: the parts do not fit together.
        """
        if (kind is FaultKind.LATENCY_MS) != (latency_ms is not None):
            raise InvalidInput("Milliseconds belong to latency_ms, and only to it.")
        if latency_ms is not None and not 0 < latency_ms <= LONGEST_LATENCY_MS:
            raise InvalidInput(f"A latency lies between 1 and {LONGEST_LATENCY_MS} ms.")
        if times is not None and not 0 < times <= MOST_TIMES:
            raise InvalidInput(f"A fault happens between 1 and {MOST_TIMES} times.")
        if kind is FaultKind.OUTAGE and (operation is not Operation.ANY or times is not None):
            # Nobody comes through to be counted, and who is away is away for everything.
            raise InvalidInput("An outage is of any operation, until it is cleared.")
        with self._database.deciding() as tx:
            return books.set_fault(
                tx, operation, kind, latency_ms=latency_ms, remaining=times, now=self._clock()
            )

    def all(self) -> list[books.FaultRow]:
        """Every fault that was not cleared, spent ones as well."""
        with self._database.reading() as tx:
            return books.faults(tx)

    def clear(self, operation: Operation | None = None) -> int:
        """Clear the faults of one operation, or all of them; how many that were."""
        with self._database.deciding() as tx:
            return books.clear_faults(tx, operation)

    def take(self, operation: Operation) -> Fault | None:
        """The fault that happens to this operation now, and counts as having happened."""
        with self._database.reading() as tx:
            row = books.take_fault(tx, operation)
        if row is None:
            return None
        return Fault(FaultKind(row.kind), (row.latency_ms or 0) / 1000)

    def outage(self) -> bool:
        """Whether the sandbox is to be away altogether."""
        with self._database.reading() as tx:
            return books.outage(tx)
