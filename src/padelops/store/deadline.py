"""One operation, one deadline: however many statements it takes, all their waits end with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from padelops.errors import CourtBusy

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK_SHARE = 0.8
"""The part of an operation's time that it may spend waiting for a lock, so that the refusal
still fits into the budget. Source: DESIGN.md section 4, path 1."""


class Deadline:
    """
    When an operation must have ended.

    A timeout of the connection bounds one statement. A booking may take several, and each could
    wait anew for another rival: so each is given what is left.
    """

    __slots__ = ("_at", "_clock")

    def __init__(self, budget_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + budget_s

    @property
    def left_ms(self) -> int:
        """
        Milliseconds that are left, 1 or more.

        Raises:
            CourtBusy: none is.
        """
        left = int((self._at - self._clock()) * 1000)
        if left < 1:
            raise CourtBusy
        return left

    @property
    def lock_ms(self) -> int:
        """
        How long the next wait for a lock may take; never 0, which means for ever.

        Raises:
            CourtBusy: no time is left.
        """
        return max(int(self.left_ms * LOCK_SHARE), 1)

    def allows(self, seconds: float) -> bool:
        """Whether something that takes so long would still end in time."""
        return self._clock() + seconds <= self._at
