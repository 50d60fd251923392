"""
What a machine does or lays out, task by task; `maintenance.yaml` says when and for whom.

A task is one decorated function, named like its item in the plan. It returns what it found, or
raises: what could not be done is unknown, never green.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from padelops.booking.counts import KEPT_FOR, forget_old
from padelops.booking.delivery_report import report as delivery_report
from padelops.booking.operations import Outcome, Tally
from padelops.ops.cache_care import GOAL_PERCENT
from padelops.ops.error_log import analysed
from padelops.ops.maintenance_work import Finding, task
from padelops.ops.slo import PERIOD_S, PROMISES, objectives
from padelops.ops.verdict import Verdict, worst
from padelops.store import audit as trail
from padelops.store import cache as cache_tables
from padelops.store import counts, maintenance, operator_runs, payments, schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from padelops.ops.maintenance_work import Premises

DAY = timedelta(days=1)
DAY_S = 86_400
MOST_LISTED = 200
ENOUGH_LOOKUPS = 50
"""Fewer say nothing about a rate."""

RUNS_KEPT = timedelta(days=400)
"""A year of reports, and the same month of the year before."""

MOST_ROUNDS = 1_000
"""Of a day's rows each; a table that was never tidied up goes on tomorrow."""


# --- daily ---------------------------------------------------------------------------------------


@task("daily/health_report")
def health_report(at: Premises) -> Finding:
    """Every health check, once more and on record."""
    report = at.health()
    bad = [found for found in report.findings if found.verdict is not Verdict.OK]
    named = "; ".join(f"{found.check} {found.verdict.word}" for found in bad)
    return Finding(
        report.verdict,
        f"{len(report.findings)} checks: {named or 'all ok'}.",
        report.as_json(),
    )


@task("daily/performance_metric_review")
def performance_metric_review(at: Premises) -> Finding:
    """Every path's objective, and its times of the last day against its limit."""
    return _performance(at, DAY_S)


@task("daily/error_log_analysis")
def error_log_analysis(at: Premises) -> Finding:
    """What went wrong in the last day, by where it shows: server, payments, messages, breakers."""
    return analysed(at)


@task("daily/cache_optimization")
def cache_optimization(at: Premises) -> Finding:
    """Forget what has run out of time; judge the hit rate."""
    with at.database.reading() as tx:
        swept = cache_tables.sweep(tx)
        counted = counts.counters_within(tx, (DAY_S,), now=at.clock())[DAY_S]
    found = {name: n for name, n in counted.items() if name.startswith("cache.")}
    hits = found.get("cache.hit", 0)
    misses = found.get("cache.miss", 0) + found.get("cache.error", 0)
    rate = hits / (hits + misses) if hits + misses else None
    evidence = {"swept": swept, "hit_rate": rate, "goal": GOAL_PERCENT / 100, **found}
    if rate is None or hits + misses < ENOUGH_LOOKUPS:
        return Finding(
            Verdict.OK,
            f"{swept} lapsed entries removed; {hits + misses} lookups, too few to judge.",
            evidence,
        )
    return Finding(
        Verdict.OK if rate > GOAL_PERCENT / 100 else Verdict.WARNING,
        f"{swept} lapsed entries removed; {rate:.1%} of {hits + misses} lookups hit,"
        f" goal {GOAL_PERCENT}%.",
        evidence,
    )


@task("daily/delivery_report")
def daily_delivery_report(at: Premises) -> Finding:
    """How many messages arrived, against the goals."""
    report = delivery_report(at.database, now=at.clock())
    judged = sum(kind.judged for kind in report.kinds)
    evidence = report.as_json() | {
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
    }
    if not judged:
        # Nothing was due, so nothing is wrong: a club that is closed must not wake anybody.
        return Finding(Verdict.OK, "No message was due.", evidence)
    arrived = sum(kind.rates.delivered for kind in report.kinds if kind.rates is not None)
    return Finding(
        Verdict(report.verdict), f"{arrived} of {judged} messages arrived in time.", evidence
    )


@task("daily/audit_verification")
def audit_verification(at: Premises) -> Finding:
    """Seal what is finished, then verify the whole chain."""
    seals = at.seal()
    found = at.verify()
    facts = found.as_json()
    if found.intact:
        return Finding(
            Verdict.OK,
            f"Intact: {found.sealed_entries} entries under {found.seals} seals, {seals} new.",
            facts,
        )
    return Finding(
        Verdict.CRITICAL,
        f"Tampered with: {len(found.findings)} findings, first {found.findings[0].where}.",
        facts,
    )


@task("daily/integrity_check")
def integrity_check(at: Premises) -> Finding:
    """Every invariant, asked of the data."""
    # Another lot each day, and the same again for whoever looks into it.
    report = at.validator().validate_all_reservations(seed=int(f"{at.clock():%Y%m%d}"))
    facts = report.as_json()
    return Finding(
        report.verdict,
        f"{report.reservations} reservations, {report.blocks} blocks: {report.found} violations,"
        f" {len(report.not_run)} checks not run; prices by lot, seed {report.seed}.",
        facts | {"checks": [check for check in facts["checks"] if check["verdict"] != "ok"]},
    )


@task("daily/forget_old_rows")
def forget_old_rows(at: Premises) -> Finding:
    """Counts and reports past their time, in short transactions; bookings and money never."""
    now = at.clock()
    rows = 0
    for _ in range(MOST_ROUNDS):
        gone = forget_old(at.database, now=now)
        rows += gone
        if not gone:
            break
    with at.database.reading() as tx:
        runs = operator_runs.forget(tx, before=now - RUNS_KEPT)
        payments.forget_heartbeats(tx, before=now - DAY)
    return Finding(
        Verdict.OK,
        f"{rows} rows of counts joined into hours or older than {KEPT_FOR.days} days, and {runs}"
        f" reports older than {RUNS_KEPT.days} days, are gone.",
        {"counts": rows, "runs": runs},
    )


# --- what a person decides on, laid out ----------------------------------------------------------


@task("weekly/circuit_breaker_statistics")
def circuit_breaker_statistics(at: Premises) -> Finding:
    """Who or what opened which breaker in the last week."""
    with at.database.reading() as tx:
        changes = maintenance.breaker_changes(tx, since=at.clock() - 7 * DAY, limit=MOST_LISTED)
    opened = _count(row["breaker"] for row in changes if row["state"] in OPEN_STATES)
    forced = sum(row["state"].startswith("forced") for row in changes)
    named = ", ".join(f"{name} {times}x" for name, times in opened.items()) or "none"
    return Finding(
        Verdict.OK,
        f"Opened: {named}; forced by a person: {forced}.",
        {"opened": opened, "forced": forced, "changes": changes},
    )


OPEN_STATES = frozenset({"open", "forced_open"})


@task("weekly/security_audit")
def security_audit(at: Premises) -> Finding:
    """What padelops' own role may do beyond its job, and whether the trail's guards stand."""
    with at.database.reading() as tx:
        rights = maintenance.role_rights(tx)
        guards = trail.missing_guards(tx)
    powers = ("superuser", "makes_roles", "makes_databases", "replicates", "passes_row_security")
    excess = [name for name in powers if rights[name]]
    facts = {"role": rights, "more_than_needed": excess, "missing_guards": guards}
    if guards:
        return Finding(Verdict.CRITICAL, f"Guards missing: {', '.join(guards)}.", facts)
    if excess:
        may = ", ".join(excess).replace("_", " ")
        return Finding(
            Verdict.WARNING, f"The role {rights['role']} can do more than it needs: {may}.", facts
        )
    return Finding(Verdict.OK, "The role has no power beyond its job; the guards stand.", facts)


@task("weekly/critical_path_performance_review")
def critical_path_performance_review(at: Premises) -> Finding:
    """The same over a week."""
    return _performance(at, 7 * DAY_S)


@task("monthly/full_system_performance_review")
def full_system_performance_review(at: Premises) -> Finding:
    """The same over a month, and what takes space."""
    times, sizes = _performance(at, PERIOD_S), _sizes(at)
    return Finding(
        times.verdict, f"{times.summary} {sizes.summary}", times.evidence | sizes.evidence
    )


@task("quarterly/critical_path_optimization")
def critical_path_optimization(at: Premises) -> Finding:
    """Which path comes closest to its limit."""
    return _performance(at, PERIOD_S)


@task("monthly/dependency_analysis_update")
def dependency_analysis(at: Premises) -> Finding:
    """What is installed here."""
    return _versions(at)


@task("quarterly/technology_stack_evaluation")
def technology_stack(at: Premises) -> Finding:
    """What is installed here."""
    return _versions(at)


@task("quarterly/scalability_planning")
def scalability_planning(at: Premises) -> Finding:
    """How bookings grew over a year, and what takes space."""
    sizes = _sizes(at)
    with at.database.reading() as tx:
        months = maintenance.bookings_by_month(tx, since=at.clock() - 396 * DAY)
    latest = f"{months[-1]['reservations']} in {months[-1]['month']}" if months else "none yet"
    return Finding(
        sizes.verdict,
        f"Reservations made: {latest}; {sizes.summary}",
        sizes.evidence | {"by_month": months},
    )


def _performance(at: Premises, window_s: int) -> Finding:
    found = objectives(at.database, now=at.clock())
    with at.database.reading() as tx:
        ended = counts.operations_within(tx, (window_s,), now=at.clock())[window_s]
    times: dict[str, dict[str, float | int | None]] = {}
    for promise in (promise for promise in PROMISES if promise.limit_s is not None):
        tally = Tally()
        for row in ended:
            if row.path == promise.path.module and Outcome(row.outcome).good:
                tally.merge(Tally(row.seconds, row.buckets))
        times[promise.path.module] = {
            "answers": tally.calls,
            "average_s": tally.average_s,
            "p95_s": tally.quantile_s(0.95),
            "p99_s": tally.quantile_s(0.99),
            "limit_s": promise.limit_s,
        }
    evidence = {"window_s": window_s, "times": times} | found.as_json()
    used = {name: row for name, row in times.items() if row["answers"]}
    if not used:
        # A club that is closed must not wake anybody; no traffic is no proof either, and is told.
        return Finding(
            Verdict.OK, "No operation was counted, so there is nothing to judge.", evidence
        )
    slowest = max(used, key=lambda name: (used[name]["p99_s"] or 0) / (used[name]["limit_s"] or 1))
    bad = [s for s in found.standings if s.verdict in {Verdict.WARNING, Verdict.CRITICAL}]
    named = ", ".join(f"{s.promise.path.module} {s.promise.kind} {s.state}" for s in bad)
    few = sum(s.verdict is Verdict.UNKNOWN for s in found.standings)
    return Finding(
        worst(s.verdict for s in bad) if bad else Verdict.OK,
        f"Objectives: {named or 'none missed'}, {few} of {len(found.standings)} not to be judged;"
        f" closest to its limit: {slowest}, p99 {used[slowest]['p99_s']:.3g} s"
        f" of {used[slowest]['limit_s']:g} s.",
        evidence,
    )


def _sizes(at: Premises) -> Finding:
    with at.database.reading() as tx:
        tables = maintenance.table_sizes(tx, limit=15)
    total = sum(row["bytes"] for row in tables)
    return Finding(
        Verdict.OK,
        f"the largest tables take {total / 2**20:,.0f} MiB,"
        f" most of it {tables[0]['table'] if tables else 'none'}.",
        {"tables": tables},
    )


def _versions(at: Premises) -> Finding:
    from importlib.metadata import PackageNotFoundError, requires, version  # noqa: PLC0415

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    with at.database.reading() as tx:
        server = schema.server_version(tx)
    wanted = [line for line in requires("padelops") or () if "extra ==" not in line]
    packages = {name: installed(name) for name in map(_package_of, wanted)}
    python = sys.version.split()[0]
    return Finding(
        Verdict.OK,
        f"Python {python}, PostgreSQL {server}, {len(packages)} packages.",
        {"python": python, "postgresql": server, "packages": packages},
    )


def _package_of(requirement: str) -> str:
    """`psycopg[binary]>=3.2; sys_platform != 'win32'` is about `psycopg`."""
    end = next(
        (i for i, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")),
        len(requirement),
    )
    return requirement[:end]


def _count(names: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items()))
