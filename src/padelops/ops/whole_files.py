"""
Files that others read at any moment: there whole or not at all, and never half written.

Written beside their place, forced to disk, then renamed over what was there. A disk that is full
leaves the old file as it was.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from padelops.errors import OutputFailed

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """
    Put `text` in the place of `path`.

    Raises:
        OutputFailed: it could not be written; what was there before is still there.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(path)
    except OSError as exc:
        with suppress(OSError):
            unfinished.unlink()
        raise OutputFailed(f"{path} could not be written: {exc.strerror or exc}.") from exc
