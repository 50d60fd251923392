"""
What the core asks of a way to deliver messages, whoever runs it.

Four answers are told apart: it will never be accepted (`Undeliverable`), not now (`Deferred`), the
other side is away (`DeliveryUnavailable`), and nobody knows (`DeliveryUnknown`). The first two are
refusals: the other side is alive, so they never open a circuit breaker.

Source: CRITICAL_PATHS.md, path 7; DESIGN.md sections 2 and 4.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

from padelops.booking.masking import scrubbed
from padelops.errors import OutcomeUnknown, PadelopsError, Refused, Unavailable

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_DELIVERY_S = 90
"""No delivery may take longer; whoever implements `Delivery` breaks it off."""


class Channel(StrEnum):
    """How a person is reached."""

    EMAIL = "email"
    SMS = "sms"
    PAGER = "pager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """
    A message ready to go.

    Attributes:
        id: the same for every try, and in no other message: whoever gets two can tell.
        key: the dedupe key, such as `confirmed:17`.
        address: an e-mail address or a phone number, by the channel.
        sender: the club's name.
        short: the whole message in one line.
        queued_at: when it was written; `at` is when it is sent.
    """

    id: str
    key: str
    kind: str
    channel: Channel
    address: str
    sender: str
    language: str
    subject: str
    short: str
    body: str
    queued_at: datetime
    at: datetime


class DeliveryFailed(PadelopsError):
    """A message could not be delivered."""

    code = "delivery_failed"
    permanent: ClassVar[bool] = False
    doubtful: ClassVar[bool] = False

    def __init__(self, reason: str, detail: str = "") -> None:
        """
        Args:
            reason: a word for programs, such as `timed_out`.
            detail: what the other side said; scrubbed here of what a server may repeat.
        """
        self.reason = reason
        self.detail = scrubbed(detail)
        super().__init__(f"{reason}: {self.detail}" if self.detail else reason, reason=reason)


class Undeliverable(DeliveryFailed, Refused):
    """This message will never be accepted."""

    code = "undeliverable"
    permanent = True


class Deferred(DeliveryFailed, Refused):
    """The other side is there, but will not take this message now."""

    code = "deferred"


class DeliveryUnavailable(DeliveryFailed, Unavailable):
    """The other side cannot be reached; the message certainly did not arrive."""

    code = "delivery_unavailable"
    retryable = True


class DeliveryUnknown(DeliveryFailed, OutcomeUnknown):
    """The other side fell silent before it confirmed; the message may have arrived."""

    code = "delivery_unknown"
    doubtful = True


class Delivery(Protocol):
    """One way out, or several behind one."""

    @property
    def channels(self) -> frozenset[Channel]:
        """What it can reach people by."""
        ...

    def deliver(self, envelope: Envelope) -> str:
        """
        Hand a message over for good, within `LONGEST_DELIVERY_S`.

        Returns:
            What the other side calls it, such as a queue id.

        Raises:
            DeliveryFailed: which subclass says whether to try again.
        """
        ...
