"""Indicators of what bookings stand on: database, standbys, breakers, workers, this process."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from padelops.circuit_breakers import BREAKERS
from padelops.errors import PadelopsError
from padelops.ops.indicators import Kind, Rhythm, Sample, Unit, indicator
from padelops.ops.indicators_of_bookings import asked
from padelops.store import health, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.ops.facts import Facts
    from padelops.store.engine import Tx
    from padelops.store.health import Connections, Heartbeat, Replication, Waiting
    from padelops.store.operator_runs import OperatorRun

BREAKER_STATES = {0: "closed", 1: "forced_closed", 2: "half_open", 3: "open", 4: "forced_open"}
"""From good to bad: above 2 calls are refused."""

_NUMBERS = {word: number for number, word in BREAKER_STATES.items()}


# --- primary ----------------------------------------------------------------------------------


@indicator(
    "padel_up",
    "Database answers",
    help="1 if the database answered; 0 if it did not, and what it would tell is missing.",
    rhythm=Rhythm.PRIMARY,
    source="sql:server",
    promql="min (padel_up)",
    words={0: "down", 1: "up"},
)
def up(facts: Facts) -> Iterator[Sample]:
    try:
        facts.ask(health.server)
    except PadelopsError:
        yield Sample(0)
    else:
        yield Sample(1)


# --- secondary: breakers and workers ----------------------------------------------------------


@indicator(
    "padel_breaker_state",
    "Circuit breakers",
    help="0 closed, 1 forced closed, 2 half-open, 3 open, 4 forced open.",
    rhythm=Rhythm.SECONDARY,
    source="sql:breaker_states",
    labels=("breaker",),
    aliases=("breaker_state", "circuit_breaker_state"),
    words=BREAKER_STATES,
)
def breaker_state(facts: Facts) -> Iterator[Sample]:
    # A row appears with a breaker's first change: before that it is closed.
    states = {labels["breaker"]: state for labels, state in facts.rows("breaker_states")}
    for name in BREAKERS:
        yield Sample(_NUMBERS.get(states.get(name, "closed")), {"breaker": name})


def heartbeat_of(facts: Facts) -> Heartbeat:
    return facts.ask(lambda tx: health.heartbeat(tx, now=facts.now), once="heartbeat")


@indicator(
    "padel_workers",
    "Workers",
    help="Workers that were heard of within two minutes.",
    rhythm=Rhythm.SECONDARY,
    source="sql:heartbeat",
)
def workers(facts: Facts) -> Iterator[Sample]:
    yield Sample(heartbeat_of(facts).workers)


@indicator(
    "padel_worker_heartbeat_age_seconds",
    "Last worker heartbeat",
    help="Time since any worker was heard of; unknown if none ever was.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.SECONDARY,
    source="sql:heartbeat",
)
def worker_heartbeat_age(facts: Facts) -> Iterator[Sample]:
    seconds = heartbeat_of(facts).seconds
    yield Sample(None if seconds is None else max(seconds, 0.0))


@indicator(
    "padel_maintenance_age_seconds",
    "Maintenance last done",
    help="Time since a maintenance task was done to its end, or signed; unknown if it never was.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.SECONDARY,
    source="sql:last_runs",
    labels=("task",),
)
def maintenance_age(facts: Facts) -> Iterator[Sample]:
    # Late: maintenance reads indicators itself.
    from padelops.ops.maintenance import last_done  # noqa: PLC0415
    from padelops.ops.maintenance_plan import the_plan  # noqa: PLC0415

    plan = the_plan()

    def question(tx: Tx) -> dict[str, OperatorRun]:
        return last_done(tx, plan)

    found = facts.ask(question, once="maintenance")
    for task in plan.tasks:
        last = found.get(task)
        age_s = None if last is None else (facts.now - last.started_at).total_seconds()
        yield Sample(age_s, {"task": task})


# --- secondary: the database ------------------------------------------------------------------

indicator(
    "padel_primary",
    "Primary",
    help="1 if the server that answered is a primary; its timeline rises with each failover.",
    rhythm=Rhythm.SECONDARY,
    source="sql:primary",
    labels=("timeline",),
    words={0: "standby", 1: "primary"},
)(asked("primary"))


def replication_of(facts: Facts) -> Replication:
    return facts.ask(health.replication, once="replication")


@indicator(
    "padel_standbys",
    "Standbys connected",
    help="Standbys that stream from the primary.",
    rhythm=Rhythm.SECONDARY,
    source="sql:replication",
)
def standbys(facts: Facts) -> Iterator[Sample]:
    found = replication_of(facts)
    yield Sample(None if found.standby else found.senders)


@indicator(
    "padel_sync_standbys",
    "Synchronous standbys",
    help="Standbys that a commit waits for; unknown to a role that may not look.",
    rhythm=Rhythm.SECONDARY,
    source="sql:replication",
)
def sync_standbys(facts: Facts) -> Iterator[Sample]:
    found = replication_of(facts)
    yield Sample(None if found.standby or found.hidden else found.synchronous)


@indicator(
    "padel_replication_lag_bytes",
    "Replication lag",
    help="Write-ahead log that the slowest standby has not applied; unknown without a standby.",
    unit=Unit.BYTES,
    rhythm=Rhythm.SECONDARY,
    source="sql:replication",
)
def replication_lag_bytes(facts: Facts) -> Iterator[Sample]:
    yield Sample(replication_of(facts).lag_bytes)


@indicator(
    "padel_replication_lag_seconds",
    "Replication lag",
    help="Time that the slowest standby took to apply lately; unknown when nothing was written.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.SECONDARY,
    source="sql:replication",
)
def replication_lag_seconds(facts: Facts) -> Iterator[Sample]:
    yield Sample(replication_of(facts).lag_s)


def waiting_of(facts: Facts) -> Waiting:
    return facts.ask(health.waiting, once="waiting")


@indicator(
    "padel_locks_waiting",
    "Waiting for locks",
    help="Connections that wait for a lock.",
    rhythm=Rhythm.SECONDARY,
    source="sql:waiting",
)
def locks_waiting(facts: Facts) -> Iterator[Sample]:
    yield Sample(waiting_of(facts).locks)


@indicator(
    "padel_commits_waiting",
    "Commits waiting for a standby",
    help="Commits that wait for a synchronous standby.",
    rhythm=Rhythm.SECONDARY,
    source="sql:waiting",
)
def commits_waiting(facts: Facts) -> Iterator[Sample]:
    yield Sample(waiting_of(facts).commits)


def connections_of(facts: Facts) -> Connections:
    return facts.ask(health.connections, once="connections")


@indicator(
    "padel_connections_used",
    "Connections used",
    help="Connections in use, counted against the tightest limit.",
    rhythm=Rhythm.SECONDARY,
    source="sql:connections",
)
def connections_used(facts: Facts) -> Iterator[Sample]:
    yield Sample(connections_of(facts).used)


@indicator(
    "padel_connections_allowed",
    "Connections allowed",
    help="The tightest limit of connections: the server's, the database's or the role's.",
    rhythm=Rhythm.SECONDARY,
    source="sql:connections",
)
def connections_allowed(facts: Facts) -> Iterator[Sample]:
    yield Sample(connections_of(facts).allowed)


indicator(
    "padel_transaction_age_seconds",
    "Oldest transaction",
    help="How long the oldest transaction has been open; of other roles' only pg_monitor knows.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.SECONDARY,
    source="sql:transaction_age",
)(asked("transaction_age"))

indicator(
    "padel_database_size_bytes",
    "Database size",
    help="Space that the database takes on disk.",
    unit=Unit.BYTES,
    rhythm=Rhythm.SECONDARY,
    source="sql:database_size",
)(asked("database_size"))


@indicator(
    "padel_schema_version",
    "Schema version",
    help="The database's schema, as the number of its newest migration.",
    rhythm=Rhythm.SECONDARY,
    source="sql:version",
)
def schema_version(facts: Facts) -> Iterator[Sample]:
    yield Sample(int(facts.ask(schema.version).found))


# --- padelops itself --------------------------------------------------------------------------


@indicator(
    "padel_build_info",
    "Build",
    help="Which padelops this is, on which Python, and the schema that it needs.",
    rhythm=Rhythm.SECONDARY,
    source="process",
    labels=("version", "python", "schema"),
)
def build_info(facts: Facts) -> Iterator[Sample]:
    del facts
    yield Sample(
        1,
        {
            "version": version("padelops"),
            "python": platform.python_version(),
            "schema": schema.needed(),
        },
    )


@indicator(
    "padel_process_operations_total",
    "Operations of this process",
    help="Operations of the process that was asked, since it started; also without a database.",
    kind=Kind.COUNTER,
    rhythm=Rhythm.SECONDARY,
    source="process",
    # The next scrape may reach another process behind the same door: its counts are another series.
    labels=("process", "path", "outcome"),
    promql="sum by (path, outcome) (rate(padel_process_operations_total[5m]))",
)
def process_operations_total(facts: Facts) -> Iterator[Sample]:
    if facts.process is None:
        return
    found: dict[tuple[str, str], int] = {}
    for (path, outcome, _), tally in facts.process.since_start().tallies.items():
        found[path, outcome] = found.get((path, outcome), 0) + tally.calls
    for (path, outcome), calls in found.items():
        labels = {"process": facts.process.process[:8], "path": path, "outcome": outcome}
        yield Sample(calls, labels)
