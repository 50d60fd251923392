"""
A runbook as Markdown, for somebody who reads it at 3 a.m. with nothing but a terminal: what to
type, in order, and how to see that it worked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from padelops.ops.runbooks import Runbook, Step

LEVELS = {1: "absolute critical", 2: "business critical", 3: "operational critical"}


def markdown(runbook: Runbook) -> str:
    """One runbook."""
    return "\n".join(_lines(runbook)).rstrip() + "\n"


def index(runbooks: Iterable[Runbook]) -> str:
    """The page that leads from an alert to its runbook."""
    books = sorted(runbooks, key=lambda book: (book.level, book.name))
    rows = [
        f"| {', '.join(f'`{alert}`' for alert in book.alerts) or '(any)'} |"
        f" [{book.title}]({book.name}.md) | {book.level.value} | {book.budget.told} |"
        for book in books
    ]
    return "\n".join(
        [
            "# Runbooks",
            "",
            "| alert | runbook | level | budget |",
            "|---|---|---|---|",
            *rows,
            "",
            "Each is run with `padelops runbook run NAME`; `--dry-run` only looks.",
            "",
        ]
    )


def _lines(runbook: Runbook) -> Iterator[str]:
    yield f"# {runbook.title}"
    yield ""
    yield runbook.summary.strip()
    yield ""
    yield (
        f"Level {runbook.level.value} ({LEVELS[runbook.level.value]}). Budget"
        f' {runbook.budget.told}: CRITICAL_PATHS.md, "{runbook.budget.heading}".'
    )
    if runbook.alerts:
        yield f"Alerts: {', '.join(f'`{alert}`' for alert in runbook.alerts)}."
    yield ""
    yield "All of it by itself; what needs a person is asked:"
    yield ""
    yield from _code([f"padelops runbook run {runbook.name}"])
    yield ""
    yield "By hand:"
    yield ""
    for number, step in enumerate(runbook.steps, 1):
        yield from _step(number, step)
    yield f"**If it does not help, or the {runbook.budget.told} are over:** {runbook.escalate}"


def _step(number: int, step: Step) -> Iterator[str]:
    yield f"## {number}. {step.title}"
    yield ""
    yield step.why
    yield ""
    operation = step.operation
    if step.person is not None:
        yield from (f"- Look at: {look}" for look in step.person.look_at)
        yield ""
    if step.commands:
        yield from _code(step.commands)
        yield ""
    if step.person is not None:
        yield f"Done when: {step.person.done_when}"
        yield ""
    elif operation is not None and operation.risky:
        yield "Asks before it acts: somebody is interrupted, or it cannot be taken back."
        yield ""


def _code(commands: Iterable[str]) -> Iterator[str]:
    yield "```console"
    yield from (f"$ {command}" for command in commands)
    yield "```"
