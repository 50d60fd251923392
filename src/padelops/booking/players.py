"""Who plays: a name and how to reach them, checked once at the border."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from padelops.booking.club_time import shown
from padelops.errors import InvalidInput

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}\.[^@\s.]{1,63}")
LONGEST_EMAIL = 254
"""Source: RFC 5321, section 4.5.3.1.3, less its angle brackets."""
MOST_PLAYERS = 100

_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{2,38}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """
    Raises:
        InvalidInput: an empty or endless name, control characters, an address that is none.
    """

    name: str
    email: str | None = None
    phone: str | None = None
    count: int | None = None
    notes: str | None = None

    def __post_init__(self) -> None:
        checked_text("player's name", self.name, longest=200)
        if self.email is not None:
            checked_text("e-mail address", self.email, longest=LONGEST_EMAIL)
            if not _EMAIL.fullmatch(self.email):
                raise InvalidInput(f"{shown(self.email)} is no e-mail address.")
        if self.phone is not None and not _PHONE.fullmatch(self.phone):
            raise InvalidInput(f"{shown(self.phone)} is no phone number.")
        if self.count is not None and not 1 <= self.count <= MOST_PLAYERS:
            raise InvalidInput(f"A booking is for 1 to {MOST_PLAYERS} players.")
        if self.notes is not None:
            checked_text("notes", self.notes, longest=2000, lines=True)


def checked_text(what: str, text: str, *, longest: int, lines: bool = False) -> str:
    """
    A text that can be stored and shown.

    Raises:
        InvalidInput: it is empty, too long, or holds control characters (a NUL byte among them)
            or half of a character pair.
    """
    if not text.strip():
        raise InvalidInput(f"The {what} must not be empty.")
    if len(text) > longest:
        raise InvalidInput(f"The {what} has {len(text)} characters; {longest} is the most.")
    if text.isprintable():
        return text  # as nearly always; the rest finds out what is wrong
    allowed = "\n\t" if lines else ""
    if any(unicodedata.category(char) == "Cc" and char not in allowed for char in text):
        raise InvalidInput(f"The {what} must not hold control characters.")
    if any(unicodedata.category(char) == "Cs" for char in text):
        raise InvalidInput(f"The {what} is not valid text.")
    return text
