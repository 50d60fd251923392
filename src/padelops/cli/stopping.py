"""
SIGTERM and SIGHUP unwind the program instead of killing it, so that every `finally` runs.

SIGINT needs nothing: Python raises KeyboardInterrupt.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class StopRequested(BaseException):
    """
    Somebody asked the process to end.

    Like KeyboardInterrupt no `Exception`. A command in the middle of a commit may catch both and
    raise `OutcomeUnknown` instead.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.exit_code = 128 + signal_number


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """
    Within the block the first SIGTERM or SIGHUP raises StopRequested in the main thread.

    Later ones are dropped: `timeout` and some supervisors send the signal twice, and the second
    must not interrupt the clean-up that the first one started. What the caller had ignored,
    as `nohup` does, stays ignored.
    """
    requested = False

    def request(signal_number: int, _frame: FrameType | None) -> None:
        nonlocal requested
        if not requested:
            requested = True
            raise StopRequested(signal_number)

    before = {
        number: signal.signal(number, request)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
