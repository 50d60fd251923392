"""
The emergency while the database is away: an incident kept in a file, its pages sent from there.

Each call of `respond` counts the waiting on and calls who is due by the escalation matrix, once for
each rung, whichever process asks. When the database is back the worker takes the file over.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from padelops.booking.on_call import Call
from padelops.errors import InvalidInput, LockHeld, Unavailable
from padelops.ops.escalation import MOST_STEP_S, matrix
from padelops.ops.paging import Tried, try_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops.booking.on_call import Reach
    from padelops.ops.escalation import Tick
    from padelops.ops.roster import Roster

FILE = "incident.json"


@dataclass(slots=True, kw_only=True)
class Rung:
    """One call of the matrix: who has it by what, and what went wrong."""

    role: str
    at: str
    sent: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    over: bool = False


@dataclass(slots=True, kw_only=True)
class Spooled:
    """An incident that the database does not know yet."""

    key: str
    title: str
    impact: str
    level: int
    opened_at: str
    witness: str
    ticks: float
    looked_at: str
    waited_s: float = 0.0
    acknowledged_by: str | None = None
    rungs: list[Rung] = field(default_factory=list)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Spooled:
        return cls(**{**document, "rungs": [Rung(**rung) for rung in document["rungs"]]})

    def count_on(self, tick: Tick, now: datetime) -> None:
        """Add the seconds since the last look; between two witnesses only a bounded step."""
        if tick.witness == self.witness:
            step = tick.seconds - self.ticks
        else:
            gone = (now - datetime.fromisoformat(self.looked_at)).total_seconds()
            step = min(gone, MOST_STEP_S)
        self.waited_s += max(0.0, step)
        self.witness, self.ticks, self.looked_at = tick.witness, tick.seconds, now.isoformat()


class EmergencySpool:
    """
    The folder of the one incident of this machine that the database does not know.

    Args:
        folder: made on first use, for its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """
        Be the only process of this machine that pages from here.

        Raises:
            LockHeld: another one is at it. Unavailable: the folder cannot be written to.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise Unavailable(f"{self.folder} cannot be written to: {exc.strerror}.") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise LockHeld("Another process is paging just now.") from None
        finally:
            os.close(lock)

    def read(self) -> Spooled | None:
        """The incident that waits here; an unreadable file is put aside, not believed."""
        path = self.folder / FILE
        try:
            return Spooled.of(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            with suppress(OSError):
                path.replace(path.with_suffix(".unreadable"))
            return None

    def keep(self, spooled: Spooled) -> None:
        """Have it on disk, whole or not at all."""
        draft = self.folder / f".{FILE}.{os.getpid()}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as to:
                json.dump(asdict(spooled), to, indent=1)
                to.flush()
                os.fsync(to.fileno())
            draft.replace(self.folder / FILE)
        except OSError as exc:
            raise Unavailable(f"{self.folder} cannot be written to: {exc.strerror}.") from exc

    def forget(self) -> None:
        """The database has it now."""
        (self.folder / FILE).unlink(missing_ok=True)

    def acknowledge(self, who: str) -> bool:
        """Call nobody else; False where nothing waits here."""
        with self.held():
            spooled = self.read()
            if spooled is None:
                return False
            spooled.acknowledged_by = spooled.acknowledged_by or who
            self.keep(spooled)
            return True

    def respond(
        self, key: str, *, title: str, impact: str, roster: Callable[[], Roster], reach: Reach,
        tick: Tick, now: datetime,
    ) -> tuple[Tried, ...]:  # fmt: skip
        """
        Page whoever is due and has not got it; nothing is sent twice by a channel that took it.

        Raises:
            LockHeld: another process is at it.
        """
        fresh = Spooled(
            key=key, title=title, impact=impact, level=1, opened_at=now.isoformat(),
            witness=tick.witness, ticks=tick.seconds, looked_at=now.isoformat(),
        )  # fmt: skip
        try:
            with self.held():
                return self._respond(self.read() or fresh, roster, reach, tick, now, self.keep)
        except LockHeld:
            raise
        except Unavailable:
            # Without a folder a page may come twice; that is better than none.
            return self._respond(fresh, roster, reach, tick, now, lambda _: None)

    def _respond(
        self, spooled: Spooled, roster: Callable[[], Roster], reach: Reach, tick: Tick,
        now: datetime, keep: Callable[[Spooled], None],
    ) -> tuple[Tried, ...]:  # fmt: skip
        spooled.count_on(tick, now)
        plan = matrix()[spooled.level]
        if spooled.acknowledged_by is None:
            while plan.called_by(spooled.waited_s) > len(spooled.rungs):
                role = plan.role(len(spooled.rungs))
                spooled.rungs.append(Rung(role=role, at=now.isoformat()))
        keep(spooled)
        done = []
        for number, rung in enumerate(spooled.rungs):
            if rung.over or spooled.acknowledged_by is not None:
                continue
            tried = self._call(spooled, number, rung, roster, reach, now)
            rung.sent, rung.problems, rung.over = list(tried.sent), list(tried.problems), tried.over
            keep(spooled)
            done.append(tried)
        return tuple(done)

    def _call(
        self, spooled: Spooled, number: int, rung: Rung, roster: Callable[[], Roster],
        reach: Reach, now: datetime,
    ) -> Tried:  # fmt: skip
        opened = datetime.fromisoformat(spooled.opened_at)
        block = f"CRITICAL: Reservations system failure\nImpact: {spooled.impact}\n"
        call = Call(
            id=f"emergency-{opened:%Y%m%dT%H%M%S}-{number}",
            action="trigger",
            alarm=alarm_of(spooled, number),
            severity="critical",
            line=f"Level 1: {spooled.title}. {spooled.impact}",
            body=f"{block}Status: Investigating\nETA: unknown\n\n{spooled.title}\n"
            "The database cannot be reached; the incident is recorded once it is back.\n"
            "acknowledge  padelops incident ack\n",
            at=now,
        )
        try:
            people = roster().people(rung.role)
        except InvalidInput as exc:
            return Tried(rung.role, tuple(rung.sent), (exc.message,), over=False)
        return try_call(reach, people, rung.role, plan_channels(spooled), call, rung.sent)


def alarm_of(spooled: Spooled, rung: int) -> str:
    """What a rung's alarm is called at the pager's service."""
    opened = datetime.fromisoformat(spooled.opened_at)
    return f"padelops-emergency-{opened:%Y%m%dT%H%M%S}-{rung}"


def plan_channels(spooled: Spooled) -> tuple[str, ...]:
    """By which channels its level is paged."""
    return tuple(matrix()[spooled.level].channels)
