"""
Backups as the recovery of last resort: taken, verified, and proved by restoring one and asking it.

A backup that was never restored is a hope. Each can be brought to life in a scratch server, which
is asked every invariant; the recovery point and the recovery time that this came to are told.

Source: CRITICAL_PATHS.md, "Monthly: disaster recovery testing".
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from padelops.errors import InvalidInput, SafetyGate
from padelops.ops.integrity import IntegrityValidator
from padelops.ops.verdict import Verdict
from padelops.store import backups as stored
from padelops.store.backups import Contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops.store.engine import Database

MANIFEST = "backup.json"
VERSION = 1


class Copier(Protocol):
    """What copies whole servers."""

    def take(
        self, conninfo: str, folder: Path, *, major: int, bytes_wanted: int, timeout_s: float
    ) -> None: ...
    def verify(self, folder: Path, *, major: int, timeout_s: float) -> None: ...
    def bring_to_life(self, backup: Path, home: Path, *, database: str, role: str) -> Scratch: ...


class Scratch(Protocol):
    """A server on a restored copy."""

    def url(self, database: str = ..., *, role: str = ...) -> str: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """
    A verified backup: where it lies, and what it must hold.

    Attributes:
        before, after: the database's contents when the copy began and when it ended; the restored
            one lies between the two.
    """

    folder: Path
    began_at: datetime
    ended_at: datetime
    seconds: float
    bytes: int
    before: Contents
    after: Contents

    def as_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "folder": str(self.folder),
            "began_at": self.began_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "seconds": round(self.seconds, 1),
            "bytes": self.bytes,
            "before": self.before.as_json(),
            "after": self.after.as_json(),
        }

    @classmethod
    def read(cls, folder: Path) -> Self:
        """
        Raises:
            InvalidInput: there is no backup of ours in that folder.
        """
        try:
            document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            return cls(
                folder=folder,
                began_at=datetime.fromisoformat(document["began_at"]),
                ended_at=datetime.fromisoformat(document["ended_at"]),
                seconds=float(document["seconds"]),
                bytes=int(document["bytes"]),
                before=Contents.of(document["before"]),
                after=Contents.of(document["after"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise InvalidInput(
                f"{folder} holds no backup of padelops: its {MANIFEST} cannot be read.",
                fix="Pass a folder that `padelops db backup` made.",
            ) from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """
    What a restored backup was found to be.

    Attributes:
        recovery_point_s: from the backup's end until now: what a disaster now would cost.
        steps: seconds by step: verify, restore, validate.
        problems: what is missing or broken, in one line each.
        kept: the scratch server's folder, if it was kept.
    """

    backup: Backup
    contents: Contents
    recovery_point_s: float
    steps: dict[str, float]
    validation: dict[str, Any]
    problems: tuple[str, ...] = field(default=())
    unknown: bool = False
    kept: Path | None = None
    address: str | None = None

    @property
    def recovery_time_s(self) -> float:
        return sum(self.steps.values())

    @property
    def verdict(self) -> Verdict:
        if self.problems:
            return Verdict.CRITICAL
        return Verdict.UNKNOWN if self.unknown else Verdict.OK

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.name.lower(),
            "recovery_point": self.backup.ended_at.isoformat(),
            "recovery_point_s": round(self.recovery_point_s, 1),
            "recovery_time_s": round(self.recovery_time_s, 1),
            "steps": {name: round(seconds, 1) for name, seconds in self.steps.items()},
            "problems": list(self.problems),
            "contents": self.contents.as_json(),
            "backup": self.backup.as_json(),
            "validation": self.validation,
            "kept": None if self.kept is None else str(self.kept),
            "address": self.address,
        }


class Backups:
    """
    Takes backups, and tries them.

    Args:
        opened: opens a restored database at its address.
        timeout_s: for each step.
    """

    def __init__(
        self,
        copier: Copier,
        *,
        opened: Callable[[str], Database],
        clock: Callable[[], datetime],
        timeout_s: float,
    ) -> None:
        self._copier = copier
        self._opened = opened
        self._clock = clock
        self._timeout_s = timeout_s

    def take(self, live: Database, conninfo: str, parent: Path) -> Backup:
        """
        Back up the whole server into a new folder below `parent`.

        Args:
            live: the database on that server; a pool without a time limit.
            conninfo: the server, as a role that may replicate.

        Raises:
            Unavailable: no room, or the server would not. BackupDamaged: the copy is not whole.
        """
        began, clock = self._clock(), time.monotonic()
        folder = parent / f"padelops-{began:%Y%m%dT%H%M%SZ}"
        draft = parent / f".{folder.name}.{os.getpid()}"
        if folder.exists():
            raise SafetyGate(f"{folder} exists already.", fix="Wait a second, then try again.")
        with live.reading() as tx:
            before, wanted = stored.contents(tx), stored.size(tx)
        try:
            self._copier.take(
                conninfo, draft, major=before.major, bytes_wanted=wanted, timeout_s=self._timeout_s
            )
            with live.reading() as tx:
                after = stored.contents(tx)
            backup = Backup(
                folder=folder,
                began_at=began,
                ended_at=self._clock(),
                seconds=time.monotonic() - clock,
                bytes=sum(path.stat().st_size for path in draft.rglob("*") if path.is_file()),
                before=before,
                after=after,
            )
            _keep(draft / MANIFEST, backup.as_json())
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return backup

    def restore(
        self, backup: Backup, home: Path, *, keep: bool, told: Callable[[str], None]
    ) -> Restored:
        """
        Bring a backup to life in a scratch server and ask it every invariant.

        Args:
            home: the scratch server's folder; it must not exist, or be empty.
            keep: leave the scratch server running; else it is ended and removed.

        Raises:
            BackupDamaged: it is not what was written. SafetyGate: something is in that folder.
        """
        steps: dict[str, float] = {}
        known = backup.before
        server: Scratch | None = None
        try:
            with _timed(steps, "verify", told):
                self._copier.verify(backup.folder, major=known.major, timeout_s=self._timeout_s)
            with _timed(steps, "restore", told):
                server = self._copier.bring_to_life(
                    backup.folder, home, database=known.database, role=known.role
                )
                address = server.url(known.database, role=known.role)
                database = self._opened(address)
                with database.reading() as tx:
                    found = stored.contents(tx)
            with _timed(steps, "validate", told):
                validator = IntegrityValidator(database, clock=self._clock)
                report = validator.validate_all_reservations()
            database.close()
        except SafetyGate:
            raise
        except BaseException:
            _remove(server, home)
            raise
        if not keep:
            _remove(server, home)
        failed = [
            f"{outcome.check}: {outcome.found} violations"
            for outcome in report.outcomes
            if outcome.verdict is Verdict.CRITICAL
        ]
        return Restored(
            backup=backup,
            contents=found,
            recovery_point_s=(self._clock() - backup.ended_at).total_seconds(),
            steps=steps,
            validation=report.as_json(),
            problems=(*_missing(backup, found), *failed),
            unknown=report.verdict is Verdict.UNKNOWN,
            kept=home if keep else None,
            address=address if keep else None,
        )


def _missing(backup: Backup, found: Contents) -> Iterator[str]:
    """How the restored database differs from what was there while it was copied."""
    before, after = backup.before, backup.after
    if found.system != before.system:
        yield "The backup is another server's."
    if found.schema not in {before.schema, after.schema}:
        yield f"The schema is {found.schema}, and was {before.schema}."
    for name in ("claims", "entries"):
        least, most, there = (getattr(one, name) for one in (before, after, found))
        if not least <= there <= most:
            yield f"{there} {name} were restored; there were {least} to {most}."
    if before.newest and (found.newest is None or found.newest < before.newest):
        yield f"The newest entry restored is of {found.newest}; there was one of {before.newest}."


@contextmanager
def _timed(steps: dict[str, float], name: str, told: Callable[[str], None]) -> Iterator[None]:
    begun = time.monotonic()
    yield
    steps[name] = time.monotonic() - begun
    told(f"{name}: {steps[name]:.1f} s")


def _remove(server: Scratch | None, home: Path) -> None:
    """Only what we made there: it was empty, or not there at all."""
    if server is not None:
        server.stop()
    shutil.rmtree(home, ignore_errors=True)


def _keep(file: Path, document: dict[str, Any]) -> None:
    with file.open("w", encoding="utf-8") as to:
        json.dump(document, to, indent=1)
        to.flush()
        os.fsync(to.fileno())
    with suppress(OSError):
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
