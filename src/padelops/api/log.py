"""
Structured logs: one JSON object for each request and each turn of the server's life, on stderr.

What a request said is not logged: no query, no body, no token; its route, outcome and times are,
and the request id that the audit trail has too. A log's reader that went away stops nothing.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

STDERR = 2


def write(level: str, event: str, **facts: Any) -> None:
    """One line; `facts` are JSON-ready."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps(
        {"at": at, "level": level, "event": event, **facts, "pid": os.getpid()},
        ensure_ascii=True,
        default=str,
        separators=(",", ":"),
    )
    with suppress(OSError):
        os.write(STDERR, line.encode() + b"\n")  # one call, so that lines of processes never mix


class ServerLines(logging.Handler):
    """What the HTTP server itself says, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        facts = {"problem": repr(record.exc_info[1])} if record.exc_info else {}
        write(record.levelname.lower(), "server", message=record.getMessage(), **facts)


def server_logging(level: str) -> dict[str, Any]:
    """For the server's own set-up of its loggers."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"lines": {"class": f"{__name__}.ServerLines"}},
        "loggers": {
            "_granian": {"handlers": ["lines"], "level": level, "propagate": False},
            "granian.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
        },
    }


def trace(exc: BaseException) -> None:
    """A traceback, for who asked for it with PADELOPS_DEBUG=1."""
    if os.environ.get("PADELOPS_DEBUG", "0") not in {"", "0"}:
        import traceback  # noqa: PLC0415

        with suppress(OSError):
            os.write(STDERR, "".join(traceback.format_exception(exc)).encode())
