"""Check every invariant of the stored data, and name what breaks one."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from padelops.cli.desk import opened, unknown_unless_checked
from padelops.cli.options import DryRun, Yes
from padelops.cli.output import Terminal, confirm, progress, say, show
from padelops.errors import Usage

if TYPE_CHECKING:
    from padelops.ops.integrity import Watch

app = typer.Typer()


class Format(StrEnum):
    """How findings are written."""

    TABLE = "table"
    JSONL = "jsonl"
    JUNIT = "junit"


@app.command()
def validate(
    ctx: typer.Context,
    club: Annotated[
        list[str] | None, typer.Option(help="Only this club; may be given again.")
    ] = None,
    check: Annotated[
        list[str] | None, typer.Option(help="Only this check; may be given again.")
    ] = None,
    sample: Annotated[
        str, typer.Option(help="Prices and sealed entries to compute again, by lot; or: all.")
    ] = "10000",
    seed: Annotated[
        int | None, typer.Option(help="Draws the same prices again.", show_default="by lot")
    ] = None,
    piece: Annotated[
        int,
        typer.Option(
            min=1, metavar="ROWS", help="Claims of clubs looked at together; see --resume."
        ),
    ] = 2_000_000,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")
    ] = False,
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option(help="JSON lines: one per finding; JUnit: one test per check.")
    ] = Format.TABLE,
    list_: Annotated[bool, typer.Option("--list", help="Name every check; ask nothing.")] = False,
    show_sql: Annotated[
        str | None, typer.Option(metavar="CHECK", help="Print a check's SQL, ready for psql.")
    ] = None,
    repair: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Mend what is safe to: stale_holds,missing_messages …"),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """
    Ask the data every question that must have one answer; repair nothing unless told to.

    Exit status: 0 all hold, 1 a warning, 2 an invariant is broken, 3 a check could not run.
    With --repair: 0 mended and checked again, 6 something is left for a person.
    """
    from padelops.cli import integrity_views as views

    if Terminal.of(ctx).json and format is not Format.TABLE:
        raise Usage("--json is one document; it cannot be --format as well.", fix="Pass only one.")
    if list_:
        show(ctx, views.catalogue(), views.catalogue_table)
        return
    if show_sql is not None:
        show(ctx, views.sql_document(show_sql), views.sql_text)
        return
    if repair is not None:
        _repair(ctx, repair, dry_run=dry_run, yes=yes)
    if dry_run:
        raise Usage("--dry-run goes with --repair; validating changes nothing anyway.")
    how_many, draw = views.sample_size(sample), views.seed_of(seed)
    with unknown_unless_checked(), opened() as desk:
        report = desk.validator(
            **({"piece_rows": piece} if piece else {})
        ).validate_all_reservations(
            clubs=club or (),
            checks=check or (),
            sample=how_many,
            seed=draw,
            resume=resume,
            watch=_watch(ctx),
        )
    if resume and report.snapshots == 1:
        say(ctx, "Nothing was left unfinished: everything was asked anew.")
    show(ctx, report, views.VIEWS[format.value])
    raise typer.Exit(report.exit_code)


def _repair(ctx: typer.Context, names: str, *, dry_run: bool, yes: bool) -> NoReturn:
    """An action: it ends as actions do."""
    from padelops.cli import integrity_views as views
    from padelops.ops.integrity_repair import Mended

    wanted = [name.strip() for name in names.split(",") if name.strip()]
    with opened() as desk:
        repairer = desk.repairer()
        steps = repairer.plan(wanted)
        if dry_run or not steps:
            result = Mended(None, tuple(steps), ())
        else:
            for line in views.what_would_be_done(steps):
                say(ctx, line)
            confirm(ctx, f"Mend these {len(steps)}?", yes=yes)
            result = repairer.run(wanted)
    show(ctx, result, views.mended_pieces)
    raise typer.Exit(result.exit_code)


def _watch(ctx: typer.Context) -> Watch:
    return lambda title, steps: progress(ctx, title, steps)
