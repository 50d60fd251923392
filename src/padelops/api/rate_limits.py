"""
How fast each token may book: one measure for all workers of a server, in a page of shared memory.

Connections spread over the workers, so a limit per worker would be a limit that nobody can name.
For each token one number is kept, the moment up to which its allowance is used ("GCRA", as in ATM
Forum TM 4.0, section 4.4.2); a lock of the file guards it, and ends with a process that is killed.
Several servers behind one balancer each have a measure of their own.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
import threading
import time
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PLACES = 65_536
"""Tokens that land on one place share its allowance: one pair among 300 busy tokens, in theory."""

BURST_S = 10.0
"""Seconds of its rate that a token may use up at once."""

_ENTRY = struct.Struct("d")


class RateLimits:
    """
    Thread-safe, and safe between processes that opened the same file.

    Args:
        path: a file to share; it is made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, PLACES * _ENTRY.size)
        self._page = mmap.mmap(self._file, PLACES * _ENTRY.size)
        self._lock = threading.Lock()

    def spend(self, name: str, per_minute: int | None, *, now: float | None = None) -> float:
        """
        Use one of the allowance; 0 if there was one, else the seconds until there is.

        Args:
            per_minute: None is no limit.
            now: seconds of a clock that all processes share; the machine's when left out.
        """
        if per_minute is None:
            return 0.0
        now = time.monotonic() if now is None else now
        each = 60.0 / per_minute
        burst = max(1, math.floor(BURST_S / each))
        at = (zlib.crc32(name.encode()) % PLACES) * _ENTRY.size
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _ENTRY.size, at)
            try:
                used_until = max(_ENTRY.unpack_from(self._page, at)[0], now)
                # A page left by an earlier boot may tell of a time that has not come yet.
                used_until = min(used_until, now + burst * each)
                wait = used_until - now - (burst - 1) * each
                if wait > 0:
                    return float(wait)
                _ENTRY.pack_into(self._page, at, used_until + each)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _ENTRY.size, at)
        return 0.0
