"""What paging asks of the ways to people on call, whoever runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from padelops.booking.delivery import Channel

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_CALL_S = 8.0
"""For one channel: three of them still fit into the 30 seconds of the immediate response."""


class Person(BaseModel):
    """
    Somebody who can be called.

    Attributes:
        pagerduty: routing key of their service's Events v2 integration.
        apprise: addresses by channel, such as `sms: twilio://…/{phone}`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    email: str | None = Field(default=None, max_length=254)
    phone: str | None = Field(default=None, max_length=40)
    pagerduty: SecretStr | None = None
    apprise: dict[Channel, SecretStr] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    What a person is told.

    Attributes:
        id: the same for every try.
        action: `trigger`, `acknowledge`, `resolve` or `update`.
        alarm: names the trouble at the pager's service, which sets off one alarm for each.
        severity: `critical`, `warning` or `info`.
    """

    id: str
    action: str
    alarm: str
    severity: str
    line: str
    body: str
    at: datetime


class Reach(Protocol):
    """The ways to people."""

    def can(self, person: Person, channel: Channel) -> bool:
        """Whether this person has an address for the channel, and the channel a way out."""
        ...

    def call(self, person: Person, channel: Channel, call: Call) -> str:
        """
        Hand it over within `LONGEST_CALL_S`; what the other side calls it.

        Raises:
            DeliveryFailed: it was not, or perhaps not, taken.
        """
        ...
