"""
The outbox as operators see it: what waits, what failed and why, and trying again.

People's addresses are masked here, before anything is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.booking.masking import masked
from padelops.booking.message_kinds import KINDS
from padelops.errors import InvalidInput, NotFound, Refused
from padelops.store import audit, messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from padelops.model import Origin
    from padelops.store.engine import Database
    from padelops.store.messages import Listed

STATES = ("queued", "delivered", "failed", "skipped")
MOST_LISTED = 1000


class CannotRetry(Refused):
    """Only messages that failed or still wait can be tried again."""

    code = "cannot_retry"


@dataclass(frozen=True, slots=True)
class Listing:
    """Messages, newest first."""

    messages: tuple[Listed, ...]

    def as_json(self) -> dict[str, Any]:
        return {"messages": [_as_json(message) for message in self.messages]}


@dataclass(frozen=True, slots=True)
class Retried:
    """Which messages are due again now, or in a dry run would be."""

    ids: tuple[int, ...]
    dry_run: bool

    def as_json(self) -> dict[str, Any]:
        return {"retried": len(self.ids), "messages": list(self.ids), "dry_run": self.dry_run}


def listing(
    database: Database,
    *,
    state: str | None = None,
    kind: str | None = None,
    reservation: int | None = None,
    limit: int = 50,
) -> Listing:
    """
    The newest messages.

    Raises:
        InvalidInput: no such state or kind, or a limit outside 1 to 1000.
    """
    if state is not None and state not in STATES:
        raise InvalidInput("There is no such state of a message.", fix=f"Use: {', '.join(STATES)}.")
    if kind is not None and kind not in KINDS:
        raise InvalidInput("There is no such kind of message.", fix=f"Use: {', '.join(KINDS)}.")
    if not 1 <= limit <= MOST_LISTED:
        raise InvalidInput(f"The limit must lie between 1 and {MOST_LISTED}.")
    if reservation is not None:
        _check_id(reservation)
    with database.reading() as tx:
        found = messages.listing(tx, state=state, kind=kind, reservation=reservation, limit=limit)
    return Listing(tuple(found))


def retry(
    database: Database,
    ids: Sequence[int] | None,
    *,
    origin: Origin,
    now: datetime,
    dry_run: bool = False,
) -> Retried:
    """
    Make these messages due now, or every one that failed; recorded in the audit trail by club.

    What is no longer true by then is skipped when it is sent, so old failures cannot surprise
    anybody.

    Args:
        ids: None means all that failed.

    Raises:
        NotFound: one of them does not exist. CannotRetry: one was delivered or skipped, or a
            worker has it in hand. Then none is tried again.
    """
    with database.reading() as tx:
        if ids is not None:
            _check(ids, messages.states_of(tx, [_check_id(number) for number in ids], now=now))
        wanted = messages.by_club(tx, ids)
    done: list[int] = []
    for club_id, of_club in wanted:
        with database.transaction(origin, keep=not dry_run) as tx:
            again = messages.requeue(tx, club_id, of_club, now=now)
            if again:
                audit.note(tx, "messages_retried", {"messages": again}, club_id=club_id)
            done += again
    return Retried(tuple(sorted(done)), dry_run)


def _check(ids: Sequence[int], states: dict[int, tuple[str, bool]]) -> None:
    for number in ids:
        if number not in states:
            raise NotFound(f"There is no message {number}.")
        state, in_hand = states[number]
        if state in {"delivered", "skipped"}:
            raise CannotRetry(
                f"Message {number} was {state}; only failed and waiting ones can be tried again.",
                message_id=number,
                state=state,
            )
        if in_hand:
            raise CannotRetry(
                f"A worker has message {number} in hand just now.",
                fix="Look again in a few minutes: padelops notifications list",
                message_id=number,
                state=state,
            )


def _check_id(number: int) -> int:
    if not 0 < number < 2**63:
        raise InvalidInput("An id is a whole number greater than 0.")
    return number


def _as_json(message: Listed) -> dict[str, Any]:
    shown = {name: getattr(message, name) for name in message.__slots__}
    shown["address"] = None if message.address is None else masked(message.address)
    return shown
