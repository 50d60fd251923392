"""
Delivery into a folder: a file for each message, there whole or not at all.

A message that is delivered twice is the same file, so whatever dies in between, each message is in
the folder once. Files are for their owner only: they hold people's addresses.
"""

from __future__ import annotations

import os
from contextlib import suppress
from email import policy
from typing import TYPE_CHECKING

from padelops.adapters.mail import mail_of
from padelops.booking.delivery import Channel, DeliveryUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from padelops.booking.delivery import Envelope

READABLE = policy.default.clone(utf8=True, max_line_length=998)
"""Headers in plain UTF-8, as RFC 6532 has them: for people and `grep`, not for the wire."""


class SpoolDelivery:
    """
    Implements `booking.delivery.Delivery`. A mail becomes an `.eml` file, a text message a `.txt`,
    in a folder for each day (UTC) that messages were written on.
    """

    channels = frozenset({Channel.EMAIL, Channel.SMS})

    def __init__(self, folder: Path, *, sender: str) -> None:
        self._folder = folder
        self._sender = sender
        self._made: Path | None = None

    def deliver(self, envelope: Envelope) -> str:
        """Write the file and make it last; its path within the folder."""
        day = self._folder / f"{envelope.queued_at:%Y-%m-%d}"
        ending = "eml" if envelope.channel is Channel.EMAIL else "txt"
        path = day / f"{envelope.id}.{ending}"
        content = self._content(envelope)
        unfinished = day / f".{path.name}.{os.getpid()}"
        try:
            if day != self._made:
                day.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._made = day
            _write(unfinished, content)
            unfinished.replace(path)
            _make_last(day)
        except OSError as exc:
            self._made = None
            with suppress(OSError):
                unfinished.unlink()
            raise DeliveryUnavailable("spool_unwritable", exc.strerror or "") from exc
        return str(path.relative_to(self._folder))

    def close(self) -> None:
        """Nothing is kept open."""

    def _content(self, envelope: Envelope) -> bytes:
        if envelope.channel is Channel.EMAIL:
            mail = mail_of(envelope, sender=self._sender, cte="8bit")
            return mail.as_bytes(policy=READABLE)
        return f"To: {envelope.address}\nKey: {envelope.key}\n\n{envelope.short}\n".encode()


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - Path.open cannot set the mode
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _make_last(folder: Path) -> None:
    """A new name survives a power cut only when its folder was written as well."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
