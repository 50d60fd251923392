"""
The maintenance plan as data: every item of every schedule, who does it, and when it is due.

The data stand in `maintenance.yaml` beside this file; a plan that contradicts itself does not load.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from padelops.errors import NotFound
from padelops.ops.verdict import Verdict

if TYPE_CHECKING:
    from datetime import datetime

CRITICAL_AFTER = 2
"""Missing this many turns of what a machine does means that nobody is looking any more."""


class Schedule(BaseModel):
    """How often something is done, and when a timer starts it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_days: int = Field(ge=1)
    grace_hours: int = Field(ge=1)
    cron: str
    systemd: str

    @property
    def every(self) -> timedelta:
        return timedelta(days=self.every_days)

    @property
    def grace(self) -> timedelta:
        """A run takes its time and a person sleeps: only past this it is late."""
        return timedelta(hours=self.grace_hours)


class Task(BaseModel):
    """
    One item.

    Attributes:
        who: a machine does it, or a person signs it off.
        look_at: commands, or what to judge.
        source: the heading it comes from, where it is not the schedule's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    who: Literal["machine", "person"]
    look_at: tuple[str, ...] = ()
    source: str | None = None


class Plan(BaseModel):
    """Schedules and tasks by name; a task is called `SCHEDULE/ITEM`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedules: dict[str, Schedule]
    tasks: dict[str, Task]

    @model_validator(mode="after")
    def _hangs_together(self) -> Plan:
        for name, task in self.tasks.items():
            if name.partition("/")[0] not in self.schedules:
                raise ValueError(f"{name} belongs to no schedule")
            if task.who == "person" and not task.look_at:
                raise ValueError(f"{name} tells nobody what to look at")
        return self

    def schedule_of(self, task: str) -> Schedule:
        return self.schedules[task.partition("/")[0]]

    def of(self, schedule: str) -> dict[str, Task]:
        """
        The tasks of one schedule, in order.

        Raises:
            NotFound: no such schedule.
        """
        if schedule not in self.schedules:
            raise NotFound(
                f"There is no schedule '{schedule}'.",
                fix=f"One of: {', '.join(self.schedules)}.",
            )
        return {name: task for name, task in self.tasks.items() if name.startswith(f"{schedule}/")}

    def task(self, name: str) -> Task:
        """
        Raises:
            NotFound: no such task.
        """
        if name not in self.tasks:
            raise NotFound(
                f"There is no task '{name}'.",
                fix="`padelops maintenance list` names them, such as weekly/security_audit.",
            )
        return self.tasks[name]


@cache
def the_plan() -> Plan:
    """The plan that this padelops ships."""
    import yaml  # noqa: PLC0415 - 20 ms that a test of dates does without

    text = resources.files("padelops.ops").joinpath("maintenance.yaml").read_text(encoding="utf-8")
    try:
        return Plan.model_validate(yaml.safe_load(text))
    except ValidationError as exc:
        raise ValueError(f"maintenance.yaml: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Where a task stands at a moment.

    Attributes:
        last: when it was last done to its end (a machine's run, a person's signature); None: never.
        counted_from: `last`, or when padelops began to be used here.
    """

    name: str
    task: Task
    schedule: Schedule
    last: datetime | None
    counted_from: datetime
    now: datetime

    @property
    def due_at(self) -> datetime:
        return self.counted_from + self.schedule.every

    @property
    def late_by(self) -> timedelta:
        """How far past its grace; negative while there is time."""
        return self.now - self.due_at - self.schedule.grace

    @property
    def state(self) -> Literal["fresh", "due", "late"]:
        if self.late_by > timedelta(0):
            return "late"
        return "due" if self.now >= self.due_at else "fresh"

    @property
    def verdict(self) -> Verdict:
        """Late is a warning; a machine that missed several turns has stopped, which is critical."""
        if self.state != "late":
            return Verdict.OK
        missed = self.now - self.counted_from >= self.schedule.every * CRITICAL_AFTER
        stopped = self.task.who == "machine" and missed and self.late_by > timedelta(0)
        return Verdict.CRITICAL if stopped else Verdict.WARNING

    def as_json(self) -> dict[str, Any]:
        return {
            "task": self.name,
            "title": self.task.title,
            "who": self.task.who,
            "state": self.state,
            "last_done_at": None if self.last is None else self.last.isoformat(),
            "due_at": self.due_at.isoformat(),
            "look_at": list(self.task.look_at),
        }
