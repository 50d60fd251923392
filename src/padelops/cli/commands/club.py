"""Apply a club's file, and list the clubs there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.options import DryRun
from padelops.cli.output import show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.cli.tables import Piece, Table

app = typer.Typer(help="Clubs: courts, hours, tariffs and rules, declared in YAML.")


@app.command("apply")
def apply_file(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="YAML; several clubs are divided by ---.")],
    dry_run: DryRun = False,
) -> None:
    """Make clubs what their file says; a second time changes nothing."""
    with opened() as desk:
        applied = desk.apply_club_file(file, dry_run=dry_run)
    show(ctx, {"clubs": [one.as_json() for one in applied]}, _difference)


@app.command("list")
def list_clubs(ctx: typer.Context) -> None:
    """List every club in one line."""
    with opened() as desk:
        clubs = desk.clubs()
    show(ctx, {"clubs": [club.as_json() for club in clubs]}, _list)


def _difference(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    for club in document["clubs"]:
        changes = club["changes"]
        verb = ("would be " if club["dry_run"] else "") + (
            "created" if club["created"] else "changed"
        )
        if not changes:
            yield f"{club['club']}: nothing to change."
        elif club["created"]:
            yield f"{club['club']}: {verb}, {len(changes)} settings."
        else:
            yield Table(
                ["setting", "before", "after"],
                [[change["what"], change["before"], change["after"]] for change in changes],
                title=f"{club['club']}: {verb}",
            )
        if club["stranded_reservations"]:
            ids = ", ".join(map(str, club["stranded_reservations"]))
            yield (
                f"{club['club']}: these reservations are on courts out of service; move or cancel"
                f" them: {ids}"
            )


def _list(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    return Table(
        ["club", "name", "zone", "currency", "courts", "in service"],
        [
            [
                club["club"],
                club["name"],
                club["time_zone"],
                club["currency"],
                club["courts"],
                club["in_service"],
            ]
            for club in document["clubs"]
        ],
        nothing="No club yet. Make one: padelops club apply FILE.yaml",
    )
