"""Whoever watches a runbook in a test: writes down what is said, and answers as told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from padelops.ops.runbook_run import Answer
    from padelops.ops.runbooks import Step


@dataclass
class Onlooker:
    """Nobody at a terminal, who passed --yes; unless told otherwise."""

    agreeing: bool = True
    answer: Answer | BaseException | None = None
    lines: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def agrees(self, question: str) -> bool:
        self.asked.append(question)
        return self.agreeing

    def asks(self, step: Step) -> Answer | None:
        self.asked.append(step.name)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer
