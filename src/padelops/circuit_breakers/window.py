"""
How many of the last seconds' calls failed or were slow, in constant time and space.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock

BUCKETS = 10
"""A window moves on in tenths of its length: what it counts is between 0.9 and 1 length old."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers of calls: all that count, those that failed, those that were slow (failed or not)."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.calls + other.calls, self.failures + other.failures, self.slow + other.slow
        )

    @property
    def failure_rate(self) -> float:
        """Share of failures, 0 to 1; 0 without calls."""
        return self.failures / self.calls if self.calls else 0.0

    @property
    def slow_rate(self) -> float:
        """Share of slow calls, 0 to 1; 0 without calls."""
        return self.slow / self.calls if self.calls else 0.0


class SlidingWindow:
    """One process's counts over the last `length_s` seconds of its monotonic clock. Thread-safe."""

    __slots__ = ("_buckets", "_calls", "_failures", "_lock", "_newest_ends", "_slow", "_width_s")

    def __init__(self, length_s: float) -> None:
        self._width_s = length_s / BUCKETS
        self._buckets: deque[list[int]] = deque()  # [number, calls, failures, slow], oldest first
        self._newest_ends = float("-inf")
        self._calls = self._failures = self._slow = 0
        self._lock = Lock()

    def add(self, at: float, failed: bool, slow: bool) -> tuple[int, int, int]:
        """Count a call that ended at `at`; say what the window holds: calls, failures, slow."""
        with self._lock:
            # A thread that read its clock earlier may come later: it joins the newest bucket.
            if at >= self._newest_ends or not self._buckets:
                number = int(at / self._width_s)
                self._move_to(number)
                self._buckets.append([number, 0, 0, 0])
                self._newest_ends = (number + 1) * self._width_s
            bucket = self._buckets[-1]
            bucket[1] += 1
            self._calls += 1
            if failed:
                bucket[2] += 1
                self._failures += 1
            if slow:
                bucket[3] += 1
                self._slow += 1
            return self._calls, self._failures, self._slow

    def tally(self, at: float) -> Tally:
        """What the window holds at `at`."""
        with self._lock:
            self._move_to(int(at / self._width_s))
            return Tally(self._calls, self._failures, self._slow)

    def _move_to(self, number: int) -> None:
        buckets = self._buckets
        while buckets and buckets[0][0] <= number - BUCKETS:
            _, calls, failures, slow = buckets.popleft()
            self._calls -= calls
            self._failures -= failures
            self._slow -= slow
