"""Alerts put together: the rules of the configured folder, and what they are judged from."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from padelops.adapters.delivery import delivery_of
from padelops.booking.delivery import Channel
from padelops.errors import DatabaseUnavailable, InvalidInput, LockHeld
from padelops.model import Door
from padelops.ops.alert_files import read_folder
from padelops.ops.alert_notices import Courier, Notices, Sender
from padelops.ops.alerts import (
    EVERY,
    Alerts,
    Board,
    Firing,
    asked,
    board_without_database,
    firing,
)
from padelops.ops.alerts_offline import Offline
from padelops.ops.data_folders import data_folder
from padelops.ops.facts import Facts
from padelops.ops.metrics import Reading
from padelops.ops.metrics import read as read_each
from padelops.settings import Settings
from padelops.wiring.health import connections
from padelops.wiring.metrics import DEADLINE_S, STATEMENT_MS, writable_of
from padelops.wiring.opening import open_desk, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from padelops.ops.alert_files import RuleSet
    from padelops.ops.alert_rules import Rule
    from padelops.ops.indicators import Indicator
    from padelops.wiring.desk import Desk

PATIENCE_S = 10.0
"""How long another evaluator is waited for."""


def rules_in(folder: Path | None) -> RuleSet:
    """The rules of a folder, or padelops' own, with all that is wrong with them."""
    return read_folder(folder, runbooks=runbooks())


@cache
def rules_of(folder: Path | None) -> Mapping[str, Rule]:
    """
    The rules of a folder, or padelops' own; read once.

    Raises:
        InvalidInput: some cannot be used; says which and why.
    """
    return rules_in(folder).require()


def runbooks() -> frozenset[str] | None:
    """The names of the runbooks that there are; None where padelops has none with it."""
    try:
        return frozenset(path.stem for path in data_folder("alerts/runbooks").glob("*.yaml"))
    except InvalidInput:
        return None


def reader(
    settings: Settings, clock: Callable[[], datetime], *, deadline_s: float = DEADLINE_S
) -> Callable[[Iterable[Indicator]], tuple[Reading, ...]]:
    """Reads indicators now, over a new connection, in bounded time."""

    def read(wanted: Iterable[Indicator]) -> tuple[Reading, ...]:
        facts = Facts(
            connections(settings, deadline_s, statement_ms=STATEMENT_MS),
            now=clock(),
            deadline=time.monotonic() + deadline_s,
            writable=writable_of(settings),
        )
        try:
            return read_each(facts, wanted).readings
        finally:
            facts.close()

    return read


def firing_alerts(desk: Desk) -> list[Firing]:
    """The alerts that fire, as of the last look; see `ops.alerts.firing`."""
    return firing(desk.bulk, rules_of(desk.settings.alerts), now=desk.now())


def alerts_of(desk: Desk) -> Alerts:
    """
    The alerts at a desk's database.

    Raises:
        InvalidInput: a rule cannot be used.
    """
    return Alerts(
        rules_of(desk.settings.alerts),
        desk.bulk,
        reader(desk.settings, desk.now),
        Notices(),
        origin=desk.origin,
        clock=desk.now,
    )


def looked(settings: Settings | None = None, *, dry_run: bool = False) -> Board:
    """
    Judge every rule now, keep what changed, and tell whoever must know.

    While the database is away, people are told of that all the same.

    Raises:
        LockHeld: another evaluator takes too long.
    """
    settings = settings or Settings.from_environment()
    rules_of(settings.alerts)
    try:
        with open_desk(settings, door=Door.CLI) as desk:
            return look(desk, dry_run=dry_run)
    except DatabaseUnavailable:
        return look_without_database(settings, utc_now, dry_run=dry_run)


def look(desk: Desk, *, dry_run: bool = False, patience_s: float = PATIENCE_S) -> Board:
    """
    The same over an open desk.

    Raises:
        LockHeld: another evaluator takes longer than `patience_s`. DatabaseUnavailable: nothing
            was judged.
    """
    alerts = alerts_of(desk)
    board = _patiently(lambda: alerts.check(dry_run=dry_run), patience_s)
    if dry_run:
        return board
    with courier_of(desk.settings, desk.now) as courier:
        Sender(desk.bulk, courier).send_due()
        ended = Offline(desk.settings.home, courier).is_over(board)
    return replace(board, resolved=(*board.resolved, *ended))


def look_without_database(
    settings: Settings, clock: Callable[[], datetime], *, dry_run: bool = False
) -> Board:
    """What can be judged while the database is away; people are told of it once by this host."""
    rules = rules_of(settings.alerts)
    readings = reader(settings, clock)(asked(rules))
    board = board_without_database(rules, readings, now=clock())
    if dry_run:
        return replace(board, dry_run=True)
    with courier_of(settings, clock) as courier:
        return replace(board, paged=Offline(settings.home, courier).page(board))


def look_if_due(desk: Desk) -> None:
    """What a worker does every 30 seconds; of many workers one each time."""
    try:
        if not alerts_of(desk).looked_since(desk.now() - EVERY * 0.8):
            look(desk, patience_s=0)
    except LockHeld:
        return
    except DatabaseUnavailable:
        look_without_database(desk.settings, desk.now)


@contextmanager
def courier_of(settings: Settings, clock: Callable[[], datetime]) -> Iterator[Courier]:
    """Hands notices over to the configured ways out."""
    delivery = delivery_of(settings)
    try:
        yield Courier(delivery, addresses_of(settings), clock)
    finally:
        delivery.close()


def addresses_of(settings: Settings) -> dict[Channel, str]:
    """
    Whom alerts reach, by channel.

    Raises:
        InvalidInput: PADELOPS_ON_CALL is not of that form.
    """
    found: dict[Channel, str] = {}
    for item in (settings.on_call or "").split():
        name, equals, address = item.partition("=")
        if not equals or not address or name not in {Channel.EMAIL, Channel.SMS}:
            raise InvalidInput(
                "PADELOPS_ON_CALL is not channel=address.",
                fix="Write email=oncall@your-club.example sms=+34600111222; a pager needs none.",
            )
        found[Channel(name)] = address
    return found


def _patiently(check: Callable[[], Board], patience_s: float) -> Board:
    until = time.monotonic() + patience_s
    while True:
        try:
            return check()
        except LockHeld:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)
