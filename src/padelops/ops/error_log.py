"""
Error log analysis: what went wrong in the last day, wherever it was written down.

Four places are read: the database server's log where it is at hand, what the server counts against
this database, messages that were given up, payments that wait for a person. Lines that differ only
in numbers and quoted values are one kind, so that a thousand of them take one line.

Source: CRITICAL_PATHS.md, "Maintenance schedules", "Error log analysis".
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from padelops.ops.maintenance_work import Finding
from padelops.ops.verdict import Verdict, worst
from padelops.store import maintenance, operator_runs, payments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from padelops.ops.maintenance_work import Premises

WINDOW = timedelta(days=1)
MOST_KINDS = 20
MOST_LINES = 2_000_000
LONGEST_LINE = 300

_LINE = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.\d+ UTC \[\d+\]\s.*?\b(WARNING|ERROR|FATAL|PANIC):\s+(.*)"
)
_VALUES = re.compile(r"\"[^\"]*\"|'[^']*'|\([^()]*\)|\d+(?:[.:-]\d+)*")

EXPECTED = (
    "terminating connection due to administrator command",
    "the database system is starting up",
    "the database system is shutting down",
    "canceling statement due to user request",
)
"""What a planned stop, or somebody's Ctrl-C, leaves in the log."""

COUNTED = ("deadlocks", "conflicts", "checksum_failures", "sessions_abandoned", "sessions_fatal")


def analysed(at: Premises) -> Finding:
    """Read all four places."""
    since = at.clock() - WINDOW
    log = None if at.server_log is None else summed(at.server_log(), since=since)
    with at.database.reading() as tx:
        total = maintenance.troubles(tx)
        before = operator_runs.runs(tx, "maintenance", tasks=["daily/error_log_analysis"], limit=10)
        failed = maintenance.failed_messages(tx, since=since, limit=MOST_KINDS)
        in_doubt = payments.attention(tx, everything=False, limit=MOST_KINDS)
        breakers = maintenance.breaker_changes(tx, since=since, limit=MOST_KINDS)
    grown = _grown(total, next((run.evidence for run in before if run.outcome), {}))

    parts, verdicts = [], [Verdict.OK]
    if log is None:
        parts.append("the server's log is not at hand here")
    else:
        verdicts.append(_judged(log))
        lines = ", ".join(f"{n} {level}" for level, n in log["levels"].items())
        parts.append(f"{lines or 'no trouble'} in the server's log")
    if trouble := {name: n for name, n in grown.items() if n and name in COUNTED}:
        bad = "checksum_failures" in trouble
        verdicts.append(Verdict.CRITICAL if bad else Verdict.WARNING)
        parts.append("server counted " + ", ".join(f"{n} {name}" for name, n in trouble.items()))
    for what, rows in (("messages given up", failed), ("payments wait for a person", in_doubt)):
        if rows:
            verdicts.append(Verdict.WARNING)
            many = sum(row.get("messages", 1) for row in rows)
            parts.append(f"{many}{'+' if len(rows) == MOST_KINDS else ''} {what}")
    if opened := [row["breaker"] for row in breakers if row["state"] in {"open", "forced_open"}]:
        verdicts.append(Verdict.WARNING)
        parts.append(f"breakers opened: {', '.join(sorted(set(opened)))}")
    return Finding(
        worst(verdicts),
        f"In the last day: {'; '.join(parts)}.",
        {
            "since": since.isoformat(),
            "server_log": log or "not at hand here: it is kept by the database's own machine",
            "server_counts": total,
            "server_counts_grown": grown,
            "failed_messages": failed,
            "payments_waiting": [row["reservation"] for row in in_doubt],
            "breaker_changes": breakers,
        },
    )


def summed(lines: Iterable[str], *, since: datetime) -> dict[str, Any]:
    """The troubles in a PostgreSQL log since a moment, by level and by kind."""
    levels: Counter[str] = Counter()
    kinds: Counter[tuple[str, str]] = Counter()
    for _, line in zip(range(MOST_LINES), lines, strict=False):
        found = _LINE.match(line)
        if found is None or any(known in line for known in EXPECTED):
            continue
        when = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        if when < since:
            continue
        levels[found[2]] += 1
        # Values are left out for the sake of counting, and because they may be somebody's.
        kinds[found[2], _VALUES.sub("…", found[3])[:LONGEST_LINE]] += 1
    return {
        "levels": dict(sorted(levels.items())),
        "kinds": [
            {"level": level, "message": message, "times": times}
            for (level, message), times in kinds.most_common(MOST_KINDS)
        ],
    }


def _judged(log: dict[str, Any]) -> Verdict:
    """An error is a refusal most of the time; a session or a server that dies is not."""
    if "PANIC" in log["levels"]:
        return Verdict.CRITICAL
    return Verdict.WARNING if "FATAL" in log["levels"] else Verdict.OK


def _grown(total: dict[str, int], before: dict[str, Any]) -> dict[str, int]:
    """What was added since the last analysis; after a reset of the statistics, all there is."""
    known = before.get("server_counts") or {}
    return {
        name: count - known[name] if count >= known.get(name, count + 1) else count
        for name, count in total.items()
    }
