"""
What alert conditions may be about: every indicator, and the error budgets of the objectives.

Budgets stand here and not in the registry because each has a value for every path, objective and
window: `slo` shows them better than a list of metrics would. `in 1h` picks the window.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from padelops.errors import InvalidInput
from padelops.model import Level
from padelops.ops.alert_conditions import length
from padelops.ops.alert_judging import WINDOW
from padelops.ops.indicators import Indicator, Kind, Rhythm, Sample, Unit, seen_once
from padelops.ops.metrics import INDICATORS
from padelops.ops.slo import PAIRS, PROMISES, counted
from padelops.store import counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.ops.facts import Facts
    from padelops.ops.slo import Promise, Window
    from padelops.store.counts import Ended
    from padelops.store.engine import Tx

WINDOWS_S = tuple(sorted({s for pair in PAIRS for s in (pair.long_s, pair.short_s)}))

SERVED = 'outcome=~"ok|refused"'


def _budget(facts: Facts, value: Callable[[Promise, Window], float | None]) -> Iterator[Sample]:
    def question(tx: Tx) -> dict[int, list[Ended]]:
        return counts.operations_within(tx, WINDOWS_S, now=facts.now)

    for window_s, ended in facts.ask(question, once="budgets").items():
        for promise in PROMISES:
            found = counted(promise, ended)
            labels = {
                "path": promise.path.module,
                "objective": promise.kind,
                "level": str(promise.path.level.value),
                WINDOW: str(window_s),
            }
            yield Sample(value(promise, found), labels)


def _burn(facts: Facts) -> Iterator[Sample]:
    return _budget(facts, lambda promise, window: window.burn(promise))


def _bad(facts: Facts) -> Iterator[Sample]:
    return _budget(facts, lambda _, window: window.bad)


BUDGETS = {
    name: Indicator(
        name=name,
        title=title,
        help=told,
        kind=Kind.GAUGE,
        unit=Unit.NONE,
        rhythm=Rhythm.PRIMARY,
        source="operations",
        promql=seen_once(name),
        read=read,
        labels=("path", "objective", "level", WINDOW),
        exported=False,
    )
    for name, title, told, read in (
        (
            "padel_budget_burn_rate",
            "Burn rate",
            "How many times faster than allowed the error budget burns.",
            _burn,
        ),
        (
            "padel_budget_bad_operations",
            "Bad operations",
            "Operations that an error budget was spent on.",
            _bad,
        ),
    )
}


def metric_named(name: str) -> Indicator:
    """
    What a condition is about, by its name or by what CRITICAL_PATHS.md calls it.

    Raises:
        InvalidInput: there is nothing of that name; tells the likeliest ones.
    """
    known: dict[str, Indicator] = {}
    for one in (*INDICATORS.values(), *BUDGETS.values()):
        known |= dict.fromkeys((one.name, *one.aliases), one)
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    raise InvalidInput(
        f"There is no metric '{name[:60]}'.",
        fix=f"Did you mean {' or '.join(close)}?" if close else "See: padelops metrics --json",
    )


def recorded(indicator: Indicator) -> Iterator[tuple[str, dict[str, str]]]:
    """
    PromQL expressions that record a metric under its own name, each with the labels to add; none
    for what is scraped as it is.
    """
    if indicator.name in BUDGETS:
        for window_s in WINDOWS_S:
            for level in Level:
                for objective in ("answered", "in_time"):
                    yield (
                        _budgets(indicator.name, level, objective, length(window_s)),
                        {
                            "objective": objective,
                            "level": str(level.value),
                            WINDOW: length(window_s),
                        },
                    )
    elif not indicator.exported:
        yield indicator.promql, {}


def _budgets(metric: str, level: Level, objective: str, window: str) -> str:
    """Of each path of a level: what was not answered, or answered too late, of all."""
    alike: dict[tuple[float | None, float], list[str]] = {}
    for promise in PROMISES:
        if promise.path.level is level and promise.kind == objective:
            alike.setdefault((promise.limit_s, promise.allowed), []).append(promise.path.module)
    parts = []
    for (limit_s, allowed), modules in alike.items():
        paths = f'path=~"{"|".join(modules)}"'
        if limit_s is None:
            good = f"padel_operations_total{{{paths},{SERVED}}}"
            every = f"padel_operations_total{{{paths}}}"
        else:
            timed = "padel_operation_duration_seconds"
            good = f'{timed}_bucket{{{paths},le="{float(limit_s)!r}"}}'
            every = f"{timed}_count{{{paths}}}"
        parts.append(_spent(metric, good, every, window, allowed))
    return " or ".join(parts)


def _spent(metric: str, good: str, every: str, window: str, allowed: float) -> str:
    function = "rate" if metric == "padel_budget_burn_rate" else "increase"
    good, every = (
        f"sum by (path) (max without (instance, job) ({function}({series}[{window}])))"
        for series in (good, every)
    )
    if function == "increase":
        return f"({every} - {good})"
    return f"((1 - {good} / {every}) / {allowed:g})"
