"""
Who asks, and what is theirs: tokens are looked up once in a while, scopes are asked every time.

What is not there and what is not theirs get the same answer from the same statement, so nobody
learns by guessing. A cursor is signed with the digest of the token it was given to: it opens
nothing for anybody else, and needs no secret that servers would have to share.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from typing import TYPE_CHECKING

from padelops.api.exchange import header
from padelops.api.problems import Forbidden, Unauthenticated
from padelops.booking.cancellation import FULL_REFUND
from padelops.errors import CursorMismatch
from padelops.ops.tokens import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from padelops.api.exchange import Request
    from padelops.booking.cancellation import Reason
    from padelops.ops.tokens import Proven, Token
    from padelops.wiring import Desk

LONGEST_FIELD = 200
KNOWN_S = 5.0
"""How long a token that was looked up is believed: so long after it a revocation is in force."""

MOST_KNOWN = 10_000

_SIGNATURE = 22
"""Characters of 128 bits in base64."""


class Gate:
    """Tells whose a request is. Thread-safe; one per process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[bytes, tuple[Proven, float]] = {}

    def holder(self, request: Request, desk: Desk) -> Proven:
        """
        Raises:
            Unauthenticated: no token, or one that is not in force; which of it is not told.
        """
        scheme, _, text = (header(request, "authorization", longest=LONGEST_FIELD) or "").partition(
            " "
        )
        if scheme.lower() != "bearer":
            raise _stranger()
        name, now = hashlib.sha256(text.encode()).digest(), time.monotonic()
        known = self._known.get(name)
        if known is not None and now < known[1]:
            proven = known[0]
            ends = proven.token.expires_at
            if ends is None or desk.now() < ends:
                return proven
        found = desk.tokens.check(text.strip(), now=desk.now())
        if found is None:
            self._known.pop(name, None)
            raise _stranger()
        with self._lock:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()  # a look-up each is all that it costs
            self._known[name] = (found, now + KNOWN_S)
        return found


def _stranger() -> Unauthenticated:
    return Unauthenticated(
        fix="Send Authorization: Bearer TOKEN; an operator makes one: padelops token create",
        headers={"www-authenticate": 'Bearer realm="padelops"'},
    )


def may_work_at(token: Token, clubs: Iterable[str]) -> None:
    """
    Raises:
        Forbidden: the token is bound to another club, whether or not that one exists.
    """
    if token.club is not None and any(club != token.club for club in clubs):
        raise Forbidden(f"This token is for club {token.club}.")


def may_give(token: Token, reason: Reason) -> None:
    """
    Raises:
        Forbidden: a member may not choose a reason that gives everything back.
    """
    if token.role is Role.MEMBER and reason in FULL_REFUND:
        raise Forbidden(f"Only the club cancels for the reason {reason}.")


def own_email(token: Token, given: str | None) -> str | None:
    """
    The address that a booking or a search is for: a member's is always the member's own.

    Raises:
        Forbidden: a member named somebody else's.
    """
    if token.email is None:
        return given
    if given is not None and given.lower() != token.email.lower():
        raise Forbidden("A member books and searches under the member's own e-mail address.")
    return token.email


def own_tier(token: Token, given: str | None) -> str | None:
    """
    The member tier that a booking is priced by; a member's stands in the token.

    Raises:
        Forbidden: a member named another: discounts are not for the asking.
    """
    if token.role is not Role.MEMBER:
        return given
    if given not in {None, token.member_tier}:
        raise Forbidden("A member's tier is the one in the token.")
    return token.member_tier


def own_key(token: Token, key: str | None) -> str | None:
    """
    An idempotency key that no other member can have used, or use up, by guessing it.

    Staff and operators share the club's keys with the terminal.
    """
    if key is None or token.email is None:
        return key
    mine = f"m{hashlib.sha256(token.email.lower().encode()).hexdigest()[:12]}:"
    return key if key.startswith(mine) else mine + key


def signed_cursor(proven: Proven, cursor: str | None) -> str | None:
    """The core's cursor, for the holder of this token only."""
    return None if cursor is None else f"{cursor}.{_signature(proven, cursor)}"


def opened_cursor(proven: Proven, given: str | None) -> str | None:
    """
    Raises:
        CursorMismatch: it was given to another token, or to nobody.
    """
    if given is None:
        return None
    cursor, _, signature = given.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(proven, cursor).encode()):
        raise CursorMismatch(fix="Search again without it.")
    return cursor


def _signature(proven: Proven, cursor: str) -> str:
    mac = hmac.digest(proven.digest, b"cursor\0" + cursor.encode(), "sha256")
    return base64.urlsafe_b64encode(mac).decode()[:_SIGNATURE]
