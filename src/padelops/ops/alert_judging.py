"""
What a condition says of measured values: for each thing it is about, yes, no, or unknown.

A comparison is about each sample of its metric: one alert for each set of labels. In `and`, parts
are joined where the labels that both have are equal, as PromQL's `and on (...)`; in `or`, whatever
holds counts. Unknown is a third answer: `and` with a no is a no, else it is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from padelops.ops.alert_conditions import Comparison, Either

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padelops.ops.alert_conditions import Condition
    from padelops.ops.indicators import Sample

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Sorted by name: what an alert is told from its like by."""

WINDOW = "window"
"""The label of a metric that is kept for several windows; `in 5m` selects by it and drops it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a condition says of one thing.

    Attributes:
        holds: None where it cannot be known.
        value: what was measured, of the first comparison.
        problem: why it could not be read; None where there was nothing to judge.
    """

    holds: bool | None
    value: float | None = None
    problem: str | None = None


Answers: TypeAlias = dict[Labels, Answer]


class Values(Protocol):
    """Where measured values come from."""

    def samples(self, metric: str) -> Sequence[Sample]:
        """
        Raises:
            Unread: it could not be read.
        """
        ...


class Unread(LookupError):
    """A metric could not be read; says why."""


def judge(condition: Condition, values: Values) -> Answers:
    """What the condition says now, by labels. What cannot be read is unknown, with the reason."""
    if isinstance(condition, Comparison):
        return _compare(condition, values)
    parts = [judge(part, values) for part in condition.parts]
    found = parts[0]
    for other in parts[1:]:
        found = _either(found, other) if isinstance(condition, Either) else _both(found, other)
    return found


def _compare(one: Comparison, values: Values) -> Answers:
    try:
        samples = values.samples(one.metric)
    except Unread as exc:
        return {one.labels: Answer(None, None, str(exc))}
    found: Answers = {}
    for sample in samples:
        labels = dict(sample.labels)
        if one.window_s is not None and labels.pop(WINDOW, None) != str(one.window_s):
            continue
        if not set(one.labels) <= labels.items():
            continue
        holds = None if sample.value is None else one.holds(sample.value)
        found[tuple(sorted(labels.items()))] = Answer(holds, sample.value)
    return found


def _both(left: Answers, right: Answers) -> Answers:
    shared = _names(left) & _names(right)
    found: Answers = {}
    for labels, answer in left.items():
        mates = [
            other for key, other in right.items() if _only(key, shared) == _only(labels, shared)
        ]
        found[labels] = _and(answer, mates)
    return found


def _and(answer: Answer, mates: Sequence[Answer]) -> Answer:
    """Nobody to be joined with is a no, as in PromQL."""
    said = {mate.holds for mate in mates}
    other = True if True in said else None if None in said else False
    if answer.holds is False or other is False:
        return Answer(False, answer.value)
    problem = answer.problem or next((mate.problem for mate in mates if mate.problem), None)
    return Answer(answer.holds and other, answer.value, problem)


def _either(left: Answers, right: Answers) -> Answers:
    found = dict(right)
    for labels, answer in left.items():
        other = right.get(labels)
        # The first that holds tells its value; without one, an unknown outranks a no.
        if other is None or answer.holds or (answer.holds is None and not other.holds):
            found[labels] = answer
    return found


def _names(answers: Answers) -> set[str]:
    return {name for labels in answers for name, _ in labels}


def _only(labels: Labels, names: set[str]) -> Labels:
    return tuple((name, value) for name, value in labels if name in names)
