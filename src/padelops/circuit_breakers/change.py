"""
What a breaker tells about itself: each change of state to hooks, a snapshot to whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.circuit_breakers.limits import Fallback
    from padelops.circuit_breakers.record import State
    from padelops.circuit_breakers.window import Tally
    from padelops.model import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """
    One change of a breaker's state, as hooks get it.

    Attributes:
        breaker: its name.
        path: number of the critical path it protects.
        level: that path's level.
        before: the state that ended, as this process knew it.
        after: the state that began.
        generation: number of the generation that began.
        at: when, aware UTC, by the clock of the process that made the change.
        actor: who made it; `breaker` if no person did.
        reason: why, in one line.
        retry_after_s: seconds until the first probe; 0 where calls pass at once.
        tally: numbers of calls in the window that ended, of all processes as far as known.
        made_here: whether this process made the change; exactly one process says so. The others
            learn of it at their next refresh, and may miss a state that did not last.
        degraded: whether the memory was away, so that the change holds in this process alone.
    """

    breaker: str
    path: int
    level: Level
    before: State
    after: State
    generation: int
    at: datetime
    actor: str
    reason: str
    retry_after_s: float
    tally: Tally
    made_here: bool
    degraded: bool


Hook = Callable[[StateChange], None]
"""
Called after a change, holding no lock, in the thread whose call brought it about: be quick.

A hook that raises a `PadelopsError` or `OSError` changes nothing for that call, whose money may
have moved; it is counted in `Snapshot.hook_failures`. Anything else is a bug, and surfaces.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    One breaker, as `breakers list` shows it.

    Attributes:
        since: when the state began, aware UTC; 1970 if it was never anything but closed.
        actor: who brought it about; `breaker` if no person did.
        retry_after_s: seconds until a call may pass; 0 if one may now.
        window_s: how far `tally` looks back.
        tally: numbers of calls in that window, of all processes unless degraded.
        probes_under_way: leases held.
        probes_succeeded: probes that went well since it began trying again.
        probes_needed: how many must.
        away: why the memory is away, so that all this is one process's own view; None if it is not.
        hook_failures: how many hooks failed in this process.
        fallback: what happens instead while calls do not pass.
    """

    name: str
    path: int
    level: Level
    state: State
    generation: int
    since: datetime
    actor: str
    reason: str
    retry_after_s: float
    window_s: float
    tally: Tally
    probes_under_way: int
    probes_succeeded: int
    probes_needed: int
    away: Exception | None
    hook_failures: int
    fallback: Fallback

    @property
    def degraded(self) -> bool:
        """Whether the memory is away."""
        return self.away is not None

    @property
    def memory_error(self) -> str:
        """Why it is away; empty if it is not."""
        return "" if self.away is None else str(self.away) or type(self.away).__name__

    def as_json(self) -> dict[str, Any]:
        changed = self.generation > 0
        return {
            "breaker": self.name,
            "path": self.path,
            "level": int(self.level),
            "state": self.state.value,
            "since": self.since.isoformat() if changed else None,
            "actor": self.actor if changed else None,
            "reason": self.reason if changed else None,
            "retry_after_s": round(self.retry_after_s, 1),
            "window_s": self.window_s,
            "calls": self.tally.calls,
            "failures": self.tally.failures,
            "slow": self.tally.slow,
            "failure_rate": round(self.tally.failure_rate, 4),
            "slow_rate": round(self.tally.slow_rate, 4),
            "probes_under_way": self.probes_under_way,
            "probes_succeeded": self.probes_succeeded,
            "probes_needed": self.probes_needed,
            "degraded": self.degraded,
            "memory_error": self.memory_error or None,
            "fallback": self.fallback.value,
        }
