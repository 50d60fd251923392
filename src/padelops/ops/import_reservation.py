"""
What an old system says of a reservation, in padelops' words: its status, its price, its money.

| there | here |
|---|---|
| confirmed | `confirmed`, also when its time is over: the sweep completes it like any other |
| completed, no_show | the same; they keep no court |
| cancelled | `cancelled`; it keeps no court. Since `cancelled_at`, else since its last change, |
| | else since the import at the latest |
| pending, its time not over | `confirmed` and due: there it keeps the court without a deadline; |
| | a hold here would run out and sell the court again |
| pending, over, something paid | `confirmed`: money is never kept without a court |
| pending, over, nothing paid | `expired`: nobody ever confirmed it. Unlike `completed` this can |
| | still be corrected: `expired` may become `confirmed` |
| deleted softly (`is_active` false) | `cancelled`, if it was live |

| there | here |
|---|---|
| paid | captured: the amount paid, else the total |
| partial | captured: the amount paid; without one nothing, and the line says so. The rest is due, |
| | unless it is cancelled |
| refunded | captured, and refunded less the cancellation fee |
| pending, failed, nothing | due, or nothing due when it is cancelled or free |

The total is what was agreed, even where it is not price x time; the line says so then. Without a
total it is price_per_hour x elapsed minutes, and the line says so too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from padelops.model import LONGEST_CLAIM, round_to_currency
from padelops.ops.import_fields import BadRow, whole_minutes

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_NOTES = 2000
NOTHING = Decimal(0)

_ENCODER = json.JSONEncoder(ensure_ascii=False)


@dataclass(slots=True, kw_only=True)
class OldReservation:
    """
    A reservation in the old system's words; amounts in the club's currency, times aware UTC.

    Attributes:
        fee: what a cancellation kept back.
        deleted: softly, that is, hidden but not cancelled.
    """

    starts_at: datetime
    ends_at: datetime
    status: str
    payment: str
    total: Decimal | None
    per_hour: Decimal | None = None
    paid: Decimal | None = None
    fee: Decimal | None = None
    cancelled_at: datetime | None = None
    cancelled_why: str | None = None
    updated_at: datetime | None = None
    deleted: bool = False
    notes: str | None = None


def translated(
    old: OldReservation, *, currency: str, now: datetime
) -> tuple[dict[str, Any], list[str]]:
    """
    The columns of the reservation here, and what is worth noting about the translation.

    Raises:
        BadRow: it says something that no reservation here can be.
    """
    starts_at, ends_at = whole_minutes(old.starts_at, old.ends_at)
    if ends_at - starts_at > LONGEST_CLAIM:
        raise BadRow("too_long", "a reservation lasts 24 hours at the most")
    minutes = int((ends_at - starts_at).total_seconds()) // 60
    total, line, noted = _price(old, minutes, currency)
    captured, refunded, remark = _money(old, total)
    if remark:
        line["note"] = ", ".join(filter(None, (line.get("note"), remark[1])))
        noted.append(remark[0])
    if (starts_at, ends_at) != (old.starts_at, old.ends_at):
        noted.append("widened to whole minutes")
    status, ended_at, reason = _status(old, ends_at, paid=bool(captured), now=now)
    if old.status == "pending":
        noted.append(f"pending became {status}")
    elif old.deleted and status == "cancelled" != old.status:
        noted.append("deleted became cancelled")
    columns = {
        "starts_at": starts_at,
        "ends_at": ends_at,
        "status": status,
        "ended_at": ended_at,
        "reason": reason,
        "total": total,
        "lines": _ENCODER.encode([line]),
        "captured": captured,
        "refunded": refunded,
        "payment_status": _payment_status(old, status, total, captured, refunded),
        "notes": _notes(old),
    }
    return columns, noted


def _price(
    old: OldReservation, minutes: int, currency: str
) -> tuple[Decimal, dict[str, Any], list[str]]:
    computed = None
    if old.per_hour is not None:
        computed = round_to_currency(old.per_hour * minutes / 60, currency)
    total = computed if old.total is None else old.total
    if total is None:
        raise BadRow("no_price", "it has neither a total nor a price per hour")
    line: dict[str, Any] = {
        "kind": "imported",
        "label": "imported",
        "amount": f"{total:f}",
        "minutes": minutes,
    }
    noted = []
    if old.per_hour is not None:
        line["per_hour"] = f"{old.per_hour:f}"
    if old.total is None:
        line["note"] = "computed: there was no total"
        noted.append("total computed from price_per_hour")
    elif computed is not None and computed != total:
        line["note"] = f"as agreed; price x time would be {computed:f}"
        noted.append("total is not price_per_hour x time; kept")
    return total, line, noted


def _money(old: OldReservation, total: Decimal) -> tuple[Decimal, Decimal, tuple[str, str] | None]:
    """What was captured and refunded, and a remark (for the report, for the line)."""
    amount = old.paid or total
    if old.payment in ("paid", "refunded") and amount > total:
        raise BadRow("amounts_disagree", f"paid {amount:f}, but it costs {total:f}")
    match old.payment:
        case "pending":
            return NOTHING, NOTHING, None
        case "failed":
            return NOTHING, NOTHING, ("payment had failed", "payment had failed")
        case "paid":
            return amount, NOTHING, None
        case "partial" if old.paid:
            if old.paid > total:
                raise BadRow("amounts_disagree", f"paid {old.paid:f}, but it costs {total:f}")
            return old.paid, NOTHING, ("paid in part", f"paid in part: {old.paid:f} of {total:f}")
        case "partial":
            remark = "paid in part, not known how much"
            return NOTHING, NOTHING, (remark, remark)
        case "refunded":
            refund = max(amount - (old.fee or NOTHING), NOTHING)
            if amount and not refund:
                raise BadRow("amounts_disagree", f"refunded, but {old.fee} of {amount:f} was kept")
            return amount, refund, None
        case _:
            raise BadRow("unknown_payment_status", "payment_status is none that is known")


def _payment_status(
    old: OldReservation, status: str, total: Decimal, captured: Decimal, refunded: Decimal
) -> str:
    """Where its money stands. The rest of what was paid in part is still due, if it stands."""
    ended = status in ("cancelled", "expired")
    if refunded:
        return "refunded"
    if captured and (ended or old.payment != "partial" or captured == total):
        return "paid"
    return "nothing_due" if ended or not total else "due"


def _status(
    old: OldReservation, ends_at: datetime, *, paid: bool, now: datetime
) -> tuple[str, datetime | None, str | None]:
    """Status, since when it has ended, and why."""
    match old.status:
        case "cancelled":
            return "cancelled", old.cancelled_at or old.updated_at or now, "imported"
        case "completed" | "no_show":
            return old.status, ends_at, None
        case "confirmed" | "pending" if old.deleted:
            return "cancelled", old.updated_at or now, "deleted_before_import"
        case "pending" if ends_at <= now and not paid:
            return "expired", ends_at, "never_confirmed"
        case "confirmed" | "pending":
            return "confirmed", None, None
        case _:
            raise BadRow("unknown_status", "status is none that is known")


def _notes(old: OldReservation) -> str | None:
    """
    The notes, and why it was cancelled: people write names there, and notes can be erased.
    """
    if old.cancelled_why is None:
        return old.notes
    notes = "\n".join(filter(None, (old.notes, f"Cancelled: {old.cancelled_why}")))
    if len(notes) > LONGEST_NOTES:
        raise BadRow(
            "text_too_long", f"the notes have {len(notes)} characters, {LONGEST_NOTES} fit"
        )
    return notes
