"""
When each task was last done, as a file for node_exporter's textfile collector.

A timestamp that stops growing is what an alert can be sure of: it is there also where no cron runs.
Everything is read from what is kept, so one file is right whichever schedule wrote it last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.ops.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from padelops.ops.maintenance_results import Due
    from padelops.store.operator_runs import OperatorRun

FILE = "padelops_maintenance.prom"


def exposition(due: Due, last: Mapping[str, OperatorRun]) -> str:
    """
    The metrics in Prometheus' text format. What was never done has no timestamp, but is late.

    Args:
        last: by task, its last run, whatever came of it.
    """
    standings = due.standings
    lines = [
        *_family(
            "last_success_timestamp_seconds",
            "When a task was last done to its end, or signed by a person.",
            ((s.name, s.last.timestamp()) for s in standings if s.last is not None),
        ),
        *_family(
            "task_late",
            "Whether a task is past its time and its grace.",
            ((s.name, int(s.state == "late")) for s in standings),
        ),
        *_family(
            "verdict",
            "What a task's last run found: 0 ok, 1 warning, 2 critical, 3 unknown or died.",
            ((name, _verdict(run.outcome)) for name, run in last.items()),
        ),
        *_family(
            "duration_seconds",
            "How long a task's last run took.",
            (
                (name, (run.ended_at - run.started_at).total_seconds())
                for name, run in last.items()
                if run.ended_at is not None
            ),
        ),
    ]
    return "\n".join(lines) + "\n"


def _family(name: str, explained: str, samples: Iterable[tuple[str, float]]) -> Iterable[str]:
    metric = f"padel_maintenance_{name}"
    yield f"# HELP {metric} {explained}"
    yield f"# TYPE {metric} gauge"
    for task, value in samples:
        yield f'{metric}{{task="{task}"}} {value:.15g}'


def _verdict(outcome: str | None) -> int:
    known = {verdict.word: int(verdict) for verdict in Verdict}
    return known.get(outcome or "", int(Verdict.UNKNOWN))
