"""How a load test ends: thresholds, acknowledgements, invariants, in that order of gravity."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlsplit

from load_shapes import RATED_USERS

if TYPE_CHECKING:
    from load_ledger import Ledger

KEPT, MISSED, VIOLATED, UNCHECKED = 0, 1, 2, 3
MOST_ERRORS = 0.01
LONGEST_COMMAND_S = 600


@dataclass(frozen=True)
class Threshold:
    """Milliseconds within which so many percent of the answers must come."""

    p50: float
    p95: float
    p99: float


LEVEL_1 = Threshold(100, 200, 500)
LEVEL_2 = Threshold(250, 500, 2000)
LEVEL_3 = Threshold(500, 1000, 5000)
THRESHOLDS = {
    "POST /v1/reservations": LEVEL_1,
    "GET /v1/clubs/{club}/availability": LEVEL_2,
    "GET /v1/clubs/{club}/courts/{court}/availability": LEVEL_2,
    "POST /v1/reservations/{id}/cancel": LEVEL_2,
    "GET /v1/quotes": LEVEL_2,
    "GET /v1/reservations": LEVEL_3,
    "GET /v1/reservations/{id}": LEVEL_3,
}
"""Source: CRITICAL_PATHS.md: response times of the levels, availability 500 ms, search 1 s."""

_made: list[str] = []


def say(text: str) -> None:
    """One line for whoever watches."""
    print(text, file=sys.stderr, flush=True)


def make_token(host: str) -> str:
    """
    The operator's token that is given, or one made for this run where the server is our own.

    Raises:
        SystemExit: the server is somebody else's, and no token is given.
    """
    given = os.environ.get("PADELOPS_LOAD_TOKEN", "")
    if given:
        return given
    if urlsplit(host).hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise SystemExit(
            "give an operator's token in PADELOPS_LOAD_TOKEN; on the server's machine:"
            " padelops token create load-test --role operator --days 1"
        )
    made = _padelops("token", "create", "load-test", "--role", "operator", "--days", "1")
    if made.returncode:
        raise SystemExit(f"no token could be made: {made.stderr}")
    document = json.loads(made.stdout)
    _made.append(document["handle"])
    return str(document["token"])


def revoke_token() -> None:
    """Take back the token that was made for this run."""
    while _made:
        _padelops("token", "revoke", _made.pop())


def judge(stats: Any, ledger: Ledger, *, users: int, strictly: bool) -> int:
    """Say what was kept and what was not; the exit code."""
    rated = strictly or users <= RATED_USERS
    missed = _missed(stats)
    for one in missed:
        say(("missed: " if rated else f"beyond the rated {RATED_USERS} users: ") + one)
    say(
        f"{stats.total.num_requests} requests, {stats.total.num_failures} failed;"
        f" {len(ledger.acknowledged)} bookings, {ledger.conflicts} times somebody was quicker,"
        f" {len(ledger.gone)} cancelled, {len(ledger.in_doubt)} in doubt"
    )
    code = MISSED if missed and rated else KEPT
    try:
        lost = ledger.discrepancies()
    except (URLError, OSError, ValueError) as exc:
        say(f"what was acknowledged could not be compared: {exc}")
        return UNCHECKED
    for one in lost[:20]:
        say(f"violated: {one}")
    verdict = _validate()
    if lost or verdict == VIOLATED:
        return VIOLATED
    return max(code, verdict)


def _missed(stats: Any) -> list[str]:
    missed = []
    for name, limits in THRESHOLDS.items():
        method, _, path = name.partition(" ")
        entry = stats.get(path, method)
        if not entry.num_requests:
            continue
        for percent in (50, 95, 99):
            took, limit = (
                entry.get_response_time_percentile(percent / 100),
                getattr(limits, f"p{percent}"),
            )
            if took > limit:
                missed.append(f"{name}: p{percent} {took:.0f} ms, the limit is {limit:.0f}")
    if stats.total.fail_ratio > MOST_ERRORS:
        missed.append(f"{stats.total.fail_ratio:.2%} errors, the limit is {MOST_ERRORS:.0%}")
    return missed


def _validate() -> int:
    """Ask every invariant of the database that the settings name."""
    done = _padelops("validate")
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = {}
    say(f"padelops validate: {report.get('verdict', 'no answer')} (exit status {done.returncode})")
    if done.returncode in {0, 1}:
        return KEPT
    if done.returncode == 2 and report.get("verdict") == "critical":
        say(done.stdout[:2000])
        return VIOLATED
    say(done.stderr[-500:])
    return UNCHECKED


def _padelops(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, in a process of its own: Locust has changed what sockets and threads are here."""
    return subprocess.run(
        [sys.executable, "-m", "padelops", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=LONGEST_COMMAND_S,
        check=False,
    )
