"""
The dashboard as data: which indicators stand side by side, and from where on each is trouble.

What is looked at every 30 seconds and what every 5 minutes is read apart, so each part says how old
it is. Trouble is what CRITICAL_PATHS.md puts a limit to, or what keeps money or a court waiting.

Source: CRITICAL_PATHS.md, "Real-time Dashboards" and "Alerting Rules".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from padelops.ops.cache_care import GOAL_PERCENT
from padelops.ops.slo import PROMISES
from padelops.ops.verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from padelops.booking.critical_paths import CriticalPath
    from padelops.errors import PadelopsError
    from padelops.ops.metrics import Reading, Readings

Judge: TypeAlias = "Callable[[float], Verdict]"

LATE_S = 900
"""A message that waits longer reassures nobody. Source: booking.delivery_report.LATE_AFTER."""

MOST_LAG_BYTES = 16 * 2**20
CROWDED = 0.8


def fine(_: float) -> Verdict:
    return Verdict.OK


def no_more_than(most: float, then: Verdict = Verdict.WARNING) -> Judge:
    return lambda value: then if value > most else Verdict.OK


def no_less_than(least: float, then: Verdict = Verdict.WARNING) -> Judge:
    return lambda value: then if value < least else Verdict.OK


NONE_AT_ALL = no_more_than(0, Verdict.CRITICAL)


@dataclass(frozen=True, slots=True)
class Fact:
    """
    One number on the board.

    Attributes:
        labels: which samples of the indicator; several are added up.
        roomy: left out where the terminal is narrow.
    """

    label: str
    indicator: str
    judge: Judge = fine
    labels: Mapping[str, str] = field(default_factory=dict)
    roomy: bool = False


GROUPS: dict[str, tuple[Fact, ...]] = {
    "bookings": (
        Fact("confirmed", "padel_active_reservations", labels={"status": "confirmed"}),
        Fact("held", "padel_active_reservations", labels={"status": "pending"}),
        Fact("double", "padel_double_bookings", NONE_AT_ALL),
        Fact("taken", "padel_booking_conflict_ratio", roomy=True),
        Fact("apdex", "padel_apdex_ratio", roomy=True),
    ),
    "payments": (
        Fact("success", "padel_payment_success_ratio", no_less_than(0.99, Verdict.CRITICAL)),
        Fact("in doubt", "padel_payments_in_doubt", no_more_than(0)),
        Fact("waiting", "padel_payments_waiting", no_more_than(0)),
        Fact("refunds failed", "padel_refunds_failed", no_more_than(0), roomy=True),
    ),
    "breakers": (Fact("", "padel_breaker_state", no_more_than(1)),),
    "cache": (
        Fact("hit", "padel_cache_hit_ratio", no_less_than(GOAL_PERCENT / 100)),
        Fact("stale holds", "padel_stale_holds", no_more_than(0)),
    ),
    "queue": (
        Fact("due", "padel_outbox_messages"),
        Fact("oldest", "padel_outbox_age_seconds", no_more_than(LATE_S)),
        Fact("workers", "padel_workers", no_less_than(1)),
        Fact("heard", "padel_worker_heartbeat_age_seconds", roomy=True),
    ),
    "replicas": (
        Fact("standbys", "padel_standbys"),
        Fact("sync", "padel_sync_standbys"),
        Fact("lag", "padel_replication_lag_bytes", no_more_than(MOST_LAG_BYTES)),
        Fact("commits waiting", "padel_commits_waiting", no_more_than(0), roomy=True),
    ),
    "database": (
        Fact("used", "padel_connections_used"),
        Fact("of", "padel_connections_allowed"),
        Fact("locks waiting", "padel_locks_waiting", no_more_than(5)),
        Fact("guard", "padel_overlap_guard", no_less_than(1, Verdict.CRITICAL), roomy=True),
    ),
    "trail": (
        Fact("unsealed", "padel_audit_unsealed_entries"),
        Fact("sealed", "padel_audit_seal_age_seconds", no_more_than(86_400)),
    ),
}
"""In the order in which they stand on the screen; the paths come after the payments."""


@dataclass(frozen=True, slots=True)
class Value:
    """A fact as it is now; `value` is None where nobody knows."""

    fact: Fact
    reading: Reading | None
    value: float | None

    @property
    def verdict(self) -> Verdict:
        return Verdict.UNKNOWN if self.value is None else self.fact.judge(self.value)

    @property
    def states(self) -> dict[str, str]:
        """Of an indicator whose values are words: what each of its samples says."""
        if self.reading is None:
            return {}
        return {
            " ".join(sample.labels.values()): word
            for sample in self.reading.samples
            if (word := self.reading.word(sample)) is not None
        }


@dataclass(frozen=True, slots=True)
class PathRow:
    """One critical path: its traffic and its times of late, against its limit."""

    path: CriticalPath
    limit_s: float
    rate: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    errors: float | None

    @property
    def verdict(self) -> Verdict:
        """Critical where most answers are late or a tenth fails; nothing to judge without any."""
        if self.errors is not None and self.errors >= MANY_ERRORS:
            return Verdict.CRITICAL
        if self.p50_s is not None and self.p50_s > self.limit_s:
            return Verdict.CRITICAL
        slow = self.p95_s is not None and self.p95_s > self.limit_s
        return Verdict.WARNING if slow or self.errors else Verdict.OK

    def as_json(self) -> dict[str, Any]:
        numbers = ("rate", "p50_s", "p95_s", "p99_s", "errors", "limit_s")
        return {
            "path": self.path.module,
            "level": self.path.level.value,
            "verdict": self.verdict.word,
            **{name: getattr(self, name) for name in numbers},
        }


MANY_ERRORS = 0.1

LIMITS = {promise.path: promise.limit_s for promise in PROMISES if promise.limit_s is not None}


@dataclass(frozen=True, slots=True)
class Board:
    """What was read last, in each rhythm; None before the first look."""

    primary: Readings | None = None
    secondary: Readings | None = None

    @property
    def away(self) -> PadelopsError | None:
        """Why the database did not answer the last time that it was asked."""
        latest = max(
            (found for found in (self.primary, self.secondary) if found is not None),
            key=lambda found: found.at,
            default=None,
        )
        return None if latest is None else latest.away

    def group(self, name: str) -> tuple[Value, ...]:
        return tuple(self._value(fact) for fact in GROUPS[name])

    def paths(self) -> Iterator[PathRow]:
        for path, limit_s in LIMITS.items():

            def of(name: str, path: CriticalPath = path) -> float | None:
                return self._number(name, {"path": path.module})

            yield PathRow(
                path=path,
                limit_s=limit_s,
                rate=of("padel_operation_rate"),
                p50_s=of("padel_response_p50_seconds"),
                p95_s=of("padel_response_p95_seconds"),
                p99_s=of("padel_response_p99_seconds"),
                errors=of("padel_error_ratio"),
            )

    def troubles(self) -> list[tuple[Verdict, str]]:
        """What is not well, the worst first; what is unknown is no trouble by itself."""
        found: list[tuple[Verdict, str]] = [
            (value.verdict, " ".join(filter(None, (name, value.fact.label))))
            for name in GROUPS
            for value in self.group(name)
            if value.verdict in {Verdict.WARNING, Verdict.CRITICAL}
        ]
        found += [
            (row.verdict, row.path.module) for row in self.paths() if row.verdict is not Verdict.OK
        ]
        return sorted(found, key=lambda trouble: -trouble[0])

    @property
    def verdict(self) -> Verdict:
        if self.away is not None:
            return Verdict.CRITICAL
        return worst([verdict for verdict, _ in self.troubles()] or [Verdict.OK])

    def as_json(self) -> dict[str, Any]:
        def at(found: Readings | None) -> str | None:
            return None if found is None else found.at.isoformat()

        return {
            "primary_at": at(self.primary),
            "secondary_at": at(self.secondary),
            "verdict": self.verdict.word,
            "away": None if self.away is None else self.away.as_json(),
            "troubles": [
                {"what": what, "verdict": verdict.word} for verdict, what in self.troubles()
            ],
            "paths": [row.as_json() for row in self.paths()],
            **{
                name: [
                    {
                        "indicator": value.fact.indicator,
                        "labels": dict(value.fact.labels),
                        "value": value.value,
                        "verdict": value.verdict.word,
                        "states": value.states or None,
                    }
                    for value in self.group(name)
                ]
                for name in GROUPS
            },
        }

    def _value(self, fact: Fact) -> Value:
        return Value(fact, self._reading(fact.indicator), self._number(fact.indicator, fact.labels))

    def _number(self, name: str, labels: Mapping[str, str]) -> float | None:
        """States are not added up: of several the worst is what counts."""
        reading = self._reading(name)
        if reading is None:
            return None
        found = [
            sample.value
            for sample in reading.samples
            if labels.items() <= dict(sample.labels).items()
        ]
        known = [value for value in found if value is not None]
        if reading.problem or not found or len(known) < len(found):
            return None
        return max(known) if reading.indicator.words else float(sum(known))

    def _reading(self, name: str) -> Reading | None:
        for found in (self.primary, self.secondary):
            for reading in found.readings if found is not None else ():
                if reading.indicator.name == name:
                    return reading
        return None
