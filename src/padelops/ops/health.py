"""
Health checks: is all there that bookings need? Asked anew each time, and answered in time.

Checks run side by side, each in a thread of its own and with its own deadline. One that is silent
at its deadline is not waited for: a stopped server answers nothing, and that is an answer too. A
check that could not run is unknown, never green; it hides no other.

Source: CRITICAL_PATHS.md, "Health Checks" (every 30 seconds); DESIGN.md section 6.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from padelops.errors import PadelopsError
from padelops.ops.verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

DEADLINE_S = 3.0
"""A tenth of the rhythm in which health is asked: "every 30 seconds"."""

CHECKS = (
    "database", "write", "schema", "replication", "waiting", "connections", "disk", "clock",
    "payment_gateway", "cache", "circuit_breakers", "worker", "outbox", "stuck_payments",
    "delivery",
)  # fmt: skip
"""Every check, in the order in which people read them."""


@dataclass(frozen=True, slots=True)
class Measure:
    """
    A number that a check looked at, as Nagios and Prometheus want it.

    Attributes:
        name: with its unit where it has one, such as `connect_s` or `wal_lag_bytes`.
        warn_at, critical_at: where trouble begins; None where the number alone is none.
    """

    name: str
    value: float
    warn_at: float | None = None
    critical_at: float | None = None

    def judged(self) -> Verdict:
        """What the number says by itself: the more, the worse."""
        if self.critical_at is not None and self.value >= self.critical_at:
            return Verdict.CRITICAL
        if self.warn_at is not None and self.value >= self.warn_at:
            return Verdict.WARNING
        return Verdict.OK

    def as_json(self) -> dict[str, Any]:
        bounds = {"warn_at": self.warn_at, "critical_at": self.critical_at}
        known = {name: bound for name, bound in bounds.items() if bound is not None}
        return {"name": self.name, "value": round(self.value, 6), **known}


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a check says.

    Attributes:
        message: one line for somebody who was asleep a minute ago.
        fix: what to do next; empty where nothing is to be done.
    """

    verdict: Verdict
    message: str
    fix: str = ""
    measures: tuple[Measure, ...] = ()


Ask: TypeAlias = Callable[[], Answer]


@dataclass(frozen=True, slots=True)
class Check:
    """
    One question, by name.

    Attributes:
        ask: answers, or raises.
        deadline_s: after so many seconds it counts as silent.
        if_away: what it means that it was silent, or raised a PadelopsError. What is asked about
            is then away, so where a database fact is meant, that is unknown.
        whom: who is asked, to be named when it was silent.
        if_silent: what to do then.
    """

    name: str
    ask: Ask
    deadline_s: float = DEADLINE_S
    if_away: Verdict = Verdict.UNKNOWN
    whom: str = ""
    if_silent: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to."""

    check: str
    answer: Answer
    seconds: float

    @property
    def verdict(self) -> Verdict:
        return self.answer.verdict

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "verdict": self.verdict.word,
            "message": self.answer.message,
            "fix": self.answer.fix or None,
            "seconds": round(self.seconds, 3),
            "measures": [measure.as_json() for measure in self.answer.measures],
        }


@dataclass(frozen=True, slots=True)
class HealthReport:
    """All checks of one moment, in the order in which they were asked."""

    at: datetime
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """The worst of them, which is also the exit status."""
        return worst(finding.verdict for finding in self.findings)

    def of(self, check: str) -> Finding:
        """One check's finding, by its name."""
        return next(finding for finding in self.findings if finding.check == check)

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "verdict": self.verdict.word,
            "seconds": round(self.seconds, 3),
            "checks": [finding.as_json() for finding in self.findings],
        }


class EmergencyResponse(Protocol):
    """What is done at once about a critical report: call somebody, open an incident."""

    def __call__(self, report: HealthReport) -> str:
        """
        Respond.

        Returns:
            One line saying what was done.

        Raises:
            PadelopsError: it was not done; the report stays what it is.
        """
        ...


def run(checks: Iterable[Check], *, now: datetime) -> HealthReport:
    """
    Ask everything at once; take as long as the longest deadline at the most.

    Args:
        now: when the report is made.
    """
    began = time.monotonic()
    asked = [_Asked(check, began) for check in checks]
    findings = tuple(one.finding() for one in asked)
    return HealthReport(now, findings, time.monotonic() - began)


class _Asked(Thread):
    """One check under way. A daemon: a process that has its report does not wait for the silent."""

    def __init__(self, check: Check, began: float) -> None:
        super().__init__(name=f"padelops-health-{check.name}", daemon=True)
        self._check = check
        self._began = began
        self._answered: Finding | None = None
        self.start()

    def run(self) -> None:
        """Ask, and keep what comes of it."""
        check = self._check
        try:
            answer = check.ask()
        except PadelopsError as exc:
            answer = Answer(check.if_away, exc.message, exc.fix or "")
        except Exception as exc:  # noqa: BLE001 - a bug in one check must not hide the others
            # Only the type: the text of a foreign exception may carry a password.
            answer = Answer(
                Verdict.UNKNOWN,
                f"The check itself failed with {type(exc).__name__}.",
                "Report it; PADELOPS_DEBUG=1 shows where.",
            )
        self._answered = Finding(check.name, answer, time.monotonic() - self._began)

    def finding(self) -> Finding:
        """What it came to, or at the deadline that it is silent."""
        check = self._check
        self.join(max(0.0, self._began + check.deadline_s - time.monotonic()))
        if self._answered is not None:
            return self._answered
        whom = f" from {check.whom}" if check.whom else ""
        message = f"No answer{whom} within {check.deadline_s:g} s."
        silent = Answer(check.if_away, message, check.if_silent)
        return Finding(check.name, silent, time.monotonic() - self._began)
