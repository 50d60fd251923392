"""Show what a slot costs, line by line, whether or not it is free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.desk import opened
from padelops.cli.output import say, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.booking.pricing import Quote
    from padelops.cli.tables import Piece

app = typer.Typer()


@app.command()
def price(
    ctx: typer.Context,
    court: Annotated[str, typer.Argument(help="CLUB/COURT, such as centro/2.")],
    start: Annotated[
        str, typer.Argument(help="2026-12-05T18:00 in club time, or with an offset such as +01:00.")
    ],
    minutes: Annotated[
        int | None, typer.Option(help="How long; the club's usual length when left out.")
    ] = None,
    member: Annotated[str | None, typer.Option(help="The player's member tier, if any.")] = None,
) -> None:
    """Price a slot exactly (critical path 6)."""
    with opened() as desk:
        quote = desk.price(court, start, minutes=minutes, member=member)
    if quote.reason:
        say(ctx, f"The club's default price: {quote.reason}")
    show(ctx, quote, _view)


def _view(quote: Quote) -> Iterator[Piece]:
    from padelops.cli.reservation_views import lines_table

    document = quote.as_json()
    yield lines_table(document["lines"], document["currency"], document["total"])
    if document["tax_mode"] == "inclusive":
        yield f"The total contains {document['tax_amount']} {document['currency']} tax."
