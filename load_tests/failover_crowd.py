"""
Players who go on booking while the database dies, and what each of them was told.

Every call has an idempotency key, and every answer is kept: afterwards the tables are held against
them. Somebody told "booked" must have a court; somebody told "nothing was changed" must have none;
and somebody who was told "unknown" asks again with the same key until it is known.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self
from uuid import uuid4

from padelops.errors import CourtTaken, ExitCode, OutcomeUnknown, PadelopsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padelops.wiring import Desk

CLUB = "matrix"
COURTS = 40
FIRST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
PAUSE_S = 0.02
"""Between two bookings of one player: enough to see a gap, not enough to fill the machine."""
PATIENCE_S = 0.2
"""Before asking again."""
SETTLE_TIMEOUT_S = 60
CALL_TIMEOUT_S = 60

TOLD_NOTHING_CHANGED = {ExitCode.REFUSED, ExitCode.UNAVAILABLE}


@dataclass
class Story:
    """One key, from the first call to the last answer."""

    key: str
    court: str
    start: str
    told: list[str] = field(default_factory=list)
    reservation: int | None = None
    ended_at: float = 0.0
    ended: str = "open"
    """acknowledged, refused, gave_up (told that nothing changed), unsettled, or broken."""
    settled: str | None = None
    """How an unknown outcome ended: found (it happened), made (it had not), taken by another."""


@dataclass
class Findings:
    """What the tables say about what was told."""

    acknowledged: int
    lost: list[str]
    lies: list[str]
    """Told that nothing was changed, yet it is there; or an exit status that was not true."""
    invented: list[str]
    doubles: list[str]
    unknown: int
    settled: Counter[str]
    unsettled: int
    broken: list[str]
    exits: Counter[int]

    @property
    def clean(self) -> bool:
        wrong = (self.lost, self.lies, self.invented, self.doubles, self.broken)
        return not any(wrong) and self.unsettled == 0 and self.acknowledged > 0


class Crowd:
    """Threads that book until told to stop; pairs of them want the same courts."""

    slots = itertools.count()
    earlier: ClassVar[set[str]] = set()
    """Keys of crowds before this one, on the same lab."""

    def __init__(self, desk: Desk, environment: Mapping[str, str], *, players: int = 8) -> None:
        self.desk = desk
        self.stories: list[Story] = []
        self.commands: list[tuple[Story, int]] = []
        self._environment = dict(environment)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._play, args=(wishes,), daemon=True)
            for wishes in (self._wishes() for _ in range(players // 2))
            for wishes in itertools.tee(wishes)
        ]
        self._threads.append(threading.Thread(target=self._type, daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))

    def acknowledged_since(self, moment: float) -> int:
        return sum(
            story.ended == "acknowledged" and story.ended_at > moment for story in self.stories
        )

    def longest_gap(self, since: float) -> float:
        """The longest time without an acknowledged booking, in seconds."""
        times = sorted(s.ended_at for s in self.stories if s.ended == "acknowledged")
        times = [moment for moment in times if moment >= since - 1]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    # --- the players -----------------------------------------------------------------------

    def _wishes(self) -> Any:
        while True:
            slot = next(self.slots)
            hour, court = divmod(slot, COURTS)
            start = FIRST + timedelta(hours=hour)
            yield f"{CLUB}/{court + 1}", start.isoformat()

    def _play(self, wishes: Any) -> None:
        dice = random.Random(threading.get_ident())
        for court, start in wishes:
            if self._stop.is_set():
                return
            story = Story(f"m-{uuid4().hex}", court, start)
            self.stories.append(story)
            self._insist(story, gives_up=dice.random() < 0.5)
            time.sleep(PAUSE_S)

    def _insist(self, story: Story, *, gives_up: bool) -> None:
        """Call until the outcome is known; only who was told "nothing changed" may give up."""
        unknown = False
        while True:
            try:
                booked = self.desk.book(
                    story.court, story.start, minutes=60, player="Crowd", key=story.key
                )
            except OutcomeUnknown as exc:
                story.told.append(exc.code)
                unknown = True
            except CourtTaken as exc:
                story.told.append(exc.code)
                story.ended, story.settled = "refused", "taken" if unknown else None
                return
            except Unavailable as exc:
                story.told.append(exc.code)
                if not unknown and (gives_up or self._stop.is_set()):
                    story.ended = "gave_up"
                    return
            except PadelopsError as exc:
                story.told.append(exc.code)
                story.ended = "broken"
                return
            else:
                story.told.append("booked")
                story.reservation = booked.reservation.id
                story.ended_at = time.monotonic()
                story.ended = "acknowledged"
                if unknown:
                    story.settled = "found" if booked.replayed else "made"
                return
            time.sleep(PATIENCE_S)
            story.ended = "unsettled" if unknown else "open"

    def _type(self) -> None:
        """Somebody at a terminal, one command after the other, who never asks twice."""
        for court, start in self._wishes():
            if self._stop.is_set():
                return
            story = Story(f"t-{uuid4().hex}", court, start)
            command = [
                sys.executable, "-m", "padelops", "book", court, start,
                "--minutes", "60", "--player", "Terminal", "--key", story.key, "--json",
            ]  # fmt: skip
            done = subprocess.run(
                command, env=self._environment, capture_output=True, check=False,
                timeout=CALL_TIMEOUT_S,
            )  # fmt: skip
            self.commands.append((story, done.returncode))
            time.sleep(PATIENCE_S)

    # --- the reckoning ---------------------------------------------------------------------

    def judged(self, rows: list[tuple[str, int, str, Any, Any]]) -> Findings:
        """
        Hold what was told against the tables.

        Args:
            rows: key, id, court, start, status of every reservation with a key.
        """
        by_key = {row[0]: row for row in rows if row[4] == "confirmed"}
        lost = [
            f"{s.key} reservation {s.reservation}"
            for s in self.stories
            if s.ended == "acknowledged"
            and (s.key not in by_key or by_key[s.key][1] != s.reservation)
        ]
        lies = [
            f"{s.key} told {s.told}, but it is there"
            for s in self.stories
            if s.ended in {"gave_up", "refused"} and s.key in by_key
        ]
        for story, code in self.commands:
            there = story.key in by_key
            if code == ExitCode.DONE and not there:
                lost.append(f"{story.key} exit 0")
            if code in TOLD_NOTHING_CHANGED and there:
                lies.append(f"{story.key} exit {code}, but it is there")
            if code not in {*TOLD_NOTHING_CHANGED, ExitCode.DONE, ExitCode.OUTCOME_UNKNOWN}:
                lies.append(f"{story.key} exit {code}")
        asked = {s.key for s in self.stories} | {s.key for s, _ in self.commands}
        mine = [row for row in by_key.values() if row[0].startswith(("m-", "t-"))]
        slots = Counter((row[2], row[3]) for row in mine)
        told_unknown = [s for s in self.stories if any(word != "booked" for word in s.told)]
        return Findings(
            acknowledged=sum(s.ended == "acknowledged" for s in self.stories),
            lost=lost,
            lies=lies,
            invented=[row[0] for row in mine if row[0] not in asked | Crowd.earlier],
            doubles=[f"{court} {start}" for (court, start), count in slots.items() if count > 1],
            unknown=sum("outcome_unknown" in s.told for s in told_unknown)
            + sum(code == ExitCode.OUTCOME_UNKNOWN for _, code in self.commands),
            settled=Counter(s.settled for s in self.stories if s.settled),
            unsettled=sum(s.ended in {"unsettled", "open"} for s in self.stories),
            exits=Counter(code for _, code in self.commands),
            broken=[f"{s.key} {s.told[-1:]}" for s in self.stories if s.ended == "broken"],
        )

    def remember(self) -> None:
        Crowd.earlier |= {s.key for s in self.stories} | {s.key for s, _ in self.commands}
