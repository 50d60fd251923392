"""
What people are told of alerts: written with the change, sent afterwards by each channel asked for.

A channel that is down is tried again, ever more slowly and for a day; another one stands in, so
that a page goes out as a text message or a mail while the pager's service is away. Nothing is sent
twice by a channel that has taken it, unless the sender died between its yes and our note of it.

Source: CRITICAL_PATHS.md, "Alert Escalation": level 1 pager at once, 2 SMS and e-mail, 3 e-mail.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from padelops.booking.delivery import Channel, DeliveryFailed, Envelope
from padelops.ops.alerts import named
from padelops.store import alerts
from padelops.store.alerts import NoticeRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from padelops.booking.delivery import Delivery
    from padelops.ops.alerts import Notice
    from padelops.store.engine import Database, Tx

log = logging.getLogger(__name__)

BATCH = 20
LEASE = timedelta(minutes=5)
"""Longer than three channels may take together."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=1)

INSTEAD = (Channel.PAGER, Channel.SMS, Channel.EMAIL)
"""Which channel stands in for one that is down: the one that wakes people best."""


class Notices:
    """Implements `ops.alerts.Pages`: a row in the transaction that keeps the change."""

    def page(self, tx: Tx, notice: Notice) -> None:
        self._write(tx, notice, "page", f"{notice.severity.upper()}: {notice.line}")

    def resolve(self, tx: Tx, notice: Notice) -> None:
        self._write(tx, notice, "resolve", f"RESOLVED: {notice.rule}: {notice.summary}")

    def _write(self, tx: Tx, notice: Notice, action: str, line: str) -> None:
        alerts.write_notice(
            tx,
            rule=notice.rule,
            dedup_key=notice.dedup_key,
            action=action,
            level=notice.level,
            severity=notice.severity,
            channels=[str(channel) for channel in notice.channels],
            line=line[:1000],
            body=body_of(notice, line)[:15_000],
            at=notice.at,
        )


def row_of(
    notice: Notice, action: str, line: str, body: str, *, sent: list[str] | None = None
) -> NoticeRow:
    """A notice as if it came from the table, where there is no table to write it to."""
    return NoticeRow(
        id=0,
        rule=notice.rule,
        dedup_key=notice.dedup_key,
        action=action,
        level=notice.level,
        severity=notice.severity,
        channels=[str(channel) for channel in notice.channels],
        line=line,
        body=body,
        at=notice.at,
        sent=list(sent or ()),
        attempts=1,
    )


def body_of(notice: Notice, line: str) -> str:
    """The whole message, as a mail has room for."""
    about = "\n".join(
        f"  {named(one, notice.unit)}, since {one.since:%Y-%m-%d %H:%M:%S} UTC"
        for one in notice.about[:50]
    )
    return (
        f"{line}\n\n{notice.description}\n\n{about}\n\n"
        f"level     {notice.level}\n"
        f"runbook   padelops runbook run {notice.runbook}\n"
        f"look      padelops alerts list --firing\n"
        f"silence   padelops alerts silence {notice.rule} --for 1h --reason ...\n"
    )


@dataclass(frozen=True, slots=True)
class Courier:
    """
    Hands messages over to whatever is configured.

    Args:
        addresses: whom to reach by which channel; a pager needs none.
    """

    delivery: Delivery
    addresses: Mapping[Channel, str]
    clock: Callable[[], datetime]

    def reaches(self, channel: Channel) -> bool:
        """Whether there is a way out, and somebody at its end; a pager knows its people itself."""
        known = channel is Channel.PAGER or channel in self.addresses
        return known and channel in self.delivery.channels

    def hand_over(self, row: NoticeRow) -> tuple[list[str], list[str]]:
        """Try each channel that has not taken it: those that have by now, and what went wrong."""
        sent, problems = list(row.sent), list[str]()
        for name in row.channels:
            if name not in sent:
                self._try(row, Channel(name), sent, problems)
        if problems and not sent:
            for channel in INSTEAD:
                if channel not in row.channels and self._try(row, channel, sent, problems):
                    break
        return sent, problems

    def _try(self, row: NoticeRow, channel: Channel, sent: list[str], problems: list[str]) -> bool:
        if not self.reaches(channel):
            problems.append(f"{channel}: no way out or no address is configured")
            return False
        try:
            self.delivery.deliver(self._envelope(row, channel))
        except DeliveryFailed as exc:
            log.warning("notice of %s by %s: %s", row.rule, channel, exc)
            problems.append(f"{channel}: {exc}")
            return False
        sent.append(str(channel))
        return True

    def _envelope(self, row: NoticeRow, channel: Channel) -> Envelope:
        number = row.id or f"{row.at:%Y%m%d%H%M%S}"
        return Envelope(
            id=f"{row.rule}-{row.action}-{number}-{channel}",
            key=row.dedup_key,
            kind=f"alert_{row.action}",
            channel=channel,
            address=self.addresses.get(channel, "on-call"),
            sender="padelops",
            language="en",
            subject=row.line[:120],
            short=row.line[:300],
            body=row.body,
            queued_at=row.at,
            at=self.clock(),
        )


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends what is due from the table; any number may run side by side."""

    database: Database
    courier: Courier

    def send_due(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Send what is due, the most urgent first; how many notices went out by some channel."""
        now, done = self.courier.clock(), 0
        with self.database.reading() as tx:
            due = alerts.claim_notices(tx, now=now, next_at=now + LEASE, limit=BATCH)
        for row in due:
            if stop():
                break
            done += self._send(row)
        return done

    def _send(self, row: NoticeRow) -> bool:
        sent, problems = self.courier.hand_over(row)
        now = self.courier.clock()
        # A way out that nobody has configured will not come up by itself; another one had to do.
        wanted = {name for name in row.channels if self.courier.reaches(Channel(name))}
        over = bool(sent) and wanted <= set(sent)
        late = now - row.at >= GIVEN_UP_AFTER
        pause = min(FIRST_PAUSE * 2 ** min(row.attempts - 1, 10), LONGEST_PAUSE)
        with self.database.reading() as tx:
            alerts.note_sending(
                tx,
                row.id,
                sent=sent,
                problem="; ".join(problems)[:500] or None,
                done_at=now if over or late else None,
                next_at=now + pause,
            )
        return len(sent) > len(row.sent)
