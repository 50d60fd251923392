"""Files as the old system writes them: one club in Mexico City with two courts, and its rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from padelops.ops.import_report import ImportReport

CLUB, COURT_1, COURT_2 = "club-key", "court-key-1", "court-key-2"
SLUG = "padel-norte"
ORDER = "2024-01-15T10:00:00Z"


def club(pk: str = CLUB, **changes: Any) -> dict[str, Any]:
    fields = {
        "name": "Pádel Norte",
        "slug": SLUG,
        "is_active": True,
        "opening_time": "07:00:00",
        "closing_time": "23:00:00",
        "days_open": [0, 1, 2, 3, 4, 5],
        "settings": {"advance_booking_days": 7},
    }
    return {"model": "clubs.club", "pk": pk, "fields": fields | changes}


def court(pk: str = COURT_1, number: int = 1, **changes: Any) -> dict[str, Any]:
    fields = {
        "club": CLUB,
        "name": f"Cancha {number}",
        "number": number,
        "is_active": True,
        "is_maintenance": False,
        "price_per_hour": "300.00",
    }
    return {"model": "clubs.court", "pk": pk, "fields": fields | changes}


def schedule(pk: str, weekday: int, **changes: Any) -> dict[str, Any]:
    fields = {
        "club": CLUB,
        "weekday": weekday,
        "opening_time": "08:00:00",
        "closing_time": "22:00:00",
        "is_closed": False,
        "is_active": True,
    }
    return {"model": "clubs.schedule", "pk": pk, "fields": fields | changes}


def reservation(
    pk: Any, start: str = "10:00", end: str = "11:00", **changes: Any
) -> dict[str, Any]:
    """On court 1, on a Monday in the tests' future; changes replace fields."""
    fields = {
        "club": CLUB,
        "court": COURT_1,
        "date": "2027-02-01",
        "start_time": f"{start}:00",
        "end_time": f"{end}:00",
        "player_name": "Ana Ruiz",
        "player_email": "ana@example.com",
        "player_phone": "+52 55 1234 5678",
        "player_count": 4,
        "status": "confirmed",
        "payment_status": "pending",
        "price_per_hour": "300.00",
        "total_price": "300.00",
        "notes": "",
        "created_at": ORDER,
        "updated_at": ORDER,
        "is_active": True,
    }
    return {"model": "reservations.reservation", "pk": pk, "fields": fields | changes}


def block(pk: str, start: str, end: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "club": CLUB,
        "court": COURT_1,
        "start_datetime": start,
        "end_datetime": end,
        "reason": "torneo",
        "created_at": ORDER,
        "is_active": True,
    }
    return {"model": "reservations.blockedslot", "pk": pk, "fields": fields | changes}


def place() -> list[dict[str, Any]]:
    """The club and its two courts."""
    return [club(), court(), court(COURT_2, 2)]


def written(folder: Path, *rows: dict[str, Any], name: str = "dump.json") -> Path:
    """A dump file of these rows."""
    file = folder / name
    file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return file


def mixture() -> list[dict[str, Any]]:
    rows = [
        reservation(f"r{n:03d}", f"{7 + n % 14:02d}:00", f"{8 + n % 14:02d}:{n % 2 * 30:02d}",
                    date=f"2027-02-{1 + n // 14:02d}", court=(COURT_1, COURT_2)[n // 7 % 2],
                    payment_status=("paid", "pending", "refunded")[n % 3],
                    status=("confirmed", "pending", "confirmed", "cancelled")[n % 4],
                    created_at=f"2024-01-{1 + n % 28:02d}T00:00:00Z")
        for n in range(60)
    ]  # fmt: skip
    blocks = [block("b", "2027-02-04T00:00:00", "2027-02-06T12:00:00", court=None)]
    return [*rows, *blocks, reservation("lost", court="nowhere")]


def numbers(report: ImportReport) -> dict[str, int]:
    told = report.as_json()
    names = ("imported", "already_there", "differs", "quarantined", "skipped")
    return {name: told[name] for name in names if told[name]}


def stored(psql: Any, ref: str) -> dict[str, Any]:
    cursor = psql.execute("SELECT * FROM claims WHERE external_ref = %s", [ref])
    rows = cursor.fetchall()
    assert 1 == len(rows), ref
    return dict(zip([column.name for column in cursor.description], rows[0], strict=True))


def everything(psql: Any) -> list[Any]:
    """What an import leaves behind, without what only says when and in which order."""
    found: list[Any] = psql.execute(
        "SELECT external_ref, kind, status, starts_at, ends_at, total, captured, refunded, version"
        "  FROM claims WHERE external_ref IS NOT NULL ORDER BY 1"
    ).fetchall()
    found += psql.execute(
        "SELECT model, external_ref, reason, resolved_at IS NULL FROM quarantine ORDER BY 1, 2"
    ).fetchall()
    return found
