"""
How fast an import is: rows per second for a dump of 100,000 rows, on a PostgreSQL of its own.

    python load_tests/bench_import.py [ROWS]

All triggers are on, and the server is as durable as in production. Two thirds of the rows are paid,
so that there are payment events; one in fifty overlaps another one and ends in quarantine. The
second run brings the same file again; the third is a dry run of it. CPU seconds are the importer's
and the server's: on a machine that is busy with other work they tell more than the wall's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.ops.importing import Importer
from padelops.settings import Settings
from padelops.wiring import open_desk, upgrade_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.ops.import_run import Watch

ROWS = 100_000
CLUBS, COURTS = 5, 6
SLOTS_A_DAY = 10
NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
NAMES = ("Ana Ruiz", "Juan Pérez", "María García", "Luis Gómez", "Eva Gil")


def dump(rows: int) -> Iterator[dict[str, Any]]:
    """A dump as Django writes it, with the fields that the real backend has."""
    for club in range(CLUBS):
        yield {
            "model": "clubs.club",
            "pk": f"club-{club}",
            "fields": {
                "name": f"Club {club}",
                "slug": f"club-{club}",
                "opening_time": "07:00:00",
                "closing_time": "23:00:00",
                "days_open": [0, 1, 2, 3, 4, 5, 6],
                "settings": {"advance_booking_days": 14},
            },
        }
        for court in range(COURTS):
            yield {
                "model": "clubs.court",
                "pk": f"court-{club}-{court}",
                "fields": {
                    "club": f"club-{club}",
                    "name": f"Cancha {court + 1}",
                    "number": court + 1,
                    "surface_type": "glass",
                    "price_per_hour": "300.00",
                },
            }
    for number in range(rows):
        yield {
            "model": "reservations.reservation",
            "pk": f"00000000-0000-4000-8000-{number:012d}",
            "fields": reservation(number),
        }


def reservation(number: int) -> dict[str, Any]:
    place, slot = number % (CLUBS * COURTS), number // (CLUBS * COURTS)
    club, court = place % CLUBS, place // CLUBS
    day = date(2024, 1, 1) + timedelta(days=slot // SLOTS_A_DAY)
    hour = 7 + slot % SLOTS_A_DAY * 3 // 2
    late = number % 50 == 49
    return {
        "created_at": f"2024-01-01T00:00:00.{number % 1_000_000:06d}Z",
        "updated_at": "2024-01-16T14:00:00Z",
        "is_active": True,
        "organization": "bf9644de-50a0-4ceb-b31c-f0fd423547b0",
        "club": f"club-{club}",
        "court": f"court-{club}-{court}",
        "created_by": 1,
        "date": day.isoformat(),
        "start_time": f"{hour:02d}:00:00",
        "end_time": f"{hour + (2 if late else 1):02d}:{30 if late else 0:02d}:00",
        "duration_minutes": 60,
        "player_name": NAMES[number % len(NAMES)],
        "player_email": f"player{number % 5000}@example.com",
        "player_phone": "+52 55 1234 5678",
        "player_count": 4,
        "status": "confirmed" if number % 10 else "cancelled",
        "payment_status": "paid" if number % 3 else "pending",
        "price_per_hour": "300.00",
        "total_price": "300.00",
        "payment_method": "cash",
        "notes": "Reserva para juego amistoso",
    }


def stopwatch(seconds: dict[str, float]) -> Watch:
    """Notes how long each step took."""

    @contextmanager
    def timed(title: str, total: int) -> Iterator[Callable[[int], object]]:
        del total
        started = time.perf_counter()
        yield lambda _: None
        seconds[title] = time.perf_counter() - started

    return timed


def cpu_seconds(postmaster: int) -> float:
    """What the server has used, with its processes that have ended; 0 where there is no /proc."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, _, rest = file.read_text().partition(" ")
            facts = rest.rpartition(") ")[2].split()
            if postmaster in (int(pid), int(facts[1])):
                ticks += sum(map(int, facts[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    # So that `timeout` leaves no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    # Short enough for the server's socket.
    home = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    home.chmod(0o755)
    server = EmbeddedPostgres(home / "pg")
    try:
        file = home / "dump.json"
        file.write_text(json.dumps(list(dump(rows)), indent=1))
        settings = Settings(
            database_url=SecretStr(server.ensure_running()), home=home / "pg", actor="bench"
        )
        upgrade_schema(settings)
        pid = int((home / "pg" / "data" / "postmaster.pid").read_text().split()[0])
        print(f"{rows} rows, {file.stat().st_size / 1e6:.0f} MB")
        with open_desk(settings, clock=lambda: NOW) as desk:
            importer = Importer(desk.bulk, origin=desk.origin, clock=desk.now)
            for title, dry in (("first", False), ("again", False), ("dry run", True)):
                seconds: dict[str, float] = {}
                started, used, served = time.perf_counter(), time.process_time(), cpu_seconds(pid)
                report = importer.run([file], dry_run=dry, watch=stopwatch(seconds))
                took = time.perf_counter() - started
                served = cpu_seconds(pid) - served
                used = time.process_time() - used
                steps = ", ".join(f"{name.lower()} {s:.1f} s" for name, s in seconds.items())
                print(
                    f"{title:8s} {took:5.1f} s  {report.rows_read.total() / took:7.0f} rows/s,"
                    f" CPU {used:.1f} + {served:.1f} s, "
                    f" imported {report.total('imported')}, there {report.total('already_there')},"
                    f" quarantined {report.total('quarantined')}  ({steps})",
                    flush=True,
                )
    finally:
        server.stop("immediate")
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
