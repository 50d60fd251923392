"""
The one error tree: what can go wrong, what it is called, and whether trying again helps.

Every error a caller can meet is a `PadelopsError` below one of four branches:

- `Refused`: a rule said no; nothing changed; asking again changes nothing.
- `Unavailable`: something we need is away; nothing changed; try later.
- `OutcomeUnknown`: it may have happened; reconcile by key, never guess.
- `Corrupt`: what is stored contradicts itself; wake a person.

`code` is stable (scripts match on it), `exit_code` is what the terminal answers with,
`facts` is what JSON callers get beside the message. A class's docstring is its default message.

Source: DESIGN.md sections 1 and 6.
"""

from __future__ import annotations

import os
from enum import IntEnum
from typing import Any, ClassVar

PACKAGE = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - pathlib loads late


class ExitCode(IntEnum):
    """What an action's exit status means. Checks use 0 ok, 1 warning, 2 critical, 3 unknown."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    OUTCOME_UNKNOWN = 3
    NOT_PERMITTED = 4
    SAFETY_GATE = 5
    PARTLY_DONE = 6
    LOCK_HELD = 7
    UNAVAILABLE = 8
    INTERRUPTED = 130
    TERMINATED = 143


class PadelopsError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.UNAVAILABLE
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, fix: str | None = None, **facts: Any) -> None:
        """
        Args:
            message: one line for a person; the class's docstring when left out.
            fix: one line saying what to do next, shown after the message.
            facts: JSON-ready values for programs; never personal data, never secrets.
        """
        self.message = message or first_line(type(self).__doc__)
        self.fix = fix
        self.facts = facts
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.fix}" if self.fix else self.message

    def as_json(self) -> dict[str, Any]:
        """The body of the `error` member that every door shows."""
        fix = {"fix": self.fix} if self.fix else {}
        return {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            **fix,
            **self.facts,
        }


# --- the four branches ---------------------------------------------------------------------


class Refused(PadelopsError):
    """A rule said no. Nothing was changed."""

    code = "refused"
    exit_code = ExitCode.REFUSED


class Unavailable(PadelopsError):
    """Something padelops depends on is away. Nothing was changed; try again later."""

    code = "unavailable"
    exit_code = ExitCode.UNAVAILABLE
    retryable = True


class OutcomeUnknown(PadelopsError):
    """The change may or may not have happened. Ask again with the same key."""

    code = "outcome_unknown"
    exit_code = ExitCode.OUTCOME_UNKNOWN
    retryable = True


class CommitLost(OutcomeUnknown):
    """The connection was lost while the change was being committed."""


class Corrupt(PadelopsError):
    """Stored data contradicts itself. A person must look."""

    code = "corrupt"
    exit_code = ExitCode.UNAVAILABLE


class TariffUnusable(Corrupt):
    """The stored tariff cannot be used to compute a price."""

    code = "tariff_unusable"


# --- refusals ------------------------------------------------------------------------------


class InvalidInput(Refused):
    """The input makes no sense. Nothing was changed."""

    code = "invalid_input"
    exit_code = ExitCode.USAGE


class NotFound(Refused):
    """There is no such thing here."""

    code = "not_found"


class CourtTaken(Refused):
    """The court is taken at that time."""

    code = "court_taken"


class OutsideHours(Refused):
    """The club is closed for part of that time."""

    code = "outside_hours"


class RuleBroken(Refused):
    """The club's booking rules do not allow this."""

    code = "rule_broken"


class CourtOutOfService(Refused):
    """The court is out of service."""

    code = "court_out_of_service"


class PriceChanged(Refused):
    """The price is not the one expected; nothing was booked."""

    code = "price_changed"


class KeyReused(Refused):
    """This idempotency key already belongs to a different request."""

    code = "key_reused"


class CannotCancel(Refused):
    """The reservation cannot be cancelled any more."""

    code = "cannot_cancel"


class IllegalMove(Refused):
    """The database refuses this change of status."""

    code = "illegal_move"


class ConstraintBroken(Refused):
    """The database refuses this change: it would break an invariant."""

    code = "constraint_broken"


class CursorMismatch(InvalidInput):
    """The cursor was made for another search, or was changed on its way."""

    code = "cursor_mismatch"


class Usage(InvalidInput):
    """The command line makes no sense. Nothing was done."""

    code = "usage"


class NotPermitted(Refused):
    """The database role or token lacks the right to do this."""

    code = "not_permitted"
    exit_code = ExitCode.NOT_PERMITTED


class SafetyGate(Refused):
    """A safety gate refused this; pass the flag it names to go on."""

    code = "safety_gate"
    exit_code = ExitCode.SAFETY_GATE


class SchemaBehind(Refused):
    """The database's schema is older than this padelops."""

    code = "schema_behind"


class SchemaAhead(Refused):
    """The database's schema is newer than this padelops."""

    code = "schema_ahead"


# --- availability --------------------------------------------------------------------------


class CourtBusy(Unavailable):
    """Rivals for this court did not finish in time. Nothing was changed; try again."""

    code = "court_busy"


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached."""

    code = "database_unavailable"


class DatabaseSlow(DatabaseUnavailable):
    """The database took too long. Nothing was changed; try again."""

    code = "database_slow"


class CacheUnavailable(Unavailable):
    """The cache cannot be reached."""

    code = "cache_unavailable"


class OutputFailed(Unavailable):
    """The output could not be written."""

    code = "output_failed"
    retryable = False


class BreakerOpen(Unavailable):
    """Refused for a while by an open circuit breaker, so that what failed can recover."""

    code = "breaker_open"


class LockHeld(Unavailable):
    """Another process holds the lock for this."""

    code = "lock_held"
    exit_code = ExitCode.LOCK_HELD


class NotChecked(PadelopsError):
    """The check could not run. Nothing is known, and nothing was changed."""

    code = "not_checked"
    exit_code = ExitCode.OUTCOME_UNKNOWN
    retryable = True


class PartlyDone(PadelopsError):
    """Part of the work is done; running it again goes on from there."""

    code = "partly_done"
    exit_code = ExitCode.PARTLY_DONE
    retryable = True


class LockLost(PartlyDone):
    """The lock was lost with its database session; the work stopped, running it again goes on."""

    code = "lock_lost"


class Interrupted(PadelopsError):
    """Interrupted. Nothing more was changed."""

    code = "interrupted"
    exit_code = ExitCode.INTERRUPTED


class Terminated(Interrupted):
    """Terminated. Nothing more was changed."""

    code = "terminated"
    exit_code = ExitCode.TERMINATED


class InternalError(OutcomeUnknown):
    """padelops itself failed; what it was doing may or may not have happened."""

    code = "internal_error"
    retryable = False


def bug_of(exc: Exception) -> InternalError:
    """
    What an exception that nobody expected is told as: its type and its place in padelops.

    Its text is left out: that of a foreign exception may carry a password or a player's data.
    """
    place, traceback = "", exc.__traceback__
    while traceback:
        code = traceback.tb_frame.f_code
        if code.co_filename.startswith(PACKAGE):
            place = f" in {code.co_filename.removeprefix(PACKAGE)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return InternalError(
        f"padelops failed with {type(exc).__name__}{place}. "
        "What it was doing may or may not have happened.",
        fix="Set PADELOPS_DEBUG=1 for the traceback.",
    )


def first_line(docstring: str | None) -> str:
    """The first non-empty line of a docstring, or an empty string."""
    return next((line.strip() for line in (docstring or "").splitlines() if line.strip()), "")
