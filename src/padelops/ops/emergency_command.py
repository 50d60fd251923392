"""An emergency response that runs a command of the operator's, with the report on its input."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

from padelops.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from padelops.ops.health import HealthReport

LONGEST_S = 30
"""Immediate response is within 30 seconds (CRITICAL_PATHS.md, "Immediate Response")."""


class ResponseFailed(Unavailable):
    """The emergency response did not go through; call somebody by hand."""

    code = "response_failed"


class EmergencyCommand:
    """Implements `ops.health.EmergencyResponse`."""

    def __init__(self, command: str) -> None:
        """
        Args:
            command: a program and its arguments as a shell would read them; no shell runs it.

        Raises:
            InvalidInput: it cannot be read.
        """
        try:
            self._command = shlex.split(command)
        except ValueError as exc:
            raise InvalidInput(f"The emergency command cannot be read: {exc}.") from exc
        if not self._command:
            raise InvalidInput("The emergency command is empty.")

    def __call__(self, report: HealthReport) -> str:
        """
        Run it: the report as JSON on its input, the verdict in `PADELOPS_VERDICT`.

        Raises:
            ResponseFailed: it is not there, failed, or took longer than `LONGEST_S`.
        """
        name = self._command[0]
        try:
            ended = subprocess.run(  # noqa: S603 - the operator's own command, split and not a shell's
                self._command,
                input=json.dumps(report.as_json()),
                text=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PADELOPS_VERDICT": report.verdict.word},
                timeout=LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise ResponseFailed(f"{name} did not end within {LONGEST_S} s.") from exc
        except OSError as exc:
            raise ResponseFailed(f"{name} could not be run: {exc.strerror}.") from exc
        if ended.returncode:
            raise ResponseFailed(f"{name} failed with exit status {ended.returncode}.")
        return f"Responded: {name} ran."
