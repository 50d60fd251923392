"""Incidents put together: the people on call, the ways to them, the worker's chore."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from padelops.adapters.on_call_reach import OnCallReach
from padelops.errors import Unavailable
from padelops.ops.escalation import machine_tick
from padelops.ops.failover_record import FailoverState
from padelops.ops.incidents import BEFORE, Incidents
from padelops.ops.paging import Paging
from padelops.ops.roster import read_roster
from padelops.wiring.emergency import absorb_spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.ops.escalation import Tick
    from padelops.ops.paging import Tried
    from padelops.ops.worker import Stop
    from padelops.wiring.desk import Desk


log = logging.getLogger(__name__)


def incidents_of(desk: Desk, tick: Callable[[], Tick] = machine_tick) -> Incidents:
    """The incidents at a desk's database."""
    return Incidents(
        desk.bulk, desk.origin, desk.now, lambda: read_roster(desk.settings.roster), tick
    )


def paging_of(desk: Desk) -> Paging:
    """Sends pages; for one thread."""
    return Paging(
        desk.bulk,
        lambda: read_roster(desk.settings.roster),
        OnCallReach(desk.settings),
        desk.origin,
        desk.now,
    )


def open_incident(
    desk: Desk, key: str, *, title: str, level: int = 1, impact: str = "not known yet",
    eta: str = "unknown", channels: tuple[str, ...] = (), source: str | None = None,
) -> tuple[int, bool, tuple[Tried, ...]]:  # fmt: skip
    """
    Open an incident under a key, or find the open one, and send its pages at once.

    Returns:
        Its number, whether it is new, and what came of the pages.
    """
    number, new = incidents_of(desk).open(
        key, title=title, level=level, impact=impact, eta=eta, channels=channels, source=source
    )
    return number, new, paging_of(desk).send_due(incident_id=number)


def tell_failover(desk: Desk) -> None:
    """Take the steps of this machine's last failover into the timelines that were open then."""
    state = FailoverState(desk.settings.failover_state or desk.settings.home / "failover")
    try:
        record = state.read()
    except Unavailable as exc:
        log.warning("failover: %s", exc)
        return
    if record is None:
        return
    began = datetime.fromisoformat(record.started_at)
    done = [
        (f"{record.kind} {record.cluster}: {step.name} {step.outcome}. {step.told}", step)
        for step in record.steps
        if step.outcome != "running"
    ]
    for row in desk.incidents.listing(limit=100):
        if began < row.opened_at - BEFORE:
            continue
        for told, step in done:
            desk.incidents.record(
                "failover",
                told,
                number=row.id,
                source=f"failover:{record.id}:{step.name}:{step.outcome}"[:300],
                at=began + timedelta(seconds=step.at_s),
            )


def watch_incidents(desk: Desk) -> Callable[[datetime, Stop], int]:
    """The worker's chore: open for alerts, call the next rung, send pages, collect the timeline."""
    office, paging = incidents_of(desk), paging_of(desk)

    def watch(_: datetime, stop: Stop) -> int:
        absorb_spool(desk)
        office.open_for_alerts()
        called = office.climb_due(stop)
        sent = paging.send_due(stop)
        tell_failover(desk)
        office.collect(stop)
        return called + sum(tried.over for tried in sent)

    return watch
