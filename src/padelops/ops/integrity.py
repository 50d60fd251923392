"""
Data integrity verification: every invariant of the design, asked of the data as it is now.

`ReservationIntegrityValidator(...).validate_all_reservations()` looks at everything from one
read-only snapshot and repairs nothing. A check that could not run is reported as such and makes the
verdict "unknown"; it never counts as passed.

Source: CRITICAL_PATHS.md, "Data integrity verification"; DESIGN.md section 3.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import psycopg
from pydantic import ValidationError

from padelops.booking import audit
from padelops.booking.pricing import UNCOMPUTABLE, price_problem
from padelops.booking.tariff import Tariff
from padelops.booking.terms import explain
from padelops.errors import PadelopsError
from padelops.model import Slot
from padelops.ops.verdict import Verdict, worst
from padelops.store import integrity as questions
from padelops.store.engine import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from padelops.store.engine import Database, Tx
    from padelops.store.integrity import Violation

MOST_VIOLATIONS = 1000
"""Reported for each check: a thousand still fit into a terminal's scrollback."""


@dataclass(frozen=True, slots=True)
class Check:
    """A named question about one invariant, and how bad a violation of it is."""

    name: str
    invariant: str
    ask: Callable[[Tx, datetime], Iterator[Violation]]
    severity: Verdict = Verdict.CRITICAL


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What one check found.

    Attributes:
        failure: why it could not run; then `violations` says nothing.
        seconds: how long it took.
    """

    check: str
    invariant: str
    verdict: Verdict
    violations: tuple[Violation, ...]
    failure: str | None
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "invariant": self.invariant,
            "verdict": self.verdict.name.lower(),
            "violations": [
                {"subject": found.subject, "evidence": found.evidence} for found in self.violations
            ],
            "failure": self.failure,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """
    All checks, from one snapshot.

    `nothing_lost` is not among them: what was acknowledged stands in the clients' history, not in
    the database, so only a check of a recorded history can show it.
    """

    at: datetime
    reservations: int
    blocks: int
    outcomes: tuple[Outcome, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst: a violation found outranks a check that could not run."""
        return worst(outcome.verdict for outcome in self.outcomes)

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "verdict": self.verdict.name.lower(),
            "reservations": self.reservations,
            "blocks": self.blocks,
            "violations": sum(len(outcome.violations) for outcome in self.outcomes),
            "not_run": [outcome.check for outcome in self.outcomes if outcome.failure],
            "not_checked_here": {"nothing_lost": "needs a recorded history"},
            "checks": [outcome.as_json() for outcome in self.outcomes],
        }


class ReservationIntegrityValidator:
    """
    Asks every check about one database.

    Args:
        database: a pool without a time limit for statements (`desk.bulk`).
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def validate_all_reservations(
        self, *, told: Callable[[Outcome], None] = lambda _: None
    ) -> Report:
        """
        Run every check.

        Args:
            told: called after each check, for progress.

        Raises:
            DatabaseUnavailable: not one check could run.
        """
        now = self._clock()
        tx = self._database.connect()
        try:
            with explained():
                questions.begin_snapshot(tx)
                reservations, blocks = questions.counts(tx)
            outcomes = []
            for check in CHECKS:
                outcomes.append(_run(check, tx, now))
                told(outcomes[-1])
        finally:
            tx.close()
        return Report(now, reservations, blocks, tuple(outcomes))


def _run(check: Check, tx: Tx, now: datetime) -> Outcome:
    started = time.monotonic()
    violations: tuple[Violation, ...] = ()
    failure = None
    try:
        # A savepoint, so that one check that fails does not silence the ones after it.
        with explained(), tx.transaction():
            violations = tuple(islice(check.ask(tx, now), MOST_VIOLATIONS))
    except PadelopsError as exc:
        failure = str(exc)
    except psycopg.Error as exc:
        failure = f"{type(exc).__name__}: {exc.diag.message_primary or exc}"
    verdict = Verdict.UNKNOWN if failure else check.severity if violations else Verdict.OK
    return Outcome(
        check.name, check.invariant, verdict, violations, failure, time.monotonic() - started
    )


def _by_sql(statement: str, tx: Tx, now: datetime) -> Iterator[Violation]:
    yield from questions.violations(tx, statement, now=now, limit=MOST_VIOLATIONS)


def _sql(invariant: str, name: str, severity: Verdict = Verdict.CRITICAL) -> Check:
    return Check(name, invariant, partial(_by_sql, name), severity)


def _recomputed(tx: Tx, now: datetime) -> Iterator[Violation]:
    """Prices that the tariff frozen on the reservation does not give."""
    del now
    tariffs: dict[int, Tariff | str] = {}
    for row in questions.priced_reservations(tx):
        if row.price_source == "fallback" or row.tariff_id is None:
            continue
        if row.tariff_id not in tariffs:
            tariffs[row.tariff_id] = _tariff(tx, row.tariff_id)
        tariff = tariffs[row.tariff_id]
        problem = (
            tariff
            if isinstance(tariff, str)
            else price_problem(
                tariff,
                row.court,
                Slot(row.starts_at, row.ends_at),
                member_tier=row.member_tier,
                total=row.total,
                lines=row.lines,
            )
        )
        if problem:
            yield questions.Violation(
                f"reservation {row.id}", {"id": row.id, "total": str(row.total), "problem": problem}
            )


def _tariff(tx: Tx, tariff_id: int) -> Tariff | str:
    terms = questions.tariff_terms(tx, tariff_id)
    if terms is None:
        return f"its tariff {tariff_id} is missing"
    try:
        return Tariff.model_validate(terms)
    except ValidationError as exc:
        return f"its tariff {tariff_id} is damaged: {explain(exc)}"
    except UNCOMPUTABLE as exc:
        return f"its tariff {tariff_id} cannot be computed: {exc}"


def _trail(tx: Tx, now: datetime) -> Iterator[Violation]:
    """What `audit verify` finds, in the same snapshot."""
    del now
    for finding in audit.findings(tx):
        yield questions.Violation(finding.where, {"problem": finding.problem})


CHECKS: tuple[Check, ...] = (
    _sql("no_double_booking", "no_double_booking"),
    _sql("nothing_invented", "one_reservation_per_key"),
    _sql("money_matches", "money_follows_events"),
    _sql("money_matches", "money_within_bounds"),
    _sql("money_matches", "no_money_without_court"),
    _sql("money_matches", "confirmed_without_payment"),
    _sql("money_matches", "payments_in_doubt", Verdict.WARNING),
    _sql("price_exact", "total_is_sum_of_lines"),
    Check("price_recomputed", "price_exact", _recomputed),
    Check("trail_complete", "audit_complete", _trail),
    _sql("messages_match", "message_missing"),
    _sql("messages_match", "message_twice"),
    _sql("messages_match", "reminded_of_nothing"),
    _sql("no_stale_hold", "stale_holds", Verdict.WARNING),
    _sql("all", "contradictory_rows"),
    _sql("all", "revisions_agree"),
    _sql("all", "guards"),
)
"""Every check, in the order of DESIGN.md section 3."""
