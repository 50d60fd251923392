"""
A kept run as a page: Markdown for a ticket, HTML for a browser. Nothing in it is taken for markup.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.ops.maintenance_plan import Plan
    from padelops.store.operator_runs import OperatorRun

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;"
    "border-bottom:1px solid #ccc;vertical-align:top}pre{overflow-x:auto;background:#f5f5f5;"
    "padding:.6rem}.ok{color:#176f2c}.warning,.unknown,.abandoned{color:#8a5a00}"
    ".critical,.failed{color:#b00020;font-weight:bold}"
)


@dataclass(frozen=True, slots=True)
class KeptReport:
    """
    One run: the row about the whole of it, and its tasks in the order they were done.
    """

    whole: OperatorRun
    runs: tuple[OperatorRun, ...]
    plan: Plan

    @property
    def schedule(self) -> str:
        return self.whole.task

    @property
    def outcome(self) -> str:
        """What it came to; a run that died in the middle says so."""
        return _word(self.whole)

    @property
    def waiting(self) -> tuple[str, ...]:
        """What waited for a person when it ran."""
        return tuple(self.whole.evidence.get("waiting_for_a_person", ()))

    def as_json(self) -> dict[str, Any]:
        return {
            **brief(self.whole),
            "waiting_for_a_person": list(self.waiting),
            "tasks": [run.as_json() | {"title": self._title(run)} for run in self.runs],
        }

    def markdown(self) -> str:
        """GitHub's kind, evidence folded away below."""
        lines = [
            f"# {self.schedule.capitalize()} maintenance: {self.outcome}",
            "",
            self._when_and_where(_inline),
            "",
            "| task | outcome | what was found |",
            "|---|---|---|",
        ]
        lines += [
            f"| {_inline(self._title(run))} | {_word(run)} | {_inline(run.summary or '')} |"
            for run in self.runs
        ]
        if self.waiting:
            lines += ["", "Waited for a person: " + ", ".join(map(_inline, self.waiting)) + "."]
        for run in self.runs:
            lines += ["", f"## {_inline(self._title(run))}", "", "```json"]
            # A fence inside a string would end this one; in JSON a backtick may be written so.
            lines += [_evidence(run).replace("`", "\\u0060"), "```"]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """One page by itself: no script, nothing loaded from elsewhere."""
        heading = f"{self.schedule.capitalize()} maintenance"
        rows = "".join(
            f"<tr><td>{html.escape(self._title(run))}</td>"
            f'<td class="{_word(run)}">{_word(run)}</td>'
            f"<td>{html.escape(run.summary or '')}</td></tr>"
            for run in self.runs
        )
        details = "".join(
            f"<details><summary>{html.escape(self._title(run))}</summary>"
            f"<pre>{html.escape(_evidence(run))}</pre></details>"
            for run in self.runs
        )
        waiting = (
            f"<p>Waited for a person: {html.escape(', '.join(self.waiting))}.</p>"
            if self.waiting
            else ""
        )
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
            f"<style>{STYLE}</style></head><body>"
            f'<h1>{heading}: <span class="{self.outcome}">{self.outcome}</span></h1>'
            f"<p>{self._when_and_where(html.escape)}</p>"
            f"<table><tr><th>task</th><th>outcome</th><th>what was found</th></tr>{rows}</table>"
            f"{waiting}"
            f"<h2>Evidence</h2>{details}</body></html>\n"
        )

    def _when_and_where(self, plain: Callable[[str], str]) -> str:
        first = self.whole
        started = f"{first.started_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"Run {first.run_id}, {started}, by {plain(first.actor)} on {plain(first.host)}."

    def _title(self, run: OperatorRun) -> str:
        task = self.plan.tasks.get(run.task)
        return run.task if task is None else task.title


def brief(whole: OperatorRun) -> dict[str, Any]:
    """A run in one line of a list."""
    return {
        "run_id": str(whole.run_id),
        "schedule": whole.task,
        "outcome": _word(whole),
        "started_at": whole.started_at.isoformat(),
        "ended_at": None if whole.ended_at is None else whole.ended_at.isoformat(),
        "summary": whole.summary,
        "actor": whole.actor,
        "host": whole.host,
    }


def _word(run: OperatorRun) -> str:
    return run.outcome or "never ended"


def _evidence(run: OperatorRun) -> str:
    return json.dumps(run.evidence, indent=2, ensure_ascii=False)


def _inline(text: str) -> str:
    """Text that Markdown takes for nothing but text, on one line."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}" if sign not in "<>" else html.escape(sign))
    return " ".join(text.split())
