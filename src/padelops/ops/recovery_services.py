"""
Operations on what bookings run on: health, breakers, the cache, workers, services of the system.

Source: CRITICAL_PATHS.md, "Immediate Response" and "Short-term Recovery".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from padelops.circuit_breakers.named import BREAKERS
from padelops.errors import SafetyGate
from padelops.ops.cache_care import ANSWERS, checked_pattern, delete_pattern
from padelops.ops.health import CHECKS
from padelops.ops.recovery import Operation, Seen, operation
from padelops.ops.verdict import Verdict, worst

if TYPE_CHECKING:
    from padelops.circuit_breakers import Snapshot
    from padelops.ops.recovery import Site

LONGEST_WAIT_S = 300
"""Source: CRITICAL_PATHS.md, "Long-term Recovery (< 5 minutes)"."""

Worst = Literal["ok", "warning", "any"]
ACCEPTED = {
    "ok": {Verdict.OK},
    "warning": {Verdict.OK, Verdict.WARNING},
    "any": set(Verdict),
}
"""By what a runbook accepts at the worst. Nobody accepts "unknown" but who accepts anything."""


@operation("health")
class AskHealth(Operation):
    """
    Health checks, all or some; waits until they are as good as they must be.

    Attributes:
        worst: the worst verdict that lets the runbook go on; `any` only looks.
    """

    acts: ClassVar[bool] = False

    checks: tuple[str, ...] = ()
    worst: Worst = "any"
    wait_s: float = Field(default=0, ge=0, le=LONGEST_WAIT_S)

    @field_validator("checks")
    @classmethod
    def _are_there(cls, checks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_known_check(check) for check in checks)

    @property
    def waits_s(self) -> float:
        return self.wait_s

    def check(self, site: Site) -> Seen:
        report = site.health(self.checks)
        # What one thing has caused is said once: all checks of a dead database say the same.
        bad: dict[str, list[str]] = {}
        for one in report.findings:
            if one.verdict is not Verdict.OK:
                said = bad.setdefault(f"{one.verdict.word}: {one.answer.message}", [])
                said.append(one.check)
        told = " ".join(f"{', '.join(checks)} {said}" for said, checks in bad.items())
        all_well = " ".join(one.answer.message for one in report.findings[:2])
        if len(report.findings) > len(report.findings[:2]):
            all_well = f"all {len(report.findings)} checks are ok"
        return Seen(report.verdict in ACCEPTED[self.worst], told or all_well)

    def commands(self) -> tuple[str, ...]:
        return (" ".join(["padelops health", *(f"--check {check}" for check in self.checks)]),)


class OfBreaker(Operation):
    """What is done to one circuit breaker."""

    breaker: str

    @field_validator("breaker")
    @classmethod
    def _is_there(cls, name: str) -> str:
        if name not in BREAKERS:
            raise ValueError(f"there is no breaker {name!r}; there are: {', '.join(BREAKERS)}")
        return name

    def snapshot(self, site: Site) -> Snapshot:
        """As every process sees it; raises where nobody can be asked."""
        found = site.breakers()[self.breaker].snapshot()
        if found.away is not None:
            raise found.away
        return found


@operation("breakers.open")
class OpenBreaker(OfBreaker):
    """
    Refuse calls to what is down, so that its fallback takes over everywhere at once.

    Attributes:
        unless: a health check; while it is ok there is nothing to protect.
    """

    risky: ClassVar[bool] = True

    unless: str | None = None

    @field_validator("unless")
    @classmethod
    def _is_asked(cls, check: str | None) -> str | None:
        return None if check is None else _known_check(check)

    def check(self, site: Site) -> Seen:
        found = self.snapshot(site)
        if found.state in {"open", "forced_open"}:
            return Seen(True, f"{self.breaker} is {found.state}: {found.fallback.explained}")
        if self.unless is not None:
            asked = site.health((self.unless,)).of(self.unless)
            if asked.verdict is Verdict.OK:
                return Seen(True, f"{self.unless} is ok, so there is nothing to protect.")
            return Seen(False, f"{self.unless} is {asked.verdict.word}: {asked.answer.message}")
        return Seen(False, f"{self.breaker} is {found.state}")

    def act(self, site: Site, reason: str) -> str:
        found = site.breakers()[self.breaker].force_open(actor=site.origin.actor, reason=reason)
        return f"Opened for every process. {found.fallback.explained}"

    def verify(self, site: Site) -> Seen:
        found = self.snapshot(site)
        return Seen(found.state in {"open", "forced_open"}, f"{self.breaker} is {found.state}")

    def commands(self) -> tuple[str, ...]:
        return (f"padelops breakers open {self.breaker} --reason 'why, in one line'",)


@operation("breakers.close")
class CloseBreaker(OfBreaker):
    """Let calls pass again, with clean counts; it opens by itself if they fail again."""

    def check(self, site: Site) -> Seen:
        found = self.snapshot(site)
        why = f": {found.reason}" if found.reason else ""
        return Seen(found.state == "closed", f"{self.breaker} is {found.state}{why}")

    def act(self, site: Site, reason: str) -> str:
        found = site.breakers()[self.breaker].reset(actor=site.origin.actor, reason=reason)
        return f"Closed for every process: it is {found.state}."

    def commands(self) -> tuple[str, ...]:
        return (f"padelops breakers close {self.breaker} --reason 'why, in one line'",)


@operation("breakers.fallbacks")
class ShowFallbacks(Operation):
    """Which breakers are not closed, and what happens instead meanwhile."""

    acts: ClassVar[bool] = False

    def check(self, site: Site) -> Seen:
        found = [breaker.snapshot() for breaker in site.breakers().all()]
        for one in found:
            if one.away is not None:
                raise one.away
        told = " ".join(
            f"{one.name} is {one.state}. {one.fallback.explained}"
            for one in found
            if one.state != "closed"
        )
        return Seen(True, told or "Every breaker is closed: no fallback is in use.")

    def commands(self) -> tuple[str, ...]:
        return ("padelops breakers list",)


@operation("cache.purge")
class PurgeCache(Operation):
    """Clear what is suspect in the cache; it is computed anew from the tables when asked for."""

    pattern: str = "reservation_*"

    @field_validator("pattern")
    @classmethod
    def _names_something(cls, pattern: str) -> str:
        try:
            return checked_pattern(pattern)
        except SafetyGate as exc:
            raise ValueError(str(exc)) from exc

    def check(self, site: Site) -> Seen:
        with site.cache() as cache:
            found = cache.count(self.pattern)
        return Seen(found == 0, f"{found} keys match {self.pattern}")

    def act(self, site: Site, reason: str) -> str:
        del reason
        with site.cache() as cache:
            return f"{delete_pattern(cache, self.pattern)} keys deleted"

    def verify(self, site: Site) -> Seen:
        # While customers ask, it fills at once: what is in there by now was computed anew.
        with site.cache() as cache:
            return Seen(True, f"the cache answers; {cache.count(self.pattern)} keys computed anew")

    def commands(self) -> tuple[str, ...]:
        return (f"padelops cache purge '{self.pattern}'",)


@operation("cache.warm")
class WarmCache(Operation):
    """Compute the coming days' availability, so that the first who asks need not wait."""

    def check(self, site: Site) -> Seen:
        with site.cache() as cache:
            found = cache.count(ANSWERS)
        return Seen(found > 0, f"{found} answers are kept")

    def act(self, site: Site, reason: str) -> str:
        del reason
        return f"{site.warm()} days of clubs computed"

    def commands(self) -> tuple[str, ...]:
        return ("padelops cache warm",)


@operation("worker.once")
class WorkOff(Operation):
    """
    Do here and now all that is due: captures, refunds, expired holds, messages.

    Attributes:
        checks: the health checks that tell whether something is left lying.
    """

    checks: tuple[str, ...] = ("worker", "outbox", "stuck_payments")

    @field_validator("checks")
    @classmethod
    def _are_there(cls, checks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_known_check(check) for check in checks)

    def check(self, site: Site) -> Seen:
        report = site.health(self.checks)
        told = " ".join(one.answer.message for one in report.findings)
        return Seen(report.verdict is Verdict.OK, told)

    def act(self, site: Site, reason: str) -> str:
        del reason
        with site.worker() as worker:
            done = worker.until_idle(lambda: False)
        rows = ", ".join(f"{chore} {count}" for chore, count in done.items() if count)
        return f"Worked off: {rows or 'nothing was due'}"

    def verify(self, site: Site) -> Seen:
        # What a person must decide is left, and is no failure of the worker's.
        report = site.health(self.checks)
        told = " ".join(one.answer.message for one in report.findings)
        left = worst(one.verdict for one in report.findings)
        return Seen(left in ACCEPTED["warning"], told)

    def commands(self) -> tuple[str, ...]:
        return ("padelops worker --once",)


@operation("service.restart")
class RestartService(Operation):
    """
    Restart a service of this machine, and see it answer.

    Attributes:
        service: its name for systemd, or for PADELOPS_RESTART_COMMAND.
        unless: health checks; while all are ok it is left alone. None: asked over HTTP.
    """

    risky: ClassVar[bool] = True
    patience_s: ClassVar[float] = 30.0

    service: str = Field(pattern=r"^[a-z][a-z0-9@_.-]{0,62}$")
    unless: tuple[str, ...] = ()

    @field_validator("unless")
    @classmethod
    def _are_there(cls, checks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_known_check(check) for check in checks)

    def check(self, site: Site) -> Seen:
        if self.unless:
            report = site.health(self.unless)
            told = " ".join(one.answer.message for one in report.findings)
            return Seen(report.verdict is Verdict.OK, told)
        answers = site.answers()
        if answers is None:
            return Seen(False, "nobody can tell whether it answers: set PADELOPS_SERVICE_URL")
        return Seen(answers, "it answers" if answers else "it does not answer")

    def act(self, site: Site, reason: str) -> str:
        del reason
        return site.restart(self.service)

    def verify(self, site: Site) -> Seen:
        if not self.unless and site.answers() is None:
            return Seen(True, "the command succeeded; whether it answers is not known")
        return self.check(site)

    def commands(self) -> tuple[str, ...]:
        return (f"systemctl restart {self.service}",)


def _known_check(name: str) -> str:
    if name not in CHECKS:
        raise ValueError(f"there is no health check {name!r}; there are: {', '.join(CHECKS)}")
    return name
