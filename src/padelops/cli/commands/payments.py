"""Record money that changed hands at the club's desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.desk import opened
from padelops.cli.output import show

if TYPE_CHECKING:
    from padelops.cli.tables import Record
    from padelops.store.reservations import Reservation

app = typer.Typer(help="Payments: what is due, and what changed hands.")


@app.command()
def settle(
    ctx: typer.Context,
    reservation_id: Annotated[int, typer.Argument(help="The reservation's number.")],
) -> None:
    """Record that the price, or the refund, due at the desk has changed hands."""
    with opened() as desk:
        reservation = desk.settle_at_desk(reservation_id)
    show(ctx, reservation, _view)


def _view(reservation: Reservation) -> Record:
    from padelops.cli.reservation_views import reservation_record

    return reservation_record(reservation.as_json(), title=f"Reservation {reservation.id}")
