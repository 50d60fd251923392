"""
Runbooks as data: what to do about an alert, for a machine to run and for a person to read.

They are YAML files in `alerts/runbooks/`. A file that contradicts itself does not load: the error
names the file, the step and what to write instead.

Source: CRITICAL_PATHS.md, "Failure recovery procedures"; DESIGN.md section 7.
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import padelops.ops.recovery_data
import padelops.ops.recovery_failover
import padelops.ops.recovery_people
import padelops.ops.recovery_services  # noqa: F401 - these four fill OPERATIONS
from padelops.errors import InvalidInput, NotFound
from padelops.model import Level
from padelops.ops.data_folders import data_folder
from padelops.ops.recovery import OPERATIONS, Operation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FOLDER = "alerts/runbooks"
LONGEST_FILE = 100_000

NAME = r"^[a-z][a-z0-9_]{0,49}$"
Name = Annotated[str, Field(pattern=NAME)]
Line = Annotated[str, Field(min_length=1, max_length=300)]


class Budget(StrEnum):
    """By when it must be over, and the heading of CRITICAL_PATHS.md that says so."""

    IMMEDIATE = "immediate"
    SHORT_TERM = "short_term"
    LONG_TERM = "long_term"

    @property
    def seconds(self) -> int:
        return {"immediate": 30, "short_term": 120, "long_term": 300}[self]

    @property
    def heading(self) -> str:
        return {
            "immediate": "Immediate Response (< 30 seconds)",
            "short_term": "Short-term Recovery (< 2 minutes)",
            "long_term": "Long-term Recovery (< 5 minutes)",
        }[self]

    @property
    def told(self) -> str:
        """`30 s`, `2 min`, `5 min`."""
        return f"{self.seconds} s" if self.seconds < 60 else f"{self.seconds // 60} min"  # noqa: PLR2004 - a minute


class Person(BaseModel):
    """
    A step that only a person can take: what to look at, and when it is done.

    Attributes:
        commands: to be pasted; each is one of padelops, or of the system (`systemctl …`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    look_at: tuple[Line, ...] = Field(min_length=1)
    done_when: Line
    commands: tuple[Line, ...] = ()


class Step(BaseModel):
    """
    One step: an operation of padelops, or one for a person.

    Attributes:
        why: why it stands here, shown before it is done.
        do: an operation's name; `with` has what it is told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: Name
    title: Line
    why: Line
    do: str | None = None
    told: dict[str, Any] = Field(default_factory=dict, alias="with")
    person: Person | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Step:
        if (self.do is None) == (self.person is None):
            raise ValueError("a step has either `do: OPERATION` or `person:`")
        if self.person is not None and self.told:
            raise ValueError("`with` goes with `do`")
        if self.do is not None and self.do not in OPERATIONS:
            near = get_close_matches(self.do, OPERATIONS, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(OPERATIONS)}"
            raise ValueError(f"there is no operation {self.do!r}; {meant}")
        try:
            _ = self.operation
        except ValidationError as exc:
            problem = exc.errors(include_url=False)[0]
            where = ".".join(["with", *map(str, problem["loc"])])
            raise ValueError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from exc
        return self

    @cached_property
    def operation(self) -> Operation | None:
        """What is to be done, ready; None for a person's step."""
        return None if self.do is None else OPERATIONS[self.do].model_validate(self.told)

    @property
    def commands(self) -> tuple[str, ...]:
        """What a person types to do the same."""
        if self.operation is not None:
            return self.operation.commands()
        return () if self.person is None else self.person.commands


class Runbook(BaseModel):
    """
    What to do about some alerts.

    Attributes:
        name: the file's, without its ending.
        escalate: what to do when the budget is over, or a step fails for good.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: Line
    alerts: tuple[Name, ...]
    level: Level
    budget: Budget
    summary: Annotated[str, Field(min_length=1, max_length=1000)]
    steps: tuple[Step, ...] = Field(min_length=1, max_length=20)
    escalate: Line = "Escalate by the matrix of your level: who is next is not to be woken late."

    @model_validator(mode="after")
    def _hangs_together(self) -> Runbook:
        names = [step.name for step in self.steps]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two steps are called {min(twice)!r}; give each a name of its own")
        return self

    @property
    def risky(self) -> bool:
        """Whether a step of it needs a person's yes."""
        return any(step.operation is not None and step.operation.risky for step in self.steps)

    def position(self, step: str) -> int:
        """
        Where a step stands.

        Raises:
            NotFound: it has no such step.
        """
        for position, known in enumerate(self.steps):
            if known.name == step:
                return position
        names = ", ".join(known.name for known in self.steps)
        raise NotFound(f"{self.name} has no step {step[:50]!r}.", fix=f"Its steps: {names}.")

    def as_json(self) -> dict[str, Any]:
        return {
            "runbook": self.name,
            "title": self.title,
            "alerts": list(self.alerts),
            "level": self.level.value,
            "budget_s": self.budget.seconds,
            "source": self.budget.heading,
            "summary": self.summary,
            "risky": self.risky,
            "steps": [
                {
                    "step": step.name,
                    "title": step.title,
                    "why": step.why,
                    "operation": step.do,
                    "with": step.told,
                    "person": None if step.person is None else step.person.model_dump(mode="json"),
                    "commands": list(step.commands),
                }
                for step in self.steps
            ],
            "escalate": self.escalate,
        }


@cache
def the_runbooks() -> Mapping[str, Runbook]:
    """Every runbook that this padelops ships, by name."""
    return read_runbooks(data_folder(FOLDER))


def read_runbooks(folder: Path) -> dict[str, Runbook]:
    """
    All runbooks of a folder.

    Raises:
        InvalidInput: a file is wrong; names it, the step, and what would be right.
    """
    return {book.name: book for book in map(_read, sorted(folder.glob("*.yaml")))}


def runbook_named(name: str) -> Runbook:
    """
    Raises:
        NotFound: there is none of that name; names what is near.
    """
    books = the_runbooks()
    if name in books:
        return books[name]
    of_alert = [book.name for book in books.values() if name in book.alerts]
    near = of_alert or get_close_matches(name, books, n=1)
    fix = f"Did you mean {near[0]}?" if near else "`padelops runbook list` names them."
    raise NotFound(f"There is no runbook {name[:50]!r}.", fix=fix)


def _read(file: Path) -> Runbook:
    import yaml  # noqa: PLC0415 - 20 ms that other commands do without

    where = f"{FOLDER}/{file.name}"
    text = file.read_text(encoding="utf-8")
    if len(text) > LONGEST_FILE:
        raise InvalidInput(f"{where} is longer than {LONGEST_FILE} characters.")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InvalidInput(
            f"{where}{line}: this is not YAML: {getattr(exc, 'problem', '')}."
        ) from exc
    if not isinstance(document, dict):
        raise InvalidInput(f"{where}: a runbook is a mapping with title, alerts, level, steps …")
    try:
        return Runbook.model_validate({"name": file.name.removesuffix(".yaml"), **document})
    except ValidationError as exc:
        problem = exc.errors(include_url=False)[0]
        said = problem["msg"].removeprefix("Value error, ")
        place = _place(document, problem["loc"])
        raise InvalidInput(
            f"{where}{place}: {said[:1].lower()}{said[1:]}.",
            fix="`padelops runbook show NAME --json` shows one that is right.",
        ) from exc


def _place(document: Mapping[str, Any], loc: Sequence[int | str]) -> str:
    """`, step 2 (reconcile), person.look_at`."""
    parts = [str(part) for part in loc]
    if len(loc) > 1 and loc[0] == "steps" and isinstance(loc[1], int):
        step = document["steps"][loc[1]]
        called = step.get("name") if isinstance(step, dict) else None
        rest = ".".join(parts[2:])
        return f", step {loc[1] + 1}{f' ({called})' if called else ''}{f', {rest}' if rest else ''}"
    return f", {'.'.join(parts)}" if parts else ""
