"""Cancel a reservation: its slot is free at once, the refund follows its policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.desk import opened
from padelops.cli.options import DryRun
from padelops.cli.output import say, show

if TYPE_CHECKING:
    from padelops.booking.cancellation import Cancellation
    from padelops.cli.tables import Record

app = typer.Typer()


@app.command()
def cancel(
    ctx: typer.Context,
    reservation_id: Annotated[int, typer.Argument(help="The reservation's number.")],
    reason: Annotated[
        str,
        typer.Option(
            help="user_requested or duplicate: by the policy;"
            " club_requested, weather or maintenance: everything is given back."
        ),
    ] = "user_requested",
    dry_run: DryRun = False,
) -> None:
    """Cancel one reservation and free its slot (critical path 5)."""
    with opened() as desk:
        cancellation = desk.cancel(reservation_id, reason=reason, dry_run=dry_run)
    if cancellation.replayed:
        say(ctx, "It was cancelled before; nothing new happened.")
    elif dry_run:
        say(ctx, "Dry run: this would be cancelled; nothing was.")
    show(ctx, cancellation, _view)


def _view(cancellation: Cancellation) -> Record:
    from padelops.cli.reservation_views import when
    from padelops.cli.tables import Record

    document = cancellation.as_json()
    currency = document["currency"]
    return Record(
        {
            "court": document["court"],
            "start": f"{when(document['starts_at'])} ({document['time_zone']})",
            "status": document["status"],
            "paid": f"{document['captured']} {currency}",
            "refund": f"{document['refund']} {currency}",
            "kept": f"{document['kept']} {currency}",
            "payment": document["payment_status"],
        },
        title=f"Reservation {document['id']}",
    )
