"""
One process's copy of a breaker's shared state: fresh when the memory answers, its own when not.

Two locks, and a guarded call runs under neither. `changing` is held while the memory is asked and
while the copy is replaced; a thread that only wants fresher facts never waits for it. Each window
has a lock of its own for a few additions.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4

from padelops.circuit_breakers.change import Hook, StateChange
from padelops.circuit_breakers.memory import BreakerMemory, Report
from padelops.circuit_breakers.record import BreakerRecord, State, retry_after_s
from padelops.circuit_breakers.window import SlidingWindow, Tally
from padelops.errors import OutcomeUnknown, PadelopsError, Refused, Unavailable

if TYPE_CHECKING:
    from padelops.circuit_breakers.limits import BreakerSpec

Decide = Callable[[BreakerRecord], BreakerRecord | None]
"""A move: the record to store in place of this one, or None if there is nothing to do."""

ATTEMPTS = 20
"""Each lost compare-and-swap means that another process got on; so many in a row is no accident."""

AWAY = (PadelopsError, OSError)
"""What a memory or a hook may raise; see `BreakerMemory` and `Hook`."""


class Era:
    """
    One generation as this process lives it. A call reports to the era that admitted it.

    When the generation is over nobody looks at its era any more: that is the whole of the fence.
    """

    __slots__ = (
        "key",
        "lets_everything_through",
        "may_trip",
        "others",
        "tripping",
        "troubled",
        "window",
    )

    def __init__(self, record: BreakerRecord, window_s: float) -> None:
        self.key = record.era
        self.lets_everything_through = record.state.lets_everything_through
        self.may_trip = record.state is State.CLOSED
        self.window = SlidingWindow(window_s)
        self.tripping = False
        self.heard(Tally())

    def heard(self, others: Tally) -> None:
        """Take over what the other processes counted."""
        self.others = others
        self.troubled = others.failures > 0 or others.slow > 0


class Replica:
    """The record, the era that goes with it, and how both are kept up with the memory."""

    def __init__(
        self,
        spec: BreakerSpec,
        memory: BreakerMemory,
        *,
        hooks: Sequence[Hook],
        refresh_s: float,
        memory_retry_s: float,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self.record = BreakerRecord(name=spec.name)
        self.era = Era(self.record, spec.limits.window_s)
        self.refresh_at = float("-inf")
        self.away: Exception | None = None
        self.hook_failures = 0
        self.changing = Lock()
        self._shared_stamp = ""  # of the record that stood in the memory when last heard
        self._spec = spec
        self._memory = memory
        self._hooks = tuple(hooks)
        self._refresh_s = refresh_s
        self._memory_retry_s = memory_retry_s
        self._monotonic = monotonic
        self._now = now
        self._token = uuid4().hex
        self._news: deque[StateChange] = deque()

    @property
    def holder(self) -> str:
        """What names one breaker object in one process, also after a fork."""
        return f"{os.getpid()}-{self._token}"

    def refresh(self, at: float) -> None:
        """Ask the memory, unless another thread is at it already: then go on with what is known."""
        if not self.changing.acquire(blocking=False):
            return
        try:
            if at >= self.refresh_at:
                self.synchronise()
        finally:
            self.changing.release()
        self.announce()

    def synchronise(self) -> None:
        """Exchange counts and take over what stands. To be called holding `changing`."""
        at, now = self._monotonic(), self._now()
        self.refresh_at = at + self._refresh_s
        report = Report(
            name=self._spec.name,
            process=self.holder,
            generation=self.record.generation,
            at=now,
            tally=self.era.window.tally(at),
        )
        since = now - timedelta(seconds=self._spec.limits.window_s)
        try:
            shared = self._memory.exchange(report, since=since)
            stands = self._reconciled(shared.record)
        except AWAY as exc:
            self._go_alone(exc)
            return
        self.away = None
        self._shared_stamp = stands.stamp
        self._adopt(stands, made_here=False)
        if stands.generation == shared.record.generation:
            self.era.heard(shared.others)

    def farewell(self) -> None:
        """
        Leave what went wrong behind for the others. A process that lives for one call has asked the
        memory before that call, and would take its failure with it.
        """
        with self.changing:
            tally = self.era.window.tally(self._monotonic())
            if tally.failures or tally.slow:
                self.synchronise()

    def move(self, decide: Decide, *, alone: bool = True) -> BreakerRecord | None:
        """
        Make a move by compare-and-swap, deciding anew on whatever stands until it wins.
        To be called holding `changing`.

        Args:
            decide: must have no effect besides its answer.
            alone: whether the move may hold in this process only while the memory is away.

        Returns:
            The record that won, or None if there was nothing (left) to do.

        Raises:
            OutcomeUnknown: not `alone`, and the memory went away in the middle.
        """
        for _ in range(ATTEMPTS):
            after = decide(self.record)
            if after is None:
                return None
            stands = self._swapped(after, alone=alone)
            won = stands.stamp == after.stamp
            self._adopt(stands, made_here=won)
            if won:
                return stands
        return None

    def operate(self, decide: Decide) -> None:
        """
        Make an operator's move, in the memory or not at all.

        Raises:
            Unavailable: the memory is away; nothing was changed.
            NotPermitted: the memory lets nobody like us change anything.
            OutcomeUnknown: it went away in the middle.
        """
        with self.changing:
            self.synchronise()
            if isinstance(self.away, Refused):
                raise self.away
            if self.away is not None:
                raise self._unheard(self.away) from self.away
            if self.move(decide, alone=False) is None:
                raise Unavailable(
                    f"Others keep changing breaker {self._spec.name}. Nothing was changed.",
                    breaker=self._spec.name,
                )
        self.announce()

    def announce(self) -> None:
        """Tell the hooks what happened. To be called without a lock."""
        while self._news:
            try:
                change = self._news.popleft()
            except IndexError:  # another thread was quicker
                return
            for hook in self._hooks:
                try:
                    hook(change)
                except AWAY:
                    self.hook_failures += 1

    def _reconciled(self, shared: BreakerRecord) -> BreakerRecord:
        """
        Decide between the memory's record and ours, where they differ.

        Ours is offered if the memory forgot everything, or if we moved on while it was away and
        nobody else has since. Whatever stands after that is the truth.
        """
        ours = self.record
        if shared.stamp == ours.stamp:
            return ours
        if not shared.stamp or shared.stamp == self._shared_stamp:
            return self._memory.swap(ours, expected=shared.stamp)
        return shared

    def _swapped(self, after: BreakerRecord, *, alone: bool) -> BreakerRecord:
        if self.away is None:
            try:
                stands = self._memory.swap(after, expected=self._shared_stamp)
                if not stands.stamp and self._shared_stamp:  # the memory forgot everything
                    stands = self._memory.swap(after, expected="")
            except AWAY as exc:
                self._go_alone(exc)
                if not alone and isinstance(exc, Refused):
                    raise
                if not alone and isinstance(exc, Unavailable):
                    raise self._unheard(exc) from exc
                if not alone:
                    raise OutcomeUnknown(
                        f"Breaker {after.name} may or may not be {after.state} now.",
                        fix="Look with `padelops breakers list`.",
                        breaker=after.name,
                    ) from exc
            else:
                self._shared_stamp = stands.stamp
                return stands
        return after

    def _unheard(self, exc: Exception) -> Unavailable:
        return Unavailable(
            f"The memory of the circuit breakers is away. {exc} Nothing was changed.",
            breaker=self._spec.name,
        )

    def _go_alone(self, exc: Exception) -> None:
        self.away = exc
        self.refresh_at = self._monotonic() + self._memory_retry_s
        self.era.heard(Tally())

    def _adopt(self, record: BreakerRecord, *, made_here: bool) -> None:
        before, self.record = self.record, record
        if record.era == before.era:
            return
        limits, ended = self._spec.limits, self.era
        self.era = Era(record, limits.window_s)
        self._news.append(
            StateChange(
                breaker=record.name,
                path=self._spec.path,
                level=self._spec.level,
                before=before.state,
                after=record.state,
                generation=record.generation,
                at=record.changed_at,
                actor=record.actor,
                reason=record.reason,
                retry_after_s=retry_after_s(record, limits, self._now()),
                tally=ended.window.tally(self._monotonic()) + ended.others,
                made_here=made_here,
                degraded=self.away is not None,
            )
        )
