"""
Tokens for the HTTP door: who may come in, as member, staff or operator, shown once and kept hashed.

    padel_HANDLE_SECRET     HANDLE finds it and names it; SECRET is 256 random bits

A guess costs the same whether or not its handle exists: a digest is compared in constant time
either way. The secret is random, so a plain SHA-256 of it is as good as a slow hash, and costs a
microsecond instead of milliseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from padelops.booking.players import Player, checked_text
from padelops.errors import InvalidInput, NotFound
from padelops.model import Scope
from padelops.store import clubs as club_rows
from padelops.store import tokens

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.model import Origin
    from padelops.store.engine import Database
    from padelops.store.tokens import TokenRow

PREFIX = "padel"
"""Lets a scanner of repositories recognise a token that was committed by mistake."""

MOST_LISTED = 1000

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_HANDLE_LENGTH = 12
_TOKEN = re.compile(
    rf"{PREFIX}_([{_ALPHABET}]{{{_HANDLE_LENGTH}}})_([A-Za-z0-9_-]{{43}})", re.ASCII
)
_NOBODY = hashlib.sha256(secrets.token_bytes(32)).digest()


class Role(StrEnum):
    """What a token may do."""

    MEMBER = "member"
    """Their own bookings: those under their e-mail address."""

    STAFF = "staff"
    """Everything of one club."""

    OPERATOR = "operator"
    """Everything."""


BOOKINGS_PER_MINUTE: dict[Role, int | None] = {
    Role.MEMBER: 30,
    Role.STAFF: 600,
    Role.OPERATOR: None,
}
"""How fast a token of that role may book, where it has no rate of its own; None is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """
    A token as it was created: what it permits.

    Attributes:
        handle: its public part.
        club: staff's club; for a member None means any club.
        email: whose bookings a member's are.
        bookings_per_minute: its own rate or its role's; None is no limit.
    """

    handle: str
    name: str
    role: Role
    club: str | None
    email: str | None
    member_tier: str | None
    bookings_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def scope(self) -> Scope:
        """Which reservations it may see and cancel."""
        return Scope(club=self.club, email=self.email)

    @property
    def actor(self) -> str:
        """
        Who the audit trail says it was. The trail is never erased, so it has no member's name:
        the handle leads to it as long as it is kept.
        """
        return f"{self.role}:{self.handle if self.role is Role.MEMBER else self.name}"

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; without a trace of the secret."""

        def moment(at: datetime | None) -> str | None:
            return None if at is None else at.isoformat()

        return {
            "handle": self.handle,
            "name": self.name,
            "role": self.role.value,
            "club": self.club,
            "email": self.email,
            "member_tier": self.member_tier,
            "bookings_per_minute": self.bookings_per_minute,
            "created_at": moment(self.created_at),
            "expires_at": moment(self.expires_at),
            "revoked_at": moment(self.revoked_at),
        }


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token and its text, which nobody can show a second time."""

    token: Token
    text: str

    def as_json(self) -> dict[str, Any]:
        return {**self.token.as_json(), "token": self.text}


@dataclass(frozen=True, slots=True)
class Proven:
    """A token whose secret was shown, with the digest that only its holder and we can know."""

    token: Token
    digest: bytes


@dataclass(frozen=True, slots=True)
class TokenOffice:
    """Creates, lists, revokes and checks tokens."""

    database: Database

    def create(
        self,
        name: str,
        role: Role,
        *,
        club: str | None = None,
        email: str | None = None,
        member_tier: str | None = None,
        bookings_per_minute: int | None = None,
        expires_at: datetime | None = None,
        origin: Origin,
        now: datetime,
    ) -> NewToken:
        """
        Make a token; its text is in the answer and nowhere else.

        Raises:
            InvalidInput: what is given does not fit the role. NotFound: no such club.
        """
        checked_text("name", name, longest=100)
        _fits(role, club=club, email=email, member_tier=member_tier)
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("The token would have expired already.")
        handle = "".join(secrets.choice(_ALPHABET) for _ in range(_HANDLE_LENGTH))
        secret = secrets.token_urlsafe(32)
        with self.database.transaction(origin) as tx:
            if club is not None and club_rows.state_of(tx, club) is None:
                raise NotFound(f"There is no club {club[:63]!r}.")
            tokens.insert(
                tx,
                handle=handle,
                digest=_digest(secret),
                name=name,
                role=role,
                club=club,
                player_email=email,
                member_tier=member_tier,
                bookings_per_minute=bookings_per_minute,
                expires_at=expires_at,
            )
            row = tokens.by_handle(tx, handle)
        if row is None:
            raise LookupError("a token vanished in its own transaction")
        return NewToken(_token_of(row), f"{PREFIX}_{handle}_{secret}")

    def all(self, *, revoked: bool = False) -> list[Token]:
        """The newest tokens, `MOST_LISTED` at the most."""
        with self.database.reading() as tx:
            return [
                _token_of(row) for row in tokens.listing(tx, revoked=revoked, limit=MOST_LISTED)
            ]

    def revoke(self, handle: str, *, origin: Origin, now: datetime) -> Token:
        """
        End a token; a second time changes nothing.

        Raises:
            NotFound: there is no such token.
        """
        with self.database.transaction(origin) as tx:
            tokens.revoke(tx, handle, now=now)
            row = tokens.by_handle(tx, handle)
        if row is None:
            raise NotFound(f"There is no token {handle[:40]!r}.", fix="See: padelops token list")
        return _token_of(row)

    def check(self, text: str, *, now: datetime) -> Proven | None:
        """The token whose text this is, if it is in force; None for every kind of wrong."""
        given = _TOKEN.fullmatch(text)
        handle, secret = (given[1], given[2]) if given else ("", "")
        with self.database.reading() as tx:
            row = tokens.by_handle(tx, handle)
        genuine = hmac.compare_digest(_digest(secret), _NOBODY if row is None else row.digest)
        if row is None or not genuine or row.status != "active":
            return None
        if row.expires_at is not None and row.expires_at <= now:
            return None
        return Proven(_token_of(row), row.digest)


def _fits(role: Role, *, club: str | None, email: str | None, member_tier: str | None) -> None:
    """
    Raises:
        InvalidInput: this role needs something else.
    """
    if role is Role.MEMBER:
        if email is None:
            raise InvalidInput("A member's token needs the e-mail address of the member.")
        Player(name=email, email=email)  # an address that a booking would take
    elif email is not None or member_tier is not None:
        raise InvalidInput(f"Only a member's token has an address and a tier, not {role}'s.")
    if role is Role.STAFF and club is None:
        raise InvalidInput("A staff token needs the club it is for.")
    if role is Role.OPERATOR and club is not None:
        raise InvalidInput("An operator's token is for every club.", fix="Make it a staff token.")
    if member_tier is not None:
        checked_text("member tier", member_tier, longest=100)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _token_of(row: TokenRow) -> Token:
    role = Role(row.role)
    own = row.bookings_per_minute
    return Token(
        handle=row.handle,
        name=row.name,
        role=role,
        club=row.club,
        email=row.player_email,
        member_tier=row.member_tier,
        bookings_per_minute=BOOKINGS_PER_MINUTE[role] if own is None else own,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
