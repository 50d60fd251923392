"""Upgrade, look at, reindex and stop the database."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.options import DryRun, Yes
from padelops.cli.output import confirm, progress, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.cli.tables import Piece

app = typer.Typer(help="The database: schema, status, and the embedded server.")


@app.command()
def upgrade(ctx: typer.Context) -> None:
    """Bring the schema to what this padelops needs; safe to run twice, and at once."""
    from padelops.settings import Settings
    from padelops.wiring import upgrade_schema

    show(ctx, upgrade_schema(Settings.from_environment()))


@app.command()
def status(ctx: typer.Context) -> None:
    """Show which database this is, whether it answers, and its schema."""
    from padelops.settings import Settings
    from padelops.wiring import database_status

    found = database_status(Settings.from_environment())
    show(ctx, found, _view)
    raise typer.Exit(found.exit_code)


@app.command()
def stats(ctx: typer.Context) -> None:
    """Show where space and time go: sizes, dead rows, bloat, indexes, slow statements."""
    from padelops.cli.database_views import stats_pieces
    from padelops.cli.desk import opened
    from padelops.ops.database_stats import look

    with opened() as desk:
        found = look(desk.bulk)
    show(ctx, found, stats_pieces)


@app.command()
def reindex(
    ctx: typer.Context,
    tables: Annotated[
        list[str] | None, typer.Argument(help="Tables; every table when left out.")
    ] = None,
    block_bookings: Annotated[
        bool,
        typer.Option(
            "--block-bookings",
            help="Also rebuild the exclusion constraint's index; bookings wait meanwhile.",
        ),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """
    Rebuild indexes while bookings go on; each is verified. Broken off, run it again: it goes on.

    One at a time: exit status 7 where another one is at it. 6 where some were not rebuilt.
    """
    from padelops.cli.database_views import plan_pieces, reindexed_pieces
    from padelops.cli.desk import opened
    from padelops.ops.reindexing import Reindexer, raise_if_partly

    with opened() as desk:
        reindexer = Reindexer(desk.bulk, desk.origin, desk.now)
        plan = reindexer.plan(tables or ())
        if dry_run:
            document = {"dry_run": True, "indexes": [asdict(index) for index in plan]}
            show(ctx, document, lambda _: plan_pieces(plan, block_bookings=block_bookings))
            return
        if block_bookings:
            confirm(ctx, "Bookings wait while one index is rebuilt. Go on?", yes=yes)
        with progress(ctx, "Rebuilding", len(plan)) as advance:
            result = reindexer.run(
                tables or (), block_bookings=block_bookings, told=lambda _: advance()
            )
    show(ctx, result, reindexed_pieces)
    raise_if_partly(result)


@app.command()
def stop(ctx: typer.Context) -> None:
    """Stop the embedded server; the next command starts it again."""
    from padelops.settings import Settings
    from padelops.wiring import stop_embedded

    show(ctx, {"stopped": stop_embedded(Settings.from_environment())}, _stopped)


def _view(found: Any) -> Iterator[Piece]:
    from padelops.cli.tables import Record

    yield Record(found.as_json())


def _stopped(document: Mapping[str, Any]) -> str:
    return "Stopped." if document["stopped"] else "It was not running."
