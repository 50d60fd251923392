"""
What a breaker needs to know in numbers and words: when to open, for how long, what happens instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from padelops.circuit_breakers.verdict import Counts, counts_by_default
from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from padelops.model import Level


class Fallback(StrEnum):
    """
    What the caller does instead while a breaker is open.

    Source: CRITICAL_PATHS.md, "Enable Fallback Modes", for the first three; "Pricing calculation
    engine" for the default price. Where they name none, the answer is no, and when to come back.
    """

    QUEUE_FOR_MANUAL_PROCESSING = "queue_for_manual_processing"
    CONSERVATIVE_BLOCKING = "conservative_blocking"
    QUEUE_FOR_RETRY = "queue_for_retry"
    DEFAULT_HOURLY_PRICE = "default_hourly_price"
    REFUSE_WITH_RETRY_AFTER = "refuse_with_retry_after"

    @property
    def explained(self) -> str:
        """One line for a person."""
        return EXPLAINED[self]


EXPLAINED = {
    Fallback.QUEUE_FOR_MANUAL_PROCESSING: (
        "The hold is kept and the payment queued for manual processing."
    ),
    Fallback.CONSERVATIVE_BLOCKING: "Nothing is offered as free; the answer is marked uncertain.",
    Fallback.QUEUE_FOR_RETRY: "Messages stay in the outbox and are tried again later.",
    Fallback.DEFAULT_HOURLY_PRICE: (
        "The club's default hourly price, marked as fallback; capture waits for review."
    ),
    Fallback.REFUSE_WITH_RETRY_AFTER: "Refused, with the seconds to wait before trying again.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    When a breaker opens, how long it stays open, and how it tries again.

    Attributes:
        slow_s: a call that takes this many seconds or more is slow.
        failure_rate: share of failed calls, 0 to 1, at which the breaker opens.
        slow_rate: share of slow calls, 0 to 1, at which the breaker opens.
        minimum_calls: with fewer calls in the window no rate says anything.
        window_s: the rates look back this many seconds.
        open_s: seconds between opening and the first probe.
        probes: how many probes must succeed to close again, and run at most at the same time.
        lease_s: seconds after which a probe that was not heard of counts as dead. Longer than the
            longest call, or a slow probe's answer comes too late to count.

    Raises:
        InvalidInput: a number out of its range.
    """

    slow_s: float
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    minimum_calls: int = 10
    window_s: float = 30.0
    open_s: float = 10.0
    probes: int = 3
    lease_s: float = 30.0

    def __post_init__(self) -> None:
        for rate in (self.failure_rate, self.slow_rate):
            if not 0 < rate <= 1:
                raise InvalidInput("A breaker's rates must lie above 0 and not above 1.")
        if min(self.slow_s, self.window_s, self.open_s, self.lease_s) <= 0:
            raise InvalidInput("A breaker's times must be longer than 0 seconds.")
        if min(self.minimum_calls, self.probes) < 1:
            raise InvalidInput("A breaker needs at least one call and one probe.")
        if self.lease_s <= self.slow_s:
            raise InvalidInput("A breaker's lease must outlast a slow call.")

    def broken_by(self, calls: int, failures: int, slow: int) -> str:
        """Why these counts open a breaker, in one line; empty if they do not."""
        if calls < self.minimum_calls:
            return ""
        if failures / calls >= self.failure_rate:
            return f"{failures} of {calls} calls failed in {self.window_s:g} s"
        if slow / calls >= self.slow_rate:
            return (
                f"{slow} of {calls} calls took {self.slow_s:g} s or longer in {self.window_s:g} s"
            )
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSpec:
    """
    One named breaker as data.

    Attributes:
        name: how CRITICAL_PATHS.md, operators and metrics call it.
        path: number of the critical path it protects, 1 to 9.
        level: how bad it is when that path fails.
        fallback: what happens instead while it is open.
        source: the heading its numbers come from.
        counts: which exceptions, other than refusals, are failures.
    """

    name: str
    path: int
    level: Level
    limits: Limits
    fallback: Fallback
    source: str
    counts: Counts = counts_by_default
