"""Find reservations by club, court, day, status or player, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.desk import opened
from padelops.cli.output import say, show

if TYPE_CHECKING:
    from padelops.booking.search import Page
    from padelops.cli.tables import Table

app = typer.Typer()


@app.command()
def search(
    ctx: typer.Context,
    club: Annotated[str | None, typer.Option(help="Only this club.")] = None,
    court: Annotated[str | None, typer.Option(help="Only this court of the club.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="Only this status; may be repeated.")
    ] = None,
    payment: Annotated[
        list[str] | None, typer.Option(help="Only this payment status; may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="First day, 2026-12-01.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day, 2026-12-31.")] = None,
    email: Annotated[str | None, typer.Option(help="The player's exact address.")] = None,
    phone: Annotated[str | None, typer.Option(help="The player's exact number.")] = None,
    name: Annotated[str | None, typer.Option(help="Part of the player's name.")] = None,
    limit: Annotated[int, typer.Option(help="Reservations on a page, 500 at the most.")] = 50,
    cursor: Annotated[
        str | None, typer.Option(help="Where the page before ended, as it told.")
    ] = None,
) -> None:
    """Find reservations, oldest start first (critical path 8)."""
    from padelops.booking.club_time import parse_date
    from padelops.booking.search import SearchRequest

    request = SearchRequest(
        club=club,
        court=court,
        status=tuple(status or ()),
        payment_status=tuple(payment or ()),
        since=None if since is None else parse_date(since),
        until=None if until is None else parse_date(until),
        email=email,
        phone=phone,
        name=name,
        limit=limit,
        cursor=cursor,
    )
    with opened() as desk:
        page = desk.search(request)
    show(ctx, page, _view)
    if page.next_cursor:
        say(ctx, f"There are more: repeat the search with --cursor {page.next_cursor}")


def _view(page: Page) -> Table:
    from padelops.cli.reservation_views import list_table

    return list_table([reservation.as_json() for reservation in page.reservations])
