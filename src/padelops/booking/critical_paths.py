"""
The nine critical paths as data: what each promises, where it lives, and the command that works it.

Source: CRITICAL_PATHS.md; the numbers are those of its headings and its levels.
"""

from __future__ import annotations

from dataclasses import dataclass

from padelops.model import Level


@dataclass(frozen=True, slots=True)
class Objective:
    """
    What a level promises.

    Attributes:
        uptime_percent: of the time, over 30 days.
        response_s: seconds that an operation may take.
        recovery_s: seconds until service is back after a failure.
    """

    uptime_percent: float
    response_s: float
    recovery_s: float


OBJECTIVES = {
    Level.ABSOLUTE: Objective(99.99, 0.5, 30),
    Level.BUSINESS: Objective(99.9, 2, 120),
    Level.OPERATIONAL: Objective(99.5, 5, 300),
}
"""Source: CRITICAL_PATHS.md, "Criticality levels"."""


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """
    One path.

    Attributes:
        module: its file in `padelops.booking`.
        commands: what works it at the terminal.
        limit_s: the path's own limit in seconds, where its heading names one.
    """

    number: int
    name: str
    level: Level
    module: str
    commands: tuple[str, ...]
    limit_s: float | None = None

    @property
    def objective(self) -> Objective:
        return OBJECTIVES[self.level]


CRITICAL_PATHS = (
    CriticalPath(1, "Double booking prevention", Level.ABSOLUTE, "double_booking", ("book",), 0.5),
    CriticalPath(2, "Payment processing integrity", Level.ABSOLUTE, "payments", ("payments",), 30),
    CriticalPath(3, "Reservation creation atomicity", Level.ABSOLUTE, "creation", ("book",), 2),
    CriticalPath(
        4, "Court availability calculation", Level.BUSINESS, "availability", ("availability",), 0.5
    ),
    CriticalPath(
        5, "Reservation cancellation workflow", Level.BUSINESS, "cancellation", ("cancel",), 5
    ),
    CriticalPath(6, "Pricing calculation engine", Level.BUSINESS, "pricing", ("price",), 0.1),
    CriticalPath(
        7, "Notification delivery system", Level.OPERATIONAL, "notifications", ("notifications",)
    ),
    CriticalPath(
        8, "Reservation search and filtering", Level.OPERATIONAL, "search", ("search", "show"), 1
    ),
    CriticalPath(9, "Audit trail maintenance", Level.OPERATIONAL, "audit", ("audit",)),
)
"""In the order of CRITICAL_PATHS.md."""
