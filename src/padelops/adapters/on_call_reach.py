"""
How people on call are reached: PagerDuty or any service of Apprise as a pager, texts, mail.

A person's own address comes first, then the way out that is configured for everybody. The spool
folder is none: a page in a folder wakes nobody.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from padelops.adapters import pagerduty
from padelops.booking.delivery import Channel, Deferred, Envelope
from padelops.booking.on_call import LONGEST_CALL_S

if TYPE_CHECKING:
    from padelops.booking.on_call import Call, Person
    from padelops.settings import Settings

LONGEST_LINE = 300


class OnCallReach:
    """Implements `booking.on_call.Reach`. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._source = socket.gethostname()

    def can(self, person: Person, channel: Channel) -> bool:
        own = channel in person.apprise or (
            channel is Channel.PAGER and person.pagerduty is not None
        )
        if channel is Channel.EMAIL:
            return own or (person.email is not None and self._settings.smtp_url is not None)
        return own or (person.phone is not None and self._service(channel) is not None)

    def call(self, person: Person, channel: Channel, call: Call) -> str:
        if channel is Channel.PAGER and person.pagerduty is not None:
            if call.action == "update":
                return "no event"
            return pagerduty.send(
                self._settings.pagerduty_url,
                person.pagerduty,
                call,
                source=self._source,
                timeout_s=LONGEST_CALL_S / 2,
            )
        service = person.apprise.get(channel)
        url = service.get_secret_value() if service else self._service(channel)
        if url is not None:
            return _notify(url, person, channel, call)
        return self._mail(person, call)

    def _service(self, channel: Channel) -> str | None:
        if self._settings.notify_urls is None:
            return None
        from padelops.adapters.apprise_delivery import parse_urls  # noqa: PLC0415

        return parse_urls(self._settings.notify_urls).get(channel)

    def _mail(self, person: Person, call: Call) -> str:
        from padelops.adapters.delivery import NOBODY  # noqa: PLC0415
        from padelops.adapters.smtp import MailServer, SmtpDelivery  # noqa: PLC0415

        assert self._settings.smtp_url is not None  # noqa: S101 - `can` has looked
        post = SmtpDelivery(
            MailServer.parse(self._settings.smtp_url),
            sender=self._settings.mail_from or NOBODY,
            step_timeout_s=LONGEST_CALL_S / 2,
            last_word_timeout_s=LONGEST_CALL_S / 2,
            longest_s=LONGEST_CALL_S,
        )
        try:
            return post.deliver(replace(_envelope(call), address=person.email or ""))
        finally:
            post.close()


def _envelope(call: Call) -> Envelope:
    return Envelope(
        id=call.id,
        key=call.alarm,
        kind=f"page_{call.action}",
        channel=Channel.EMAIL,
        address="",
        sender="padelops",
        language="en",
        subject=call.line[:120],
        short=call.line[:LONGEST_LINE],
        body=call.body,
        queued_at=call.at,
        at=call.at,
    )


def _notify(url: str, person: Person, channel: Channel, call: Call) -> str:
    try:
        import apprise  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as exc:
        raise Deferred("no_apprise", "Run: pip install 'padelops[notify]'") from exc
    from padelops.adapters.apprise_delivery import addressed  # noqa: PLC0415

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs what it sends and to whom
    url = addressed(url.replace("{email}", person.email or ""), person.phone or "")
    service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None:
        raise Deferred("bad_address", f"apprise cannot use the address for {channel}.")
    mail = channel is Channel.EMAIL
    title = call.line[:120] if mail else "padelops"
    text = call.body if mail else call.line[:LONGEST_LINE]
    if not service.notify(body=text, title=title):
        raise Deferred("not_taken", f"The service for {channel} did not take it.")
    return f"apprise {channel}"
