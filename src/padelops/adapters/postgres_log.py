"""
What the embedded server says: its log of the last week, and what it said since a moment ago.

`startup.log` has what comes before the server's own logging begins, and is new at every start;
`postgresql-Mon.log` and so on have the rest.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from padelops.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEPT_S = 7 * 24 * 3600
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class ServerLog:
    """The log files in one folder."""

    folder: Path

    @property
    def startup(self) -> Path:
        return self.folder / "startup.log"

    def latest(self) -> Path:
        """The file that was written to last."""
        with suppress(OSError):
            written = [(path.stat().st_mtime, path) for path in self.folder.glob("*.log")]
            return max(written, default=(0, self.startup))[1]
        return self.startup

    def sizes(self) -> dict[Path, int]:
        """A mark to read on from; see `since`."""
        return {path: path.stat().st_size for path in self._days()}

    def since(self, sizes: dict[Path, int]) -> str:
        """All of `startup.log`, and what came to the others after `sizes` was taken."""
        days = [_tail(path, sizes.get(path, 0)) for path in sorted(self._days())]
        return "\n".join([_tail(self.startup, 0), *days])

    def lines(self) -> Iterator[str]:
        """
        Every line of the last week, the oldest file first.

        Raises:
            Unavailable: a file cannot be read; what it says is then unknown.
        """
        try:
            for path in sorted(self._days(), key=lambda path: path.stat().st_mtime):
                with path.open(encoding="utf-8", errors="replace") as file:
                    yield from file
        except OSError as exc:
            raise Unavailable(f"The server's log cannot be read: {exc.strerror}.") from exc

    def drop_old(self) -> None:
        """The server itself overwrites a weekday's file only if it runs at that midnight."""
        oldest = time.time() - KEPT_S
        for path in self._days():
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    def _days(self) -> list[Path]:
        return list(self.folder.glob("postgresql-*.log"))


def _tail(path: Path, offset: int) -> str:
    with suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(offset, size - TAIL_BYTES))
        return file.read().decode(errors="replace")
    return ""
