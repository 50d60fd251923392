"""What a maintenance task is given, what it says, and the register of those a machine can do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from padelops.booking.audit import Verification
    from padelops.model import Origin
    from padelops.ops.health import HealthReport
    from padelops.ops.integrity import IntegrityValidator
    from padelops.ops.verdict import Verdict
    from padelops.store.engine import Database


@dataclass(frozen=True, slots=True)
class Premises:
    """
    Where a task works: what a desk has, as far as maintenance needs it.

    Attributes:
        database: connections without a time limit for statements.
        seal: seals the audit trail; how many seals that made.
        server_log: the database server's own log of the last days; None where it is elsewhere.
    """

    database: Database
    origin: Origin
    clock: Callable[[], datetime]
    seal: Callable[[], int]
    verify: Callable[[], Verification]
    validator: Callable[[], IntegrityValidator]
    health: Callable[[], HealthReport]
    server_log: Callable[[], Iterable[str]] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What a task came to.

    Attributes:
        summary: one line.
        evidence: what the summary was read from, ready for JSON.
    """

    verdict: Verdict
    summary: str
    evidence: dict[str, Any] = field(default_factory=dict)


Work: TypeAlias = "Callable[[Premises], Finding]"

WORK: dict[str, Work] = {}
"""By task. For a person's task the work only gathers what to look at."""


def task(name: str) -> Callable[[Work], Work]:
    """Make a function the work of a task."""

    def registered(work: Work) -> Work:
        if name in WORK:
            raise ValueError(f"the task {name} has two functions")
        WORK[name] = work
        return work

    return registered
