"""What has been asked and answered so far, kept in a file so that an interrupted run can go on."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from padelops.store.integrity import Violation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from padelops.ops.integrity_questions import Question

VERSION = 1
"""Of the file; another one is not read."""


@dataclass(frozen=True, slots=True)
class Job:
    """One question asked of some clubs (None: of everything); `weight` is its share of the bar."""

    question: Question
    clubs: tuple[int, ...] | None
    weight: int

    @property
    def key(self) -> str:
        clubs = "all" if self.clubs is None else ",".join(map(str, self.clubs))
        return f"{self.question.name}:{clubs}"


@dataclass(slots=True)
class Tally:
    """Violations of one check: all counted, the first of them kept."""

    count: int = 0
    first: list[Violation] = field(default_factory=list)

    def add(self, violation: Violation, *, most: int) -> None:
        self.count += 1
        if len(self.first) < most:
            self.first.append(violation)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What one job found, by check.

    Attributes:
        failure: why it could not be asked, or not to its end.
        skipped: why it is not asked here.
    """

    job: Job
    found: dict[str, Tally] = field(default_factory=dict)
    failure: str | None = None
    skipped: str | None = None
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "skipped": self.skipped,
            "found": {
                check: {"count": tally.count, "first": [one.as_json() for one in tally.first]}
                for check, tally in self.found.items()
            },
        }

    @classmethod
    def read(cls, job: Job, document: dict[str, Any]) -> Answer:
        """
        Raises:
            KeyError, TypeError: it is not what `as_json` writes.
        """
        found = {
            check: Tally(
                tally["count"],
                [Violation(one["subject"], one["evidence"]) for one in tally["first"]],
            )
            for check, tally in document["found"].items()
        }
        return cls(job, found, None, document["skipped"], document["seconds"])


class Unfinished:
    """
    The answers of a run that is under way, or was interrupted.

    They are written after each answer, for a process may be killed. A folder that cannot be written
    to costs the resumption, not the run: a full disk is when the books must be looked at.

    Args:
        folder: None where nothing is to be kept.
        identity: of the database; answers of another one are never taken up.
    """

    def __init__(
        self,
        folder: Path | None,
        identity: str,
        *,
        sample: int | None,
        seed: int,
        clubs: Collection[str],
    ) -> None:
        self.sample = sample
        self.seed = seed
        self.snapshots = 1
        self._clubs = sorted(clubs)
        self._answers: dict[str, Any] = {}
        name = sha256(identity.encode()).hexdigest()[:16]
        self._path = None if folder is None else folder / f"validate-{name}.json"

    def take_up(self) -> None:
        """Go on where the last run on this database and these clubs stopped, if one did."""
        if self._path is None:
            return
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            if document["version"] != VERSION or document["clubs"] != self._clubs:
                return
            self.sample, self.seed = document["sample"], document["seed"]
            self.snapshots = document["snapshots"] + 1
            self._answers = document["answers"]
        except (OSError, ValueError, KeyError, TypeError):
            return

    def known(self, jobs: Iterable[Job]) -> dict[str, Answer]:
        """The answers that the interrupted run had, by job."""
        known = {}
        for job in jobs:
            with suppress(KeyError, TypeError):
                known[job.key] = Answer.read(job, self._answers[job.key])
        return known

    def note(self, answer: Answer) -> None:
        """Keep one answer; a failure is none."""
        if self._path is None or answer.failure:
            return
        self._answers[answer.job.key] = answer.as_json()
        document = {
            "version": VERSION,
            "clubs": self._clubs,
            "sample": self.sample,
            "seed": self.seed,
            "snapshots": self.snapshots,
            "answers": self._answers,
        }
        beside = self._path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            beside.write_text(json.dumps(document), encoding="utf-8")
            beside.replace(self._path)

    def forget(self) -> None:
        """The run is complete."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
