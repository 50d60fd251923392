"""Alerts put together: the rules of the configured folder, and what they are judged from."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from padelops.errors import InvalidInput
from padelops.ops.alert_files import read_folder
from padelops.ops.alert_notices import Notices
from padelops.ops.data_folders import data_folder
from padelops.ops.facts import Facts
from padelops.ops.metrics import Reading
from padelops.ops.metrics import read as read_each
from padelops.wiring.health import connections
from padelops.wiring.metrics import DEADLINE_S, STATEMENT_MS, writable_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from padelops.ops.alert_files import RuleSet
    from padelops.ops.alert_rules import Rule
    from padelops.ops.alerts import Alerts, Firing
    from padelops.ops.indicators import Indicator
    from padelops.settings import Settings
    from padelops.wiring.desk import Desk


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
    from padelops.ops.alerts import firing  # noqa: PLC0415 - not before somebody asks

    return firing(desk.bulk, rules_of(desk.settings.alerts), now=desk.now())


def alerts_of(desk: Desk) -> Alerts:
    """
    The alerts at a desk's database.

    Raises:
        InvalidInput: a rule cannot be used.
    """
    from padelops.ops.alerts import Alerts  # noqa: PLC0415 - not before somebody asks

    return Alerts(
        rules_of(desk.settings.alerts),
        desk.bulk,
        reader(desk.settings, desk.now),
        Notices(),
        origin=desk.origin,
        clock=desk.now,
    )
