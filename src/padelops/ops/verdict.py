"""The four answers of every check; also its exit status. "Unknown" is never shown as success."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(IntEnum):
    """What a check found. Source: DESIGN.md section 6, "Exit codes"."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3

    @property
    def word(self) -> str:
        """As people and JSON read it."""
        return self.name.lower()


FROM_THE_WORST = (Verdict.CRITICAL, Verdict.UNKNOWN, Verdict.WARNING, Verdict.OK)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """What all of them come to: trouble found outranks a check that could not run."""
    found = set(verdicts) or {Verdict.UNKNOWN}
    return next(verdict for verdict in FROM_THE_WORST if verdict in found)
