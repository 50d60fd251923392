"""
A message as an e-mail: one recipient, plain text, and a Message-ID that every try has in common.

Nothing that a player or a club wrote can add a header or a recipient: texts are one printable line
before they come here, and the library refuses line breaks in headers.
"""

from __future__ import annotations

import re
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING

from padelops.booking.delivery import Undeliverable
from padelops.booking.masking import printable

if TYPE_CHECKING:
    from padelops.booking.delivery import Envelope

UNWRITABLE = (ValueError, MessageError, LookupError)
"""What the email package raises over a header that is none."""

_ATOM = r"[^\s\"(),.:;<>@\[\\\]]+"
_NAME = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


def mail_of(envelope: Envelope, *, sender: str, cte: str = "quoted-printable") -> EmailMessage:
    """
    The mail for an envelope.

    Args:
        sender: the address it comes from, under the club's name.
        cte: how the body travels; `8bit` stays readable in a file.

    Raises:
        Undeliverable: the recipient's address is none.
    """
    mail = EmailMessage()
    mail.set_content(envelope.body, cte=cte)  # first: it removes every Content- header
    mail["From"] = Address(printable(envelope.sender), addr_spec=sender)
    mail["To"] = recipient(envelope.address)
    mail["Subject"] = envelope.subject
    mail["Date"] = format_datetime(envelope.at)
    mail["Message-ID"] = f"<{envelope.id}@{sender.rpartition('@')[2]}>"
    mail["Content-Language"] = envelope.language
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Padelops-Key"] = envelope.key
    return mail


def recipient(address: str) -> Address:
    """
    One address, its domain as the name servers know it.

    Raises:
        Undeliverable: it is none, or more than one.
    """
    name, _, domain = address.rpartition("@")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError as exc:
        raise Undeliverable("bad_address", "The domain is none.") from exc
    if not (name.isprintable() and _NAME.fullmatch(name) and _DOMAIN.fullmatch(domain)):
        raise Undeliverable("bad_address", "It is no mail address.")
    return Address(username=name, domain=domain)
