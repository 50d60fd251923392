"""
Incidents: trouble that people are called about until somebody has acknowledged it.

Opened by hand, by a critical health report or by a level-1 alert; one for each key. The worker, and
every `incident` command, calls the next rung of the escalation matrix when its minute has come; an
acknowledgement ends that. What happened meanwhile is collected into the timeline.

Source: CRITICAL_PATHS.md, "Emergency Contact Procedures".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from padelops.booking.delivery import Channel
from padelops.booking.masking import printable
from padelops.errors import InvalidInput, NotFound, Refused
from padelops.ops import incident_messages
from padelops.ops.escalation import MOST_STEP_S, due_of, machine_tick, matrix
from padelops.store import incidents, pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from padelops.model import Origin
    from padelops.ops.escalation import Tick
    from padelops.ops.roster import Roster
    from padelops.store.engine import Database, Tx
    from padelops.store.incidents import Event, IncidentRow
    from padelops.store.pages import PageState

BEFORE = timedelta(minutes=5)
"""What happened so long before an incident was opened may have led to it."""

MOST_EVENTS = 2000
MOST_LISTED = 1000
STATUSES = ("investigating", "mitigating")
SEVERITY = {1: "critical", 2: "warning", 3: "info"}

TITLE, IMPACT, ETA, TOLD = 200, 500, 200, 1000


class IncidentOver(Refused):
    """The incident is resolved; open another one."""

    code = "incident_over"


class NobodyLeft(Refused):
    """Everybody of the escalation matrix has been called as often as it says."""

    code = "nobody_left"


@dataclass(frozen=True, slots=True)
class Story:
    """An incident with all that is known of it."""

    incident: IncidentRow
    pages: tuple[PageState, ...]
    events: tuple[Event, ...]

    @property
    def unreached(self) -> tuple[PageState, ...]:
        """Pages that nobody has got."""
        return tuple(p for p in self.pages if p.state in {"queued", "failed"} and not p.sent)

    def as_json(self) -> dict[str, Any]:
        incident = self.incident
        next_rung = None
        if incident.acknowledged_at is None and incident.resolved_at is None:
            plan = matrix()[incident.level]
            at_s = plan.next_at_s(incident.rung)
            if at_s is not None:
                next_rung = {
                    "role": plan.role(incident.rung),
                    "in_s": max(0, round(at_s - incident.waited_s)),
                }
        return {
            "incident": incident.as_json() | {"name": incident_messages.name_of(incident.id)},
            "next_call": next_rung,
            "pages": [page.as_json() for page in self.pages],
            "timeline": [event.as_json() for event in self.events],
        }


@dataclass(frozen=True, slots=True)
class Incidents:
    """
    Opens, follows and ends incidents; every change is one transaction, its pages written with it.

    Args:
        roster: the people; asked only where a level's business days matter.
        tick: steady seconds; see `ops.escalation`.
    """

    database: Database
    origin: Origin
    clock: Callable[[], datetime]
    roster: Callable[[], Roster]
    tick: Callable[[], Tick] = machine_tick

    def open(
        self,
        key: str,
        *,
        title: str,
        level: int = 1,
        impact: str = "not known yet",
        eta: str = "unknown",
        channels: Sequence[str] = (),
        source: str | None = None,
        opened_at: datetime | None = None,
        waited_s: float = 0,
        sent: bool = False,
        rungs: int = 1,
    ) -> tuple[int, bool]:
        """
        Open an incident and write its first page, or find the one that is open under the key.

        Args:
            channels: of its pages; those of the level when left out.
            source: what it comes from, such as `notice:7`, to be told once.
            opened_at: where that was earlier, while the database was away.
            sent: somebody was called then, on so many `rungs` of the matrix.

        Returns:
            Its number, and whether it is new.

        Raises:
            InvalidInput: there is no such level or channel, or a text is empty or too long.
        """
        if level not in matrix():
            raise InvalidInput("There is no such level.", fix="A level is 1, 2 or 3.")
        if unknown := set(channels) - set(Channel):
            raise InvalidInput(
                f"There is no channel {min(unknown)[:40]!r}.", fix=f"Use: {', '.join(Channel)}."
            )
        title, impact, eta = (
            _line("title", title, TITLE), _line("impact", impact, IMPACT), _line("ETA", eta, ETA)
        )  # fmt: skip
        now, tick = opened_at or self.clock(), self.tick()
        with self.database.transaction(self.origin) as tx:
            number = incidents.open_once(
                tx,
                dedup_key=_line("key", key, 200),
                level=level,
                title=title,
                impact=impact,
                eta=eta,
                channels=list(dict.fromkeys(channels)) or list(matrix()[level].channels),
                opened_at=now,
                due_at=self._due(level, now),
            )
            told = f"Level {level}: {title}. Impact: {impact}."
            if number is None:
                found = incidents.by_key(tx, key)
                if found is None:  # resolved this very moment
                    raise IncidentOver(fix="Try again: it was resolved this very moment.")
                if source is not None:
                    incidents.add_event(
                        tx, found.id, "incident", f"Raised again: {told}", at=now, source=source
                    )
                return found.id, False
            incidents.start_clock(
                tx, number, witness=tick.witness, ticks=tick.seconds, waited_s=waited_s
            )
            incidents.add_event(
                tx, number, "incident", f"Opened. {told}", at=now, source=source or f"open:{number}"
            )
            row = self._row(tx, number)
            if sent:
                incidents.climb(tx, number, from_rung=0, to=rungs)
            else:
                self._climb(tx, row, now=self.clock())
            return number, True

    def acknowledge(self, number: int, *, who: str | None = None) -> None:
        """Say that somebody is at it: nobody else is called."""
        now, who = self.clock(), _line("name", who or self.origin.actor, 500)
        with self.database.transaction(self.origin) as tx:
            row = self._open_row(tx, number)
            if row.acknowledged_at is not None:
                return
            incidents.change(tx, number, acknowledged_at=now, acknowledged_by=who)
            incidents.add_event(tx, number, "incident", f"Acknowledged by {who}.", at=now)
            pages.drop_waiting(tx, number, problem=f"{who} had acknowledged it", now=now)
            self._tell_again(
                tx, row, "acknowledge", ["pager"], f"{who} is at it", f"Acknowledged by {who}."
            )

    def update(
        self,
        number: int,
        *,
        brief: str,
        progress: str,
        next_steps: str,
        status: str | None = None,
        eta: str | None = None,
        impact: str | None = None,
    ) -> str:
        """
        Say how it goes; whoever was called gets it by mail.

        Returns:
            The status update in the words of CRITICAL_PATHS.md.
        """
        if status is not None and status not in STATUSES:
            raise InvalidInput(
                "There is no such status.",
                fix=f"Use {' or '.join(STATUSES)}, or `incident resolve`.",
            )
        now = self.clock()
        texts = [_line(*given, TOLD) for given in (("status", brief), ("progress", progress))]
        texts.append(_line("next steps", next_steps, TOLD))
        with self.database.transaction(self.origin) as tx:
            row = self._open_row(tx, number)
            incidents.change(
                tx,
                number,
                status=status,
                eta=None if eta is None else _line("ETA", eta, ETA),
                impact=None if impact is None else _line("impact", impact, IMPACT),
            )
            row = self._row(tx, number)
            block = incident_messages.update(
                row, brief=texts[0], progress=texts[1], next_steps=texts[2]
            )
            told = f"{texts[0]}. Progress: {texts[1]} Next steps: {texts[2]} ETA: {row.eta}"
            incidents.add_event(tx, number, "incident", told, at=now)
            self._tell_again(tx, row, "update", ["email"], block.splitlines()[0], block)
        return block

    def escalate(self, number: int, *, level: int | None = None) -> str:
        """
        Call the next rung now; with a graver level begin its matrix instead.

        Returns:
            The role that is called.

        Raises:
            NobodyLeft: the matrix is at its end. InvalidInput: the level is not graver.
        """
        now = self.clock()
        with self.database.transaction(self.origin) as tx:
            row = self._open_row(tx, number)
            if level is not None:
                if level not in matrix() or level >= row.level:
                    raise InvalidInput(
                        f"It is of level {row.level}; escalate to a graver one.",
                        fix="1 is gravest.",
                    )
                incidents.change(tx, number, level=level, channels=matrix()[level].channels)
                incidents.add_event(tx, number, "incident", f"Raised to level {level}.", at=now)
                incidents.climb(tx, number, from_rung=row.rung, to=0)
                row = self._row(tx, number)
            role = self._climb(tx, row, now=now)
            if role is None:
                raise NobodyLeft
            return role

    def resolve(self, number: int, *, told: str) -> str:
        """
        End it; whoever was called hears of it, and pagers fall silent.

        Returns:
            The last status update in the words of CRITICAL_PATHS.md.
        """
        now, told = self.clock(), _line("resolution", told, TOLD)
        with self.database.transaction(self.origin) as tx:
            row = self._open_row(tx, number)
            self._collect(tx, row, until=now)
            pages.drop_waiting(tx, number, problem="it was resolved", now=now)
            incidents.change(tx, number, status="resolved", resolved_at=now, eta="resolved")
            incidents.add_event(tx, number, "incident", f"Resolved: {told}", at=now)
            row = self._row(tx, number)
            block = incident_messages.update(
                row, brief="Resolved", progress=told, next_steps="Post-mortem."
            )
            self._tell_again(
                tx, row, "resolve", ["pager", "email"], f"RESOLVED: {row.title}", block
            )
        return block

    def record(
        self,
        kind: str,
        told: str,
        *,
        number: int | None = None,
        source: str,
        at: datetime | None = None,
    ) -> int:
        """
        Tell the timeline of one open incident, or of all, what was done or seen.

        Args:
            kind: `alert`, `runbook`, `failover`, `operator` or `response`.
            source: names what it is taken from; the same is taken once.
            at: when that was; now when left out.

        Returns:
            How many timelines have it now that had not.
        """
        now = at or self.clock()
        with self.database.transaction(self.origin) as tx:
            wanted = [number] if number else [found[0] for found in incidents.open_ids(tx)]
            return sum(
                incidents.add_event(tx, each, kind, told, at=now, source=source) for each in wanted
            )

    def adopt_page(
        self, number: int, *, role: str, alarm: str, channels: Sequence[str], line: str,
        sent: Sequence[str], at: datetime,
    ) -> None:  # fmt: skip
        """Know of a page that went out while the database was away: its alarm is to end as well."""
        with self.database.transaction(self.origin) as tx:
            page = pages.write(
                tx, dedupe_key=f"spool:{alarm}", incident_id=number, role=role, action="trigger",
                severity="critical", alarm=alarm, channels=channels, line=line, body="", at=at,
            )  # fmt: skip
            if page is not None:
                pages.settle(
                    tx, page, state="delivered", sent=sent, problem=None, next_at=at, now=at
                )

    # --- by the clock ------------------------------------------------------------------------

    def climb_due(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Call every rung whose minute has come; how many it was."""
        now, tick, called = self.clock(), self.tick(), 0
        with self.database.transaction(self.origin) as tx:
            incidents.step(tx, witness=tick.witness, ticks=tick.seconds, most_s=MOST_STEP_S)
            waiting = incidents.waiting(tx)
        for row in waiting:
            if stop():
                break
            if matrix()[row.level].called_by(row.waited_s) <= row.rung:
                continue
            with self.database.transaction(self.origin) as tx:
                locked = incidents.by_id(tx, row.id, lock=True)
                if locked is None or locked.acknowledged_at or locked.resolved_at:
                    continue
                # One rung at a time: whoever slept through two minutes calls both, in order.
                while matrix()[locked.level].called_by(locked.waited_s) > locked.rung:
                    if self._climb(tx, locked, now=now) is None:
                        break
                    called += 1
                    locked = self._row(tx, row.id)
        return called

    def collect(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Take into each open incident's timeline what others wrote down; how much is new."""
        now, done = self.clock(), 0
        with self.database.reading() as tx:
            open_now = incidents.open_ids(tx)
        for number, _, _ in open_now:
            if stop():
                break
            with self.database.transaction(self.origin) as tx:
                done += self._collect(tx, self._row(tx, number), until=now)
        return done

    def open_for_alerts(self) -> tuple[int, ...]:
        """Open an incident for each level-1 alert that pages; the new ones' numbers."""
        with self.database.reading() as tx:
            found = incidents.loud_alerts(tx, since=self.clock() - timedelta(hours=1), limit=50)
        opened = []
        for alert in found:
            number, new = self.open(
                alert.dedup_key,
                title=f"Alert {alert.rule}",
                impact=alert.line[:IMPACT],
                channels=alert.channels,
                source=f"notice:{alert.id}",
            )
            opened += [number] if new else []
        return tuple(opened)

    # --- looking -----------------------------------------------------------------------------

    def story(self, number: int) -> Story:
        """All about one incident; its timeline is brought up to date first where it is open."""
        with self.database.transaction(self.origin) as tx:
            row = self._row(tx, number)
            if row.resolved_at is None:
                self._collect(tx, row, until=self.clock())
            return Story(
                row,
                tuple(pages.of_incident(tx, number)),
                tuple(incidents.events(tx, number, limit=MOST_EVENTS)),
            )

    def listing(self, *, everything: bool = False, limit: int = 50) -> list[IncidentRow]:
        """Open incidents, the gravest first; with `everything` the resolved ones behind them."""
        if not 1 <= limit <= MOST_LISTED:
            raise InvalidInput(f"The limit must lie between 1 and {MOST_LISTED}.")
        with self.database.reading() as tx:
            return incidents.listing(tx, everything=everything, limit=limit)

    # --- inside a transaction ----------------------------------------------------------------

    def _row(self, tx: Tx, number: int) -> IncidentRow:
        row = incidents.by_id(tx, number)
        if row is None:
            raise NotFound(
                f"There is no incident {number}.", fix="See: padelops incident list --all"
            )
        return row

    def _open_row(self, tx: Tx, number: int) -> IncidentRow:
        row = incidents.by_id(tx, number, lock=True) or self._row(tx, number)
        if row.resolved_at is not None:
            raise IncidentOver(f"Incident {number} is resolved.", fix="Open another one.")
        return row

    def _climb(self, tx: Tx, row: IncidentRow, *, now: datetime) -> str | None:
        plan = matrix()[row.level]
        if plan.next_at_s(row.rung) is None:
            return None
        if not incidents.climb(tx, row.id, from_rung=row.rung, to=row.rung + 1):
            return None
        role = plan.role(row.rung)
        pages.write(
            tx,
            dedupe_key=f"incident:{row.id}:{row.level}:{row.rung}",
            incident_id=row.id,
            role=role,
            action="trigger",
            severity=SEVERITY[row.level],
            # For each rung one of its own: the same alarm would not ring at a second person's.
            alarm=f"padelops-incident-{row.id}-{row.level}-{row.rung}",
            channels=row.channels,
            line=f"{incident_messages.name_of(row.id)} level {row.level}: {row.title}."
            f" {row.impact}",
            body=incident_messages.page_of(row),
            at=now,
        )
        minute = int(row.waited_s // 60)
        incidents.add_event(
            tx,
            row.id,
            "page",
            f"Minute {minute}: {role} is called by {', '.join(row.channels)}.",
            at=now,
            source=f"rung:{row.level}:{row.rung}",
        )
        return role

    def _tell_again(
        self, tx: Tx, row: IncidentRow, action: str, channels: Sequence[str], line: str, body: str
    ) -> None:
        for role, alarm in pages.roles_paged(tx, row.id):
            pages.write(
                tx,
                dedupe_key=f"incident:{row.id}:{action}:{row.version}:{alarm}",
                incident_id=row.id,
                role=role,
                action=action,
                severity="info",
                alarm=alarm,
                channels=channels,
                line=f"{incident_messages.name_of(row.id)}: {line}",
                body=body,
                at=self.clock(),
            )

    def _collect(self, tx: Tx, row: IncidentRow, *, until: datetime) -> int:
        return incidents.collect(
            tx, row.id, since=row.opened_at - BEFORE, until=until, limit=MOST_EVENTS
        )

    def _due(self, level: int, now: datetime) -> datetime | None:
        if matrix()[level].due is None:
            return None
        try:
            roster = self.roster()
            zone, holidays = ZoneInfo(roster.zone), roster.holidays
        except InvalidInput:  # an incident is opened whatever is wrong with the list of people
            zone, holidays = ZoneInfo("UTC"), frozenset()
        return due_of(level, now=now, zone=zone, holidays=holidays)


def _line(name: str, text: str, longest: int) -> str:
    line = printable(text).strip()
    if not 1 <= len(line) <= longest:
        raise InvalidInput(f"The {name} must have between 1 and {longest} characters.")
    return line
