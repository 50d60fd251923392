"""
Personal data in lines that are stored or shown: recognisable to who knows it, useless to others.

Mail servers repeat the recipient's address in their refusals, so what they answer is scrubbed
before it is stored as a message's reason.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST_LINE = 300
"""Of what is stored about a message. The constraint `messages_texts_bounded` says the same."""

# Bounded on both sides of the @, so that a long line without one costs no more than its length.
_EMAIL = re.compile(r"[^\s<>\"'(),;:@]{1,64}@[^\s<>\"'(),;:@]{1,255}")
_PHONE = re.compile(r"\+[0-9](?:[ ().-]{0,2}[0-9]){5,18}|(?<![\w.])[0-9]{9,15}(?![\w.])")


def masked(address: str) -> str:
    """`a***@example.com` of an e-mail address, `***678` of a phone number."""
    name, at, domain = address.rpartition("@")
    if at:
        return f"{name[:1]}***@{domain}"
    digits = [char for char in address if char.isdigit()]
    return f"***{''.join(digits[-3:])}"


def scrubbed(text: str, *, secret: str | None = None) -> str:
    """
    One printable line without addresses and phone numbers, of at most `LONGEST_LINE` characters.

    Args:
        secret: an address that is known to be in there, however it is written.
    """
    line = printable(text)
    if secret:
        line = _without(line, secret)
    line = _EMAIL.sub(lambda found: masked(found[0]), line)
    line = _PHONE.sub(lambda found: masked(found[0]), line)
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


def _without(line: str, secret: str) -> str:
    # Not a pattern: compiling a new one for each message costs more than all the rest of it.
    lowered = line.lower()
    if len(lowered) != len(line) or secret.lower() not in lowered:
        return line.replace(secret, masked(secret))
    at = lowered.index(secret.lower())
    return line[:at] + masked(secret) + _without(line[at + len(secret) :], secret)


def printable(text: str) -> str:
    """
    The text in one line: no control characters, no halves of pairs, nothing that turns text round.

    A NUL byte cannot be stored, and a line break in a header would be another header.
    """
    return " ".join("".join(map(_printable, text)).split())


def _printable(char: str) -> str:
    if char in "\u200c\u200d":  # they join letters and emoji
        return char
    return " " if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else char
