"""
Operations on what is kept: payments, messages, the rows themselves, indexes, the audit trail.

Source: CRITICAL_PATHS.md, "Enable Fallback Modes" (queued payments and messages) and "Long-term
Recovery" (full system check, data integrity verification, rebuilding indexes).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from padelops.booking import outbox
from padelops.errors import PadelopsError
from padelops.ops.integrity_checks import CHECKS as INTEGRITY_CHECKS
from padelops.ops.integrity_mends import REPAIRS
from padelops.ops.recovery import Operation, Seen, listed, operation
from padelops.ops.recovery_services import ACCEPTED, Worst
from padelops.ops.reindexing import Reindexer, raise_if_partly

if TYPE_CHECKING:
    from padelops.ops.recovery import Site

MOST_MESSAGES = 1000


@operation("payments.reconcile")
class ReconcilePayments(Operation):
    """Ask the gateway what became of every payment in doubt; never charges anything again."""

    def check(self, site: Site) -> Seen:
        found = sorted(site.office().in_doubt())
        told = f"in doubt: reservations {listed(found)}" if found else "no payment is in doubt"
        return Seen(not found, told)

    def act(self, site: Site, reason: str) -> str:
        del reason
        office, settled, troubles = site.office(), 0, list[str]()
        for number in sorted(office.in_doubt()):
            try:
                office.reconcile(number, origin=site.origin, now=site.clock())
            except PadelopsError as exc:
                troubles.append(f"{number}: {exc.message}")
            else:
                settled += 1
        return f"{settled} asked about." + (f" {listed(troubles)}" if troubles else "")

    def commands(self) -> tuple[str, ...]:
        return ("padelops payments reconcile", "padelops payments list")


@operation("payments.retry")
class RetryPayments(Operation):
    """Go on with the payments that the open breaker queued for manual processing."""

    risky: ClassVar[bool] = True

    def check(self, site: Site) -> Seen:
        found = _queued(site)
        told = f"queued: reservations {listed(found)}" if found else "no payment is queued"
        return Seen(not found, told)

    def act(self, site: Site, reason: str) -> str:
        office, done, declined = site.office(), 0, list[str]()
        for number in _queued(site):
            try:
                office.retry(number, reason=reason, origin=site.origin, now=site.clock())
            except PadelopsError as exc:
                declined.append(f"{number}: {exc.message}")
            else:
                done += 1
        return f"{done} went through." + (f" Not: {listed(declined)}" if declined else "")

    def commands(self) -> tuple[str, ...]:
        return ("padelops payments list", "padelops payments retry 4711 --reason 'gateway is back'")


def _queued(site: Site) -> list[int]:
    return sorted(
        row["reservation"] for row in site.office().attention() if row["state"] == "queued"
    )


@operation("notifications.retry")
class RetryMessages(Operation):
    """Make every message that failed due again; what is no longer true is skipped when sent."""

    def check(self, site: Site) -> Seen:
        found = outbox.listing(site.database(), state="failed", limit=MOST_MESSAGES).messages
        return Seen(not found, f"{len(found)} messages have failed")

    def act(self, site: Site, reason: str) -> str:
        del reason
        done = outbox.retry(site.database(), None, origin=site.origin, now=site.clock())
        return f"{len(done.ids)} are due again"

    def commands(self) -> tuple[str, ...]:
        return ("padelops notifications retry --failed",)


@operation("validate")
class Validate(Operation):
    """
    Ask the data every invariant, or some; repairs nothing.

    Attributes:
        worst: the worst verdict that lets the runbook go on; `any` only looks.
    """

    acts: ClassVar[bool] = False

    checks: tuple[str, ...] = ()
    worst: Worst = "ok"

    @field_validator("checks")
    @classmethod
    def _are_there(cls, checks: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(checks) - set(INTEGRITY_CHECKS):
            raise ValueError(
                f"there is no check {min(unknown)!r}; `padelops validate --list` names them"
            )
        return checks

    def check(self, site: Site) -> Seen:
        report = site.validator().validate_all_reservations(checks=self.checks)
        broken = [
            f"{one.check}: {one.found} ({listed([v.subject for v in one.violations])})"
            for one in report
            if one.found
        ]
        told = f"violated: {'; '.join(broken)}." if broken else "everything that was asked holds."
        if report.not_run:
            told += f" Could not be asked: {', '.join(report.not_run)}."
        return Seen(report.verdict in ACCEPTED[self.worst], f"{report.reservations} rows, {told}")

    def commands(self) -> tuple[str, ...]:
        return (" ".join(["padelops validate", *(f"--check {check}" for check in self.checks)]),)


@operation("integrity.repair")
class Repair(Operation):
    """Mend what is safe to mend, by name, one thing and one transaction at a time."""

    risky: ClassVar[bool] = True

    names: tuple[str, ...] = Field(min_length=1)

    @field_validator("names")
    @classmethod
    def _are_safe(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(names) - set(REPAIRS):
            raise ValueError(f"nothing named {min(unknown)!r} is mended; {', '.join(REPAIRS)} are")
        return names

    def check(self, site: Site) -> Seen:
        found = Counter(step.repair for step in site.repairer().plan(self.names))
        told = ", ".join(f"{name}: {count}" for name, count in found.items())
        return Seen(not found, told or "nothing is to be mended")

    def act(self, site: Site, reason: str) -> str:
        del reason
        done = site.repairer().run(self.names)
        left = "; ".join(step.left or step.subject for step in done.left)
        return f"{len(done.mended)} mended." + (f" Left for a person: {left}" if left else "")

    def commands(self) -> tuple[str, ...]:
        return (f"padelops validate --repair {','.join(self.names)}",)


@operation("db.reindex")
class Reindex(Operation):
    """
    Rebuild indexes that are not valid, while bookings go on.

    Attributes:
        tables: all indexes of these, valid or not, if one of them is not.
    """

    tables: tuple[str, ...] = ()

    def check(self, site: Site) -> Seen:
        found = _reindexer(site).plan(self.tables)
        bad = [index.name for index in found if not index.valid or index.leftover]
        return Seen(
            not bad,
            f"not valid: {listed(bad)}" if bad else f"all {len(found)} indexes are valid",
        )

    def act(self, site: Site, reason: str) -> str:
        del reason
        reindexer = _reindexer(site)
        found = reindexer.plan(self.tables)
        bad = {index.table for index in found if not index.valid or index.leftover}
        result = reindexer.run(self.tables or sorted(bad))
        raise_if_partly(result)
        rebuilt = sum(outcome.after is not None for outcome in result.outcomes)
        return f"{rebuilt} rebuilt, {len(result.removed)} leftovers removed"

    def commands(self) -> tuple[str, ...]:
        return (" ".join(["padelops db reindex", *self.tables]),)


def _reindexer(site: Site) -> Reindexer:
    return Reindexer(site.database(), site.origin, site.clock)


@operation("audit.verify")
class VerifyTrail(Operation):
    """Prove that no entry of the trail was edited, deleted or slipped in."""

    acts: ClassVar[bool] = False

    def check(self, site: Site) -> Seen:
        found = site.verify_audit()
        if found.intact:
            return Seen(True, f"intact: {found.sealed_entries} entries under {found.seals} seals")
        told = [f"{one.where}: {one.problem}" for one in found.findings]
        return Seen(False, f"{len(told)} findings: {listed(told, most=3)}")

    def commands(self) -> tuple[str, ...]:
        return ("padelops audit verify",)


@operation("audit.seal")
class SealTrail(Operation):
    """Seal the entries that no seal covers yet."""

    def check(self, site: Site) -> Seen:
        found = site.verify_audit()
        return Seen(found.unsealed == 0, f"{found.unsealed} entries are under no seal")

    def act(self, site: Site, reason: str) -> str:
        del reason
        return f"{site.seal()} seals made"

    def verify(self, site: Site) -> Seen:
        # Entries are written at any moment, and those of open transactions wait.
        found = site.verify_audit()
        return Seen(found.seals > 0, f"{found.seals} seals, {found.unsealed} entries wait")

    def commands(self) -> tuple[str, ...]:
        return ("padelops audit seal",)


@operation("maintenance.run")
class RunMaintenance(Operation):
    """Do what a machine can do of a schedule that is late, and keep what it found."""

    schedule: str = "daily"

    def check(self, site: Site) -> Seen:
        due = site.maintenance().due()
        late = [
            standing.name
            for standing in due.in_state("late", "due")
            if standing.task.who == "machine" and standing.name.startswith(f"{self.schedule}/")
        ]
        return Seen(not late, f"due: {listed(late)}" if late else f"{self.schedule}: all is fresh")

    def act(self, site: Site, reason: str) -> str:
        del reason
        return site.maintenance().run(self.schedule).summary

    def commands(self) -> tuple[str, ...]:
        return (f"padelops maintenance run {self.schedule}",)
