"""
The Padelyzer backend's reservations and blocks, as its `dumpdata` writes them.

Local times are read in the club's zone. `end_time` at or before `start_time` is past midnight, but
an end equal to its start is either nothing or 24 hours, so it is not guessed. Seconds are cut off
outwards. A block of a softly deleted row closes no court there, and none here.

Source: the models of the Padelyzer backend (apps `clubs`, `reservations`), read in October 2026.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from padelops.booking.club_changes import in_pieces
from padelops.ops.import_fields import (
    DAY,
    MOST_PLAYERS,
    BadRow,
    amount_of,
    clock_of,
    count_of,
    court_time_of,
    day_of,
    flag_of,
    instant_of,
    key_of,
    moment_of,
    text_of,
    whole_minutes,
    word_of,
)
from padelops.ops.import_files import PADELYZER, plain
from padelops.ops.import_reservation import LONGEST_NOTES, OldReservation, translated
from padelops.store.imports import StagedRow

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from padelops.ops.django_dump import Record
    from padelops.ops.import_terms import ImportTerms

RESERVATION = "reservations.reservation"
BLOCK = "reservations.blockedslot"

_ENCODER = json.JSONEncoder(default=plain)

LONGEST_BLOCK = 400 * DAY
"""A court closed for longer is out of service, and should be said to be."""

READ = {
    RESERVATION: (
        "club", "court", "date", "start_time", "end_time", "player_name", "player_email",
        "player_phone", "player_count", "status", "payment_status", "price_per_hour",
        "total_price", "notes", "created_at", "is_active", "payment_amount", "paid_at",
        "cancellation_fee", "cancellation_reason", "cancelled_at", "on_wait_list",
    ),
    BLOCK: (
        "club", "court", "start_datetime", "end_datetime", "reason", "description", "block_type",
        "created_at", "is_active",
    ),
}  # fmt: skip
"""The fields that make a row what it is; `updated_at` only tells versions apart."""


def staged(
    record: Record, terms: ImportTerms, *, now: datetime, note: Callable[[str], None]
) -> StagedRow:
    """
    The row to stage for a reservation or a block; one that cannot go in carries its problem.

    Raises:
        InvalidInput: the command line contradicts the zone or currency of a club that is here.
    """
    row = StagedRow(
        system=PADELYZER,
        kind="block" if record.model == BLOCK else "reservation",
        source=record.source,
        model=record.model,
        scope="",
        ref="",
        club_key=None,
        court_key=None,
        digest="",
        context=terms.context(PADELYZER),
        record=record.text,
    )
    try:
        row.club_key, row.court_key = key_of(record.fields, "club"), key_of(record.fields, "court")
        zone, currency = terms.of_dump(row.club_key, row.court_key)
        row.scope = row.club_key or ""
        row.digest = digest_of(record, zone)
        row.ref = _pk(record)
        row.created_at = moment_of(record.fields, "created_at", zone)
        row.updated_at = moment_of(record.fields, "updated_at", zone)
        if record.model == BLOCK:
            _read_block(row, record.fields, zone)
        else:
            _read_reservation(row, record.fields, zone, currency, now=now, note=note)
    except BadRow as exc:
        row.problem, row.detail = exc.reason, exc.detail
        row.digest = row.digest or digest_of_text(record.text)
        # A row without a usable key of its own is known by its content.
        row.ref = row.ref or f"content-{row.digest}"
    return row


def _pk(record: Record) -> str:
    pk = key_of({"pk": record.pk}, "pk")
    if pk is None:
        raise BadRow("missing_key", "it has no pk")
    return pk


def digest_of(record: Record, zone: ZoneInfo) -> str:
    values = [record.fields.get(name) for name in READ[record.model]]
    return digest_of_text(_ENCODER.encode([zone.key, *values]))


def digest_of_text(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _read_reservation(
    row: StagedRow,
    fields: dict[str, Any],
    zone: ZoneInfo,
    currency: str,
    *,
    now: datetime,
    note: Callable[[str], None],
) -> None:
    if row.court_key is None:
        raise BadRow("unknown_court", "it names no court")
    if flag_of(fields, "on_wait_list", missing=False):
        raise BadRow("on_wait_list", "it only waits for a court; there are no waiting lists here")
    starts_at, ends_at = _court_time(fields, zone)
    row.external_ref = row.ref
    row.player_name = text_of(fields, "player_name", longest=200)
    if row.player_name is None:
        raise BadRow("no_player", "player_name is empty")
    row.player_email = text_of(fields, "player_email", longest=254)
    row.player_phone = text_of(fields, "player_phone", longest=40)
    row.player_count = count_of(fields, "player_count", low=1, high=MOST_PLAYERS)
    row.paid_at = moment_of(fields, "paid_at", zone)
    old = OldReservation(
        starts_at=starts_at,
        ends_at=ends_at,
        status=word_of(fields, "status") or "",
        payment=word_of(fields, "payment_status") or "pending",
        total=amount_of(fields, "total_price"),
        per_hour=amount_of(fields, "price_per_hour"),
        paid=amount_of(fields, "payment_amount"),
        fee=amount_of(fields, "cancellation_fee"),
        cancelled_at=moment_of(fields, "cancelled_at", zone),
        cancelled_why=text_of(fields, "cancellation_reason", longest=LONGEST_NOTES),
        updated_at=row.updated_at,
        deleted=not flag_of(fields, "is_active", missing=True),
        notes=text_of(fields, "notes", longest=LONGEST_NOTES),
    )
    columns, noted = translated(old, currency=currency, now=now)
    for name, value in columns.items():
        setattr(row, name, value)
    for remark in noted:
        note(remark)


def _court_time(fields: dict[str, Any], zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants between which the reservation has its court, perhaps not at whole minutes."""
    texts = [fields.get(name) for name in ("date", "start_time", "end_time")]
    if not all(isinstance(text, str) for text in texts):
        raise BadRow("invalid_time", "date, start_time and end_time must be texts")
    day_text, start_text, end_text = map(str, texts)
    day = day_of(day_text)
    start, end = clock_of(start_text), clock_of(end_text)
    if start == end:
        raise BadRow("empty_slot", "it ends when it starts: nothing, or 24 hours")
    last_day = day if end > start else day + DAY
    return (
        instant_of(datetime.combine(day, start.reading), zone) + start.beyond,
        instant_of(datetime.combine(last_day, end.reading), zone) + end.beyond,
    )


def _read_block(row: StagedRow, fields: dict[str, Any], zone: ZoneInfo) -> None:
    starts_at = court_time_of(fields, "start_datetime", zone)
    ends_at = court_time_of(fields, "end_datetime", zone)
    if ends_at <= starts_at:
        raise BadRow("empty_slot", "the block does not end after it starts")
    if ends_at - starts_at > LONGEST_BLOCK:
        raise BadRow(
            "too_long",
            f"a block of more than {LONGEST_BLOCK.days} days: take the court out of service",
        )
    if row.court_key is None and row.club_key is None:
        raise BadRow("unknown_club", "it names neither a court nor a club")
    row.starts_at, row.ends_at = whole_minutes(starts_at, ends_at)
    words = [text_of(fields, name, longest=400) for name in ("block_type", "reason", "description")]
    row.reason = ": ".join(dict.fromkeys(filter(None, words))) or "blocked"
    if len(row.reason) > LONGEST_REASON:
        raise BadRow("text_too_long", f"reason and description have {len(row.reason)} characters")
    # Apart from the references of club files, whose blocks are lifted when the file drops them.
    row.external_ref = f"padelyzer:{row.ref}"
    row.pieces = tuple(in_pieces(row.starts_at, row.ends_at))
    row.status = "confirmed"
    if not flag_of(fields, "is_active", missing=True):
        row.status = "cancelled"
        row.ended_at = row.updated_at or row.created_at or row.starts_at


LONGEST_REASON = 500
