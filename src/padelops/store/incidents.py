"""Incidents as stored: one open for each key, how long each waits, and its append-only timeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("incidents")


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """
    One incident.

    Attributes:
        waited_s: how long it has waited for somebody, in steady seconds.
        rung: how many rungs of the escalation matrix have been called.
    """

    id: int
    dedup_key: str
    level: int
    title: str
    impact: str
    status: str
    eta: str
    channels: list[str]
    opened_at: datetime
    due_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    version: int
    waited_s: float
    rung: int

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {
            "waited_s": round(self.waited_s, 1)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of a timeline: who did what, or what was seen."""

    id: int
    at: datetime
    kind: str
    actor: str
    told: str

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoudAlert:
    """A level-1 alert that pages and is in no timeline yet."""

    id: int
    dedup_key: str
    rule: str
    line: str
    channels: list[str]
    at: datetime


def open_once(
    tx: Tx,
    *,
    dedup_key: str,
    level: int,
    title: str,
    impact: str,
    eta: str,
    channels: Sequence[str],
    opened_at: datetime,
    due_at: datetime | None,
) -> int | None:
    """The new incident's number; None where one is open under this key."""
    row = tx.execute(
        _SQL["open"],
        {
            "dedup_key": dedup_key,
            "level": level,
            "title": title,
            "impact": impact,
            "eta": eta,
            "channels": list(channels),
            "opened_at": opened_at,
            "due_at": due_at,
        },
    ).fetchone()
    return None if row is None else int(row[0])


def start_clock(tx: Tx, number: int, *, witness: str, ticks: float, waited_s: float = 0) -> None:
    """Begin to count how long it waits."""
    values = {"id": number, "witness": witness, "ticks": ticks, "waited_s": waited_s}
    tx.execute(_SQL["start_clock"], values)


def by_id(tx: Tx, number: int, *, lock: bool = False) -> IncidentRow | None:
    """One incident; locked for a change where asked."""
    statement = _SQL["lock"] if lock else _SQL["by_id"]
    with tx.cursor(row_factory=class_row(IncidentRow)) as cursor:
        return cursor.execute(statement, {"id": number}).fetchone()


def by_key(tx: Tx, dedup_key: str) -> IncidentRow | None:
    """The open incident under a key."""
    with tx.cursor(row_factory=class_row(IncidentRow)) as cursor:
        return cursor.execute(_SQL["by_key"], {"dedup_key": dedup_key}).fetchone()


def listing(tx: Tx, *, everything: bool, limit: int) -> list[IncidentRow]:
    """Open incidents, the gravest first; with `everything` the resolved ones behind them."""
    with tx.cursor(row_factory=class_row(IncidentRow)) as cursor:
        return cursor.execute(_SQL["listing"], {"all": everything, "limit": limit}).fetchall()


def change(
    tx: Tx,
    number: int,
    *,
    level: int | None = None,
    impact: str | None = None,
    status: str | None = None,
    eta: str | None = None,
    due_at: datetime | None = None,
    channels: Sequence[str] | None = None,
    acknowledged_at: datetime | None = None,
    acknowledged_by: str | None = None,
    resolved_at: datetime | None = None,
) -> None:
    """Change what is given; the first acknowledgement stays."""
    tx.execute(
        _SQL["change"],
        {
            "id": number,
            "level": level,
            "impact": impact,
            "status": status,
            "eta": eta,
            "due_at": due_at,
            "channels": None if channels is None else list(channels),
            "acknowledged_at": acknowledged_at,
            "acknowledged_by": acknowledged_by,
            "resolved_at": resolved_at,
        },
    )


def step(tx: Tx, *, witness: str, ticks: float, most_s: float) -> None:
    """Count on, for every incident that waits for somebody."""
    tx.execute(_SQL["step"], {"witness": witness, "ticks": ticks, "most_s": most_s})


def waiting(tx: Tx) -> list[IncidentRow]:
    """Incidents that nobody has acknowledged, the gravest first."""
    with tx.cursor(row_factory=class_row(IncidentRow)) as cursor:
        return cursor.execute(_SQL["waiting"]).fetchall()


def climb(tx: Tx, number: int, *, from_rung: int, to: int) -> bool:
    """Take the next rung; False where somebody else has."""
    values = {"id": number, "from": from_rung, "to": to}
    return tx.execute(_SQL["climb"], values).fetchone() is not None


def add_event(
    tx: Tx,
    number: int,
    kind: str,
    told: str,
    *,
    at: datetime,
    actor: str | None = None,
    source: str | None = None,
) -> bool:
    """Add to the timeline; False where something from that source is there already."""
    values = {
        "id": number,
        "at": at,
        "kind": kind,
        "actor": actor,
        "told": told[:2000],
        "source": source,
    }
    return tx.execute(_SQL["add_event"], values).fetchone() is not None


def events(tx: Tx, number: int, *, limit: int) -> list[Event]:
    """The timeline, first to last."""
    with tx.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(_SQL["events"], {"id": number, "limit": limit}).fetchall()


def open_ids(tx: Tx) -> list[tuple[int, str, datetime]]:
    """Number, key and beginning of each open incident."""
    return [(row[0], row[1], row[2]) for row in tx.execute(_SQL["open_ids"]).fetchall()]


def collect(tx: Tx, number: int, *, since: datetime, until: datetime, limit: int) -> int:
    """Take into the timeline what others wrote down in that time; how many entries are new."""
    values = {"id": number, "since": since, "until": until, "limit": limit}
    return tx.execute(_SQL["collect"], values).rowcount


def loud_alerts(tx: Tx, *, since: datetime, limit: int) -> list[LoudAlert]:
    """Level-1 alerts that no timeline knows of."""
    with tx.cursor(row_factory=class_row(LoudAlert)) as cursor:
        return cursor.execute(
            _SQL["new_level_1_alerts"], {"since": since, "limit": limit}
        ).fetchall()


def has_source(tx: Tx, source: str) -> bool:
    """Whether any timeline has something from there."""
    row = tx.execute(_SQL["has_source"], {"source": source}).fetchone()
    return bool(row and row[0])


def operations_around(
    tx: Tx, *, since: datetime, until: datetime, limit: int
) -> list[tuple[datetime, str, int, int, float]]:
    """By minute and path: how many calls, how many failed, and their average in milliseconds."""
    values = {"since": since, "until": until, "limit": limit}
    rows = tx.execute(_SQL["operations_around"], values).fetchall()
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
