"""
The journal of a runbook: on this machine's disk before each step begins, so that a rerun goes on.

It is kept in a file because the database may be what is down. A lock beside it keeps two runs of
one runbook on this machine apart; the kernel gives it back when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from padelops.errors import LockHeld, OutputFailed, Unavailable
from padelops.ops.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESUMED_WITHIN = timedelta(hours=6)
"""What was broken off longer ago belonged to another trouble: it begins anew."""

PASSED = ("done", "holds")
"""Outcomes that a rerun does not come back to; what nobody was there for, it asks again."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """
    One step as it went.

    Attributes:
        outcome: `running`, `done`, `holds` (nothing had to be done), `skipped` (for a person, and
            nobody was there or it was declined) or `failed`.
        seen: what its check said before anything was done.
        told: what was done, and what the verification said.
        left_s: what was left of the budget at its end; negative when it was over.
    """

    step: str
    outcome: str = "running"
    seen: str = ""
    told: str = ""
    seconds: float = 0.0
    left_s: float = 0.0
    earlier: bool = False

    @property
    def story(self) -> str:
        """What was seen and done, in whole sentences."""
        return " ".join(sentence(part) for part in (self.seen, self.told) if part)


@dataclass(slots=True, kw_only=True)
class Journal:
    """
    One run of a runbook, as far as it came.

    Attributes:
        status: `running`, `failed` or `done`; a run that died stays `running`.
        kept: whether the database has it too.
    """

    runbook: str
    run_id: str
    started_at: str
    actor: str
    status: str = "running"
    kept: bool = False
    entries: list[Entry] = field(default_factory=list)

    @property
    def number(self) -> UUID:
        return UUID(self.run_id)

    def passed(self, step: str) -> Entry | None:
        """The entry of a step that need not be done again."""
        return next(
            (one for one in self.entries if one.step == step and one.outcome in PASSED), None
        )


class Journals:
    """
    The folder with each runbook's last run.

    Args:
        folder: made on first use, for its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self, name: str, *, actor: str, now: datetime) -> Iterator[None]:
        """
        Be the only one on this machine who runs this runbook.

        Raises:
            LockHeld: another process does; tells who and since when. Unavailable: no such folder.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(
                self.folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600
            )
        except OSError as exc:
            raise _no_folder(self.folder, exc) from exc
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _held_by(name, os.pread(descriptor, 4096, 0), now) from None
            holder = {"pid": os.getpid(), "actor": actor, "since": now.isoformat()}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def unfinished(self, name: str, *, now: datetime) -> Journal | None:
        """The last run of this runbook, where it did not end and is not too old to go on with."""
        last = self.last(name)
        if last is None or last.status == "done":
            return None
        old = now - datetime.fromisoformat(last.started_at) > RESUMED_WITHIN
        return None if old else last

    def last(self, name: str) -> Journal | None:
        """
        The last run of this runbook on this machine.

        Raises:
            Unavailable: it is there and cannot be read.
        """
        path = self.folder / f"{name}.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            entries = [Entry(**entry) for entry in document.pop("entries")]
            return Journal(**document, entries=entries)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise Unavailable(
                f"The journal {path} cannot be read.",
                fix="Look at it, or begin anew with --anew.",
            ) from exc

    def told_to_nobody(self) -> list[Journal]:
        """Runs that have ended while the database was away, so that it does not have them yet."""
        names = sorted(path.stem for path in self.folder.glob("[a-z]*.json"))
        found = [self.last(name) for name in names]
        return [one for one in found if one and not one.kept and one.status != "running"]

    def keep(self, journal: Journal) -> None:
        """
        Have it on disk before going on.

        Raises:
            Unavailable: the disk does not take it.
        """
        path = self.folder / f"{journal.runbook}.json"
        try:
            write_whole(path, json.dumps(asdict(journal), indent=1), mode=0o600)
        except OutputFailed as exc:
            raise Unavailable(f"The journal cannot be kept: {exc.message}") from exc


def begun(runbook: str, *, actor: str, now: datetime) -> Journal:
    """The journal of a run that begins now."""
    return Journal(runbook=runbook, run_id=str(uuid4()), started_at=now.isoformat(), actor=actor)


def as_evidence(journal: Journal) -> dict[str, Any]:
    """What the database keeps of a run."""
    return {"status": journal.status, "steps": [asdict(entry) for entry in journal.entries]}


def sentence(text: str) -> str:
    """With one full stop behind it, whoever wrote it."""
    bare = text.strip().rstrip(" :;,")
    return bare if bare.endswith((".", "?", "!")) else f"{bare}."


def _held_by(name: str, text: bytes, now: datetime) -> LockHeld:
    try:
        holder = json.loads(text)
        age_s = max(0.0, (now - datetime.fromisoformat(holder["since"])).total_seconds())
        return LockHeld(
            f"{holder['actor']} (process {holder['pid']}) has been running {name}"
            f" for {age_s:.0f} s.",
            fix="Wait for it, or end that process; its journal lets the next run go on.",
            owner=holder["actor"],
            pid=holder["pid"],
            age_s=round(age_s),
        )
    except (ValueError, KeyError, TypeError):
        return LockHeld(f"{name} has just been begun by somebody else on this machine.")


def _no_folder(folder: Path, exc: OSError) -> Unavailable:
    return Unavailable(
        f"The journal of runbooks cannot be kept in {folder}: {exc.strerror or exc}.",
        fix="Set PADELOPS_HOME to a folder that you may write to.",
    )
