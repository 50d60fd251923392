"""
How fast messages leave the outbox, and whether each one leaves once.

    python load_tests/bench_notifications.py [--messages 10000] [--workers 2] [--ways spool,smtp]

Starts its own durable PostgreSQL, queues confirmations by confirming reservations, and lets worker
processes drain them side by side: into nothing (`outbox`: what claiming and settling cost), into
files that survive a power cut (`spool`), and to a real mail server in a process of its own
(`smtp`). Every send is counted where it arrives; a duplicate, or a message that is left over, is an
exit with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import booking_stage
from aiosmtpd.smtp import SMTP

from padelops.adapters.smtp import MailServer, SmtpDelivery
from padelops.adapters.spool import SpoolDelivery
from padelops.booking.delivery import Channel, Envelope
from padelops.booking.notifications import deliver_due
from padelops.store.engine import Database

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from padelops.adapters.delivery import WayOut

SENDER = "club@example.org"
LIMIT_S = 300
"""A way that takes longer has failed: 33 messages a second."""

QUEUE = """
    INSERT INTO claims (club_id, court_id, kind, status, starts_at, ends_at, free_at,
                        player_name, player_email, currency, total, lines, price_source,
                        payment_method, payment_status)
    SELECT club_id, id, 'reservation', 'confirmed', slot.at, slot.at + interval '1 hour',
           slot.at + interval '1 hour',
           'Ana Ruiz', 'player-' || id || '-' || slot.n || '@example.com', 'EUR', 24,
           '[{"kind": "time", "label": "base", "amount": "24.00"}]', 'tariff', 'desk', 'due'
      FROM courts
     CROSS JOIN LATERAL (
        SELECT n, (%s::timestamptz + n * interval '1 hour') AS at FROM generate_series(0, 999) AS n
     ) AS slot
     ORDER BY slot.n, courts.id
     LIMIT %s
"""


class Counted:
    """A way out that writes down each key it is given, before it passes the message on."""

    channels = frozenset({Channel.EMAIL})

    def __init__(self, way: WayOut | None, trace: Path) -> None:
        self._way = way
        self._trace = trace.open("a", encoding="utf-8", buffering=1)

    def deliver(self, envelope: Envelope) -> str:
        self._trace.write(f"{envelope.key}\n")
        return "" if self._way is None else self._way.deliver(envelope)

    def close(self) -> None:
        self._trace.close()
        if self._way is not None:
            self._way.close()


def drain(url: str, way: str, folder: str, port: int, ready: Any, left: Any) -> None:
    """One worker process: everything that is due, and then the end."""
    ways: dict[str, WayOut | None] = {
        "outbox": None,
        "spool": SpoolDelivery(Path(folder, "spool"), sender=SENDER),
        "smtp": SmtpDelivery(MailServer("127.0.0.1", port), sender=SENDER),
    }
    delivery = Counted(ways[way], Path(folder, f"{way}-{os.getpid()}.trace"))
    database = Database(url, budget_ms=None, pool_size=1)
    with database.reading():
        ready.wait()
    try:
        while deliver_due(
            database, delivery, now=lambda: datetime.now(UTC), worker=str(os.getpid())
        ).taken:
            pass
        left.wait()
    finally:
        delivery.close()
        database.close()


def serve_mail(pipe: Connection) -> None:
    """A mail server that counts what it takes; tells its port, then on request the ids."""
    ids: list[str] = []

    class Sink:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            del server, session
            head, _, _ = envelope.content.partition(b"\r\n\r\n")
            ids.extend(
                line.decode() for line in head.split(b"\r\n") if line.startswith(b"Message-ID:")
            )
            return "250 OK"

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(Sink(), hostname="bench", loop=loop), "127.0.0.1", 0
        )
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)
        pipe.send((len(ids), len(set(ids))))
        server.close()

    asyncio.run(serve())


def measure(stage: booking_stage.Stage, url: str, way: str, *, messages: int, workers: int) -> bool:
    """Queue, drain, and print one line; whether each message left exactly once."""
    context = multiprocessing.get_context("spawn")
    first = stage.ask("SELECT coalesce(max(ends_at), %s) FROM claims", booking_stage.FIRST_START)[0]
    queued = stage.do(QUEUE, first, messages)
    with tempfile.TemporaryDirectory() as folder:
        here, there = context.Pipe()
        mail = context.Process(target=serve_mail, args=(there,), daemon=True)
        mail.start()
        port = here.recv()
        ready, left = context.Barrier(workers + 1), context.Barrier(workers + 1)
        crew = [
            context.Process(target=drain, args=(url, way, folder, port, ready, left), daemon=True)
            for _ in range(workers)
        ]
        for process in crew:
            process.start()
        ready.wait(60)
        started = time.perf_counter()
        left.wait(LIMIT_S)
        seconds = time.perf_counter() - started
        for process in crew:
            process.join(60)
        here.send("done")
        taken, distinct = here.recv()
        mail.join(10)
        keys = [line for path in Path(folder).glob("*.trace") for line in path.read_text().split()]
        files = sum(1 for _ in Path(folder).rglob("*.eml"))
    left_over = stage.ask("SELECT count(*) FROM messages WHERE state <> 'delivered'")[0]
    duplicates = len(keys) - len(set(keys)) + taken - distinct
    arrived = {"outbox": len(set(keys)), "spool": files, "smtp": distinct}[way]
    rate = queued / seconds
    print(
        f"{way:8}{queued:8} messages {workers} workers{seconds:8.1f} s{rate:8.0f} messages/s"
        f"  arrived={arrived} duplicates={duplicates} left_over={left_over}",
        flush=True,
    )
    return (arrived, duplicates, left_over) == (queued, 0, 0)


def main() -> int:
    """Parse, measure every way, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ways", default="outbox,spool,smtp")
    options = parser.parse_args()
    with booking_stage.raised() as stage:
        club = booking_stage.club_file()
        stage.database("padelops", [club]).close()
        good = [
            measure(stage, stage.url, way, messages=options.messages, workers=options.workers)
            for way in options.ways.split(",")
        ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
