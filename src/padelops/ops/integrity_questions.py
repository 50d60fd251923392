"""
How the checks are asked: which statement or computation answers which of them.

One reading of a large table answers as many checks as it can. What belongs to clubs is asked club
by club where there are too many rows at once; the rest is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from pydantic import ValidationError

from padelops.booking import audit
from padelops.booking.pricing import UNCOMPUTABLE, price_problem
from padelops.booking.tariff import Tariff
from padelops.booking.terms import explain
from padelops.model import Slot
from padelops.store import integrity as tables
from padelops.store import schema_shape
from padelops.store.integrity import Violation

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

CachedDays: TypeAlias = "Callable[[datetime], Iterator[tuple[str, str]]]"
"""The keys of kept days that are not what the tables say, and what is wrong with each."""

Answers: TypeAlias = Iterator[tuple[str, Violation]]
"""The check that is broken, and by what."""


class Scope(Enum):
    """How often a question is asked."""

    CLUBS = "of some clubs at a time"
    CHOSEN = "once, of all clubs that were chosen"
    DATABASE = "once, and only when the whole database is looked at"


@dataclass(frozen=True, slots=True)
class Look:
    """
    One look at one moment.

    Attributes:
        clubs: their ids; None for everything.
        sample: prices to compute again; None for all of them.
    """

    tx: Tx
    now: datetime
    clubs: tuple[int, ...] | None
    sample: int | None
    seed: int
    standby: bool
    cached_days: CachedDays | None


@dataclass(frozen=True, slots=True)
class Question:
    """
    A named question.

    Attributes:
        checks: what it answers.
        statements: the SQL that it asks, for people; empty where it asks no SQL.
        skipped: why it cannot be asked here, or None.
    """

    name: str
    scope: Scope
    checks: tuple[str, ...]
    ask: Callable[[Look], Answers]
    statements: tuple[str, ...] = ()
    skipped: Callable[[Look], str | None] = lambda _: None


def _by_sql(statement: str, look: Look) -> Answers:
    return tables.violations(look.tx, statement, now=look.now, clubs=look.clubs)


def _sql(statement: str, *checks: str, scope: Scope = Scope.CLUBS) -> Question:
    return Question(statement, scope, checks, partial(_by_sql, statement), (statement,))


def _drifted(part: str, check: str, look: Look) -> Answers:
    found = schema_shape.shape_of(look.tx, (part,))
    for one in schema_shape.drift(found, part):
        evidence = {"problem": one.problem, "expected": one.expected, "found": one.found}
        yield check, Violation(f"{one.kind} {one.name}", evidence)


def _drift(part: str, check: str) -> Question:
    ask = partial(_drifted, part, check)
    return Question(f"drift_of_{part}", Scope.DATABASE, (check,), ask, (part,))


def _recomputed(look: Look) -> Answers:
    """Prices that the tariff frozen on the reservation does not give."""
    # Read beforehand: the same connection cannot be asked while it streams.
    tariffs = {tariff_id: _tariff(tariff_id, terms) for tariff_id, terms in tables.tariffs(look.tx)}
    for row in tables.priced_reservations(
        look.tx, clubs=look.clubs, sample=look.sample, seed=look.seed
    ):
        problem = _price_problem(row, tariffs)
        if problem:
            evidence = {"id": row.id, "total": str(row.total), "problem": problem}
            yield "price_recomputed", Violation(f"reservation {row.id}", evidence)


def _price_problem(row: tables.PricedReservation, tariffs: dict[int, Tariff | str]) -> str | None:
    if row.tariff_id is None:
        return "it was priced by a tariff, but does not say by which"
    tariff = tariffs.get(row.tariff_id, f"its tariff {row.tariff_id} is missing")
    if isinstance(tariff, str):
        return tariff
    if row.court is None:
        return "its court is missing"
    try:
        slot = Slot(row.starts_at, row.ends_at)
        return price_problem(
            tariff, row.court, slot, member_tier=row.member_tier, total=row.total, lines=row.lines
        )
    except UNCOMPUTABLE as exc:
        return f"its tariff {row.tariff_id} cannot be computed: {exc}"


def _tariff(tariff_id: int, terms: object) -> Tariff | str:
    try:
        return Tariff.model_validate(terms)
    except ValidationError as exc:
        return f"its tariff {tariff_id} is damaged: {explain(exc)}"
    except UNCOMPUTABLE as exc:
        return f"its tariff {tariff_id} cannot be computed: {exc}"


def _tampering(look: Look) -> Answers:
    """What `audit verify` finds, in the same snapshot; `triggers_on` asks about its triggers."""
    for finding in audit.tampering(look.tx, sample=look.sample, seed=look.seed):
        yield "trail_intact", Violation(finding.where, {"problem": finding.problem})


def _cached(look: Look) -> Answers:
    """Not from the snapshot: a kept day is true or not when it is read."""
    if look.cached_days is None:
        return
    for key, problem in look.cached_days(look.now):
        yield "cached_days_true", Violation(f"key {key}", {"key": key, "problem": problem})


def _no_cache(look: Look) -> str | None:
    if look.standby:
        return "a standby has no cache"
    return "no cache was given" if look.cached_days is None else None


QUESTIONS: tuple[Question, ...] = (
    _drift("columns", "columns_kept"),
    _drift("constraints", "constraints_hold"),
    _drift("indexes", "indexes_valid"),
    _drift("triggers", "triggers_on"),
    _drift("functions", "functions_unchanged"),
    Question(
        "sequences",
        Scope.DATABASE,
        ("sequences_ahead",),
        lambda look: tables.sequences_behind(look.tx),
        ("sequences",),
    ),
    _sql("rows_without_club", "rows_without_club", scope=Scope.DATABASE),
    _sql("trail_of_breakers", "changes_recorded", scope=Scope.DATABASE),
    # The longest first, so that the hands end together.
    Question(
        "trail",
        Scope.DATABASE,
        ("trail_intact",),
        _tampering,
        ("edited", "check_seals"),
    ),
    _sql("trail_of_claims", "rows_vanished", "states_recorded", "changes_recorded"),
    _sql("trail_of_others", "rows_vanished", "changes_recorded"),
    _sql("double_bookings", "no_double_booking"),
    _sql(
        "claims_one_by_one",
        "contradictory_rows",
        "total_is_sum_of_lines",
        "stale_holds",
        "money_within_bounds",
        "payment_status_agrees",
    ),
    Question(
        "prices",
        Scope.CHOSEN,
        ("price_recomputed",),
        _recomputed,
        ("priced_sample",),
    ),
    _sql("keys_used_twice", "one_reservation_per_key", "one_claim_per_import"),
    _sql(
        "money_of_claims",
        "money_follows_events",
        "one_capture",
        "no_money_without_court",
        "confirmed_without_payment",
        "refunds_under_way",
    ),
    _sql("untold", "message_missing"),
    _sql(
        "messages_one_by_one",
        "foreign_rows",
        "reminded_of_nothing",
        "told_untruly",
        "message_twice",
        "contradictory_messages",
    ),
    _sql("told_twice", "message_twice"),
    _sql("foreign_rows", "foreign_rows"),
    _sql(
        "attempts_and_refunds",
        "payments_in_doubt",
        "captures_recorded",
        "refunds_recorded",
        "promises_let_go",
    ),
    _sql("revisions", "revisions_agree"),
    Question("cached_days", Scope.DATABASE, ("cached_days_true",), _cached, (), _no_cache),
)


def sql_of(check: str, *, now: datetime) -> list[str]:
    """The statements that answer a check, each ready to be pasted into psql."""
    return [
        tables.pasteable(statement, check, now=now)
        for question in QUESTIONS
        if check in question.checks
        for statement in question.statements
    ]
