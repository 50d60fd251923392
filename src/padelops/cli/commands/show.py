"""Show one reservation with its price lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.desk import opened
from padelops.cli.output import show as show_result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.cli.tables import Piece
    from padelops.store.reservations import Reservation

app = typer.Typer()


@app.command()
def show(
    ctx: typer.Context,
    reservation_id: Annotated[int, typer.Argument(help="The reservation's number.")],
) -> None:
    """Show one reservation as it stands now."""
    with opened() as desk:
        reservation = desk.show(reservation_id)
    show_result(ctx, reservation, _view)


def _view(reservation: Reservation) -> Iterator[Piece]:
    from padelops.cli.reservation_views import lines_table, reservation_record

    document = reservation.as_json()
    yield reservation_record(document, title=f"Reservation {reservation.id}")
    yield lines_table(document["lines"], document["currency"], document["total"])
