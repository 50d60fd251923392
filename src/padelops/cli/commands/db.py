"""Upgrade, look at and stop the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from padelops.cli.output import show

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
