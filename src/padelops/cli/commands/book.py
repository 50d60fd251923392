"""Book a court: held, priced and recorded in one step, or refused with what is free nearby."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.desk import opened
from padelops.cli.options import DryRun
from padelops.cli.output import say, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.booking.bookings import Booking
    from padelops.cli.tables import Piece

app = typer.Typer()


@app.command()
def book(
    ctx: typer.Context,
    court: Annotated[str, typer.Argument(help="CLUB/COURT, such as centro/2.")],
    start: Annotated[
        str, typer.Argument(help="2026-12-05T18:00 in club time, or with an offset such as +01:00.")
    ],
    player: Annotated[str, typer.Option(help="Who plays.")],
    minutes: Annotated[
        int | None, typer.Option(help="How long; the club's usual length when left out.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="A further court of the club, all or none; may be repeated."),
    ] = None,
    email: Annotated[str | None, typer.Option(help="Where the confirmation goes.")] = None,
    phone: Annotated[str | None, typer.Option(help="How to reach the player.")] = None,
    players: Annotated[int | None, typer.Option(help="How many will play.")] = None,
    notes: Annotated[str | None, typer.Option(help="For the club's staff.")] = None,
    member: Annotated[str | None, typer.Option(help="The player's member tier, if any.")] = None,
    pay: Annotated[str, typer.Option(help="desk: due at the club; card: with --card.")] = "desk",
    card: Annotated[
        str | None, typer.Option(help="The gateway's token for the card, such as tok_visa.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Idempotency key: the same key never books twice."),
    ] = None,
    expect_total: Annotated[
        str | None, typer.Option(help="Refuse to book at any other total than this.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Book a court, or several at once with --also (critical paths 1 and 3)."""
    from padelops.booking.players import Player
    from padelops.booking.terms import money_of

    who = Player(name=player, email=email, phone=phone, count=players, notes=notes)
    expected = None if expect_total is None else money_of(expect_total, what="--expect-total")
    with opened() as desk:
        booking = desk.book(
            (court, *(also or ())),
            start,
            minutes=minutes,
            player=who,
            member=member,
            pay=pay,
            card=card,
            key=key,
            expect_total=expected,
            dry_run=dry_run,
        )
    if booking.replayed:
        say(ctx, "This key was used before; here is the reservation it made.")
    if booking.dry_run:
        say(ctx, "Dry run: this would be booked; nothing was.")
    show(ctx, booking, _view)


def _view(booking: Booking) -> Iterator[Piece]:
    from padelops.cli.reservation_views import lines_table, reservation_record

    for reservation in (booking.reservation, *booking.others):
        document = reservation.as_json()
        title = "Would book" if booking.dry_run else f"Reservation {reservation.id}"
        yield reservation_record(document, title=title)
        yield lines_table(document["lines"], document["currency"], document["total"])
