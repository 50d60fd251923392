"""Tell each critical path's objective: what was attained, and how fast the error budget burns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.desk import opened, unknown_unless_checked
from padelops.cli.output import Terminal, say, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.cli.tables import Piece
    from padelops.ops.slo import Objectives, Standing

app = typer.Typer()

BARS = " ▁▂▃▄▅▆▇█"
DIGITS = "0123456789"
"""A budget's course without Unicode: in tenths."""


@app.command()
def slo(
    ctx: typer.Context,
    path: Annotated[
        list[str] | None, typer.Argument(help="Only these paths, such as creation or payments.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the budgets' course into this .png or .svg.")
    ] = None,
) -> None:
    """
    Tell what each path has attained over 30 days against its objective, and its burn rates.

    Exit status: 0 kept, 1 a ticket's burn rate or a spent budget, 2 a page's burn rate, 3 nothing
    to judge: no traffic, too little of it, or no database.
    """
    from padelops.ops.slo import objectives

    if plot is not None:
        from padelops.ops.slo_plot import checked_target, draw

        checked_target(plot)
    with unknown_unless_checked(), opened() as desk:
        found = objectives(desk.bulk, now=desk.now(), paths=path or ())
    if plot is not None:
        draw(found, plot)
        say(ctx, f"{plot} written.")
    unicode = Terminal.of(ctx).unicode
    show(ctx, found, lambda _: _pieces(found, unicode))
    raise typer.Exit(found.verdict)


def _pieces(found: Objectives, unicode: bool) -> Iterator[Piece]:
    from padelops.cli.tables import Table
    from padelops.ops.verdict import Verdict

    yield Table(
        ["path", "objective", "attained", "left", "burn", "state"],
        [
            [
                standing.promise.path.module,
                _objective(standing),
                _percent(standing.attained),
                _left(standing),
                _burn(standing),
                standing.state,
            ]
            for standing in found.standings
        ],
        title=f"30 days up to {found.at:%Y-%m-%d %H:%M} UTC",
    )
    seen = [standing for standing in found.standings if standing.whole.calls]
    if seen:
        yield Table(
            ["path", "objective", "budget left, day by day"],
            [
                [s.promise.path.module, s.promise.kind.replace("_", " "), course(s, unicode)]
                for s in seen
            ],
        )
    for standing in found.standings:
        yield from _told(standing)
    judged = sum(standing.verdict is not Verdict.UNKNOWN for standing in found.standings)
    line = f"Objectives: {found.verdict.word}."
    if judged < len(found.standings):
        line += f" Judged: {judged} of {len(found.standings)}; too little happened for the rest."
    yield line


def course(standing: Standing, unicode: bool) -> str:
    """The share of the budget left at the end of each day; a dot before the first operation."""
    steps = BARS if unicode else DIGITS
    top = len(steps) - 1
    return "".join(
        "." if left is None else steps[min(max(round(left * top), 0), top)]
        for left in standing.course
    )


def _told(standing: Standing) -> Iterator[str]:
    """What to know beyond the row: which alarm, and when nothing is left."""
    from padelops.ops.locks import age

    name = f"{standing.promise.path.module}, {standing.promise.kind.replace('_', ' ')}"
    for pair in standing.firing:
        long, short = standing.windows[pair.long_s], standing.windows[pair.short_s]
        yield (
            f"{name}: {pair.severity}. The budget burns {long.burn(standing.promise):.3g} times too"
            f" fast over {age(pair.long_s)} ({long.bad} of {long.calls} bad) and"
            f" {short.burn(standing.promise):.3g} times over {age(pair.short_s)};"
            f" the limit is {pair.factor:g}."
        )
    if standing.runs_out_in is not None and standing.firing:
        left = age(standing.runs_out_in.total_seconds())
        yield f"{name}: at this rate nothing of the budget is left in {left}."


def _objective(standing: Standing) -> str:
    promise = standing.promise
    goal = f"{promise.goal * 100:.4g}%"
    return f"{goal} answered" if promise.limit_s is None else f"{goal} in {_time(promise.limit_s)}"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def _percent(share: float | None) -> str | None:
    """Cut, not rounded: 99.9899% is not 99.99%."""
    return None if share is None else f"{int(share * 1_000_000) / 10_000:g}%"


def _left(standing: Standing) -> str | None:
    """Nothing is told of an overdraft: of a single failure it can be thousands of percent."""
    left = standing.budget_left
    if left is None:
        return None
    return f"{left * 100:.0f}%" if left > 0 else "spent"


def _burn(standing: Standing) -> str | None:
    return None if standing.fastest is None else f"{standing.fastest[1]:.3g}"
