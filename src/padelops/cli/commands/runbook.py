"""Run what is to be done about an alert, step by step, or read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.options import DryRun, Yes
from padelops.cli.output import confirm_early, say, show

if TYPE_CHECKING:
    from padelops.ops.runbooks import Runbook

app = typer.Typer(help="Runbooks: what to do about each alert, run step by step or read.")

Name = Annotated[str, typer.Argument(help="The runbook, as `padelops runbook list` names it.")]


@app.command("list")
def list_runbooks(ctx: typer.Context) -> None:
    """List every runbook: its alerts, its level, and by when it must be over."""
    from padelops.cli.runbook_views import list_table
    from padelops.ops.runbooks import the_runbooks

    books = sorted(the_runbooks().values(), key=lambda book: (book.level, book.name))
    show(ctx, {"runbooks": [book.as_json() for book in books]}, list_table)


@app.command("show")
def show_runbook(ctx: typer.Context, name: Name) -> None:
    """Show a runbook: its steps, why each is there, and the commands that do the same."""
    from padelops.cli.runbook_views import runbook_pieces
    from padelops.ops.runbooks import runbook_named

    show(ctx, runbook_named(name), runbook_pieces)


@app.command()
def run(
    ctx: typer.Context,
    name: Name,
    dry_run: DryRun = False,
    yes: Yes = False,
    start: Annotated[
        str | None, typer.Option("--from", metavar="STEP", help="Begin at this step.")
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Forget a run that did not end; begin with step 1.")
    ] = False,
) -> None:
    """
    Run a runbook: each step is checked, done if need be, and verified, within its time budget.

    What holds already is not done again, so it may be run twice. A run that stopped goes on where
    it stopped. Exit status: 0 done; 6 a step failed; 5 nobody agreed; 7 it is being run already.
    """
    from padelops.cli.runbook_onlooker import TerminalOnlooker
    from padelops.cli.runbook_views import dry_run_pieces, ran_pieces
    from padelops.model import Door
    from padelops.ops.runbooks import runbook_named
    from padelops.settings import Settings
    from padelops.wiring.runbooks import opened_runbook

    book = runbook_named(name)
    onlooker = TerminalOnlooker(ctx, yes=yes)
    if book.risky and not dry_run:
        confirm_early(ctx, f"{name} may interrupt bookings.", yes=yes)
    with opened_runbook(Settings.from_environment(), book, onlooker, door=Door.CLI) as ready:
        if dry_run:
            show(ctx, ready.dry_run(start=start), dry_run_pieces)
            return
        say(ctx, f"{book.title}: {book.budget.told}, {book.budget.heading}.")
        ran = ready.run(start=start, anew=anew)
    show(ctx, ran, ran_pieces)
    if ran.failed is not None:
        raise ran.failed


@app.command()
def render(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One runbook; all when left out.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write them into this folder, with an index."),
    ] = None,
) -> None:
    """Write runbooks as Markdown, with every command, for reading at 3 a.m."""
    from padelops.ops.runbook_text import index, markdown
    from padelops.ops.runbooks import runbook_named, the_runbooks
    from padelops.ops.whole_files import write_whole

    books: list[Runbook] = list(the_runbooks().values()) if name is None else [runbook_named(name)]
    texts = {f"{book.name}.md": markdown(book) for book in books}
    if to is None:
        show(ctx, {"markdown": texts}, lambda _: "\n".join(texts.values()).rstrip())
        return
    if name is None:
        texts["index.md"] = index(books)
    to.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        write_whole(to / file, text)
    show(
        ctx,
        {"written": sorted(str(to / file) for file in texts)},
        lambda d: "\n".join(d["written"]),
    )
