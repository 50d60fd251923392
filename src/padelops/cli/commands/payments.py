"""Look at payments that need a person: reconcile, retry, release, settle at the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.output import progress, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padelops.cli.tables import Record, Table
    from padelops.store.reservations import Reservation

app = typer.Typer(help="Payments: what is in doubt, what is due, what changed hands.")

ReservationId = Annotated[int, typer.Argument(help="The reservation's number.")]
Reason = Annotated[str, typer.Option(help="Why; the audit trail keeps it.")]


@app.command("list")
def list_payments(
    ctx: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that need nobody, newest first.")
    ] = False,
) -> None:
    """List the card payments that a person should look at."""
    with opened() as desk:
        found = desk.office.attention(everything=everything)
    show(ctx, {"payments": found}, _list)


@app.command()
def reconcile(
    ctx: typer.Context,
    reservation_id: Annotated[
        int | None, typer.Argument(help="The reservation's number; all in doubt when left out.")
    ] = None,
) -> None:
    """
    Ask the gateway what became of payments in doubt, and write down what it says.

    Exit status: 0 settled, 3 the gateway still does not tell.
    """
    from padelops.booking.card_payments import PaymentUnknown

    with opened() as desk:
        one_only = () if reservation_id is None else (reservation_id,)
        in_doubt = one_only or sorted(desk.office.in_doubt())
        with progress(ctx, "Asking the gateway", len(in_doubt)) as advance:
            settled = []
            for number in in_doubt:
                settled.append(desk.reconcile_payment(number))
                advance()
        still = sorted(set(in_doubt) & desk.office.in_doubt())
    show(ctx, {"reservations": [one.as_json() for one in settled]}, _reconciled)
    if still:
        raise PaymentUnknown(
            f"Still unknown: {', '.join(map(str, still))}.",
            fix="Run it again in a minute, or look at the gateway's own dashboard.",
            reservations=still,
        )


@app.command()
def retry(ctx: typer.Context, reservation_id: ReservationId, reason: Reason) -> None:
    """Try a queued payment again, let a reviewed one be captured, or repeat a failed refund."""
    with opened() as desk:
        reservation = desk.retry_payment(reservation_id, reason=reason)
    show(ctx, reservation, _view)


@app.command()
def release(ctx: typer.Context, reservation_id: ReservationId, reason: Reason) -> None:
    """Give up a held reservation: its court is free, whatever was authorized is let go."""
    with opened() as desk:
        cancellation = desk.release_payment(reservation_id, reason=reason)
    show(ctx, cancellation.reservation, _view)


@app.command()
def settle(ctx: typer.Context, reservation_id: ReservationId) -> None:
    """Record that the price, or the refund, due at the desk has changed hands."""
    with opened() as desk:
        reservation = desk.settle_at_desk(reservation_id)
    show(ctx, reservation, _view)


def _view(reservation: Reservation) -> Record:
    from padelops.cli.reservation_views import reservation_record

    return reservation_record(reservation.as_json(), title=f"Reservation {reservation.id}")


def _list(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    return Table(
        ["reservation", "status", "payment", "attempt", "next", "amount", "tries", "why"],
        [
            [
                row["reservation"],
                row["status"],
                row["payment_status"],
                row["state"],
                row["next_step"],
                f"{row['amount']} {row['currency']}",
                row["tries"],
                row["refund_error"] or row["last_error"],
            ]
            for row in document["payments"]
        ],
        nothing="No payment needs a person.",
    )


def _reconciled(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    return Table(
        ["reservation", "status", "payment"],
        [[row["id"], row["status"], row["payment_status"]] for row in document["reservations"]],
        nothing="No payment is in doubt.",
    )
