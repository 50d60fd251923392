"""
The record of a failover: on disk before each step begins, so that a rerun goes on where it ended.

It lies in a folder of this machine, not in the database, which may be down. A lock beside it keeps
two failovers apart; the kernel gives it back when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from padelops.errors import LockHeld, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

UNFINISHED = frozenset({"running", "partly", "unknown"})
OVERTAKEN = "overtaken"


@dataclass(slots=True, kw_only=True)
class Step:
    """
    One step: `running`, `done`, `skipped` or `failed`, and what there is to say about it.

    Attributes:
        at_s: seconds from the beginning of the failover to the end of this step.
    """

    name: str
    outcome: str = "running"
    told: str = ""
    seconds: float = 0.0
    at_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Record:
    """Everything a rerun must know of a failover that has begun."""

    id: str
    kind: str
    driver: str
    cluster: str
    old: str | None
    new: str
    timeline: int
    sync_names: str
    started_at: str
    actor: str
    reason: str
    data_loss_allowed: bool
    asked_for: str | None = None
    overtakes: str | None = None
    status: str = "running"
    steps: list[Step] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.status not in UNFINISHED

    def done(self, name: str) -> bool:
        """Whether a step of that name was carried out, now or in an earlier run."""
        return any(step.name == name and step.outcome == "done" for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        known = dict(document)
        known["steps"] = [Step(**step) for step in known.get("steps", [])]
        return cls(**known)


class FailoverState:
    """
    The state folder: the lock, the record, and what each server said of itself when it answered.

    Args:
        folder: made on first use, for its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self, doing: str, *, now: datetime) -> Iterator[None]:
        """
        Be the only failover on this machine.

        Raises:
            LockHeld: another process is at it; tells who, and for how long.
        """
        self._make_folder()
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _held_by(os.pread(descriptor, 4096, 0), now) from None
            holder = {
                "pid": os.getpid(),
                "owner": _login(),
                "doing": doing,
                "since": now.isoformat(),
            }
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def read(self) -> Record | None:
        """
        The last failover of this machine, finished or not.

        Raises:
            Unavailable: the record is there and cannot be read.
        """
        document = self._read("failover.json")
        if document is None:
            return None
        try:
            return Record.of(document)
        except (TypeError, ValueError) as exc:
            raise Unavailable(
                f"The record of the last failover cannot be read: {self.folder / 'failover.json'}.",
                fix="Look at it, and move it away if that failover is settled.",
            ) from exc

    def keep(self, record: Record) -> None:
        """Have the record on disk before going on."""
        self._write("failover.json", record.as_json())

    def close(self, record: Record, why: str) -> None:
        """Have it on disk that this failover will not be finished; its steps stay as they were."""
        record.status = OVERTAKEN
        record.remaining = [*record.remaining, why]
        self.keep(record)

    def remembered(self) -> dict[str, dict[str, Any]]:
        """By address: the name and the data folder that each server had when it answered last."""
        return self._read("servers.json") or {}

    def remember(self, servers: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what the servers told; a folder that cannot be written to costs only memory."""
        with suppress(Unavailable):
            if dict(servers) != self.remembered():
                self._write("servers.json", dict(servers))

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise _no_folder(self.folder, exc) from exc

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            document = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise Unavailable(
                f"{self.folder / name} cannot be read.", fix="Look at it, or move it away."
            ) from exc
        return document if isinstance(document, dict) else None

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        """Whole or not at all, also after a power cut."""
        self._make_folder()
        draft = self.folder / f".{name}.{os.getpid()}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as to:
                json.dump(document, to, indent=1)
                to.flush()
                os.fsync(to.fileno())
            draft.replace(self.folder / name)
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as exc:
            raise _no_folder(self.folder, exc) from exc


def _held_by(text: bytes, now: datetime) -> LockHeld:
    try:
        holder = json.loads(text)
        since = datetime.fromisoformat(holder["since"])
        age = max(0.0, (now - since).total_seconds())
        return LockHeld(
            f"{holder['owner']} (process {holder['pid']}) has been at {holder['doing']} "
            f"for {age:.0f} s.",
            fix="Wait for it, or end that process; its record lets the next run go on.",
            owner=holder["owner"],
            pid=holder["pid"],
            age_s=round(age),
        )
    except (ValueError, KeyError, TypeError):
        return LockHeld("Another failover has just begun on this machine.")


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def _no_folder(folder: Path, exc: OSError) -> Unavailable:
    return Unavailable(
        f"The failover's record cannot be kept in {folder}: {exc.strerror or exc}.",
        fix="Set PADELOPS_FAILOVER_STATE to a folder that you may write to.",
    )


def new_id(now: datetime) -> str:
    """Tells two failovers apart, and when each began."""
    return f"{now:%Y%m%dT%H%M%S}-{os.getpid()}-{time.monotonic_ns() % 10_000:04d}"
