"""
The dead man's switch: a ping that says "it ran"; where none comes, somebody else raises the alarm.

The address is healthchecks.io's kind: itself for success, `/fail` behind it for failure, with a
line of text as the body. `{schedule}` in it stands for the schedule's name. It is as good as a
password, so it is never shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import httpx

if TYPE_CHECKING:
    from pydantic import SecretStr

TIMEOUT_S = 5.0
TRIES = 3
LONGEST_BODY = 10_000
NO_ADDRESS = "PADELOPS_MAINTENANCE_PING_URL is no http:// or https:// address"


def ping(address: SecretStr, schedule: str, *, well: bool, line: str) -> str | None:
    """
    Tell the switch how a run ended.

    Returns:
        None when it was told; otherwise why not, without the address. A ping that fails is news,
        but none about the run.
    """
    url = address.get_secret_value().replace("{schedule}", schedule)
    try:
        parts = urlsplit(url)
    except ValueError:
        return NO_ADDRESS
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return NO_ADDRESS
    if not well:
        url = urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))
    problem = ""
    with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
        for _ in range(TRIES):
            try:
                answer = client.post(url, content=line[:LONGEST_BODY].encode())
            except (httpx.HTTPError, httpx.InvalidURL) as exc:
                # Its text may repeat the address, so only its kind is told.
                problem = f"{parts.hostname} did not take the ping ({type(exc).__name__})"
                continue
            if answer.is_success:
                return None
            problem = f"{parts.hostname} answered the ping with {answer.status_code}"
            if answer.is_client_error:
                break
    return problem
