"""
The sandbox's webhooks, signed as Stripe signs its own, and as badly delivered as one likes.

Real gateways repeat events, deliver them late, in any order and all at once; a receiver that is
right must not notice. What was sent stays counted in the books.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from padelops.adapters.gateway_events import sign, written
from padelops.adapters.gateway_http import GatewayHttp
from padelops.errors import InvalidInput, OutcomeUnknown, Unavailable
from padelops.store import sandbox as books

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pydantic import SecretStr

    from padelops.store.engine import Database

MOST_EVENTS = 10_000
MOST_COPIES = 1000
MOST_AT_ONCE = 32


class Order(StrEnum):
    """In which order events are delivered."""

    FORWARD = "forward"
    BACKWARD = "backward"
    SHUFFLED = "shuffled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One telling of one event; `status` is the receiver's answer, None if there was none."""

    event_id: str
    kind: str
    reference: str
    status: int | None
    problem: str | None = None

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - HTTP's "yes"

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """
    How badly events are delivered.

    Args:
        copies: how often each is told.
        at_once: how many tellings are under way at the same time.
        again: also what was told before.
        seed: makes a shuffled order repeatable.
    """

    copies: int = 1
    order: Order = Order.FORWARD
    at_once: int = 1
    again: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.copies <= MOST_COPIES:
            raise InvalidInput(f"An event is told between 1 and {MOST_COPIES} times.")
        if not 1 <= self.at_once <= MOST_AT_ONCE:
            raise InvalidInput(f"Between 1 and {MOST_AT_ONCE} tellings go at once.")

    def arranged(self, events: list[books.EventRow]) -> list[books.EventRow]:
        """Each event as often as it is told, in the order of telling."""
        told = [event for event in events for _ in range(self.copies)]
        match self.order:
            case Order.FORWARD:
                return told
            case Order.BACKWARD:
                return told[::-1]
            case Order.SHUFFLED:
                random.Random(self.seed).shuffle(told)  # noqa: S311 - disorder, not secrecy
                return told


class SandboxWebhooks:
    """Tells a receiver what happened in the sandbox's books."""

    def __init__(
        self, database: Database, secret: SecretStr, *, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._secret = secret
        self._clock = clock

    def deliver(self, url: str, manner: Manner, *, timeout_s: float = 10) -> list[Delivery]:
        """
        POST the events to a URL; nothing is repeated by itself, whatever comes back.

        Raises:
            InvalidInput: the URL is none.
        """
        parts = urlsplit(url)
        origin = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
        http = GatewayHttp(
            origin, variable="The URL", connect_timeout_s=2, timeout_s=timeout_s, peer="receiver"
        )
        try:
            with self._database.reading() as tx:
                events = books.events(tx, sent_too=manner.again, limit=MOST_EVENTS)
            with ThreadPoolExecutor(manner.at_once) as tellers:
                return list(
                    tellers.map(lambda event: self._tell(http, url, event), manner.arranged(events))
                )
        finally:
            http.close()

    def _tell(self, http: GatewayHttp, url: str, event: books.EventRow) -> Delivery:
        event_id = f"evt_sandbox_{event.id}"
        body = written(
            event_id,
            event.kind,
            reference=event.reference,
            gateway_ref=f"pi_sandbox_{event.payment_id}",
            created_at=event.created_at,
        )
        headers = {
            "Content-Type": "application/json",
            "Stripe-Signature": sign(body, self._secret, now=self._clock()),
        }
        status: int | None = None
        problem: str | None = None
        try:
            status = http.exchange("POST", url, headers=headers, body=body).status
        except (Unavailable, OutcomeUnknown) as exc:
            problem = exc.message
        delivery = Delivery(
            event_id=event_id,
            kind=event.kind,
            reference=event.reference,
            status=status,
            problem=problem,
        )
        if delivery.accepted:
            with self._database.reading() as tx:
                books.count_sent(tx, event.id)
        return delivery
