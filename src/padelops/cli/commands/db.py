"""Upgrade, look at, reindex, back up, restore and stop the database."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.options import DryRun, Yes
from padelops.cli.output import confirm, progress, say, show

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


Minutes = Annotated[
    float, typer.Option(min=0.1, max=1440, help="How long one step may take at the most.")
]


@app.command()
def backup(
    ctx: typer.Context,
    to: Annotated[
        Path | None, typer.Option(help="Below which folder (default: PADELOPS_HOME/backups).")
    ] = None,
    minutes: Minutes = 60,
) -> None:
    """Copy the whole server while bookings go on, and read every byte of the copy again."""
    from padelops.cli.database_views import backup_record
    from padelops.settings import Settings
    from padelops.wiring.backups import back_up

    with progress(ctx, "Copying and verifying"):
        done = back_up(Settings.from_environment(), to, timeout_s=minutes * 60)
    show(ctx, done, backup_record)


@app.command()
def restore(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder that `padelops db backup` made.")],
    to: Annotated[
        Path | None,
        typer.Option(help="A new folder; the server stays up in it. Without, it is only tried."),
    ] = None,
    minutes: Minutes = 60,
) -> None:
    """
    Bring a backup to life in a server of its own, ask it all, and tell how long it took.

    Never over a live database. Exit status: 0 whole and sound, 2 not, 3 a check could not run.
    """
    from padelops.cli.database_views import restored_pieces
    from padelops.settings import Settings
    from padelops.wiring.backups import restore as bring_back

    settings = Settings.from_environment()
    done = bring_back(
        settings, folder, to, timeout_s=minutes * 60, told=lambda line: say(ctx, line)
    )
    show(ctx, done, restored_pieces)
    raise typer.Exit(done.verdict)


@app.command("recovery-test")
def recovery_test(ctx: typer.Context, minutes: Minutes = 60) -> None:
    """
    The monthly disaster recovery test: back up, restore elsewhere, ask it all, remove it again.

    Exit status: 0 whole and sound, 2 not, 3 a check could not run.
    """
    from padelops.cli.database_views import restored_pieces
    from padelops.settings import Settings
    from padelops.wiring.backups import recovery_test as test

    settings = Settings.from_environment()
    done = test(settings, timeout_s=minutes * 60, told=lambda line: say(ctx, line))
    show(ctx, done, restored_pieces)
    raise typer.Exit(done.verdict)


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
