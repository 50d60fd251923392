"""
What one guarded call proves about the thing it called: a refusal is an answer, not a failure.

Source: CRITICAL_PATHS.md, "Immediate Response (< 30 seconds)"; DESIGN.md section 8.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from padelops.errors import BreakerOpen, Interrupted, InvalidInput, Refused


class Verdict(Enum):
    """How a call counts."""

    ANSWERED = auto()
    """It returned. Counts as slow if it took too long."""
    REFUSED = auto()
    """It was refused by what it called, which is therefore alive. Never a failure, never slow."""
    FAILED = auto()
    """It failed. May be slow besides."""
    PROVES_NOTHING = auto()
    """It never reached what it called, or was broken off from here. Not counted at all."""


Counts = Callable[[Exception], bool]
"""Whether an exception that is no refusal is a failure."""

PROVES_NOTHING = (InvalidInput, BreakerOpen, Interrupted)
"""Raised before anything was asked: bad input would otherwise dilute the failure rate, and close
a half-open breaker without a word from the thing it guards. An open breaker further inside is
that breaker's business: gateway trouble must not stop bookings that are paid at the desk."""


def counts_by_default(exc: Exception) -> bool:
    """`Unavailable`, `OutcomeUnknown`, `TimeoutError`, `OSError` and whatever nobody expected."""
    return not isinstance(exc, Refused)


def counts_except(*kinds: type[Exception]) -> Counts:
    """
    As `counts_by_default`, without these: trouble of one court or one club, which must not open a
    breaker that all clubs share.
    """
    return lambda exc: not isinstance(exc, kinds) and counts_by_default(exc)


def judge(exc: BaseException, counts: Counts) -> Verdict:
    """What an exception that came out of a guarded call proves."""
    if not isinstance(exc, Exception) or isinstance(exc, PROVES_NOTHING):
        return Verdict.PROVES_NOTHING
    if isinstance(exc, Refused) or not counts(exc):
        return Verdict.REFUSED
    return Verdict.FAILED
