"""
Operations on who is primary; every gate of `failover` stays where it is.

Source: CRITICAL_PATHS.md, "Database Failover" (`./scripts/failover_database.sh`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from padelops.ops.failover_gates import Kind
from padelops.ops.failover_status import judge
from padelops.ops.recovery import Operation, Seen, operation
from padelops.ops.recovery_services import ACCEPTED, LONGEST_WAIT_S, Worst
from padelops.ops.verdict import Verdict

if TYPE_CHECKING:
    from padelops.ops.recovery import Site

TAKES_WRITES = ("database", "write")


@operation("failover.status")
class ShowCluster(Operation):
    """
    Who is primary, and who follows.

    Attributes:
        worst: the worst verdict that lets the runbook go on; `any` only looks.
    """

    acts: ClassVar[bool] = False

    worst: Worst = "any"
    wait_s: float = Field(default=0, ge=0, le=LONGEST_WAIT_S)

    @property
    def waits_s(self) -> float:
        return self.wait_s

    def check(self, site: Site) -> Seen:
        with site.failover() as failover:
            found = judge(failover.observe(), failover.unfinished())
        primary = found.cluster.primary
        told = " ".join(remark.text for remark in found.remarks)
        who = f"primary: {primary.name}." if primary else "no server is the only primary."
        return Seen(found.verdict in ACCEPTED[self.worst], f"{who} {told}".strip())

    def commands(self) -> tuple[str, ...]:
        return ("padelops failover status",)


@operation("database.start")
class StartDatabase(Operation):
    """Start the embedded server where it is stopped; one of your own you start yourself."""

    patience_s: ClassVar[float] = 15.0

    def check(self, site: Site) -> Seen:
        found = site.health(("database",)).of("database")
        if found.verdict in {Verdict.OK, Verdict.WARNING} or not site.clustered:
            return Seen(found.verdict is not Verdict.CRITICAL, found.answer.message)
        return Seen(True, f"It is one of your own, so nothing is started: {found.answer.message}")

    def act(self, site: Site, reason: str) -> str:
        del reason
        return site.start_database()

    def commands(self) -> tuple[str, ...]:
        return ("padelops db status", "padelops db upgrade")


class OfPrimary(Operation):
    """Makes another server the primary, through `failover` and all its gates."""

    risky: ClassVar[bool] = True
    patience_s: ClassVar[float] = 30.0
    kind: ClassVar[Kind]

    def check(self, site: Site) -> Seen:
        report = site.health(TAKES_WRITES)
        told = " ".join(one.answer.message for one in report.findings)
        if report.verdict in {Verdict.OK, Verdict.WARNING} and not site.clustered:
            return Seen(True, told)
        with site.failover() as failover:
            if report.verdict in {Verdict.OK, Verdict.WARNING} and not failover.unfinished():
                return Seen(True, told)
            plan = failover.plan(self.kind, remember=False)
        if plan.refused is not None:
            raise plan.refused
        return Seen(False, f"{told} {plan.new.name if plan.new else 'Nobody'} could take over.")

    def act(self, site: Site, reason: str) -> str:
        with site.failover() as failover, failover.alone(self.kind):
            outcome = failover.carry_out(failover.plan(self.kind, reason=reason))
        if outcome.failed is not None:
            raise outcome.failed
        return f"{outcome.record.new} is primary."

    def verify(self, site: Site) -> Seen:
        report = site.health(TAKES_WRITES)
        told = " ".join(one.answer.message for one in report.findings)
        return Seen(report.verdict in {Verdict.OK, Verdict.WARNING}, told)

    def commands(self) -> tuple[str, ...]:
        return (f"padelops failover {self.kind.value} --reason 'why, in one line'",)


@operation("failover.promote")
class Promote(OfPrimary):
    """Make a standby the primary because the old one is dead; nothing while writes are taken."""

    kind: ClassVar[Kind] = Kind.PROMOTE


@operation("failover.switchover")
class SwitchOver(OfPrimary):
    """
    Hand the primary's place to a standby, planned.

    Attributes:
        away_from: health checks; while all are ok the primary keeps its place.
    """

    kind: ClassVar[Kind] = Kind.SWITCHOVER

    away_from: tuple[str, ...] = ("disk",)

    def check(self, site: Site) -> Seen:
        report = site.health(self.away_from)
        told = " ".join(one.answer.message for one in report.findings)
        return Seen(report.verdict in {Verdict.OK, Verdict.WARNING}, told)
