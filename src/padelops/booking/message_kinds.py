"""
What players are told, as data: each kind's goal, its tries, and whether it is still true.

A message is written when something happens and sent later, so before it goes out its reservation
is looked at again. What is no longer true is `skipped`: nobody missed anything. What came too late
is `failed`: somebody did.

Source: CRITICAL_PATHS.md, path 7, "Delivery Requirements"; DESIGN.md sections 3 and 4.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from padelops.model import ReservationStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from padelops.store.messages import Taken

STANDS = frozenset(
    {ReservationStatus.CONFIRMED, ReservationStatus.COMPLETED, ReservationStatus.NO_SHOW}
)
"""A reservation that was confirmed, and was not taken back."""


@dataclass(frozen=True, slots=True)
class Untrue:
    """Why a message is not sent any more; `state` is what becomes of it."""

    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageKind:
    """
    One kind of message.

    Attributes:
        goal: the share that has to arrive; None where the requirements name none.
        tries: how often it is tried before it has failed.
        first_wait: after the first try; each wait is three times the one before, give or take
            half of it, up to `longest_wait`.
        keeps_quiet: not sent in the club's quiet hours. Whoever books at night wants to know.
        untrue: why it should not be sent any more, if so.
    """

    name: str
    untrue: Callable[[Taken, datetime], Untrue | None]
    goal: Decimal | None = None
    tries: int = 8
    first_wait: timedelta = timedelta(seconds=30)
    longest_wait: timedelta = timedelta(hours=1)
    keeps_quiet: bool = False

    def wait(self, attempts: int, random: float) -> timedelta:
        """
        How long to wait after so many tries.

        Args:
            random: from 0 to 1; it keeps messages that failed together from coming back together.
        """
        longer: int = 3 ** max(0, min(attempts - 1, 20))
        return min(self.first_wait * longer, self.longest_wait) * (0.5 + random)


def _confirmation(taken: Taken, now: datetime) -> Untrue | None:
    if taken.status == ReservationStatus.CANCELLED:
        return Untrue("skipped", "cancelled_meanwhile")
    if taken.status not in STANDS:
        return Untrue("skipped", "not_confirmed")
    return Untrue("failed", "too_late") if taken.ends_at <= now else None


def _cancellation(taken: Taken, now: datetime) -> Untrue | None:
    del now  # news of money is never too late
    return (
        None if taken.status == ReservationStatus.CANCELLED else Untrue("skipped", "not_cancelled")
    )


def _reminder(taken: Taken, now: datetime) -> Untrue | None:
    if taken.status == ReservationStatus.CANCELLED:
        return Untrue("skipped", "cancelled_meanwhile")
    if taken.status != ReservationStatus.CONFIRMED:
        return Untrue("skipped", "not_confirmed")
    return Untrue("failed", "too_late") if taken.starts_at <= now else None


def _payment_pending(taken: Taken, now: datetime) -> Untrue | None:
    del now
    return None if taken.status == ReservationStatus.PENDING else Untrue("skipped", "payment_known")


def _payment_lost(taken: Taken, now: datetime) -> Untrue | None:
    del now
    return Untrue("skipped", "confirmed_meanwhile") if taken.status in STANDS else None


_ALL = (
    MessageKind(name="confirmation", goal=Decimal("0.99"), untrue=_confirmation),
    MessageKind(name="cancellation", goal=Decimal("0.99"), untrue=_cancellation),
    MessageKind(name="reminder", goal=Decimal("0.95"), untrue=_reminder, tries=6, keeps_quiet=True),
    MessageKind(name="payment_pending", untrue=_payment_pending, tries=6),
    MessageKind(name="payment_failed", untrue=_payment_lost),
    MessageKind(name="late_money_refunded", untrue=_payment_lost),
)

KINDS: MappingProxyType[str, MessageKind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Every kind by its name. The constraint `messages_kind_known` lists the same."""
