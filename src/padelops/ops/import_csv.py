"""
Reservations as CSV, for systems that can write nothing else.

The first line names the columns, in any order and case; `,` or `;` between them; UTF-8.

| column | must it be there | what it holds |
|---|---|---|
| club | yes | slug of a club that is here |
| court | yes | the court's name |
| start | yes | `2026-12-05T18:00`, local, or with `Z` or an offset |
| minutes | this or end | elapsed minutes |
| end | this or minutes | like start, or only `19:30`; at or before start is past midnight |
| player_name | yes | |
| total | yes | what it costs: `300.00`, or `300,00` |
| currency | no | must be the club's |
| player_email, player_phone, player_count, notes | no | |
| status | no | pending, confirmed (default), completed, cancelled, no_show |
| payment_status | no | pending (default), partial, paid, refunded, failed |
| ref | no | the row's own key; without one the row is known by its content |
| created_at | no | who was first; like start |

Other columns are ignored, and named in the report. A club's own zone counts for local times, unless
`--timezone` names another.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from padelops.errors import InvalidInput
from padelops.ops.import_fields import (
    DAY,
    MINUTE,
    MOST_PLAYERS,
    BadRow,
    amount_of,
    clock_of,
    count_of,
    court_time_of,
    instant_of,
    key_of,
    moment_of,
    text_of,
    word_of,
)
from padelops.ops.import_files import CSV, csv_lines
from padelops.ops.import_reservation import LONGEST_NOTES, OldReservation, translated
from padelops.ops.padelyzer import digest_of_text
from padelops.store.imports import StagedRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from zoneinfo import ZoneInfo

    from padelops.ops.import_files import ImportFile
    from padelops.ops.import_terms import ImportTerms

COLUMNS = (
    "club", "court", "start", "minutes", "end", "player_name", "player_email", "player_phone",
    "player_count", "status", "payment_status", "total", "currency", "notes", "ref", "created_at",
)  # fmt: skip
REQUIRED = ("club", "court", "start", "player_name", "total")

BY_CONTENT = "content-"
"""What the key of a row that has none of its own begins with."""

_COMMA = re.compile(r"\d+,\d\d?", re.ASCII)

_TIME_ALONE = 12
"""Characters: longer than any time of day, shorter than any date with one."""


def read(
    file: ImportFile, advance: Callable[[int], object]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    The file's rows as `column -> text`, each with where it stands, such as `old.csv:17`; a row of
    more or fewer fields carries them under "".

    Raises:
        InvalidInput: the header lacks a column, or names one twice; the file is no CSV.
    """
    lines = csv_lines(file, advance, delimiters=",;")
    header = [name.strip().lower() for name in next(lines, (1, []))[1]]
    missing = [name for name in REQUIRED if name not in header]
    if not {"minutes", "end"} & set(header):
        missing.append("minutes (or end)")
    if missing:
        raise InvalidInput(
            f"{file.name} is neither a Django dump nor a CSV with padelops' columns:"
            f" the header lacks {', '.join(missing)}.",
            fix="The columns are in: padelops import --help",
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise InvalidInput(f"{file.name}: the header names {', '.join(twice)} twice.")
    for number, line in lines:
        if not any(line):
            continue
        where = f"{file.name}:{number}"
        if len(line) == len(header):
            yield where, dict(zip(header, line, strict=True))
        else:
            yield where, {"": line}


def parse_one(text: str) -> dict[str, Any]:
    """A row that was kept as its JSON text."""
    fields: dict[str, Any] = json.loads(text)
    return fields


def staged(
    fields: dict[str, Any],
    terms: ImportTerms,
    *,
    source: str,
    now: datetime,
    note: Callable[[str], None],
) -> StagedRow:
    """The row to stage; one that cannot go in carries its problem."""
    record = json.dumps(fields, ensure_ascii=True)
    row = StagedRow(
        system=CSV,
        kind="reservation",
        source=source,
        model=CSV,
        scope="",
        ref="",
        club_key=None,
        court_key=None,
        digest=digest_of_text(record),
        context=terms.context(CSV),
        record=record,
    )
    try:
        _require_shape(fields)
        row.club_key, row.court_key = key_of(fields, "club"), key_of(fields, "court")
        row.scope = row.club_key or ""
        zone, currency = terms.of_csv(row.club_key)
        known = [fields.get(name) for name in COLUMNS]
        row.digest = digest_of_text(json.dumps([zone.key, *known]))
        row.ref = key_of(fields, "ref") or f"{BY_CONTENT}{row.digest}"
        _read(row, fields, zone, currency, now=now, note=note)
    except BadRow as exc:
        row.problem, row.detail = exc.reason, exc.detail
        row.ref = row.ref or f"{BY_CONTENT}{row.digest}"
    return row


def _require_shape(fields: dict[str, Any]) -> None:
    if "" in fields:
        raise BadRow("invalid_row", f"the line has {len(fields[''])} fields, unlike the header")


def _read(
    row: StagedRow,
    fields: dict[str, Any],
    zone: ZoneInfo,
    currency: str,
    *,
    now: datetime,
    note: Callable[[str], None],
) -> None:
    if row.club_key is None:
        raise BadRow("unknown_club", "it names no club")
    if row.court_key is None:
        raise BadRow("unknown_court", "it names no court")
    row.external_ref = f"csv:{row.ref}"
    row.currency = text_of(fields, "currency", longest=10)
    row.created_at = moment_of(fields, "created_at", zone)
    starts_at = court_time_of(fields, "start", zone)
    row.player_name = text_of(fields, "player_name", longest=200)
    if row.player_name is None:
        raise BadRow("no_player", "player_name is empty")
    row.player_email = text_of(fields, "player_email", longest=254)
    row.player_phone = text_of(fields, "player_phone", longest=40)
    row.player_count = count_of(fields, "player_count", low=1, high=MOST_PLAYERS)
    old = OldReservation(
        starts_at=starts_at,
        ends_at=_end(fields, starts_at, zone),
        status=word_of(fields, "status") or "confirmed",
        payment=word_of(fields, "payment_status") or "pending",
        total=amount_of({"total": _with_point(fields.get("total"))}, "total"),
        notes=text_of(fields, "notes", longest=LONGEST_NOTES),
    )
    columns, noted = translated(old, currency=currency, now=now)
    for name, value in columns.items():
        setattr(row, name, value)
    for remark in noted:
        note(remark)


def _with_point(text: str | None) -> str | None:
    """Spreadsheets write a comma in half of the world; `1,000` could be either and is refused."""
    return text.replace(",", ".") if text and _COMMA.fullmatch(text.strip()) else text


def _end(fields: dict[str, Any], starts_at: datetime, zone: ZoneInfo) -> datetime:
    minutes = count_of(fields, "minutes", low=1, high=1440)
    by_minutes = None if minutes is None else starts_at + timedelta(minutes=minutes)
    text = (fields.get("end") or "").strip()
    if not text:
        if by_minutes is None:
            raise BadRow("invalid_time", "it has neither minutes nor an end")
        return by_minutes
    if len(text) <= _TIME_ALONE:
        end = clock_of(text)
        wall = datetime.combine(starts_at.astimezone(zone).date(), end.reading)
        if wall + end.beyond <= starts_at.astimezone(zone).replace(tzinfo=None):
            wall += DAY
        ends_at = instant_of(wall, zone) + end.beyond
    else:
        ends_at = court_time_of(fields, "end", zone)
    if ends_at <= starts_at:
        raise BadRow("empty_slot", "it does not end after it starts")
    if by_minutes is not None and abs(by_minutes - ends_at) >= MINUTE:
        raise BadRow("invalid_time", "minutes and end contradict each other")
    return ends_at
