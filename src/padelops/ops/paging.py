"""
Pages: calling people until one channel has taken it. A page is first a row, and sent afterwards.

Whoever raised it sends it at once, the worker whatever is left: a lease keeps two senders apart,
and a key keeps a page from being written twice. Every channel asked for is tried; where none of
them takes it the others stand in, and all are tried again, ever more slowly, for a day. What is
still with nobody then is failed, and shown as that.

Source: CRITICAL_PATHS.md, "Alert Escalation": level 1 pager at once, 2 SMS and e-mail, 3 e-mail.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from padelops.booking.delivery import Channel, DeliveryFailed
from padelops.booking.on_call import Call
from padelops.errors import InvalidInput
from padelops.store import incidents as incident_rows
from padelops.store import pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from padelops.booking.on_call import Person, Reach
    from padelops.model import Origin
    from padelops.ops.roster import Roster
    from padelops.store.engine import Database
    from padelops.store.pages import PageRow

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=3)
"""Longer than all channels of a role's people may take together; see `LONGEST_CALL_S`."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
GIVEN_UP_AFTER = timedelta(days=1)
BATCH = 50

INSTEAD = (Channel.PAGER, Channel.SMS, Channel.EMAIL)
"""Which channel stands in for one that is down: the one that wakes people best."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one try of a page: who has it by what, and what went wrong."""

    role: str
    sent: tuple[str, ...]
    problems: tuple[str, ...]
    over: bool

    @property
    def reached(self) -> bool:
        return bool(self.sent)

    def as_json(self) -> dict[str, Any]:
        return {"role": self.role, "sent": list(self.sent), "problems": list(self.problems)}


def try_call(
    reach: Reach, people: Sequence[Person], role: str, channels: Sequence[str], call: Call,
    sent: Sequence[str] = (),
) -> Tried:  # fmt: skip
    """
    Call everybody of a role by every channel asked for, and by another where none of them works.

    Args:
        sent: `channel:name` of those that took it before.
    """
    have, problems = list(sent), list[str]()
    wakes = call.action == "trigger"
    if not people:
        problems.append(f"nobody is known as {role}: name them in PADELOPS_ROSTER")
    for person in people:
        wanted = [Channel(name) for name in channels]
        for channel in wanted:
            if wakes or reach.can(person, channel):
                _one(reach, person, channel, call, have, problems)
        if wakes and not any(entry.endswith(f":{person.name}") for entry in have):
            for channel in INSTEAD:
                if channel not in wanted and _one(reach, person, channel, call, have, problems):
                    break
    # A way that this person does not have will not come up by itself; another had to do.
    left = any(
        reach.can(person, Channel(name)) and f"{name}:{person.name}" not in have
        for person in people
        for name in channels
    )
    return Tried(role, tuple(have), tuple(problems), over=not left and (bool(have) or not wakes))


def _one(
    reach: Reach, person: Person, channel: Channel, call: Call, have: list[str], problems: list[str]
) -> bool:
    entry = f"{channel}:{person.name}"
    if entry in have:
        return True
    if not reach.can(person, channel):
        problems.append(f"{entry}: no address or no way out is configured")
        return False
    try:
        reach.call(person, channel, call)
    except DeliveryFailed as exc:
        problems.append(f"{entry}: {exc}")
        return False
    have.append(entry)
    return True


@dataclass(frozen=True, slots=True)
class Paging:
    """Sends the pages that are due. For one thread."""

    database: Database
    roster: Callable[[], Roster]
    reach: Reach
    origin: Origin
    clock: Callable[[], datetime]

    def send_due(
        self, stop: Callable[[], bool] = lambda: False, *, incident_id: int | None = None
    ) -> tuple[Tried, ...]:
        """Send what is due, the most urgent first: of one incident, or all."""
        done: list[Tried] = []
        while not stop() and len(done) < BATCH:
            with self.database.deciding() as tx:
                row = pages.claim(tx, now=self.clock(), lease=LEASE, incident_id=incident_id)
            if row is None:
                break
            done.append(self._send(row))
        return tuple(done)

    def _send(self, row: PageRow) -> Tried:
        call = Call(
            id=f"page-{row.id}", action=row.action, alarm=row.alarm, severity=row.severity,
            line=row.line, body=row.body, at=row.at,
        )  # fmt: skip
        try:
            people = self.roster().people(row.role)
        except InvalidInput as exc:
            tried = Tried(row.role, tuple(row.sent), (exc.message,), over=False)
        else:
            tried = try_call(self.reach, people, row.role, row.channels, call, row.sent)
        self._settle(row, tried)
        return tried

    def _settle(self, row: PageRow, tried: Tried) -> None:
        now = self.clock()
        late = now - row.at >= GIVEN_UP_AFTER
        state = "queued"
        if tried.reached and (tried.over or late):
            state = "delivered"
        elif tried.over:
            state = "skipped"  # nobody there has a way that this is for
        elif late:
            state = "failed"
        problem = "; ".join(tried.problems)[:1000] or None
        if problem:
            log.warning("page %s to %s: %s", row.id, row.role, problem)
        pause = min(FIRST_PAUSE * 2 ** min(row.attempts - 1, 10), LONGEST_PAUSE)
        with self.database.transaction(self.origin) as tx:
            pages.settle(
                tx, row.id, state=state, sent=tried.sent, problem=problem, next_at=now + pause,
                now=now,
            )  # fmt: skip
            if row.incident_id is None:
                return
            for entry in set(tried.sent) - set(row.sent):
                channel, _, name = entry.partition(":")
                incident_rows.add_event(
                    tx, row.incident_id, "page", f"{name} ({row.role}): {row.action} by {channel}.",
                    at=now, source=f"page:{row.id}:{entry}"[:300],
                )  # fmt: skip
            if (
                row.action == "trigger"
                and not tried.reached
                and (row.attempts == 1 or state == "failed")
            ):
                word = "given up" if state == "failed" else "not delivered yet"
                incident_rows.add_event(
                    tx, row.incident_id, "page", f"Page to {row.role} {word}: {problem}", at=now,
                    source=f"page:{row.id}:{word}",
                )  # fmt: skip
