"""
What other machines ask of a process: whether it can work, and what it has counted.

Each answer is kept for a moment, so that nobody can wear out the database with questions; and it
tells whoever has no token only which check failed, not on which host.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from padelops.ops.verdict import Verdict
from padelops.wiring.health import check_health
from padelops.wiring.metrics import MetricsText

if TYPE_CHECKING:
    from padelops.settings import Settings

NEEDED = ("database", "write", "schema")
"""Without these no request can be worked on. Whatever else is in trouble, bookings go on."""

READY_DEADLINE_S = 2.0
FRESH_S = 1.0


class Probes:
    """Answers probes in bounded time, also while the database is away. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The database has the counts of all processes; while it is away, only this one's are left.
        self.metrics = MetricsText(settings)
        self._turn = threading.Lock()
        self._checks: dict[str, str] = {}
        self._fresh_until = 0.0

    def checks(self) -> dict[str, str]:
        """Each of `NEEDED` and its verdict's word."""
        with self._turn:
            if time.monotonic() >= self._fresh_until:
                report = check_health(self._settings, deadline_s=READY_DEADLINE_S, only=NEEDED)
                self._checks = {one.check: one.verdict.word for one in report.findings}
                self._fresh_until = time.monotonic() + FRESH_S
            return self._checks


def all_well(checks: dict[str, str]) -> bool:
    """Whether requests can be worked on: a warning is no reason to turn them away."""
    return set(checks.values()) <= {Verdict.OK.word, Verdict.WARNING.word}
