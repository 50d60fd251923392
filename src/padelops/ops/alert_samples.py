"""
Samples: what a rule's metrics were, minute by minute, and whether the rule fires on them.

    booking_conflicts: "0*3 1*2"                  three minutes none, then two with one
    avg_response_time{path="search"}: "200ms 1500ms*6"
    padel_budget_burn_rate{path="creation",objective="answered"} in 1h: "20*3"

A lone `_` is a minute in which the value is unknown. The same samples are played to our own judge,
and to promtool as unit tests of what is exported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from padelops.errors import InvalidInput
from padelops.ops.alert_conditions import Comparison, parse, parse_value
from padelops.ops.alert_judging import WINDOW, judge
from padelops.ops.alert_metrics import metric_named
from padelops.ops.alert_states import State, step
from padelops.ops.indicators import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.ops.alert_rules import Rule
    from padelops.ops.alert_states import Standing

STEP = timedelta(minutes=1)
LONGEST = 2000
"""Minutes in one sample."""

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

_ITEM = re.compile(
    r"(?:(?P<number>\d+(?:\.\d+)?)(?P<unit>[A-Za-z]+|%)?|_)(?:\*(?P<times>\d{1,4}))?"
)


@dataclass(frozen=True, slots=True)
class Series:
    """One metric with its labels, and its values a minute apart; None is unknown."""

    metric: str
    labels: tuple[tuple[str, str], ...]
    values: tuple[float | None, ...]

    def at(self, minute: int) -> Sample:
        """Its sample in that minute; after its end it stays as it was."""
        return Sample(self.values[min(minute, len(self.values) - 1)], dict(self.labels))


def read_series(written: Mapping[str, str]) -> tuple[Series, ...]:
    """
    Read one sample.

    Raises:
        InvalidInput: a metric or a value makes no sense.
    """
    return tuple(_series(name, values) for name, values in written.items())


def _series(name: str, written: str) -> Series:
    # The part before a comparison is what a condition begins with.
    found = parse(f"{name} > 0")
    if not isinstance(found, Comparison):
        raise InvalidInput(f"'{name[:60]}' is not one metric.")
    indicator = metric_named(found.metric)
    labels = dict(found.labels)
    if found.window_s is not None:
        labels[WINDOW] = str(found.window_s)
    if missing := set(indicator.labels) - set(labels):
        raise InvalidInput(
            f"The sample of {found.metric} leaves out the label {min(missing)}.",
            fix=f'Write {found.metric}{{{min(missing)}="…"}}'
            if min(missing) != WINDOW
            else f"Write {found.metric}{{…}} in 1h",
        )
    values: list[float | None] = []
    for item in written.split():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise InvalidInput(
                f"'{item[:30]}' is no value of {found.metric}.", fix='Write "0*3 1500ms _".'
            )
        value = None
        if match["number"]:
            value, unit = parse_value(match["number"], match["unit"])
            if unit is not None and unit is not indicator.unit:
                raise InvalidInput(
                    f"{found.metric} is counted in {indicator.unit or 'numbers'}, not in"
                    f" {match['unit']}."
                )
        values += [value] * int(match["times"] or 1)
    if not 0 < len(values) <= LONGEST:
        raise InvalidInput(f"A sample has 1 to {LONGEST} values.")
    return Series(indicator.name, tuple(sorted(labels.items())), tuple(values))


@dataclass(frozen=True, slots=True)
class _Minute:
    """Implements `alert_judging.Values` for one minute of a sample."""

    series: tuple[Series, ...]
    minute: int

    def samples(self, metric: str) -> list[Sample]:
        name = metric_named(metric).name
        return [one.at(self.minute) for one in self.series if one.metric == name]


def play(rule: Rule, series: tuple[Series, ...]) -> Iterator[dict[str, State]]:
    """The states of the rule's alerts in each minute of a sample, by their labels."""
    standings: dict[str, Standing] = {}
    for minute in range(max(len(one.values) for one in series)):
        now = BEGIN + minute * STEP
        answers = judge(rule.parsed, _Minute(series, minute))
        standings = step(rule, standings, answers, now=now).standings
        yield {key: standing.state for key, standing in standings.items()}


def fires(rule: Rule, series: tuple[Series, ...]) -> bool:
    """Whether it fires in any minute of a sample."""
    return any(State.FIRING in states.values() for states in play(rule, series))


def fires_at_the_end(rule: Rule, series: tuple[Series, ...]) -> bool:
    """Whether it fires in a sample's last minute."""
    *_, last = play(rule, series)
    return State.FIRING in last.values()
