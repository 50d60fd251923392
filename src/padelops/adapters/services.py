"""
Services of this machine's operating system: restarted through systemd or a command of the
operator's, and asked over HTTP whether they answer. Without a shell, bounded in time.
"""

from __future__ import annotations

import shlex
import subprocess
from http.client import HTTPException
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from padelops.errors import InvalidInput, NotPermitted, Unavailable

SYSTEMD = "systemctl restart"
VARIABLE = "PADELOPS_RESTART_COMMAND"
TIMEOUT_S = 60
ANSWER_S = 3
LONGEST_WORD = 300


def restart_service(service: str, command: str | None) -> str:
    """
    Run `systemctl restart SERVICE`, or the configured command with the service behind it.

    Raises:
        Unavailable: it could not be run, took too long, or failed; with its last words.
        NotPermitted: whoever runs this may not.
    """
    words = [*shlex.split(command or SYSTEMD), service]
    shown = shlex.join(words)
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the operator's own command
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except PermissionError as exc:
        raise NotPermitted(f"{shown} may not be run: {exc.strerror}.") from exc
    except OSError as exc:
        raise Unavailable(
            f"{shown} could not be run: {exc.strerror}.",
            fix=f"Set {VARIABLE} to what restarts a service here, such as 'docker restart'.",
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise Unavailable(f"{shown} did not end within {TIMEOUT_S} s.") from exc
    if done.returncode != 0:
        said = next(iter(reversed(done.stderr.strip().splitlines())), "it said nothing")
        raise Unavailable(
            f"{shown} ended with {done.returncode}: {said[:LONGEST_WORD]}",
            fix=f"Is that its name? Another way to restart it: {VARIABLE}.",
        )
    return f"Ran: {shown}."


def service_answers(url: str) -> bool:
    """
    Whether `/health/live` below the address answers.

    Raises:
        InvalidInput: it is no HTTP address.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise InvalidInput("PADELOPS_SERVICE_URL must begin with http:// or https://.")
    try:
        with urlopen(f"{url.rstrip('/')}/health/live", timeout=ANSWER_S) as answer:  # noqa: S310
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
    except (URLError, OSError, HTTPException):
        return False
