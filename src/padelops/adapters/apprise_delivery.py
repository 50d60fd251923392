"""
Delivery through Apprise: text messages, pagers, and a hundred services more, by address alone.

An address may hold `{phone}` or `{email}`, which stands for the recipient. Apprise only says yes or
no, so every no is worth another try.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

from padelops.booking.delivery import Channel, Deferred
from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from padelops.booking.delivery import Envelope

EXAMPLE = "sms=twilio://SID:TOKEN@FROM/{phone}"


def parse_urls(setting: SecretStr) -> dict[Channel, str]:
    """
    Read `PADELOPS_NOTIFY_URLS`: `channel=address` for each channel, a space between two.

    Raises:
        InvalidInput: not of that form, or a channel twice. Never shows an address: they hold keys.
    """
    urls: dict[Channel, str] = {}
    for item in setting.get_secret_value().split():
        name, equals, url = item.partition("=")
        if not equals or name not in set(Channel) or "://" not in url or Channel(name) in urls:
            raise InvalidInput(
                "PADELOPS_NOTIFY_URLS is not channel=address, each channel once.",
                fix=f"Write {EXAMPLE}; channels: {', '.join(Channel)}.",
            )
        urls[Channel(name)] = url
    return urls


class AppriseDelivery:
    """Implements `booking.delivery.Delivery`."""

    def __init__(self, urls: Mapping[Channel, str]) -> None:
        """
        Raises:
            InvalidInput: the apprise package is missing, or it cannot use one of the addresses.
        """
        try:
            import apprise  # noqa: PLC0415 - an optional dependency
        except ModuleNotFoundError as exc:
            raise InvalidInput(
                "PADELOPS_NOTIFY_URLS is set, but the apprise package is missing.",
                fix="Run: pip install 'padelops[notify]'",
            ) from exc
        # It logs what it sends and to whom.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        self._instantiate = apprise.Apprise.instantiate
        self._urls = dict(urls)
        for channel, url in self._urls.items():
            address = "15550001111" if channel is Channel.SMS else "somebody@example.com"
            if self._instantiate(addressed(url, address), suppress_exceptions=True) is None:
                raise InvalidInput(
                    f"PADELOPS_NOTIFY_URLS: apprise cannot use the address for {channel}.",
                    fix=f"Write one as in {EXAMPLE}.",
                )

    @property
    def channels(self) -> frozenset[Channel]:
        return frozenset(self._urls)

    def deliver(self, envelope: Envelope) -> str:
        """Hand the message to the channel's service; Apprise bounds its own waiting."""
        url = self._urls[envelope.channel]
        service = self._instantiate(addressed(url, envelope.address), suppress_exceptions=True)
        if service is None:
            raise Deferred("bad_address", "The service cannot use the recipient's address.")
        text = envelope.body if envelope.channel is Channel.EMAIL else envelope.short
        title = envelope.subject if envelope.channel is Channel.EMAIL else ""
        if not service.notify(body=text, title=title):
            raise Deferred("not_taken", f"The service for {envelope.channel} did not take it.")
        return f"apprise {envelope.channel}"

    def close(self) -> None:
        """Nothing is kept open."""


def addressed(url: str, address: str) -> str:
    """The service's address with the recipient in it."""
    # Not str.format: an address may hold braces of its own.
    to = quote(address, safe="")
    return url.replace("{phone}", to).replace("{email}", to)
