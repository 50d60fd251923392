"""
Health of what is to be done: breakers, workers, messages and payments that wait.

Source: CRITICAL_PATHS.md, "Health Checks", `check_breaker_states`; paths 2 and 7; recovery times of
"Criticality levels".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.errors import CacheUnavailable
from padelops.model import Level
from padelops.ops.health import Answer, Measure
from padelops.ops.health_line import Clock, fact
from padelops.ops.verdict import Verdict, worst
from padelops.store import health

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.store.engine import Tx

QUIET_S, SILENT_S = 120.0, 300.0
"""A worker tells of itself every second or two, and its longest delivery takes 90 s. Level 3
recovers within five minutes."""

WAITS_S, WAITS_TOO_LONG_S = 120.0, 900.0
"""For a message that is due: a worker takes it within seconds."""

DOUBT_S, TOO_LONG_DOUBT_S = 120.0, 900.0
"""For a payment whose outcome is unknown, or a step that is overdue: a worker asks each minute."""


@fact("circuit_breakers")
def circuit_breakers(tx: Tx, clock: Clock) -> Answer:
    """Every breaker is closed. One that guards a level-1 path is critical, any other a warning."""
    del clock
    found = health.breakers(tx)
    count = Measure("breakers_not_closed", len(found))
    if not found:
        return Answer(Verdict.OK, "Every circuit breaker is closed.", measures=(count,))

    from padelops.circuit_breakers.named import BREAKERS  # noqa: PLC0415 - only when there is trouble

    def bad(one: health.OpenBreaker) -> Verdict:
        # Forced closed lets calls pass and protects nothing: it needs a look, and nobody at night.
        guards = BREAKERS.get(one.name)
        stops = one.state != "forced_closed" and guards is not None
        return (
            Verdict.CRITICAL
            if stops and guards is not None and guards.level is Level.ABSOLUTE
            else Verdict.WARNING
        )

    told = "; ".join(
        f"{one.name} is {one.state.replace('_', ' ')} for {_span(one.seconds)}, by {one.actor}:"
        f" {one.reason}"
        for one in found
    )
    return Answer(
        worst(map(bad, found)), f"{told}.", "See: padelops breakers list", measures=(count,)
    )


@fact("worker")
def worker(tx: Tx, clock: Clock) -> Answer:
    """A worker is alive: without one nothing is captured, refunded, expired or sent."""
    found = health.heartbeat(tx, now=clock())
    start = "Start one: padelops worker"
    if found.worker is None or found.seconds is None:
        return Answer(Verdict.WARNING, "No worker was ever heard of.", start)
    age = Measure("worker_heartbeat_age_s", max(found.seconds, 0.0), QUIET_S, SILENT_S)
    measures = (age, Measure("workers", found.workers))
    if age.judged():
        return Answer(
            age.judged(),
            f"No worker has been heard of for {_span(age.value)}; the last was {found.worker}.",
            start,
            measures,
        )
    # Not "at work": one that cron ran with --once has ended by now.
    several = f"{found.workers} worker{'s' * (found.workers != 1)}"
    return Answer(
        Verdict.OK, f"Heard of {several}, the last {age.value:.0f} s ago.", measures=measures
    )


@fact("outbox")
def outbox(tx: Tx, clock: Clock) -> Answer:
    """Messages that are due go out."""
    found = health.outbox(tx, now=clock())
    age = Measure("outbox_oldest_s", found.oldest_s, WAITS_S, WAITS_TOO_LONG_S)
    failed = Measure("messages_failed_1d", found.failed, 1)
    verdict = worst((age.judged(), failed.judged()))
    message = f"Messages due: {found.due}"
    message += f", the oldest for {_span(found.oldest_s)}." if found.due else "."
    fix = ""
    if failed.judged():
        message += f" Given up within a day: {found.failed}."
        fix = "See: padelops notifications list --state failed"
    if age.judged():
        fix = "See: padelops notifications list --state queued; is a worker running?"
    return Answer(verdict, message, fix, (age, Measure("outbox_due", found.due), failed))


@fact("stuck_payments")
def stuck_payments(tx: Tx, clock: Clock) -> Answer:
    """No payment or refund waits for a person, or for longer than it should."""
    found = health.payments(tx, now=clock())
    unknown = Measure("payment_unknown_oldest_s", found.unknown_s, DOUBT_S, TOO_LONG_DOUBT_S)
    overdue = Measure("payment_overdue_oldest_s", found.overdue_s, DOUBT_S, TOO_LONG_DOUBT_S)
    people = Measure("payments_for_a_person", found.queued + found.review + found.refunds_failed, 1)
    waiting = {
        "in doubt": found.unknown,
        "queued": found.queued,
        "in review": found.review,
        "overdue": found.overdue,
        "refunds failed or in doubt": found.refunds_failed,
    }
    told = ", ".join(f"{count} {what}" for what, count in waiting.items() if count)
    verdict = worst(measure.judged() for measure in (unknown, overdue, people))
    return Answer(
        verdict,
        f"Payments: {told}." if told else "No payment waits for anybody.",
        "See: padelops payments list" if verdict else "",
        (unknown, overdue, people),
    )


def cache_answers(look: Callable[[], str]) -> Answer:
    """
    Check `cache`: what is kept can be had again.

    Bookings do without a cache, slower, so one that is away is no more than a warning.

    Args:
        look: keeps something, gets it back, and says where; raises CacheUnavailable.
    """
    try:
        where = look()
    except CacheUnavailable as exc:
        return Answer(Verdict.WARNING, f"{exc.message} Bookings go on without it.", exc.fix or "")
    return Answer(Verdict.OK, f"{where} keeps what it is given.")


def _span(seconds: float) -> str:
    """`45 s`, `3 min`, `5 h`, `2 days`."""
    for unit, name, most in ((1, "s", 120), (60, "min", 7200), (3600, "h", 172_800)):
        if seconds < most:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"
