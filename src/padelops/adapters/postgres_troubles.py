"""
What is wrong with the embedded server, in one line that names the way out.

Every error is `DatabaseUnavailable` with a `reason` among its facts, one word for programs:
disk_full, not_writable, bad_home, wrong_user, wrong_version, damaged, programs, unreachable,
no_account, foreign_folder, busy, timeout, failed.
"""

from __future__ import annotations

import errno
import re
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from padelops.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLDEST_MAJOR = 15

FIX_BINDIR = (
    f"Set PADELOPS_POSTGRES_BINDIR to the programs of PostgreSQL {OLDEST_MAJOR} or newer, "
    "or PADELOPS_DATABASE_URL to a running server."
)
FIX_HOME = "Set PADELOPS_HOME to a folder of your own on a local disk."

FULL = ("No space left on device", "Disk quota exceeded")
FULL_BELOW_BYTES = 1 << 20
"""With less free than this a failure is blamed on the disk: its own words found no room either."""

COMPLAINT = re.compile(r"(?:PANIC|FATAL|ERROR|error):\s+(?P<text>.+)")

REASONS = {
    errno.EACCES: "not_writable",
    errno.EPERM: "not_writable",
    errno.EROFS: "not_writable",
}


def last_complaint(output: str) -> str:
    """The last line that tells of an error in what a program wrote, without its time and level."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [found["text"] for line in lines if (found := COMPLAINT.search(line))]
    return (told or lines or ["it said nothing"])[-1]


def disk_full(home: Path) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"The disk that holds {home} is full; PostgreSQL cannot work there.",
        fix="Free at least 100 MB there, or set PADELOPS_HOME to a folder on another disk.",
        reason="disk_full",
        home=str(home),
    )


def explain(doing: str, output: str, *, home: Path, user: str, fix: str) -> DatabaseUnavailable:
    """
    The error for a program that failed, from all that it wrote.

    `doing` starts the sentence; `user` is whom it ran as; `fix` is what to do when the output
    gives no better idea.
    """
    if any(word in output for word in FULL) or _free_bytes(home) < FULL_BELOW_BYTES:
        return disk_full(home)
    if "Permission denied" in output:
        return DatabaseUnavailable(
            f"{doing} failed: the user '{user}', who runs PostgreSQL, may not enter or change "
            f"something below {home}: {last_complaint(output)}.",
            fix="Set PADELOPS_HOME to a folder that they may enter, such as /var/lib/padelops.",
            reason="not_writable",
            home=str(home),
        )
    return DatabaseUnavailable(
        f"{doing} failed: {last_complaint(output)}.", fix=fix, reason="failed", home=str(home)
    )


@contextmanager
def told_plainly(home: Path) -> Iterator[None]:
    """Turn what the operating system says about files below `home` into one clear line."""
    try:
        yield
    except OSError as exc:
        # shutil.Error, a copy's list of failures, has no errno of its own.
        if exc.errno in {errno.ENOSPC, errno.EDQUOT} or any(word in str(exc) for word in FULL):
            raise disk_full(home) from exc
        where = exc.filename or home
        raise DatabaseUnavailable(
            f"Cannot keep a database in {home}: {exc.strerror or exc} ({where}).",
            fix=FIX_HOME,
            reason=REASONS.get(exc.errno or 0, "bad_home"),
            home=str(home),
        ) from exc


def _free_bytes(folder: Path) -> float:
    with suppress(OSError):
        return shutil.disk_usage(folder).free
    return float("inf")
