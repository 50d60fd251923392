"""Whoever watches a runbook at a terminal: told every step, asked what only a person knows."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from padelops.cli import streams
from padelops.cli.output import Terminal, say
from padelops.cli.streams import harmless
from padelops.ops.runbook_run import Answer

if TYPE_CHECKING:
    import typer

    from padelops.ops.runbooks import Step

ANSWERS = {"d": Answer.DONE, "s": Answer.SKIP, "n": Answer.STOP}


class TerminalOnlooker:
    """Implements `ops.runbook_run.Onlooker`."""

    def __init__(self, ctx: typer.Context, *, yes: bool) -> None:
        self._ctx = ctx
        self._yes = yes
        self._there = os.isatty(streams.STDIN) and Terminal.of(ctx).talks_to_terminal

    def say(self, line: str) -> None:
        say(self._ctx, line)

    def agrees(self, question: str) -> bool:
        """With --yes always; else whoever sits there is asked, and nobody never agrees."""
        if self._yes or not self._there:
            return self._yes
        return _ask(f"{question} [y/N]").lower() in {"y", "yes"}

    def asks(self, step: Step) -> Answer | None:
        """Shows what to look at and waits for a word; with --yes nothing is asked."""
        if self._yes or not self._there or step.person is None:
            return None
        for look in step.person.look_at:
            streams.write_talk(f"    Look at: {harmless(look)}\n")
        for command in step.person.commands:
            streams.write_talk(f"    $ {harmless(command)}\n")
        question = f"    {step.person.done_when} [d]one, [s]kip, [n]ot so: stop"
        while True:
            given = _ask(question).lower()
            if not given:
                return Answer.STOP
            if given[0] in ANSWERS:
                return ANSWERS[given[0]]


def _ask(question: str) -> str:
    """One line from whoever sits there; empty where they left."""
    streams.write_talk(f"{harmless(question)} ")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        streams.write_talk("\n")
    return answer.strip()
