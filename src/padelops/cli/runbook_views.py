"""How runbooks, and their runs, look at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from padelops.cli.tables import Record, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.cli.tables import Piece
    from padelops.ops.runbook_run import DryRun, Ran
    from padelops.ops.runbooks import Runbook


def list_table(document: Mapping[str, Any]) -> Table:
    return Table(
        ["runbook", "level", "budget", "what", "alerts"],
        [
            [
                book["runbook"],
                book["level"],
                f"{book['budget_s']} s",
                book["title"],
                book["alerts"],
            ]
            for book in document["runbooks"]
        ],
    )


def runbook_pieces(runbook: Runbook) -> Iterator[Piece]:
    yield Record(
        {
            "what": runbook.title,
            "about": runbook.summary.strip(),
            "alerts": list(runbook.alerts),
            "level": runbook.level.value,
            "budget": f"{runbook.budget.told}: {runbook.budget.heading}",
            "else": runbook.escalate,
        },
        title=runbook.name,
    )
    for number, step in enumerate(runbook.steps, 1):
        facts: dict[str, Any] = {"what": step.title, "why": step.why}
        if step.operation is None:
            assert step.person is not None  # noqa: S101 - a step is one or the other
            facts |= {"look at": " ".join(step.person.look_at), "done when": step.person.done_when}
        else:
            facts["does"] = step.do
            facts["asks first"] = step.operation.risky
        facts["by hand"] = "; ".join(step.commands) or None
        yield Record(facts, title=f"{number}. {step.name}")
    yield f"Run it: padelops runbook run {runbook.name}"


def dry_run_pieces(found: DryRun) -> Iterator[Piece]:
    yield Table(
        ["step", "now", "what its check says", "by hand"],
        [[step.step, step.outcome, step.seen, "; ".join(step.commands)] for step in found.steps],
        title=f"{found.runbook.name}: what would be done; nothing was changed",
    )
    if found.resumes:
        yield f"A run that stopped would go on at {found.resumes}; --anew begins with step 1."


def ran_pieces(ran: Ran) -> Iterator[Piece]:
    yield Table(
        ["step", "outcome", "s", "what was seen and done"],
        [
            [
                entry.step,
                f"{entry.outcome} earlier" if entry.earlier else entry.outcome,
                f"{entry.seconds:.1f}",
                entry.story,
            ]
            for entry in ran.journal.entries
        ],
        title=f"{ran.runbook.title}, run {ran.journal.run_id}",
    )
    if ran.remaining:
        yield f"Not come to: {', '.join(ran.remaining)}."
    if ran.for_people:
        yield f"Left to a person: {', '.join(ran.for_people)}."
    yield from ran.notes
    budget = f"{ran.seconds:.0f} s of {ran.runbook.budget.seconds}"
    yield f"{ran.runbook.name}: {ran.journal.status}, {budget}."
