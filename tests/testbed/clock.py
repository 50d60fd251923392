"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MORNING = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
"""When the tests take place; what the demo clubs sell for the next 60 days lies in its future."""


class Clock:
    """Called like the real one; `at` may be set, and `advance` moves it."""

    def __init__(self, at: datetime = MORNING) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **by: float) -> datetime:
        self.at += timedelta(**by)
        return self.at
