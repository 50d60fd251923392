"""Erase a person's data; what happened and its audit trail stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.options import DryRun, Yes
from padelops.cli.output import confirm, confirm_early, say, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padelops.cli.tables import Record

app = typer.Typer()


@app.command()
def erase(
    ctx: typer.Context,
    email: Annotated[str, typer.Argument(help="The address that was booked with.")],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """
    Erase a player's name, address, phone, notes and card tokens, also from the quarantine.

    What is still to be played is refused. Backups, log files, the message spool and the gateway
    keep what they have.
    """
    question = "Erase everything that says who booked with this address? It cannot be undone."
    if not dry_run:
        confirm_early(ctx, question, yes=yes)
    with opened() as desk:
        found = desk.erase_player(email, dry_run=True)
        if not dry_run:
            say(ctx, f"{found.reservations} reservations, {found.quarantined} quarantined rows.")
            confirm(ctx, question, yes=yes)
            found = desk.erase_player(email)
    if dry_run:
        say(ctx, "Dry run: this would be erased; nothing was.")
    show(ctx, found, _view)


def _view(document: Any) -> Record:
    from padelops.cli.tables import Record

    told: Mapping[str, Any] = document.as_json()
    return Record(
        {"reservations": told["reservations"], "quarantined": told["quarantined"]}, title="Erased"
    )
