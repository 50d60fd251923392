"""
The emergency response: an incident, its pages, and what is opened so that nothing is lost.

    from padelops import trigger_emergency_response
    trigger_emergency_response()

With the gateway critical the breaker `payment_processing` is opened, so that payments queue for
manual processing. `reservation_creation` is never opened from here: without a database it opens by
itself, and with one every refused booking is money lost. While the database is away the pages go
out from a file, and the incident is recorded when it is back.

Source: CRITICAL_PATHS.md, "Immediate Response (< 30 seconds)".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from padelops.adapters.on_call_reach import OnCallReach
from padelops.circuit_breakers.record import State
from padelops.errors import (
    DatabaseUnavailable,
    LockHeld,
    OutcomeUnknown,
    PadelopsError,
    Refused,
    Unavailable,
)
from padelops.model import Door
from padelops.ops.emergency_command import ResponseFailed
from padelops.ops.emergency_spool import EmergencySpool, alarm_of, plan_channels
from padelops.ops.escalation import machine_tick
from padelops.ops.roster import read_roster
from padelops.ops.verdict import Verdict
from padelops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padelops.ops.health import HealthReport
    from padelops.ops.paging import Tried
    from padelops.wiring.desk import Desk

KEY = "health"
CONNECT_S = 3
"""To reach the database: what it takes is taken from the 30 seconds."""

QUEUES = {"payment_gateway": "payment_processing"}
"""Which breaker is opened for which critical check."""

IMPACT = {
    "database": "nothing can be booked; availability shows nothing as bookable",
    "write": "nothing can be booked",
    "payment_gateway": "card payments queue for manual processing",
    "outbox": "messages wait for retry",
}


def trigger_emergency_response(
    report: HealthReport | None = None, *, settings: Settings | None = None
) -> str:
    """
    Open an incident, page on-call people, open breakers; safe to call again and again.

    Args:
        report: why; health is asked anew without.

    Returns:
        One line saying what was done.

    Raises:
        ResponseFailed: nobody has been reached; call by hand.
    """
    from padelops.wiring.health import check_health  # noqa: PLC0415

    settings = settings or Settings.from_environment()
    report = report or check_health(settings)
    bad = [finding for finding in report.findings if finding.verdict is Verdict.CRITICAL]
    names = [finding.check for finding in bad] or ["called by hand"]
    title = f"Health is critical: {', '.join(names)}"
    impact = "; ".join(dict.fromkeys(IMPACT[n] for n in names if n in IMPACT)) or "not known yet"
    if not {"database", "write"} & set(names):
        try:
            return _with_database(settings, names, title, impact, bad)
        except (Unavailable, OutcomeUnknown, Refused):
            # Whatever keeps the incident from being stored must not keep the page from going out.
            pass
    return respond_without_database(settings, title, impact)


def page_if_away(
    key: str, *, title: str, impact: str, settings: Settings | None = None
) -> str | None:
    """
    Page without the database where it cannot be reached; None where it can.

    Raises:
        ResponseFailed: nobody has been reached; call by hand.
    """
    from padelops.wiring.databases import open_database  # noqa: PLC0415

    settings = settings or Settings.from_environment()
    try:
        database = open_database(_hurried(settings), budget_ms=None, pool_size=1)
        try:
            database.connect().close()
        finally:
            database.close()
    except DatabaseUnavailable:
        return respond_without_database(settings, title, impact, key=key)
    return None


class Response:
    """
    Implements `ops.health.EmergencyResponse` with `trigger_emergency_response`.

    Attributes:
        again: it may follow each critical report, not only the first: it calls nobody twice, and
            goes on calling who is due while the database is away.
    """

    again = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, report: HealthReport) -> str:
        return trigger_emergency_response(report, settings=self._settings)


def spool_of(settings: Settings) -> EmergencySpool:
    """Where emergencies wait while the database is away."""
    return EmergencySpool(settings.home / "emergency")


def absorb_spool(desk: Desk) -> int:
    """Record what was kept in a file while the database was away; how many incidents."""
    spool = spool_of(desk.settings)
    if spool.read() is None:
        return 0
    try:
        with spool.held():
            spooled = spool.read()
            if spooled is None:
                return 0
            office = desk.incidents
            opened = datetime.fromisoformat(spooled.opened_at)
            number, new = office.open(
                spooled.key, title=spooled.title, impact=spooled.impact, level=spooled.level,
                opened_at=opened, waited_s=spooled.waited_s,
                source=f"spool:{spooled.opened_at}",
                sent=any(rung.sent for rung in spooled.rungs), rungs=len(spooled.rungs),
            )  # fmt: skip
            for position, rung in enumerate(spooled.rungs):
                took = ", ".join(rung.sent) or f"nobody ({'; '.join(rung.problems)})"
                office.record(
                    "response", f"While the database was away: {rung.role} was called at "
                    f"{rung.at[:19].replace('T', ' ')} UTC; reached: {took}.",
                    number=number, source=f"spool:{spooled.opened_at}:{position}",
                )  # fmt: skip
                if rung.sent:
                    office.adopt_page(
                        number, role=rung.role, alarm=alarm_of(spooled, position),
                        channels=plan_channels(spooled), line=spooled.title, sent=rung.sent,
                        at=datetime.fromisoformat(rung.at),
                    )  # fmt: skip
            if spooled.acknowledged_by:
                office.acknowledge(number, who=spooled.acknowledged_by)
            spool.forget()
            return int(new)
    except LockHeld:
        return 0


def release_breakers(desk: Desk, number: int) -> list[str]:
    """Release what the response to an incident opened; a line for each."""
    told = []
    for name in QUEUES.values():
        snapshot = desk.breakers[name].snapshot()
        if snapshot.state is State.FORCED_OPEN and (snapshot.reason or "").startswith(
            f"INC-{number}:"
        ):
            desk.breakers[name].release(actor=desk.origin.actor, reason=f"INC-{number}: resolved")
            told.append(f"The breaker {name} is released: it sends probes first.")
    return told


def _hurried(settings: Settings) -> Settings:
    timeout_s = min(settings.connect_timeout_s, CONNECT_S)
    return settings.model_copy(update={"connect_timeout_s": timeout_s})


def _with_database(
    settings: Settings, names: Sequence[str], title: str, impact: str, bad: Sequence[Any]
) -> str:
    from padelops.wiring.incidents import open_incident  # noqa: PLC0415
    from padelops.wiring.opening import open_desk  # noqa: PLC0415

    with open_desk(_hurried(settings), door=Door.CLI) as desk:
        number, new, tried = open_incident(desk, KEY, title=title, impact=impact)
        done = [f"INC-{number} is {'open' if new else 'open already'}", _told(tried)]
        for finding in bad:
            desk.incidents.record(
                "response", f"Health check {finding.check}: {finding.answer.message}",
                number=number, source=f"health:{number}:{finding.check}",
            )  # fmt: skip
        for check, breaker in QUEUES.items():
            if check in names:
                done.append(_open_breaker(desk, breaker, number, check))
        unreached = desk.incidents.story(number).unreached
    if unreached:
        raise ResponseFailed(
            f"{'; '.join(filter(None, done))}. Nobody has been reached: call by hand."
        )
    return f"Responded: {'; '.join(filter(None, done))}."


def _open_breaker(desk: Desk, name: str, number: int, check: str) -> str:
    breaker = desk.breakers[name]
    if breaker.snapshot().state in {State.FORCED_OPEN, State.FORCED_CLOSED}:
        return f"{name} is held by a person"
    try:
        breaker.force_open(actor=desk.origin.actor, reason=f"INC-{number}: {check} is critical")
    except PadelopsError as exc:
        return f"{name} could not be opened ({exc.message})"
    desk.incidents.record(
        "response", f"Breaker {name} opened: what comes in is queued.",
        number=number, source=f"breaker:{number}:{name}",
    )  # fmt: skip
    return f"{name} is open: payments queue until the incident is resolved"


def respond_without_database(settings: Settings, title: str, impact: str, *, key: str = KEY) -> str:
    """
    Page from a file, which the database gets when it is back; safe to call again and again.

    Raises:
        ResponseFailed: nobody has been reached; call by hand.
    """
    try:
        tried = spool_of(settings).respond(
            key,
            title=title,
            impact=impact,
            roster=lambda: read_roster(settings.roster),
            reach=OnCallReach(settings),
            tick=machine_tick(),
            now=datetime.now(UTC),
        )
    except LockHeld as exc:
        return f"Responded: {exc.message}"
    if any(not each.reached for each in tried):
        raise ResponseFailed(f"{_told(tried)}. Call by hand.")
    return f"Responded without the database: {_told(tried) or 'paged already'}; kept for later."


def _told(tried: Sequence[Tried]) -> str:
    return "; ".join(
        f"{each.role} reached by {', '.join(each.sent)}"
        if each.reached
        else f"{each.role} NOT reached ({'; '.join(each.problems)})"
        for each in tried
    )
