"""Indicators that alerts need: late jobs, who takes writes, and alerts themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.ops.indicators import Rhythm, Sample, Unit, indicator
from padelops.ops.indicators_of_servers import replication_of
from padelops.ops.verdict import Verdict
from padelops.store import alerts, maintenance, operator_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from padelops.ops.facts import Facts
    from padelops.store.engine import Tx
    from padelops.store.operator_runs import OperatorRun


# --- servers ----------------------------------------------------------------------------------


@indicator(
    "padel_writable_servers",
    "Servers that take writes",
    help="Servers of the configured address that take writes; unknown where one cannot be asked.",
    rhythm=Rhythm.SECONDARY,
    source="process",
)
def writable_servers(facts: Facts) -> Iterator[Sample]:
    yield Sample(facts.writable_servers())


@indicator(
    "padel_sync_standbys_missing",
    "Synchronous standby missing",
    help="1 where commits are to wait for a standby and none is there to wait for.",
    rhythm=Rhythm.PRIMARY,
    source="sql:replication",
    words={0: "there", 1: "missing"},
)
def sync_standbys_missing(facts: Facts) -> Iterator[Sample]:
    found = replication_of(facts)
    if found.standby or found.hidden:
        yield Sample(None)
    else:
        yield Sample(int(bool(found.wanted) and not found.synchronous))


# --- jobs -------------------------------------------------------------------------------------


@indicator(
    "padel_maintenance_late_seconds",
    "Maintenance late",
    help="How far a maintenance task is past its time and its grace; 0 while there is time.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.SECONDARY,
    source="sql:last_runs",
    labels=("task",),
)
def maintenance_late(facts: Facts) -> Iterator[Sample]:
    # Late: maintenance reads indicators itself.
    from padelops.ops.maintenance import ACTION, SIGNED, TOLD  # noqa: PLC0415
    from padelops.ops.maintenance_plan import Standing, the_plan  # noqa: PLC0415

    def question(
        tx: Tx,
    ) -> tuple[dict[str, OperatorRun], dict[str, OperatorRun], datetime | None]:
        return (
            operator_runs.last_runs(tx, ACTION, TOLD),
            operator_runs.last_runs(tx, SIGNED, TOLD),
            maintenance.first_use(tx),
        )

    done, signed, first = facts.ask(question, once="maintenance_late")
    plan = the_plan()
    for name, task in plan.tasks.items():
        last = (done if task.who == "machine" else signed).get(name)
        at = None if last is None else last.started_at
        begun = at or min(first or facts.now, facts.now)
        standing = Standing(name, task, plan.schedule_of(name), at, begun, facts.now)
        yield Sample(max(standing.late_by.total_seconds(), 0.0), {"task": name})


@indicator(
    "padel_maintenance_verdict",
    "Maintenance found",
    help="What a task's last run found: 0 ok, 1 warning, 2 critical, 3 unknown or died.",
    rhythm=Rhythm.SECONDARY,
    source="sql:last_runs",
    labels=("task",),
    words={verdict.value: verdict.word for verdict in Verdict},
)
def maintenance_verdict(facts: Facts) -> Iterator[Sample]:
    from padelops.ops.maintenance import ACTION, EVERY_OUTCOME  # noqa: PLC0415 - it reads us
    from padelops.ops.maintenance_plan import the_plan  # noqa: PLC0415

    def question(tx: Tx) -> dict[str, OperatorRun]:
        return operator_runs.last_runs(tx, ACTION, EVERY_OUTCOME)

    found = facts.ask(question, once="maintenance_verdict")
    words = {verdict.word: verdict.value for verdict in Verdict}
    for name, task in the_plan().tasks.items():
        if task.who != "machine":
            continue
        last = found.get(name)
        verdict = None if last is None else words.get(last.outcome or "", Verdict.UNKNOWN.value)
        yield Sample(verdict, {"task": name})


# --- alerts themselves ------------------------------------------------------------------------


@indicator(
    "padel_outage_seconds",
    "Outage",
    help="By level, how long the longest of its critical alerts has been firing; 0 without one.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.PRIMARY,
    source="sql:outages",
    labels=("level",),
)
def outage(facts: Facts) -> Iterator[Sample]:
    found = facts.ask(lambda tx: alerts.outages(tx, now=facts.now), once="outages")
    for level, seconds in found:
        yield Sample(max(seconds, 0.0), {"level": str(level)})


@indicator(
    "padel_alert_rules_unknown",
    "Alert rules that cannot be judged",
    help="Alert rules that nobody could judge for five minutes or longer.",
    rhythm=Rhythm.SECONDARY,
    source="sql:rules_unknown",
)
def rules_unknown(facts: Facts) -> Iterator[Sample]:
    yield Sample(facts.ask(lambda tx: alerts.rules_unknown(tx, now=facts.now), once="unknown"))
