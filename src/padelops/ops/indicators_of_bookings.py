"""Indicators of what is stored: reservations, money, messages, the trail, what players say."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from padelops.booking.delivery_report import LATE_AFTER
from padelops.booking.message_kinds import KINDS
from padelops.ops.indicators import Rhythm, Sample, Unit, indicator
from padelops.store import health, messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from padelops.ops.facts import Facts
    from padelops.store.engine import Tx
    from padelops.store.health import OpenPayments, Outbox
    from padelops.store.messages import Rates

DAY = timedelta(days=1)
DAY_S = 86_400
MONTH_S = 30 * DAY_S


def asked(statement: str) -> Callable[[Facts], Iterable[Sample]]:
    """Reads a statement of store/sql/indicators.sql; where it yields no row, nothing is known."""
    return lambda facts: facts.samples(statement) or [Sample(None)]


# --- primary ----------------------------------------------------------------------------------

indicator(
    "padel_active_reservations",
    "Active reservations",
    help="Reservations that keep a court now or later: confirmed, or held and not run out.",
    rhythm=Rhythm.PRIMARY,
    source="sql:active_reservations",
    labels=("status",),
    aliases=("active_reservations",),
    path="creation",
)(asked("active_reservations"))

indicator(
    "padel_double_bookings",
    "Double booking incidents",
    help=(
        "Live reservations and blocks that overlap an earlier one on their court: within two days,"
        " and whenever once the constraint against it is gone."
    ),
    rhythm=Rhythm.PRIMARY,
    source="sql:double_bookings",
    aliases=("booking_conflicts", "double_booking_incidents"),
    path="double_booking",
)(asked("double_bookings"))

indicator(
    "padel_overlap_guard",
    "Overlap constraint in force",
    help="1 while the exclusion constraint that makes double bookings impossible stands.",
    rhythm=Rhythm.PRIMARY,
    source="sql:overlap_guard",
    path="double_booking",
    words={0: "missing", 1: "in force"},
)(asked("overlap_guard"))


# --- secondary: money -------------------------------------------------------------------------


def payments_of(facts: Facts) -> OpenPayments:
    return facts.ask(lambda tx: health.payments(tx, now=facts.now), once="payments")


@indicator(
    "padel_payments_in_doubt",
    "Payments in doubt",
    help="Card payments of which nobody knows yet whether they were charged.",
    rhythm=Rhythm.SECONDARY,
    source="sql:payments",
    path="payments",
)
def payments_in_doubt(facts: Facts) -> Iterator[Sample]:
    yield Sample(payments_of(facts).unknown)


@indicator(
    "padel_payments_in_doubt_age_seconds",
    "Oldest payment in doubt",
    help="How long the oldest payment has been in doubt; 0 without one.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.SECONDARY,
    source="sql:payments",
    path="payments",
)
def payments_in_doubt_age(facts: Facts) -> Iterator[Sample]:
    yield Sample(max(payments_of(facts).unknown_s, 0.0))


@indicator(
    "padel_payments_waiting",
    "Payments waiting",
    help="Payments that wait: queued or in review for a person, overdue for the worker.",
    rhythm=Rhythm.SECONDARY,
    source="sql:payments",
    labels=("reason",),
    path="payments",
)
def payments_waiting(facts: Facts) -> Iterator[Sample]:
    found = payments_of(facts)
    for reason in ("queued", "review", "overdue"):
        yield Sample(getattr(found, reason), {"reason": reason})


@indicator(
    "padel_refunds_failed",
    "Refunds failed or in doubt",
    help="Refunds that failed or are in doubt: money that a customer waits for.",
    rhythm=Rhythm.SECONDARY,
    source="sql:payments",
    path="payments",
)
def refunds_failed(facts: Facts) -> Iterator[Sample]:
    yield Sample(payments_of(facts).refunds_failed)


indicator(
    "padel_stale_holds",
    "Stale holds",
    help="Holds that outlived their deadline by five minutes without a payment in doubt.",
    rhythm=Rhythm.SECONDARY,
    source="sql:stale_holds",
    path="payments",
)(asked("stale_holds"))


# --- secondary: messages ----------------------------------------------------------------------


def outbox_of(facts: Facts) -> Outbox:
    return facts.ask(lambda tx: health.outbox(tx, now=facts.now), once="outbox")


@indicator(
    "padel_outbox_messages",
    "Messages due",
    help="Messages that are due and not sent, up to ten thousand of each queue.",
    rhythm=Rhythm.SECONDARY,
    source="sql:outbox",
    path="notifications",
)
def outbox_messages(facts: Facts) -> Iterator[Sample]:
    yield Sample(outbox_of(facts).due)


@indicator(
    "padel_outbox_age_seconds",
    "Oldest message due",
    help="How long the oldest message has been due; 0 when none is.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.SECONDARY,
    source="sql:outbox",
    path="notifications",
)
def outbox_age(facts: Facts) -> Iterator[Sample]:
    yield Sample(outbox_of(facts).oldest_s)


@indicator(
    "padel_delivery_ratio",
    "Delivery rate",
    help="Share of a day's messages that arrived, of those that should have arrived by now.",
    unit=Unit.RATIO,
    rhythm=Rhythm.SECONDARY,
    source="sql:rates",
    window_s=DAY_S,
    labels=("kind",),
    aliases=("delivery_rate",),
    path="notifications",
)
def delivery_ratio(facts: Facts) -> Iterator[Sample]:
    def question(tx: Tx) -> list[Rates]:
        return messages.rates(
            tx, since=facts.now - DAY, until=facts.now, late_before=facts.now - LATE_AFTER
        )

    found = {rates.kind: rates for rates in facts.ask(question, once="rates")}
    for kind in KINDS:
        rates = found.get(kind)
        due = rates and rates.delivered + rates.failed + rates.late
        yield Sample(rates.delivered / due if rates and due else None, {"kind": kind})


# --- secondary: the trail, imports, what players say -----------------------------------------

indicator(
    "padel_audit_unsealed_entries",
    "Audit entries unsealed",
    help="Audit entries that no seal covers yet.",
    rhythm=Rhythm.SECONDARY,
    source="sql:audit_unsealed",
    path="audit",
)(asked("audit_unsealed"))

indicator(
    "padel_audit_seal_age_seconds",
    "Last audit seal",
    help="Time since the audit trail was sealed last; unknown before the first seal.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.SECONDARY,
    source="sql:audit_seal_age",
    path="audit",
)(asked("audit_seal_age"))

indicator(
    "padel_quarantined_rows",
    "Rows in quarantine",
    help="Imported rows that would break an invariant and wait for a decision.",
    rhythm=Rhythm.SECONDARY,
    source="sql:quarantined",
)(asked("quarantined"))

indicator(
    "padel_survey_score",
    "Survey score",
    help="Average of what players answered, 1 to 5; unknown without an answer.",
    rhythm=Rhythm.SECONDARY,
    source="sql:survey_score",
    window_s=MONTH_S,
    aliases=("survey_score",),
)(asked("survey_score"))

indicator(
    "padel_survey_answers",
    "Survey answers",
    help="How many players answered.",
    rhythm=Rhythm.SECONDARY,
    source="sql:survey_answers",
    window_s=MONTH_S,
)(asked("survey_answers"))
