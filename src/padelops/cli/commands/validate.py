"""Check every invariant of the stored data, and name what breaks one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from padelops.cli.desk import opened
from padelops.cli.output import progress, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.cli.tables import Piece
    from padelops.ops.integrity import Report

app = typer.Typer()


@app.command()
def validate(ctx: typer.Context) -> None:
    """
    Ask the data every question that must have one answer; repair nothing.

    Exit status: 0 all hold, 1 a warning, 2 an invariant is broken, 3 a check could not run.
    """
    from padelops.ops.integrity import CHECKS

    with opened() as desk, progress(ctx, "Checking", len(CHECKS)) as advance:
        report = desk.validator().validate_all_reservations(told=lambda _: advance())
    show(ctx, report, verdict_pieces)
    raise typer.Exit(report.verdict)


def verdict_pieces(report: Report) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        ["check", "invariant", "verdict", "found"],
        [
            [
                outcome.check,
                outcome.invariant,
                outcome.verdict.name.lower(),
                "-" if outcome.failure else len(outcome.violations),
            ]
            for outcome in report.outcomes
        ],
    )
    broken = [
        [outcome.check, found.subject, found.evidence]
        for outcome in report.outcomes
        for found in outcome.violations
    ]
    if broken:
        yield Table(["check", "where", "evidence"], broken[:MOST_SHOWN], title="Violations")
        if len(broken) > MOST_SHOWN:
            yield f"{len(broken) - MOST_SHOWN} more with --json."
    for outcome in report.outcomes:
        if outcome.failure:
            yield f"{outcome.check} could not run: {outcome.failure}"
    verdict = report.verdict.name.lower()
    yield f"{report.reservations} reservations, {report.blocks} blocks: {verdict}."


MOST_SHOWN = 50
"""Violations on a screen; --json has them all."""
