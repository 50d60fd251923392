"""Waiting for what another process does, with an end to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_WAIT_S = 30
PAUSE_S = 0.01


def until(happened: Callable[[], object]) -> None:
    """Look again and again until it happened; fail after `LONGEST_WAIT_S`."""
    deadline = time.monotonic() + LONGEST_WAIT_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(PAUSE_S)
