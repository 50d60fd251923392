"""
The state that all processes share, and every move it can make: a value in, a value or None out.

Nothing here reads a clock or stores anything. A move is decided on a copy and takes effect by
compare-and-swap on `stamp`, so two processes never both make it:

    closed --rates reached--> open --open_s--> half_open --all probes good--> closed
                               ^                   |
                               +----one bad--------+        an operator may force any of them

Every move begins a new `generation`. A call counts towards the generation it began in and no other,
so an answer that was long under way neither closes nor opens what came after.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from padelops.circuit_breakers.verdict import Verdict
from padelops.errors import Corrupt, Refused

if TYPE_CHECKING:
    from padelops.circuit_breakers.limits import Limits

AUTOMATIC = "breaker"
"""The actor of every move that no person made."""

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class State(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"

    @property
    def is_forced(self) -> bool:
        """Whether an operator holds it there; nothing but an operator moves it on."""
        return self in {State.FORCED_OPEN, State.FORCED_CLOSED}

    @property
    def lets_everything_through(self) -> bool:
        """Whether calls pass without asking for a lease."""
        return self in {State.CLOSED, State.FORCED_CLOSED}


EraKey = tuple[int, State, datetime]
"""Generation, state and when it began."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One probe's leave to call. Lapses by time, so a prober that died does not keep its place."""

    id: str
    holder: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRecord:
    """
    One breaker's shared state.

    Attributes:
        stamp: unique to each stored version, so that compare-and-swap cannot mistake an old state
            for a newer one that looks alike; empty as long as nothing was ever stored.
        generation: goes up with each change of state.
        changed_at: when this state began; for `open`, when it opened.
        retry_at: when an open breaker lets its first probe through.
        actor: who made the change; `breaker` for the breaker itself.
        reason: why, in one line.
        leases: the probes under way.
        successes: the probes that went well since half-open began.
    """

    name: str
    stamp: str = ""
    state: State = State.CLOSED
    generation: int = 0
    changed_at: datetime = NEVER
    retry_at: datetime | None = None
    actor: str = AUTOMATIC
    reason: str = ""
    leases: tuple[Lease, ...] = ()
    successes: int = 0

    @property
    def era(self) -> EraKey:
        """What tells this generation from one that another process counted to while cut off."""
        return self.generation, self.state, self.changed_at

    def moved(
        self,
        state: State,
        *,
        now: datetime,
        actor: str = AUTOMATIC,
        reason: str,
        retry_at: datetime | None = None,
    ) -> BreakerRecord:
        """The first record of the next generation."""
        return BreakerRecord(
            name=self.name,
            stamp=uuid4().hex,
            state=state,
            generation=self.generation + 1,
            changed_at=now,
            retry_at=retry_at,
            actor=actor,
            reason=reason,
        )

    def to_json(self) -> str:
        """One JSON object, as a memory may store it."""
        return json.dumps(asdict(self), default=datetime.isoformat)

    @classmethod
    def from_json(cls, text: str | bytes) -> BreakerRecord:
        """
        Read what `to_json` wrote; members that a newer padelops added are passed over.

        Raises:
            Corrupt: the text is something else.
        """
        try:
            raw: dict[str, Any] = json.loads(text)
            known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
            known["state"] = State(known["state"])
            known["changed_at"] = datetime.fromisoformat(known["changed_at"])
            if known["retry_at"] is not None:
                known["retry_at"] = datetime.fromisoformat(known["retry_at"])
            known["leases"] = tuple(
                Lease(each["id"], each["holder"], datetime.fromisoformat(each["expires_at"]))
                for each in known["leases"]
            )
            return cls(**known)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Corrupt("A circuit breaker's stored state cannot be read.") from exc


# --- moves: each returns the record to store, or None where there is nothing to do ----------


def trip(
    record: BreakerRecord, limits: Limits, *, era: EraKey, reason: str, now: datetime
) -> BreakerRecord | None:
    """Open a closed breaker, unless the generation whose calls went wrong is over."""
    if record.state is not State.CLOSED or record.era != era:
        return None
    return _open(record, limits, reason=reason, now=now)


def lease(
    record: BreakerRecord, limits: Limits, *, lease_id: str, holder: str, now: datetime
) -> BreakerRecord | None:
    """Let one probe through, if the breaker has been open for long enough and a place is free."""
    if record.state.lets_everything_through or retry_after_s(record, limits, now) > 0:
        return None
    if record.state is State.OPEN:
        record = record.moved(State.HALF_OPEN, now=now, reason="trying again")
    granted = Lease(lease_id, holder, now + timedelta(seconds=limits.lease_s))
    return replace(record, stamp=uuid4().hex, leases=(*_live_leases(record, limits, now), granted))


def settle(
    record: BreakerRecord,
    limits: Limits,
    *,
    lease_id: str,
    verdict: Verdict,
    slow: bool,
    now: datetime,
) -> BreakerRecord | None:
    """Count one probe. Without its lease in the record it belongs to a time that is over."""
    if all(each.id != lease_id for each in record.leases):
        return None
    if verdict is Verdict.FAILED or slow:
        reason = "a probe failed" if verdict is Verdict.FAILED else "a probe was slow"
        return _open(record, limits, reason=reason, now=now)
    successes = record.successes + (verdict is not Verdict.PROVES_NOTHING)
    if successes >= limits.probes:
        return record.moved(State.CLOSED, now=now, reason=f"{successes} probes went well")
    leases = tuple(each for each in record.leases if each.id != lease_id)
    return replace(record, stamp=uuid4().hex, leases=leases, successes=successes)


def force(
    record: BreakerRecord, state: State, *, actor: str, reason: str, now: datetime
) -> BreakerRecord:
    """Hold the breaker open or closed until a person lets go of it."""
    return record.moved(state, now=now, actor=actor, reason=reason)


def release(record: BreakerRecord, *, actor: str, reason: str, now: datetime) -> BreakerRecord:
    """
    Let go of a forced breaker: forced closed it is closed, forced open it sends probes first.

    Raises:
        Refused: nobody forced it.
    """
    if not record.state.is_forced:
        raise Refused(
            f"Breaker {record.name} is not forced, it is {record.state}.", breaker=record.name
        )
    state = State.HALF_OPEN if record.state is State.FORCED_OPEN else State.CLOSED
    return record.moved(state, now=now, actor=actor, reason=reason)


def reset(record: BreakerRecord, *, actor: str, reason: str, now: datetime) -> BreakerRecord:
    """Close the breaker now, from whatever state, with clean counts; it stays automatic."""
    return record.moved(State.CLOSED, now=now, actor=actor, reason=reason)


def _open(record: BreakerRecord, limits: Limits, *, reason: str, now: datetime) -> BreakerRecord:
    retry_at = now + timedelta(seconds=limits.open_s)
    return record.moved(State.OPEN, now=now, reason=reason, retry_at=retry_at)


# --- questions ------------------------------------------------------------------------------


def retry_after_s(record: BreakerRecord, limits: Limits, now: datetime) -> float:
    """
    Seconds until a call may pass; 0 if one may now.

    Forced open, nobody knows how long: `open_s` is a civil guess.
    """
    if record.state.lets_everything_through:
        return 0.0
    if record.state is State.FORCED_OPEN:
        return limits.open_s
    if record.state is State.OPEN:
        return _seconds_left(record.retry_at or now, now, longest_s=limits.open_s)
    live = _live_leases(record, limits, now)
    if record.successes + len(live) < limits.probes:
        return 0.0
    # No lease and no place: `probes` was lowered meanwhile. One more probe settles it.
    waits = (_seconds_left(each.expires_at, now, longest_s=limits.lease_s) for each in live)
    return min(waits, default=0.0)


def _live_leases(record: BreakerRecord, limits: Limits, now: datetime) -> tuple[Lease, ...]:
    return tuple(
        each
        for each in record.leases
        if _seconds_left(each.expires_at, now, longest_s=limits.lease_s) > 0
    )


def _seconds_left(at: datetime, now: datetime, *, longest_s: float) -> float:
    """
    Seconds from `now` to `at`, never negative.

    More than twice the longest wait there can be means that a clock was set back: waiting for it
    could take hours, so the wait counts as over. Up to that, clocks of machines may differ.
    """
    left = (at - now).total_seconds()
    return left if 0 < left <= 2 * longest_s else 0.0
