"""
What PostgreSQL's errors mean: the padelops error for a constraint's name or a SQLSTATE.

Only this file knows SQLSTATEs, and the one in `engine.py` that is a warning.
"""

from __future__ import annotations

from typing import Any

import psycopg

from padelops.errors import (
    ConstraintBroken,
    Corrupt,
    CourtBusy,
    CourtTaken,
    DatabaseSlow,
    DatabaseUnavailable,
    IllegalMove,
    KeyReused,
    NotPermitted,
    PadelopsError,
    SchemaBehind,
)
from padelops.store.constraints import (
    CLAIMS_ALLOWED_MOVES,
    CLAIMS_NO_OVERLAP,
    CLAIMS_ONE_PER_KEY,
    CLAIMS_TERMS_FROZEN,
)

type_of_constraint: dict[str, type[PadelopsError]] = {
    CLAIMS_NO_OVERLAP: CourtTaken,
    CLAIMS_ONE_PER_KEY: KeyReused,
    CLAIMS_ALLOWED_MOVES: IllegalMove,
    CLAIMS_TERMS_FROZEN: IllegalMove,
}
"""What breaking a constraint is called, by the constraint's name."""

LOGIN_REFUSED = (
    "authentication failed",
    "no pg_hba.conf entry",
    "permission denied for database",
    "is not permitted to log in",
    'role "',
    "no password supplied",
)
"""How a refused login reads: libpq tells no SQLSTATE before there is a connection. A server that
speaks another language is only taken for one that is away."""

CONTENTION = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock timeout: a rival was in the way."""

_LACKING = (SchemaBehind, "The database lacks something: {detail}.", "Run: padelops db upgrade")
_LOGIN = (
    NotPermitted,
    "The database refuses the login: {detail}.",
    "Check PADELOPS_DATABASE_URL.",
)
_IDLED = (DatabaseUnavailable, "The transaction took too long and was ended.", "Try again.")
_DAMAGED = (
    Corrupt,
    "The database's storage is damaged: {detail}.",
    "Fail over to a standby, and restore this server.",
)
_PLAIN: dict[str, tuple[type[PadelopsError], str, str]] = {
    "42501": (
        NotPermitted,
        "The database refuses this: {detail}.",
        "Grant the role what it lacks.",
    ),
    "28000": _LOGIN,
    "28P01": _LOGIN,
    "42P01": _LACKING,
    "42703": _LACKING,
    "42883": _LACKING,
    "0A000": (
        DatabaseUnavailable,
        "This server cannot do that now: {detail}.",
        "Try again; on a standby, ask the primary.",
    ),
    # Not a rival's doing: a wait for one ends by the shorter lock timeout (LOCK_SHARE). So this is
    # a server that is slow, which opens breakers; and what somebody cancels is told as that.
    "57014": (DatabaseSlow, "The database took too long: {detail}.", "Try again."),
    "25P03": _IDLED,
    "25P04": _IDLED,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "25006": (
        DatabaseUnavailable,
        "This server is read-only: it is a standby or is being fenced.",
        "Point PADELOPS_DATABASE_URL at the primary (target_session_attrs=read-write).",
    ),
    "53100": (DatabaseUnavailable, "The database's disk is full.", "Free space on it."),
    "53300": (
        DatabaseUnavailable,
        "The database has no connection left.",
        "Raise max_connections, or wait.",
    ),
}
"""SQLSTATEs with one plain meaning: the error, its message, and what to do."""


def explain(exc: psycopg.Error) -> PadelopsError | None:
    """
    The padelops error for a driver error, keyed on the constraint's name, else on the SQLSTATE.

    None for what can only be a mistake in padelops itself, such as wrong SQL: that must surface.
    """
    state, detail = exc.sqlstate or "", exc.diag.message_primary or first_line_of(exc)
    if not state and any(sign in detail for sign in LOGIN_REFUSED):
        state = "28000"
    if state.startswith("23") and (constraint := exc.diag.constraint_name):
        known = type_of_constraint.get(constraint)
        facts: dict[str, Any] = {"constraint": constraint}
        if known:
            return known(f"The database refuses this: {detail}.", **facts)
        return ConstraintBroken(f"The database refuses this: {detail}.", **facts)
    if state in CONTENTION:
        return CourtBusy(sqlstate=state)
    if state in _PLAIN:
        kind, message, fix = _PLAIN[state]
        return kind(message.format(detail=detail), fix=fix, sqlstate=state)
    if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseUnavailable(
            f"The database did not answer: {detail}.", sqlstate=state or None
        )
    return None


def lost(exc: psycopg.Error) -> bool:
    """Whether the server went away: class 08 and 57P01-57P03, or no SQLSTATE at all."""
    state = exc.sqlstate
    return (
        isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError)
        and (state is None or state.startswith("08"))
    ) or state in {"57P01", "57P02", "57P03"}


def first_line_of(exc: BaseException) -> str:
    """The first line of an exception's text, without its last full stop."""
    return next(iter(str(exc).splitlines()), type(exc).__name__).rstrip(". ")


READ_ONLY = "25006"


def moved_on(exc: BaseException) -> bool:
    """
    Whether this says that the server takes no writes: another one is the primary now.

    A connection through a proxy can outlive that; kept in the pool it would fail for ever.
    """
    if isinstance(exc, psycopg.Error):
        return exc.sqlstate == READ_ONLY
    return isinstance(exc, PadelopsError) and exc.facts.get("sqlstate") == READ_ONLY
