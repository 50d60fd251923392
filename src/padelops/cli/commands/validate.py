"""Check every invariant of the stored data, and name what breaks one."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.desk import opened, unknown_unless_checked
from padelops.cli.output import Terminal, progress, say, show
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
        str, typer.Option(help="Prices to compute again, drawn by lot; or: all.")
    ] = "10000",
    seed: Annotated[
        int | None, typer.Option(help="Draws the same prices again.", show_default="by lot")
    ] = None,
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
) -> None:
    """
    Ask the data every question that must have one answer; repair nothing.

    Exit status: 0 all hold, 1 a warning, 2 an invariant is broken, 3 a check could not run.
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
    how_many, draw = views.sample_size(sample), views.seed_of(seed)
    with unknown_unless_checked(), opened() as desk:
        report = desk.validator().validate_all_reservations(
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


def _watch(ctx: typer.Context) -> Watch:
    return lambda title, steps: progress(ctx, title, steps)
