"""
Alerts: every rule judged on the spot, what changed kept, and whoever must know told once.

    with open_desk() as desk:
        firing(desk.database)          # what is wrong at this moment, the worst first

One look is one transaction: alerts move on, and for each rule that begins or ends firing the notice
is written with it and sent afterwards, so that a channel that is down loses no page. Rules are told
of as a whole, whatever number of things they fire about; a silence keeps people from being told,
and a critical rule mutes the warnings of its group.

Source: CRITICAL_PATHS.md, "Alerting Rules" and "Alert Escalation"; DESIGN.md section 7.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from padelops.errors import InvalidInput, NotFound
from padelops.ops.alert_judging import Unread, judge
from padelops.ops.alert_metrics import metric_named
from padelops.ops.alert_states import Standing, State, step
from padelops.ops.indicators import Unit
from padelops.ops.locks import operator_lock
from padelops.ops.verdict import Verdict, worst
from padelops.store import alerts, audit
from padelops.store.alerts import RuleRecord, Silence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from padelops.booking.delivery import Channel
    from padelops.model import Origin
    from padelops.ops.alert_rules import Rule
    from padelops.ops.indicators import Indicator, Sample
    from padelops.ops.metrics import Reading
    from padelops.store.engine import Database, Tx

LOCK = "alerts"
"""The operator lock: one evaluator at a time."""

EVERY = timedelta(seconds=30)
LONGEST_SILENCE = timedelta(days=30)
REMEMBERED = timedelta(days=1)
"""How long an ended silence is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """
    What people are told of a rule.

    Attributes:
        dedup_key: the same from the first page to the end of it.
        channels: how they are told.
        about: the things that it fires about, with what was measured there in `unit`.
    """

    rule: str
    dedup_key: str
    level: int
    severity: str
    channels: tuple[Channel, ...]
    summary: str
    description: str
    runbook: str
    about: tuple[Standing, ...]
    unit: Unit
    at: datetime

    @property
    def line(self) -> str:
        """All of it in one line."""
        things = "; ".join(named(one, self.unit) for one in self.about[:3])
        more = f" and {len(self.about) - 3} more" if len(self.about) > 3 else ""  # noqa: PLR2004
        told = f" ({things}{more})" if things else ""
        return f"{self.rule}: {self.summary}{told}. Then: padelops runbook run {self.runbook}"

    def as_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "dedup_key": self.dedup_key,
            "level": self.level,
            "severity": self.severity,
            "channels": [str(channel) for channel in self.channels],
            "summary": self.summary,
            "runbook": self.runbook,
            "about": [standing_json(one) for one in self.about],
        }


class Pages(Protocol):
    """Who tells people. Both are called inside the transaction that keeps the change."""

    def page(self, tx: Tx, notice: Notice) -> None:
        """Write down that people are to be told; sending is for later."""
        ...

    def resolve(self, tx: Tx, notice: Notice) -> None:
        """Write down that they are to be told that it is over."""
        ...


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """
    Where a rule stands.

    Attributes:
        standings: its alerts, also those that are over.
        silence: what keeps people from being told.
        muted_by: the critical rule that says it already.
    """

    name: str
    rule: Rule
    record: RuleRecord
    standings: tuple[Standing, ...]
    silence: Silence | None = None
    muted_by: str | None = None

    def in_state(self, state: State) -> tuple[Standing, ...]:
        return tuple(one for one in self.standings if one.state is state)

    @property
    def state(self) -> str:
        """The most pressing of its alerts; else `quiet`, or `unchecked` before the first look."""
        for state in (State.FIRING, State.UNKNOWN, State.PENDING):
            if self.in_state(state):
                return state.value
        return "quiet" if self.record.checked_at else "unchecked"

    @property
    def since(self) -> datetime | None:
        """Since when it has been in that state."""
        found = [one.since for one in self.standings if one.state == self.state]
        return min(found, default=None)

    @property
    def verdict(self) -> Verdict:
        """What is silenced fails no check; what cannot be known does."""
        if self.state == State.FIRING and self.silence is None:
            return self.rule.verdict
        return Verdict.UNKNOWN if self.state == State.UNKNOWN else Verdict.OK

    def as_json(self) -> dict[str, Any]:
        told = self.record
        return {
            "rule": self.name,
            "level": self.rule.level.value,
            "severity": self.rule.severity,
            "path": self.rule.path,
            "state": self.state,
            "since": _moment(self.since),
            "last_fired_at": _moment(told.fired_at),
            "runbook": self.rule.runbook,
            "last_proved_at": _moment(told.proved_at),
            "proved_by": told.proved_by,
            "told": told.told,
            "silenced_until": self.silence and _moment(self.silence.ends_at),
            "muted_by": self.muted_by,
            "summary": self.rule.summary,
            "condition": self.rule.condition,
            "alerts": [
                standing_json(one) for one in self.standings if one.state is not State.RESOLVED
            ],
        }


@dataclass(frozen=True, slots=True)
class Board:
    """
    Every rule at one moment.

    Attributes:
        paged, resolved: what a look has told people, or would have (`dry_run`).
        away: the database is, so nothing of this is kept.
    """

    at: datetime
    rules: tuple[RuleStatus, ...]
    silences: tuple[Silence, ...] = ()
    paged: tuple[Notice, ...] = ()
    resolved: tuple[Notice, ...] = ()
    dry_run: bool = False
    away: bool = False

    @property
    def verdict(self) -> Verdict:
        return worst([Verdict.OK, *(status.verdict for status in self.rules)])

    def in_state(self, state: str) -> tuple[RuleStatus, ...]:
        return tuple(status for status in self.rules if status.state == state)

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "verdict": self.verdict.word,
            "dry_run": self.dry_run,
            "database_away": self.away,
            "rules": [status.as_json() for status in self.rules],
            "silences": [silence.as_json() for silence in self.silences],
            "paged": [notice.as_json() for notice in self.paged],
            "resolved": [notice.as_json() for notice in self.resolved],
        }


class Measured:
    """Implements `alert_judging.Values` over what was read."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = {reading.indicator.name: reading for reading in readings}

    def samples(self, metric: str) -> tuple[Sample, ...]:
        reading = self._readings[metric_named(metric).name]
        if reading.problem is not None:
            raise Unread(reading.problem)
        return reading.samples


class Alerts:
    """
    Judges the rules at one database.

    Args:
        read: reads indicators now.
        pages: who tells people.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        database: Database,
        read: Callable[[Iterable[Indicator]], Iterable[Reading]],
        pages: Pages,
        *,
        origin: Origin,
        clock: Callable[[], datetime],
    ) -> None:
        self.rules = rules
        self._database = database
        self._read = read
        self._pages = pages
        self._origin = origin
        self._clock = clock

    def check(self, *, dry_run: bool = False) -> Board:
        """
        Look once: judge every rule, keep what changed, and write down whom to tell.

        Args:
            dry_run: change nothing and tell nobody; show what would be.

        Raises:
            LockHeld: another evaluator is at it. DatabaseUnavailable: nobody can be asked.
        """
        with operator_lock(
            self._database, LOCK, purpose="alerts check", origin=self._origin
        ) as held:
            now = self._clock()
            measured = Measured(self._read(asked(self.rules)))
            held.still()
            with self._database.transaction(self._origin, keep=not dry_run) as tx:
                return self._look(tx, measured, now, dry_run=dry_run)

    def looked_since(self, moment: datetime) -> bool:
        """Whether somebody has judged the rules since."""
        with self._database.reading() as tx:
            last = alerts.last_look(tx)
        return last is not None and last >= moment

    def board(self) -> Board:
        """Where every rule stood when it was last looked at."""
        now = self._clock()
        with self._database.reading() as tx:
            records, before = alerts.rules(tx), standings_of(tx)
            silences = alerts.silences(tx, since=now - REMEMBERED)
        return board_of(self.rules, now, records, before, silences)

    def silence(self, name: str, *, lasting: timedelta, reason: str) -> Silence:
        """
        Keep people from being told of a rule for a while; what it comes to is kept all the same.

        Raises:
            NotFound: no such rule. InvalidInput: no reason, or too long.
        """
        reason = " ".join(reason.split())
        self._known(name)
        if not 3 <= len(reason) <= 400:  # noqa: PLR2004 - as the table has it
            raise InvalidInput("Say in --reason why, in 3 to 400 characters.")
        if not timedelta(0) < lasting <= LONGEST_SILENCE:
            raise InvalidInput("A silence lasts 30 days at the most, and has an end.")
        now = self._clock()
        with self._database.transaction(self._origin) as tx:
            number = alerts.silence(tx, name, starts_at=now, ends_at=now + lasting, reason=reason)
            audit.note(
                tx,
                "alert_silenced",
                {"rule": name, "until": (now + lasting).isoformat(), "reason": reason},
                subject_id=number,
            )
            found = {one.id: one for one in alerts.silences(tx, since=now - REMEMBERED)}
        return found[number]

    def end_silence(self, number: int) -> Silence:
        """
        Let people be told again, from now on.

        Raises:
            NotFound: no silence of that number is in force.
        """
        now = self._clock()
        with self._database.transaction(self._origin) as tx:
            ended = alerts.end_silence(tx, number, now=now)
            if ended is None:
                raise NotFound(
                    f"No silence {number} is in force.", fix="See: padelops alerts silence"
                )
            audit.note(tx, "alert_silence_ended", {"rule": ended.rule}, subject_id=number)
        return ended

    def silences(self) -> list[Silence]:
        """Those in force, and those that ended within a day."""
        with self._database.reading() as tx:
            return alerts.silences(tx, since=self._clock() - REMEMBERED)

    def proved(self, name: str, *, by: str) -> None:
        """
        Write down that a rule was seen to fire on its fault, and to resolve once it was mended.

        Raises:
            NotFound: no such rule.
        """
        rule = self._known(name)
        with self._database.transaction(self._origin) as tx:
            alerts.keep_proof(
                tx,
                name,
                level=rule.level.value,
                severity=rule.severity,
                proved_by=by,
                now=self._clock(),
            )
            audit.note(tx, "alert_proved", {"rule": name, "by": by})

    def _known(self, name: str) -> Rule:
        if name not in self.rules:
            raise NotFound(
                f"There is no alert rule '{name[:60]}'.", fix="See: padelops alerts list"
            )
        return self.rules[name]

    def _look(self, tx: Tx, measured: Measured, now: datetime, *, dry_run: bool) -> Board:
        records, before = alerts.rules(tx), standings_of(tx)
        silences = alerts.silences(tx, since=now - REMEMBERED)
        after: dict[str, dict[str, Standing]] = {}
        for name, rule in self.rules.items():
            known = before.get(name, {})
            moved = step(rule, known, judge(rule.parsed, measured), now=now)
            after[name] = moved.standings
            _keep(tx, name, known, moved.standings, moved.gone)
            record = replace(records.get(name, RuleRecord(name=name)), checked_at=now)
            if moved.fired:
                record = replace(record, fired_at=now)
            records[name] = record
        for name in before.keys() - self.rules.keys():
            _keep(tx, name, before[name], {}, tuple(before[name]))
        paged, resolved = self._tell(tx, records, after, silences, now)
        for name, rule in self.rules.items():
            alerts.keep_rule(tx, records[name], level=rule.level.value, severity=rule.severity)
        board = board_of(self.rules, now, records, after, silences)
        return replace(board, paged=paged, resolved=resolved, dry_run=dry_run)

    def _tell(
        self,
        tx: Tx,
        records: dict[str, RuleRecord],
        after: Mapping[str, Mapping[str, Standing]],
        silences: Collection[Silence],
        now: datetime,
    ) -> tuple[tuple[Notice, ...], tuple[Notice, ...]]:
        """Write the notices down, and who has been told of what."""
        paged, resolved = [], []
        for status in board_of(self.rules, now, records, after, silences).rules:
            record = records[status.name]
            firing = status.in_state(State.FIRING)
            if record.told and not firing:
                notice = notice_of(status, status.in_state(State.RESOLVED)[:1], now)
                self._pages.resolve(tx, notice)
                resolved.append(notice)
                records[status.name] = replace(record, told=False, told_at=now)
            elif (
                firing
                and status.rule.channels
                and not record.told
                and status.silence is None
                and status.muted_by is None
            ):
                notice = notice_of(status, firing, now)
                self._pages.page(tx, notice)
                paged.append(notice)
                records[status.name] = replace(record, told=True, told_at=now)
        return tuple(paged), tuple(resolved)


def board_without_database(
    rules: Mapping[str, Rule], readings: Iterable[Reading], *, now: datetime
) -> Board:
    """What can be known while the database is away: nothing is kept, and most is unknown."""
    measured = Measured(readings)
    after = {
        name: step(rule, {}, judge(rule.parsed, measured), now=now).standings
        for name, rule in rules.items()
    }
    records = {name: RuleRecord(name=name, checked_at=now) for name in rules}
    return replace(board_of(rules, now, records, after, ()), away=True)


def asked(rules: Mapping[str, Rule]) -> tuple[Indicator, ...]:
    """The indicators that rules are about."""
    found = {one.name: one for rule in rules.values() for one in rule.indicators}
    return tuple(found.values())


def board_of(
    rules: Mapping[str, Rule],
    now: datetime,
    records: Mapping[str, RuleRecord],
    standings: Mapping[str, Mapping[str, Standing]],
    silences: Collection[Silence],
) -> Board:
    """Where every rule stands, with what keeps people from being told of it."""
    silenced = {one.rule: one for one in silences if one.in_force(now)}
    critical = {
        rule.group: name
        for name, rule in rules.items()
        if rule.group
        and rule.severity == "critical"
        and any(one.state is State.FIRING for one in standings.get(name, {}).values())
    }
    return Board(
        now,
        tuple(
            RuleStatus(
                name,
                rule,
                records.get(name, RuleRecord(name=name)),
                tuple(standings.get(name, {}).values()),
                silenced.get(name),
                critical.get(rule.group or "") if rule.severity == "warning" else None,
            )
            for name, rule in rules.items()
        ),
        tuple(silences),
    )


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert that fires at this moment, for whoever shows or decides by it."""

    rule: str
    level: int
    severity: str
    summary: str
    runbook: str
    since: datetime
    about: dict[str, str]
    value: float | None
    silenced: bool

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {
            "since": self.since.isoformat()
        }


def firing(database: Database, rules: Mapping[str, Rule], *, now: datetime) -> list[Firing]:
    """
    The alerts that fire, as of the last look: critical ones first, then the longest. Reads only.
    """
    with database.reading() as tx:
        standings = standings_of(tx)
        silenced = {
            one.rule for one in alerts.silences(tx, since=now - REMEMBERED) if one.in_force(now)
        }
    found = [
        Firing(
            name,
            rule.level.value,
            rule.severity,
            rule.summary,
            rule.runbook,
            one.since,
            one.about,
            one.value,
            name in silenced,
        )
        for name, rule in rules.items()
        for one in standings.get(name, {}).values()
        if one.state is State.FIRING and rule.severity != "none"
    ]
    return sorted(found, key=lambda one: (one.severity != "critical", one.level, one.since))


def standings_of(tx: Tx) -> dict[str, dict[str, Standing]]:
    """Every alert that is something, by rule and labels."""
    found: dict[str, dict[str, Standing]] = {}
    for row in alerts.alerts(tx):
        found.setdefault(row.rule, {})[row.labels] = Standing(
            row.labels,
            State(row.state),
            row.since,
            row.active_at,
            row.fired_at,
            row.quiet_at,
            row.value,
            row.problem,
        )
    return found


def notice_of(status: RuleStatus, about: Iterable[Standing], now: datetime) -> Notice:
    """What people are told of a rule that fires or has ended."""
    rule = status.rule
    return Notice(
        rule=status.name,
        dedup_key=f"padelops/{status.name}",
        level=rule.level.value,
        severity=rule.severity,
        channels=tuple(sorted(rule.channels)),
        summary=rule.summary,
        description=rule.description,
        runbook=rule.runbook,
        about=tuple(about),
        unit=rule.indicators[0].unit,
        at=now,
    )


def named(one: Standing, unit: Unit = Unit.NONE) -> str:
    """The thing an alert is about, and what was measured there."""
    labels = " ".join(one.about.values())
    value = "" if one.value is None else shown(one.value, unit)
    return " ".join(part for part in (labels, value) if part)


def shown(value: float, unit: Unit) -> str:
    """A measured value as conditions write it."""
    match unit:
        case Unit.RATIO:
            return f"{value * 100:.4g}%"
        case Unit.SECONDS:
            return f"{value:.4g}s" if value >= 1 or not value else f"{value * 1000:.3g}ms"
        case Unit.BYTES:
            return f"{value / 2**20:.1f}MiB"
    return f"{value:.6g}"


def standing_json(one: Standing) -> dict[str, Any]:
    return {
        "labels": one.about,
        "state": one.state.value,
        "since": _moment(one.since),
        "value": one.value,
        "problem": one.problem,
    }


def _keep(
    tx: Tx,
    rule: str,
    before: Mapping[str, Standing],
    after: Mapping[str, Standing],
    gone: Iterable[str],
) -> None:
    """Write down what is not as it was."""
    for labels, standing in after.items():
        if before.get(labels) != standing:
            alerts.keep(
                tx,
                rule,
                labels=labels,
                state=standing.state.value,
                since=standing.since,
                active_at=standing.active_at,
                fired_at=standing.fired_at,
                quiet_at=standing.quiet_at,
                value=standing.value,
                problem=standing.problem and standing.problem[:500],
            )
    for labels in gone:
        alerts.forget(tx, rule, labels)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
