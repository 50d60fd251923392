"""How reservations, their prices and their lists read on a terminal."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from padelops.cli.tables import Record, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from padelops.cli.tables import Piece

WHEN = "%a %Y-%m-%d %H:%M"


def when(iso: str) -> str:
    """A JSON time as people say it, in the zone it was given in."""
    return datetime.fromisoformat(iso).strftime(WHEN)


def reservation_record(document: Mapping[str, Any], *, title: str = "") -> Record:
    """One reservation, the facts that a person at the desk needs."""
    starts, ends = document["starts_at"], document["ends_at"]
    facts = {
        "court": document["court"],
        "start": f"{when(starts)} ({document['time_zone']})",
        "end": f"{when(ends)}, {document['minutes']} minutes",
        "status": document["status"],
        "total": f"{document['total']} {document['currency']}",
        "payment": f"{document['payment_status']} ({document['payment_method']})",
        "player": document["player"]["name"],
    }
    for name in ("email", "phone", "count"):
        if document["player"][name] is not None:
            facts[name] = document["player"][name]
    for name in ("member_tier", "notes", "reason", "hold_until"):
        if document[name] is not None:
            facts[name.replace("_", " ")] = document[name]
    if Decimal(document["captured"]):
        facts["paid"] = f"{document['captured']} {document['currency']}"
    if Decimal(document["refund_due"]):
        facts["refund"] = (
            f"{document['refund_due']} {document['currency']}, {document['refunded']} given back"
        )
    if document["fallback"]:
        facts["price"] = "the club's default: its tariff could not be computed; review it"
    return Record(facts, title=title)


def lines_table(lines: Iterable[Mapping[str, Any]], currency: str, total: str) -> Table:
    """The lines of a price, with the total they add up to."""
    rows = [
        [
            line["label"],
            line.get("minutes"),
            line.get("per_hour"),
            "" if line.get("percent") in {None, "0"} else f"{line['percent']}%",
            Decimal(line["amount"]),
        ]
        for line in lines
    ]
    rows.append(["total", None, None, "", Decimal(total)])
    return Table(["line", "min", "per hour", "extra", currency], rows)


def list_table(documents: Iterable[Mapping[str, Any]]) -> Table:
    """Many reservations, one line each."""
    return Table(
        ["id", "court", "start", "min", "status", "total", "player"],
        [
            [
                document["id"],
                document["court"],
                document["starts_at"][:16].replace("T", " "),
                document["minutes"],
                document["status"],
                f"{document['total']} {document['currency']}",
                document["player"]["name"],
            ]
            for document in documents
        ],
        nothing="No reservation matches.",
    )


def day_grid(document: Mapping[str, Any], *, width: int | None) -> Iterator[Piece]:
    """A club's day: a row for each start, a column for each court, the price where it is free."""
    day = datetime.fromisoformat(document["date"])
    yield (
        f"{document['club']}, {day:%A %Y-%m-%d}, {document['minutes']} minutes,"
        f" {document['currency']}, {document['time_zone']} time"
    )
    if not document["certain"]:
        yield f"UNCERTAIN: nothing is shown as free. {document['doubt']}"
        return
    if not document["open"]:
        yield "The club is closed on that day."
        return
    courts = [
        (
            court["court"].partition("/")[2],
            {free["starts_at"]: free["total"] for free in court["free"]},
        )
        for court in document["courts"]
        if court["in_service"]
    ]
    starts = sorted({start for _, free in courts for start in free}, key=datetime.fromisoformat)
    if not starts:
        yield f"Nothing is free for {document['minutes']} minutes."
        return
    if any(free["fallback"] for court in document["courts"] for free in court["free"]):
        yield "DEFAULT PRICES: the tariff's cannot be had now; whoever books now is charged these."
    for some in _that_fit(courts, width):
        yield Table(
            ["start", *(name for name, _ in some)],
            [
                [_clock(start, day), *(_price(free.get(start)) for _, free in some)]
                for start in starts
            ],
        )


def _clock(start: str, day: datetime) -> str:
    moment = datetime.fromisoformat(start)
    return f"{moment:%H:%M}" if moment.date() == day.date() else f"{moment:%H:%M} (+1)"


def _price(total: str | None) -> Decimal | None:
    return None if total is None else Decimal(total)


def _that_fit(
    courts: list[tuple[str, dict[str, str]]], width: int | None
) -> Iterator[list[tuple[str, dict[str, str]]]]:
    """The courts in groups whose columns fit side by side."""
    start_column, gap = 10, 2
    widest = max((len(text) for name, free in courts for text in (name, *free.values())), default=1)
    fit = len(courts) if width is None else max(1, (width - start_column) // (widest + gap))
    for first in range(0, len(courts), fit):
        yield courts[first : first + fit]
