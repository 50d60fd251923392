"""
The ways out that an operator has configured: a mail server, services by Apprise, or the spool.

Without any of them messages are written to a folder, where they can be read; as soon as one way out
is configured, only real ones are used, so that nobody's confirmation ends in a forgotten folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from padelops.adapters.mail import recipient
from padelops.booking.delivery import Channel, Delivery, Undeliverable
from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padelops.booking.delivery import Envelope
    from padelops.settings import Settings

NOBODY = "padelops@localhost"
"""Whom spooled mail comes from while no address is configured."""


class WayOut(Delivery, Protocol):
    """A delivery that can be closed."""

    def close(self) -> None: ...


class Routes:
    """Implements `booking.delivery.Delivery`: each channel by its own way out."""

    def __init__(self, ways: Mapping[Channel, WayOut]) -> None:
        self._ways = dict(ways)

    @property
    def channels(self) -> frozenset[Channel]:
        return frozenset(self._ways)

    def deliver(self, envelope: Envelope) -> str:
        return self._ways[envelope.channel].deliver(envelope)

    def close(self) -> None:
        """Close every way out; they are opened again when they are needed."""
        for way in set(self._ways.values()):
            way.close()


def delivery_of(settings: Settings) -> Routes:
    """
    What the settings describe. Nothing is connected yet. For one thread: make one for each worker.

    Raises:
        InvalidInput: a setting cannot be used; names the variable, never its value.
    """
    ways: dict[Channel, WayOut] = {}
    if settings.notify_urls is not None:
        from padelops.adapters.apprise_delivery import (  # noqa: PLC0415 - heavy, and optional
            AppriseDelivery,
            parse_urls,
        )

        services = AppriseDelivery(parse_urls(settings.notify_urls))
        ways.update(dict.fromkeys(services.channels, services))
    if settings.smtp_url is not None:
        from padelops.adapters.smtp import MailServer, SmtpDelivery  # noqa: PLC0415

        if Channel.EMAIL in ways:
            raise InvalidInput(
                "Both PADELOPS_SMTP_URL and PADELOPS_NOTIFY_URLS say how mail goes out.",
                fix="Leave email out of PADELOPS_NOTIFY_URLS.",
            )
        if settings.mail_from is None:
            raise InvalidInput(
                "PADELOPS_SMTP_URL is set, but not whom mail comes from.",
                fix="Set PADELOPS_MAIL_FROM=bookings@your-club.example",
            )
        ways[Channel.EMAIL] = SmtpDelivery(
            MailServer.parse(settings.smtp_url), sender=_sender(settings.mail_from)
        )
    if not ways.keys() - {Channel.PAGER}:
        from padelops.adapters.spool import SpoolDelivery  # noqa: PLC0415

        spool = SpoolDelivery(settings.spool_folder, sender=_sender(settings.mail_from or NOBODY))
        ways.update(dict.fromkeys(spool.channels, spool))
    return Routes(ways)


def _sender(address: str) -> str:
    try:
        return recipient(address).addr_spec
    except Undeliverable as exc:
        raise InvalidInput(
            "PADELOPS_MAIL_FROM is no mail address.", fix="Write bookings@your-club.example."
        ) from exc
