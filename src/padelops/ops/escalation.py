"""
The escalation matrix: who is called at which minute, and when an incident is due.

How long an incident has waited is counted in steady seconds: those of a machine since it was
started, which no change of its clock moves. Between two machines only the database's clock can
tell, and of what it says no more than `MOST_STEP_S` is believed at a time. So a clock that jumps
calls nobody early.

Source: CRITICAL_PATHS.md, "Escalation Matrix"; the numbers stand in escalation.yaml.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as day_time
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from padelops.booking.delivery import Channel

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date
    from zoneinfo import ZoneInfo

MOST_STEP_S = 60.0
MOST_REPEATS = 20
"""How often everybody is called again; after five hours of it, calling once more helps nobody."""

END_OF_BUSINESS = day_time(18)
SATURDAY = 5

EVERYBODY = "everybody"


class Rung(BaseModel):
    """Who is called from which minute on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    from_minute: float = Field(ge=0)
    until_minute: float | None = None


class LevelPlan(BaseModel):
    """What a level asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    channels: tuple[Channel, ...]
    rungs: tuple[Rung, ...] = Field(min_length=1)
    repeat_minutes: float | None = Field(default=None, gt=0)
    due: Literal["next_business_day"] | None = None

    def called_by(self, waited_s: float) -> int:
        """How many rungs are due after so many seconds, the repetitions included."""
        waited = waited_s / 60
        count = sum(rung.from_minute <= waited for rung in self.rungs)
        end = self.rungs[-1].until_minute
        if end is None or self.repeat_minutes is None or waited < end:
            return count
        return count + min(int((waited - end) // self.repeat_minutes) + 1, MOST_REPEATS)

    def role(self, rung: int) -> str:
        """Who is called on a rung, from 0; beyond the last one everybody is."""
        return self.rungs[rung].role if rung < len(self.rungs) else EVERYBODY

    def next_at_s(self, rung: int) -> float | None:
        """After how many seconds of waiting a rung is called; None where it never is."""
        if rung < len(self.rungs):
            return self.rungs[rung].from_minute * 60
        end = self.rungs[-1].until_minute
        again = rung - len(self.rungs)
        if end is None or self.repeat_minutes is None or again >= MOST_REPEATS:
            return None
        return (end + again * self.repeat_minutes) * 60


@cache
def matrix() -> Mapping[int, LevelPlan]:
    """The plan of each level."""
    text = resources.files("padelops.ops").joinpath("escalation.yaml").read_text(encoding="utf-8")
    levels = yaml.safe_load(text)["levels"]
    return {level: LevelPlan.model_validate(plan) for level, plan in levels.items()}


def due_of(
    level: int, *, now: datetime, zone: ZoneInfo, holidays: Collection[date]
) -> datetime | None:
    """Until when a level wants it resolved: for level 3 the end of the next business day there."""
    if matrix()[level].due is None:
        return None
    day = now.astimezone(zone).date() + timedelta(days=1)
    while day.weekday() >= SATURDAY or day in holidays:
        day += timedelta(days=1)
    return datetime.combine(day, END_OF_BUSINESS, zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Tick:
    """Steady seconds, and whose they are: only those of one witness can be compared."""

    witness: str
    seconds: float


def machine_tick() -> Tick:
    """The seconds since this machine was started, also those that it slept; one clock for all its
    processes, and no setting of the time moves it.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return Tick(f"{socket.gethostname()}/{boot}", time.clock_gettime(time.CLOCK_BOOTTIME))
    except (OSError, AttributeError):
        # Not Linux: the steady clock is there, but nothing that tells one start from the next.
        return Tick(socket.gethostname(), time.monotonic())
