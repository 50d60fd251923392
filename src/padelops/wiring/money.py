"""Card payments put together: the gateway, its breaker, the books, and the worker's chores."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

from padelops.adapters.delivery import delivery_of
from padelops.booking.card_payments import CardPayment
from padelops.booking.counts import forget_old
from padelops.booking.notifications import deliver_due
from padelops.booking.operations import seen_by_nobody
from padelops.booking.payment_records import Books
from padelops.booking.payment_steps import PaymentSteps
from padelops.booking.reminders import schedule_reminders
from padelops.ops.worker import Chore, PaymentChores, Worker
from padelops.wiring.flushing import FLUSH_EVERY
from padelops.wiring.incidents import watch_incidents

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from padelops.booking.gateway import PaymentGateway
    from padelops.ops.worker import Stop
    from padelops.settings import Settings
    from padelops.store.engine import Database
    from padelops.wiring.desk import Desk


def card_payment(
    database: Database,
    gateway: PaymentGateway,
    guard: Callable[[], AbstractContextManager[object]],
    settings: Settings,
    timed: Callable[[str], AbstractContextManager[object]] = seen_by_nobody,
) -> CardPayment:
    """The payment path by card over one gateway, behind its breaker."""
    books = Books(database)
    return CardPayment(
        database=database,
        gateway=gateway,
        guard=guard,
        books=books,
        steps=PaymentSteps(database, gateway, guard, books, timed),
        hold=timedelta(minutes=settings.hold_minutes),
        timed=timed,
    )


def worker_of(desk: Desk) -> Worker:
    """A worker with every chore there is, over a desk's rooms."""
    name = f"worker-{socket.gethostname()}-{os.getpid()}"
    delivery = delivery_of(desk.settings)
    money = PaymentChores(desk.database, desk.card.steps, name)

    def deliver(_: datetime, stop: Stop) -> int:
        done = deliver_due(
            desk.database,
            delivery,
            now=desk.now,
            worker=name,
            stop=stop,
            guard=desk.breakers["notification"].guard,
            timed=desk.counts.timed,
        )
        # What is put off until later or waits for a breaker is no reason for another round at once.
        return done.delivered + done.failed + done.skipped

    def remind(now: datetime, _: Stop) -> int:
        return schedule_reminders(desk.database, now=now).queued

    def seal(_now: datetime, _stop: Stop) -> int:
        desk.seal_audit()
        return 0  # sealing is work without end: each round's own changes are there to be sealed

    def flush(_now: datetime, _stop: Stop) -> int:
        desk.flusher.flush()
        return 0

    def judge(_now: datetime, _stop: Stop) -> int:
        from padelops.wiring.alerts import look_if_due  # noqa: PLC0415 - rules are read late

        look_if_due(desk)
        return 0  # there is always something to look at

    def forget(now: datetime, stop: Stop) -> int:
        while forget_old(desk.bulk, now=now) and not stop():
            pass
        return 0  # what is thrown away is no work that more of could be due

    return Worker(
        name,
        desk.database,
        (
            Chore("incidents", watch_incidents(desk)),
            *money.chores(),
            Chore("reminders", remind, timedelta(minutes=1)),
            Chore("messages", deliver),
            Chore("seals", seal, timedelta(minutes=10)),
            Chore("alerts", judge, timedelta(seconds=30)),
            Chore("counts", flush, FLUSH_EVERY),
            Chore("old_counts", forget, timedelta(hours=1)),
        ),
        desk.now,
        delivery.close,
    )
