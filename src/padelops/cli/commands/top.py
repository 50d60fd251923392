"""Watch bookings, payments, response times, breakers, queues and replication as they are now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.output import Terminal, show
from padelops.errors import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.ops.board import Board
    from padelops.settings import Settings

app = typer.Typer()


@app.command()
def top(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
) -> None:
    """
    A live dashboard: bookings and times every 30 seconds, the rest every 5 minutes.

    Keys: p pauses, r reads now, q quits. While the database is away it says so and goes on trying.
    Exit status of --once: 0 shown, 6 some could not be read, 8 the database is away.
    """
    from padelops.settings import Settings

    settings = Settings.from_environment()
    terminal = Terminal.of(ctx)
    if once:
        _show_once(ctx, settings)
        return
    if terminal.json:
        raise Usage("--json shows one moment.", fix="Add --once.")
    if not (terminal.is_terminal and os.environ.get("TERM") != "dumb"):
        raise Usage("A dashboard needs a terminal that can be drawn on.", fix="Add --once.")

    from padelops.cli.live_board import watch

    watch(terminal, settings)


def _show_once(ctx: typer.Context, settings: Settings) -> None:
    from padelops.ops.board import Board
    from padelops.ops.indicators import Rhythm
    from padelops.wiring.metrics import read_metrics

    board = Board(
        primary=read_metrics(settings, rhythm=Rhythm.PRIMARY),
        secondary=read_metrics(settings, rhythm=Rhythm.SECONDARY),
    )
    width = Terminal.of(ctx).width or 80
    show(ctx, board, lambda _: "\n".join(_lines(board, width)))
    for found in (board.primary, board.secondary):
        if found is not None:
            found.require_all()


def _lines(board: Board, width: int) -> Iterator[str]:
    from datetime import UTC, datetime

    from padelops.cli.board_view import Moment, lines

    for line in lines(board, Moment(datetime.now(UTC)), width=width):
        yield line.text
