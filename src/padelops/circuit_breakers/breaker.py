"""
A breaker: calls pass, are measured, and are refused at once while what they call is down.
"""

from __future__ import annotations

import functools
import inspect
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from uuid import uuid4

from padelops.circuit_breakers.change import Hook, Snapshot
from padelops.circuit_breakers.memory import BreakerMemory, LocalMemory
from padelops.circuit_breakers.record import (
    BreakerRecord,
    State,
    force,
    lease,
    release,
    reset,
    retry_after_s,
    settle,
    trip,
)
from padelops.circuit_breakers.replica import Decide, Era, Replica
from padelops.circuit_breakers.verdict import Verdict, judge
from padelops.errors import BreakerOpen, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from padelops.circuit_breakers.limits import BreakerSpec

P = ParamSpec("P")
T = TypeVar("T")

Ticket = tuple[Era, str, float]
"""What a call takes in and hands back: its era, its lease (empty without one), when it began."""

REFRESH_S = 0.5
"""So that several processes see one open within a second."""

MEMORY_RETRY_S = 5.0
"""While the memory is away, one call in so many seconds waits for its deadline, not every one."""

LONGEST_REASON = 500

# Looking a member up in its enum costs as much as the rest of a comparison.
ANSWERED, FAILED, PROVES_NOTHING = Verdict.ANSWERED, Verdict.FAILED, Verdict.PROVES_NOTHING
CAN_BE_SLOW = frozenset({ANSWERED, FAILED})


class Breaker:
    """
    Guards calls to one thing. Thread-safe; guarded calls run side by side.

    Args:
        spec: the numbers, and what counts as a failure.
        memory: shared with other processes; this process alone when left out.
        hooks: called with each `StateChange`.
        refresh_s: how old this process's view of the shared state may get while it is called.
        memory_retry_s: how long to go on alone before asking a memory that was away again.
        monotonic: seconds, for windows and durations.
        now: aware UTC, for what processes share.

    Source: CRITICAL_PATHS.md, "Failure recovery procedures", "Immediate Response".
    """

    def __init__(
        self,
        spec: BreakerSpec,
        memory: BreakerMemory | None = None,
        *,
        hooks: Sequence[Hook] = (),
        refresh_s: float = REFRESH_S,
        memory_retry_s: float = MEMORY_RETRY_S,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.spec = spec
        self._limits = spec.limits
        self._slow_s = spec.limits.slow_s
        self._monotonic = monotonic
        self._now = now
        self._replica = Replica(
            spec,
            LocalMemory() if memory is None else memory,
            hooks=hooks,
            refresh_s=refresh_s,
            memory_retry_s=memory_retry_s,
            monotonic=monotonic,
            now=now,
        )

    @property
    def name(self) -> str:
        """How operators call it."""
        return self.spec.name

    @property
    def state(self) -> State:
        """The state as last heard, without asking the memory."""
        return self._replica.record.state

    def lets_everything_through(self) -> bool:
        """
        Whether a call made now passes for certain. Nothing is counted and no probe's place taken:
        for those who show in advance what a call would bring.
        """
        replica = self._replica
        at = self._monotonic()
        if at >= replica.refresh_at:
            replica.refresh(at)
        return replica.era.lets_everything_through

    # --- guarding ---------------------------------------------------------------------------

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Call and measure, or refuse at once.

        Raises:
            BreakerOpen: not called; `facts["retry_after_s"]` says when to come back.
        """
        ticket = self._enter()
        try:
            result = fn(*args, **kwargs)
        except BaseException as exc:
            self._leave(ticket, judge(exc, self.spec.counts))
            raise
        self._leave(ticket, ANSWERED)
        return result

    def guard(self) -> Guard:
        """As `call`, around the body of a `with` statement."""
        return Guard(self)

    def guarded(self, fn: Callable[P, T]) -> Callable[P, T]:
        """
        As `call`, as a decorator.

        Raises:
            InvalidInput: the function returns before it has run (async, or a generator).
        """
        late = (
            inspect.iscoroutinefunction,
            inspect.isgeneratorfunction,
            inspect.isasyncgenfunction,
        )
        if any(is_late(fn) for is_late in late):
            raise InvalidInput("A breaker guards plain functions: nothing is measured of others.")

        @functools.wraps(fn)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.call(fn, *args, **kwargs)

        return guarded

    # --- operators --------------------------------------------------------------------------

    def force_open(self, *, actor: str, reason: str) -> Snapshot:
        """
        Refuse every call until released or reset.

        Raises:
            InvalidInput: no actor or no reason.
            Unavailable: the memory is away, so nobody would hear of it; nothing was changed.
            NotPermitted: the memory does not let this process change it.
            OutcomeUnknown: the memory went away in the middle.
        """
        return self._operate(
            functools.partial(force, state=State.FORCED_OPEN), actor=actor, reason=reason
        )

    def force_closed(self, *, actor: str, reason: str) -> Snapshot:
        """Let every call pass, whatever comes of it, until released or reset. Raises as above."""
        return self._operate(
            functools.partial(force, state=State.FORCED_CLOSED), actor=actor, reason=reason
        )

    def release(self, *, actor: str, reason: str) -> Snapshot:
        """
        End a forced state: from closed it is closed, from open it sends probes first.

        Raises:
            Refused: it is not forced. Else as `force_open`.
        """
        return self._operate(release, actor=actor, reason=reason)

    def reset(self, *, actor: str, reason: str) -> Snapshot:
        """Close it now, forced or not, with clean counts; it may open again. Raises as above."""
        return self._operate(reset, actor=actor, reason=reason)

    def snapshot(self) -> Snapshot:
        """Everything about it, asking the memory first."""
        replica = self._replica
        with replica.changing:
            replica.synchronise()
            record, era, away = replica.record, replica.era, replica.away
        replica.announce()
        return Snapshot(
            name=self.name,
            path=self.spec.path,
            level=self.spec.level,
            state=record.state,
            generation=record.generation,
            since=record.changed_at,
            actor=record.actor,
            reason=record.reason,
            retry_after_s=retry_after_s(record, self._limits, self._now()),
            window_s=self._limits.window_s,
            tally=era.window.tally(self._monotonic()) + era.others,
            probes_under_way=len(record.leases),
            probes_succeeded=record.successes,
            probes_needed=self._limits.probes,
            away=away,
            hook_failures=replica.hook_failures,
            fallback=self.spec.fallback,
        )

    def farewell(self) -> None:
        """To be called by a process that ends: what went wrong in it counts for the others."""
        self._replica.farewell()

    def _operate(self, move: Callable[..., BreakerRecord], *, actor: str, reason: str) -> Snapshot:
        for what, said in (("actor", actor), ("reason", reason)):
            if not said.strip() or len(said) > LONGEST_REASON or not said.isprintable():
                raise InvalidInput(
                    f"The {what} must be one line of 1 to {LONGEST_REASON} characters."
                )
        self._replica.operate(
            lambda record: move(record, actor=actor, reason=reason, now=self._now())
        )
        return self.snapshot()

    # --- a call comes in and goes out -------------------------------------------------------

    def _enter(self) -> Ticket:
        started = self._monotonic()
        replica = self._replica
        era = replica.era
        if era.lets_everything_through and started < replica.refresh_at:
            return era, "", started
        if started >= replica.refresh_at:
            replica.refresh(started)
        era, lease_id = replica.era, ""
        if not era.lets_everything_through:
            era, lease_id = self._take_lease()
        return era, lease_id, self._monotonic()

    def _leave(self, ticket: Ticket, verdict: Verdict) -> None:
        era, lease_id, started = ticket
        at = self._monotonic()
        slow = at - started >= self._slow_s and verdict in CAN_BE_SLOW
        if verdict is not PROVES_NOTHING:
            calls, failures, slow_ones = era.window.add(at, verdict is FAILED, slow)
            if (failures or slow_ones or era.troubled) and era is self._replica.era:
                self._look(era, calls, failures, slow_ones)
        if lease_id:
            self._settle(lease_id, verdict, slow)

    def _look(self, era: Era, calls: int, failures: int, slow: int) -> None:
        """Open if the rates say so. One thread asks the memory; the others go on meanwhile."""
        others = era.others
        reason = self._limits.broken_by(
            calls + others.calls, failures + others.failures, slow + others.slow
        )
        if not reason or era.tripping or not era.may_trip:
            return
        era.tripping = True
        try:
            self._move(
                lambda record: trip(
                    record, self._limits, era=era.key, reason=reason, now=self._now()
                )
            )
        finally:
            era.tripping = False

    def _settle(self, lease_id: str, verdict: Verdict, slow: bool) -> None:
        self._move(
            lambda record: settle(
                record,
                self._limits,
                lease_id=lease_id,
                verdict=verdict,
                slow=slow,
                now=self._now(),
            )
        )

    def _take_lease(self) -> tuple[Era, str]:
        replica, now = self._replica, self._now()
        if retry_after_s(replica.record, self._limits, now) > 0:  # the usual case needs no lock
            raise self._refusal(replica.record, now)
        lease_id = uuid4().hex
        with replica.changing:
            taken = replica.move(
                lambda record: lease(
                    record, self._limits, lease_id=lease_id, holder=replica.holder, now=now
                )
            )
            era, record = replica.era, replica.record
        replica.announce()
        if taken is not None:
            return era, lease_id
        if era.lets_everything_through:  # closed while this thread waited
            return era, ""
        raise self._refusal(record, now)

    def _move(self, decide: Decide) -> None:
        with self._replica.changing:
            self._replica.move(decide)
        self._replica.announce()

    def _refusal(self, record: BreakerRecord, now: datetime) -> BreakerOpen:
        wait_s = max(round(retry_after_s(record, self._limits, now), 1), 0.1)
        forced = " by an operator" if record.state.is_forced else ""
        return BreakerOpen(
            f"{self.name} is switched off{forced} for now; try again in {wait_s:g} s.",
            breaker=self.name,
            state=record.state.value,
            retry_after_s=wait_s,
            fallback=self.spec.fallback.value,
        )


class Guard:
    """`with breaker.guard():`, usable once."""

    __slots__ = ("_breaker", "_ticket")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def __enter__(self) -> None:
        self._ticket = self._breaker._enter()  # noqa: SLF001 -- the other half of the same class

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        verdict = ANSWERED if exc is None else judge(exc, self._breaker.spec.counts)
        self._breaker._leave(self._ticket, verdict)  # noqa: SLF001 -- see above
