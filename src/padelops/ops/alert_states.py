"""
An alert's life: pending -> firing -> resolved, as Prometheus lives it, and `unknown` beside it.

- It is pending from the first moment its condition holds, and fires once it has held for `for`.
- When the condition stops holding, a pending alert is gone; a firing one goes on for
  `keep_firing_for`, so that one that flaps pages once.
- Where nobody knows whether the condition holds, a firing alert goes on firing and a pending one
  waits; one that was neither is unknown, which is never shown as quiet.

Only what was and what is goes in; nothing here reads a clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from padelops.ops.alert_judging import Answer, Answers


class State(StrEnum):
    """Of one alert: a rule, and the labels of the thing it is about."""

    PENDING = "pending"
    FIRING = "firing"
    UNKNOWN = "unknown"
    RESOLVED = "resolved"


class Timing(Protocol):
    """What of a rule its alerts' lives depend on."""

    @property
    def hold(self) -> timedelta: ...
    @property
    def keep(self) -> timedelta: ...
    @property
    def quiet_without_data(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """
    One alert.

    Attributes:
        labels: as JSON with sorted names, so that equal ones are equal.
        since: when it came into this state.
        active_at: since when its condition has held.
        fired_at: when it last began to fire.
        quiet_at: since when its condition has not held, while it goes on firing.
        value: what was measured last.
        problem: why nobody knows.
    """

    labels: str
    state: State
    since: datetime
    active_at: datetime | None = None
    fired_at: datetime | None = None
    quiet_at: datetime | None = None
    value: float | None = None
    problem: str | None = None

    @property
    def about(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.labels)
        return found


@dataclass(frozen=True, slots=True)
class Step:
    """
    A rule's alerts after one look, and which of them changed.

    Attributes:
        gone: alerts that were pending or unknown and are not any more.
    """

    standings: dict[str, Standing]
    fired: tuple[Standing, ...] = ()
    resolved: tuple[Standing, ...] = ()
    gone: tuple[str, ...] = ()


def step(
    timing: Timing, before: Mapping[str, Standing], answers: Answers, *, now: datetime
) -> Step:
    """One look later."""
    by_key = {key_of(dict(labels)): answer for labels, answer in answers.items()}
    blind = any(answer.problem for answer in answers.values())
    after: dict[str, Standing] = {}
    fired, resolved, gone = [], [], []
    for key in [*before, *(key for key in by_key if key not in before)]:
        was = before.get(key)
        answer = by_key.get(key)
        found = _next(timing, key, was, answer, blind, now)
        if found is None:
            if was is not None:
                gone.append(key)
            continue
        after[key] = found
        was_firing = was is not None and was.state is State.FIRING
        if found.state is State.FIRING and not was_firing:
            fired.append(found)
        if found.state is State.RESOLVED and was_firing:
            resolved.append(found)
    return Step(after, tuple(fired), tuple(resolved), tuple(gone))


def key_of(labels: Mapping[str, str]) -> str:
    """Labels as one text."""
    return json.dumps(dict(labels), sort_keys=True, separators=(",", ":"))


def _next(
    timing: Timing,
    key: str,
    was: Standing | None,
    answer: Answer | None,
    blind: bool,
    now: datetime,
) -> Standing | None:
    """What becomes of one alert; None where there is none any more."""
    if answer is None:
        # What a metric does not speak of any more is over, unless it could not be read.
        holds = None if blind else False
        value = problem = None
    else:
        holds, value, problem = answer.holds, answer.value, answer.problem
    if holds is None and problem is None and not blind and timing.quiet_without_data:
        holds = False
    if holds is None:
        return _unknown(key, was, problem, now)
    return (_holding if holds else _quiet)(timing, key, was, value, now)


def _holding(
    timing: Timing, key: str, was: Standing | None, value: float | None, now: datetime
) -> Standing:
    active = was if was is not None and was.state in {State.PENDING, State.FIRING} else None
    if active is not None and active.state is State.FIRING:
        return replace(active, quiet_at=None, value=value, problem=None)
    active_at = now
    if active is not None and active.active_at is not None:
        # A clock that was put back must not make an alert wait for ever.
        active_at = min(active.active_at, now)
    if now - active_at >= timing.hold:
        return Standing(key, State.FIRING, now, active_at, now, None, value)
    since = now if active is None else active.since
    last = None if was is None else was.fired_at
    return Standing(key, State.PENDING, since, active_at, last, None, value)


def _quiet(
    timing: Timing, key: str, was: Standing | None, value: float | None, now: datetime
) -> Standing | None:
    if was is None:
        return None
    if was.state is State.FIRING:
        quiet_at = min(was.quiet_at or now, now)
        if now - quiet_at < timing.keep:
            return replace(was, quiet_at=quiet_at, value=value, problem=None)
        return replace(
            was, state=State.RESOLVED, since=now, active_at=None, quiet_at=None, value=value
        )
    if was.fired_at is None:
        return None
    if was.state is State.RESOLVED:
        return replace(was, value=value)
    return Standing(key, State.RESOLVED, now, None, was.fired_at, None, value)


def _unknown(key: str, was: Standing | None, problem: str | None, now: datetime) -> Standing:
    if was is not None and was.state is State.PENDING:
        return replace(was, problem=problem)
    if was is not None and was.state is State.FIRING:
        return replace(was, problem=problem)
    if was is not None and was.state is State.UNKNOWN:
        return replace(was, problem=problem)
    last = None if was is None else was.fired_at
    return Standing(key, State.UNKNOWN, now, None, last, None, None, problem)
