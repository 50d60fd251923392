"""
Critical path 2 (level 1): nobody is charged without a court, and no court is given away unpaid.

Creation asks a `PaymentPath` twice: how the claim begins (confirmed at once, or held until paid),
and how it goes on once the claim is committed. No transaction is open and no lock is held when
`settle` is called, so a gateway may take its time. Cancellation asks it what happens to the money.

Source: CRITICAL_PATHS.md, path 2; DESIGN.md section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from padelops.errors import InvalidInput, NotFound, Refused
from padelops.model import PaymentMethod, ReservationStatus
from padelops.store import payments, reservations

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from padelops.model import Origin
    from padelops.store.engine import Database, Tx
    from padelops.store.reservations import Reservation


class NothingToSettle(Refused):
    """Nothing is due at the desk for this reservation."""

    code = "nothing_to_settle"


@dataclass(frozen=True, slots=True)
class Opening:
    """How a claim begins: its status, its payment's, and until when an unpaid one is held."""

    status: ReservationStatus
    payment_status: str
    hold_until: datetime | None = None


class PaymentPath(Protocol):
    """One way to pay. A gateway's lives in adapters/ behind this protocol."""

    method: PaymentMethod

    def opening(self, total: Decimal, *, now: datetime) -> Opening:
        """How a claim that costs `total` begins."""
        ...

    def check(self, card: str | None, *, courts: int) -> None:
        """
        Raises:
            InvalidInput: so many courts cannot be paid with this.
        """
        ...

    def settle(
        self, reservation: Reservation, *, card: str | None, origin: Origin, now: datetime
    ) -> Reservation:
        """Take the payment for a committed claim; the reservation as it then stands."""
        ...

    def resume(
        self, reservation: Reservation, *, card: str | None, origin: Origin, now: datetime
    ) -> Reservation:
        """Go on where the first request stopped, for a caller who asks again with its key."""
        ...

    def at_stake(self, reservation: Reservation) -> Decimal:
        """What a cancellation divides: what was taken, or is about to be."""
        ...

    def cancelled(self, tx: Tx, reservation: Reservation, refund: Decimal, *, now: datetime) -> str:
        """Queue what a cancellation gives back, inside its transaction; the new payment status."""
        ...


class DeskPayment:
    """Paid at the club: confirmed at once, due at the desk; a refund is handed over there too."""

    method = PaymentMethod.DESK

    def opening(self, total: Decimal, *, now: datetime) -> Opening:
        del now  # nothing to wait for
        return Opening(ReservationStatus.CONFIRMED, "due" if total else "nothing_due")

    def check(self, card: str | None, *, courts: int) -> None:
        del courts
        if card is not None:
            raise InvalidInput("A card is not used at the desk.", fix="Add --pay card.")

    def settle(
        self, reservation: Reservation, *, card: str | None, origin: Origin, now: datetime
    ) -> Reservation:
        del card, origin, now  # nothing happens before the player comes
        return reservation

    def resume(
        self, reservation: Reservation, *, card: str | None, origin: Origin, now: datetime
    ) -> Reservation:
        del card, origin, now
        return reservation

    def at_stake(self, reservation: Reservation) -> Decimal:
        return reservation.captured

    def cancelled(self, tx: Tx, reservation: Reservation, refund: Decimal, *, now: datetime) -> str:
        del tx, now  # cash needs no outbox: `settle_at_desk` records when it changes hands
        if refund:
            return "refund_due"
        return "paid" if reservation.captured else "nothing_due"


def settle_at_desk(database: Database, reservation_id: int, *, origin: Origin) -> Reservation:
    """
    Record that what is due at the desk has changed hands: the price, or the refund.

    Raises:
        NotFound: no such reservation.
        NothingToSettle: neither the price nor a refund is due; also when it was settled before.
    """
    with database.transaction(origin) as tx:
        reservation = reservations.lock(tx, reservation_id)
        if reservation is None:
            raise NotFound(f"There is no reservation {reservation_id}.")
        match reservation.payment_status:
            # Also by card, where the authorization came to nothing.
            case "due":
                # Less what was paid in part before it was imported.
                kind, amount = "captured", reservation.total - reservation.captured
            case "refund_due" if payments.refund_of_claim(tx, reservation_id) is None:
                kind, amount = "refunded", reservation.refund_due - reservation.refunded
            case _:
                raise NothingToSettle(
                    f"Nothing is due at the desk for reservation {reservation_id}:"
                    f" its payment is {reservation.payment_status}.",
                    payment_status=reservation.payment_status,
                )
        reservations.insert_payment_event(
            tx,
            reservation,
            kind=kind,
            amount=amount,
            gateway=PaymentMethod.DESK,
            event_key=f"desk:{kind}:{reservation_id}",
        )
        settled = reservations.by_id(tx, reservation_id)
    return reservation if settled is None else settled
