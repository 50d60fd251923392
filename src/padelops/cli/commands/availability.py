"""Show which starts are free on a club's day, with their prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.desk import opened
from padelops.cli.output import Terminal, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.booking.availability import Availability
    from padelops.cli.tables import Piece

app = typer.Typer()


@app.command()
def availability(
    ctx: typer.Context,
    club: Annotated[str, typer.Argument(help="A club, or one court of it: centro or centro/2.")],
    date: Annotated[
        str | None, typer.Argument(help="The club's local day, 2026-12-05; today when left out.")
    ] = None,
    minutes: Annotated[
        int | None, typer.Option(help="How long; the club's usual length when left out.")
    ] = None,
) -> None:
    """Draw a club's day: rows are starts, columns are courts (critical path 4)."""
    from padelops.booking.club_time import parse_date
    from padelops.errors import Unavailable

    slug, _, court = club.partition("/")
    day = None if date is None else parse_date(date)
    with opened() as desk:
        found = desk.availability(slug, day, minutes=minutes, court=court or None)
    width = Terminal.of(ctx).width

    def view(found: Availability) -> Iterator[Piece]:
        from padelops.cli.reservation_views import day_grid

        yield from day_grid(found.as_json(), width=width)

    show(ctx, found, view)
    if not found.certain:
        raise Unavailable(f"{found.doubt} Nothing is shown as free.")
