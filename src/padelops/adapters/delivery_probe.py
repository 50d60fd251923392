"""Whether messages could go out: asked of the mail server or the spool, and nothing is sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from padelops.booking.delivery import DeliveryUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from padelops.settings import Settings


def probe(settings: Settings, *, timeout_s: float) -> str:
    """
    Try every way out that can be tried without sending; what there is, in one line.

    Raises:
        DeliveryUnavailable: one of them would not take a message. InvalidInput: a setting is wrong.
    """
    told = []
    if settings.smtp_url is not None:
        from padelops.adapters.smtp import MailServer, SmtpDelivery  # noqa: PLC0415 - 40 ms

        server = MailServer.parse(settings.smtp_url)
        where = f"The mail server {server.host}:{server.port}"
        way = SmtpDelivery(
            server,
            sender=settings.mail_from or "",
            step_timeout_s=timeout_s,
            longest_s=timeout_s,
        )
        try:
            way.probe()
        except DeliveryUnavailable as exc:
            raise DeliveryUnavailable(exc.reason, f"{where}: {exc.detail}") from exc
        told.append(f"{where} takes mail." if server.user is None else f"{where} takes our login.")
    if settings.notify_urls is not None:
        from padelops.adapters.apprise_delivery import parse_urls  # noqa: PLC0415

        channels = ", ".join(sorted(parse_urls(settings.notify_urls)))
        told.append(f"By apprise: {channels}, which only sending can try; outbox tells.")
    if not told:
        _try_folder(settings.spool_folder)
        told.append("Messages are only written to the spool, a folder.")
    return " ".join(told)


def _try_folder(folder: Path) -> None:
    """A folder that is not there yet is made with the first message, if its parent allows it."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        raise DeliveryUnavailable("spool_unwritable", str(there))
    if not os.statvfs(there).f_bavail:
        raise DeliveryUnavailable("spool_full", str(there))
