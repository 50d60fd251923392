"""
The repairs that are safe: they move no money and no time, and tell nobody anything untrue.

A worker in its right mind would have done the same. Each thing is looked at again under its lock
right before, so that a finding which is old by then mends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from padelops.errors import InvalidInput
from padelops.ops.integrity_checks import CHECKS
from padelops.store import audit, messages, payments, reservations
from padelops.store import integrity as tables

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.booking.cache import Cache
    from padelops.model import Origin
    from padelops.store.engine import Database, Tx
    from padelops.store.integrity import Violation

OPEN = frozenset({"started", "unknown", "authorized"})
"""States of a payment that something may still come of."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a repair works with; `now` is the moment of the mending."""

    database: Database
    cache: Cache
    origin: Origin
    now: datetime


Mend: TypeAlias = Callable[["Bench", "Violation"], str | None]
"""Mends one thing; None when that is done, else why it was left alone."""


@dataclass(frozen=True, slots=True)
class Repair:
    """
    One kind of repair.

    Attributes:
        check: whose violations it mends.
        promise: what it does, to be read before it is agreed to.
    """

    name: str
    check: str
    promise: str
    mend: Mend


def repair_named(name: str) -> Repair:
    if name not in REPAIRS:
        raise InvalidInput(
            f"Nothing named {name[:50]} can be repaired by itself.",
            fix=f"Safe are: {', '.join(REPAIRS)}. padelops validate says what to do otherwise.",
        )
    return REPAIRS[name]


def _note(tx: Tx, repair: str, found: Violation, *, club_id: int | None = None) -> None:
    changes = {"repair": repair, "subject": found.subject, "evidence": found.evidence}
    audit.note(tx, "repaired", changes, club_id=club_id, subject_id=found.evidence.get("id"))


def _end_hold(bench: Bench, found: Violation) -> str | None:
    claim_id = found.evidence["id"]
    with bench.database.transaction(bench.origin) as tx:
        held = reservations.lock(tx, claim_id)
        if held is None or held.status != "pending":
            return "it is no hold any more"
        if held.hold_until is None or held.hold_until > bench.now:
            return "its deadline lies ahead"
        attempt = payments.last_attempt(tx, claim_id)
        if held.payment_status == "payment_unknown" or (attempt and attempt.state in OPEN):
            return f"a payment is under way: padelops payments reconcile {claim_id}"
        payments.release_hold(tx, claim_id, reason="hold_expired", now=bench.now)
        payments.lapse_queued(tx, claim_id)
        _note(tx, "stale_holds", found, club_id=held.club_id)
    return None


def _queue_message(bench: Bench, found: Violation) -> str | None:
    claim_id = found.evidence["id"]
    with bench.database.transaction(bench.origin) as tx:
        told = reservations.lock(tx, claim_id)
        if told is None or told.status != found.evidence["status"]:
            return "its status has changed"
        if told.starts_at <= bench.now:
            return "its game has begun or is over: tell the player by hand, if at all"
        kind = "confirmation" if told.status == "confirmed" else "cancellation"
        key = f"{told.status}:{claim_id}"
        if messages.insert(tx, claim_id, kind, key, due_at=bench.now) is None:
            return "its message is there by now"
        _note(tx, "missing_messages", found, club_id=told.club_id)
    return None


def _move_sequence(bench: Bench, found: Violation) -> str | None:
    with bench.database.transaction(bench.origin) as tx:
        tables.move_sequence(tx, found.evidence["table"], found.evidence["column"])
        _note(tx, "sequences", found)
    return None


def _forget_day(bench: Bench, found: Violation) -> str | None:
    # A `*` in the key meets other days, too: whatever is thrown away is only computed again.
    for _ in bench.cache.purge(found.evidence["key"], batch=100):
        pass
    with bench.database.transaction(bench.origin) as tx:
        _note(tx, "cached_days", found)
    return None


REPAIRS: dict[str, Repair] = {
    repair.name: repair
    for repair in (
        Repair(
            "stale_holds",
            "stale_holds",
            "end holds whose deadline is over and that no payment is under way for",
            _end_hold,
        ),
        Repair(
            "missing_messages",
            "message_missing",
            "queue the confirmation or cancellation of games that are still to come",
            _queue_message,
        ),
        Repair(
            "sequences",
            "sequences_ahead",
            "move sequences ahead of their tables",
            _move_sequence,
        ),
        Repair(
            "cached_days",
            "cached_days_true",
            "throw kept days away that are not what the tables say",
            _forget_day,
        ),
    )
}

"""What can be repaired, by name."""

if {name: one.check for name, one in REPAIRS.items()} != {
    check.repair: check.name for check in CHECKS.values() if check.repair
}:
    raise ValueError("checks and repairs do not name each other")
