"""
The steps of one failover, each on record before it begins: fence, catch up, promote, serve, rejoin,
standby, verify.

Nobody is promoted before the old primary is sure to acknowledge nothing more, and nothing is called
done before a booking's way was walked: written and read back through the application's own address.
What a driver cannot know is looked for until the deadline; what stays unknown is said to be.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from padelops.errors import (
    OutcomeUnknown,
    PadelopsError,
    PartlyDone,
    Refused,
    SafetyGate,
    Unavailable,
)
from padelops.ops.failover_gates import SYNCHRONOUS, Kind, TwoPrimaries
from padelops.ops.failover_plan import SERVICE_LIMIT_S, Outcome
from padelops.ops.failover_record import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.ops.failover_plan import Application, Driver, Plan
    from padelops.ops.failover_record import FailoverState, Record
    from padelops.store.nodes import Node

CATCH_UP_S = 10.0
REJOIN_S = 60.0
PAUSE_S = 0.1


class Run:
    """One run through the steps; those that an earlier run has done are not done again."""

    def __init__(
        self,
        driver: Driver,
        state: FailoverState,
        application: Application,
        plan: Plan,
        record: Record,
        told: Callable[[str], None],
    ) -> None:
        self.driver = driver
        self.state = state
        self.application = application
        self.plan = plan
        self.record = record
        self.told = told
        # A rerun begins a new clock: what a person thought about meanwhile is not recovery time.
        self.begun = time.monotonic()
        record.steps = [
            step for step in record.steps if step.outcome == "done" and step.name != "verify"
        ]
        record.status, record.remaining = "running", []

    def all(self) -> Outcome:
        record = self.record
        self.state.keep(record)
        try:
            if not self._is_promoted():
                self._fence()
                self._catch_up()
                self._promote()
            self._serve()
            self._rejoin()
            self._standby()
            self._verify()
        except PadelopsError as exc:
            if record.status == "running":
                record.status = "failed"
            self.state.keep(record)
            return Outcome(record, exc)
        except BaseException:
            # Ctrl-C, or a mistake of ours: the cluster may be fenced, and must not be left so.
            self.told(
                f"The {record.kind} stopped in the middle. Run it again: it goes on from here."
            )
            raise
        if record.remaining:
            record.status = "partly"
            self.state.keep(record)
            return Outcome(
                record,
                PartlyDone(
                    f"{record.new} is the primary and takes bookings; "
                    f"{len(record.remaining)} things remain: {' '.join(record.remaining)}",
                    fix="Then run the same command again.",
                    remaining=record.remaining,
                ),
            )
        record.status = "done"
        self.state.keep(record)
        return Outcome(record, None)

    @contextmanager
    def _step(self, name: str) -> Iterator[Step]:
        step = Step(name=name)
        self.record.steps.append(step)
        self.state.keep(self.record)
        begun = time.monotonic()
        try:
            yield step
        except BaseException as exc:
            step.outcome = "failed"
            step.told = step.told or str(exc) or type(exc).__name__
            raise
        else:
            if step.outcome == "running":
                step.outcome = "done"
        finally:
            ended = time.monotonic()
            step.seconds, step.at_s = round(ended - begun, 2), round(ended - self.begun, 2)
            self.state.keep(self.record)
            self.told(f"{step.name}: {step.outcome}, {step.seconds:.1f} s. {step.told}".rstrip())

    def _is_promoted(self) -> bool:
        """Whether an earlier run came as far as a new primary."""
        new = self.plan.cluster.node(self.record.new)
        return bool(new and new.writable and (new.timeline or 0) > self.record.timeline)

    def _fence(self) -> None:
        old = self.plan.old
        with self._step("fence") as step:
            if old is None:
                step.outcome, step.told = "skipped", "nobody is known; the loss was accepted"
                return
            try:
                step.told = self.driver.fence(old)
            except Unavailable as exc:
                if self.plan.data_loss_allowed and self.plan.kind is Kind.PROMOTE:
                    step.outcome, step.told = "skipped", f"{exc} The loss was accepted."
                    return
                self._give_back(old)
                raise Unavailable(
                    f"{old.name} could not be fenced, so nobody was promoted: {exc}"
                ) from exc

    def _catch_up(self) -> None:
        old, new = self.plan.old, self.plan.new
        if self.driver.managed or old is None or new is None or old.facts is None:
            return
        with self._step("catch_up") as step:
            missing = self.driver.caught_up(new, old, patience_s=CATCH_UP_S)
            if missing == 0:
                step.told = f"{new.name} has everything that {old.name} wrote"
                return
            lacks = f"{missing} bytes" if missing > 0 else "what nobody can tell"
            if self.plan.data_loss_allowed or (missing < 0 and self.plan.kind is Kind.PROMOTE):
                step.told = f"{new.name} lacks {lacks}"
                return
            self._give_back(old)
            raise SafetyGate(
                f"{new.name} lacks {lacks} of what {old.name} wrote; nobody was promoted.",
                missing_bytes=missing,
            )

    def _give_back(self, old: Node) -> None:
        """A failover that is off leaves the primary as it was."""
        if self.plan.kind is Kind.SWITCHOVER and not self.record.done("promote"):
            self.driver.unfence(old)

    def _promote(self) -> None:
        record, old = self.record, self.plan.old
        new = self.plan.cluster.node(record.new)
        if new is None:
            raise LookupError("a candidate vanished from its own plan")
        with self._step("promote") as step:
            doubt = ""
            try:
                self.driver.promote(new, old, lambda text: setattr(step, "told", text))
            except Refused:
                if old is not None:
                    self._give_back(old)
                raise
            except (OutcomeUnknown, Unavailable) as exc:
                doubt = f" ({exc})"
            winner = self._winner(doubt)
            said = f"; {step.told}" if step.told else ""
            step.told = f"{winner.name} is primary on timeline {winner.timeline}{said}"
            if winner.name != record.new:
                step.told += f", and not {record.new}, which was asked for"
                record.new = winner.name

    def _winner(self, doubt: str) -> Node:
        """The one new primary, looked for until the deadline."""
        deadline = time.monotonic() + self.driver.patience_s
        while True:
            seen = self.driver.observe()
            if len(seen.writable) > 1 and time.monotonic() > deadline:
                shown = ", ".join(f"{node.name} on {node.timeline}" for node in seen.writable)
                self.record.status = "unknown"
                raise TwoPrimaries(f"After the promotion two servers take writes: {shown}.")
            primary = seen.primary
            if primary and (primary.timeline or 0) > self.record.timeline:
                return primary
            if time.monotonic() > deadline:
                self.record.status = "unknown"
                still = f"{primary.name} is primary as before" if primary else "nobody is primary"
                raise OutcomeUnknown(
                    f"After {self.driver.patience_s:.0f} s {still}{doubt}.",
                    fix="Run `padelops failover status`, then the same command again to go on.",
                )
            time.sleep(PAUSE_S)

    def _serve(self) -> None:
        """A booking's way is open: written and read back through the application's address."""
        if self.record.done("serve"):
            return
        with self._step("serve") as step:
            deadline = time.monotonic() + SERVICE_LIMIT_S
            while True:
                try:
                    step.told = self.application.leave_mark(self.record)
                except PadelopsError as exc:
                    if time.monotonic() > deadline:
                        step.outcome, step.told = "failed", str(exc)
                        self.record.remaining.append(
                            f"The application's address does not take writes: {exc}"
                        )
                        return
                    time.sleep(PAUSE_S)
                else:
                    return

    def _rejoin(self) -> None:
        old, new = self._now(self.record.old), self._now(self.record.new)
        if old is None or new is None or old.name == new.name or self._follows(old, new):
            return
        with self._step("rejoin") as step:
            try:
                step.told = self.driver.rejoin(old, new, sync_names=self.record.sync_names)
            except PartlyDone as exc:
                step.outcome, step.told = "failed", str(exc)
                self.record.remaining += exc.facts.get("remaining", [str(exc)])

    def _standby(self) -> None:
        """The standby is back, and commits wait for it if they did before."""
        if self.record.remaining or self.record.old is None:
            return
        with self._step("standby") as step:
            deadline = time.monotonic() + REJOIN_S
            wanted, asked = self.plan.cluster.sync_wanted or bool(self.record.sync_names), False
            while True:
                old, new = self._now(self.record.old), self._now(self.record.new)
                if old and new and self._follows(old, new):
                    if not wanted or any(n.sync in SYNCHRONOUS for n in self._seen.standbys):
                        step.told = f"{old.name} follows {new.name} ({old.sync})"
                        return
                    if not asked:
                        self.driver.wait_for_standby(new, old, self.record.sync_names)
                        asked = True
                if time.monotonic() > deadline:
                    where = f"{old.state or old.problem}" if old else "not there"
                    step.outcome, step.told = "failed", f"{self.record.old}: {where}"
                    self.record.remaining.append(
                        f"{self.record.old} does not follow {self.record.new} yet ({where})."
                    )
                    return
                time.sleep(PAUSE_S)

    def _verify(self) -> None:
        """Look once more at all of it, and at the data."""
        with self._step("verify") as step:
            seen = self.driver.observe()
            wrong = []
            if self.record.asked_for not in {None, self.record.new}:
                again = f"padelops failover switchover --to {self.record.asked_for} --anew"
                wrong.append(f"{self.record.asked_for} was asked for: {again}")
            if len(seen.writable) != 1:
                wrong.append(f"{len(seen.writable)} servers take writes.")
            elif (seen.writable[0].timeline or 0) <= self.record.timeline:
                wrong.append("The timeline has not increased.")
            old = seen.node(self.record.old) if self.record.old else None
            if old is not None and old.writable:
                wrong.append(f"{old.name} still takes writes.")
            try:
                wrong += self.application.invariants()
            except PadelopsError as exc:
                wrong.append(f"The invariants could not be checked: {exc}")
            if wrong:
                step.outcome, step.told = "failed", " ".join(wrong)
                self.record.remaining += wrong
            else:
                step.told = "one server takes writes, on a new timeline; the invariants hold"

    def _now(self, name: str | None) -> Node | None:
        self._seen = self.driver.observe()
        before = self.plan.old
        if name is None or before is None or before.name != name:
            return self._seen.node(name) if name else None
        found = self._seen.node(name) or self._seen.node(str(before.address))
        if found is None or found.facts is not None:
            return found
        # It does not answer: who it is, and where its data lies, we know from before.
        folder = before.facts.data_folder if before.facts else before.last_folder
        return replace(found, name=name, last_folder=folder)

    @staticmethod
    def _follows(old: Node, new: Node) -> bool:
        return (
            old.facts is not None
            and old.facts.standby
            and old.sync is not None
            and any(
                follower.name == old.following_as and follower.state == "streaming"
                for follower in new.followers
            )
        )
