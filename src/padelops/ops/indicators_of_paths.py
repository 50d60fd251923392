"""Indicators of the nine critical paths: how many operations, how they ended, how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.booking.critical_paths import CRITICAL_PATHS, OBJECTIVES
from padelops.booking.operations import Outcome, Tally
from padelops.model import Level
from padelops.ops.indicators import Kind, Rhythm, Sample, Unit, indicator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.ops.facts import Facts

SOON_S = 300
"""The window of what is looked at every 30 seconds: long enough to hold some traffic."""

CACHE_S = 900
HOUR_S = 3600

PATHS = tuple(path.module for path in CRITICAL_PATHS)

SATISFIED_S = OBJECTIVES[Level.ABSOLUTE].response_s
"""Apdex: satisfied within the level's response time, tolerating up to four times that."""

TOLERATING_S = 4 * SATISFIED_S

COURT_TAKEN = 'padel_operation_refusals_total{path="double_booking",code="court_taken"}'
CACHE_HITS = 'padel_cache_requests_total{result="hit"}'

SERVED = 'outcome=~"ok|refused"'


def rate(metric: str, window: str = "5m") -> str:
    """PromQL: how fast a counter of the database grows, however many doors are scraped for it."""
    return f"max without (instance, job) (rate({metric}[{window}]))"


def operations(path: str = "", *, served: bool = False, window: str = "5m") -> str:
    """PromQL: operations per second of one path or by path, all of them or those answered."""
    matchers = [f'path="{path}"'] * bool(path) + [SERVED] * served
    chosen = f"{{{','.join(matchers)}}}" if matchers else ""
    by = "" if path else " by (path)"
    return f"sum{by} ({rate(f'padel_operations_total{chosen}', window)})"


def share(good: int, bad: int) -> float | None:
    """None where there was nothing that could be judged."""
    return good / (good + bad) if good + bad else None


def by_path(facts: Facts, value: Callable[[Tally, Tally], float | None]) -> Iterator[Sample]:
    """A sample for each path, from its answered and its other operations of late."""
    found = facts.tallies(SOON_S)
    for path in PATHS:
        sides = found.get(path, {})
        yield Sample(value(sides.get(True, Tally()), sides.get(False, Tally())), {"path": path})


# --- primary ----------------------------------------------------------------------------------


@indicator(
    "padel_payment_success_ratio",
    "Payment success rate",
    help="Share of card payment steps that the gateway answered; a declined card is an answer.",
    unit=Unit.RATIO,
    rhythm=Rhythm.PRIMARY,
    source="operations",
    window_s=SOON_S,
    exported=False,
    promql=f"{operations('payments', served=True)} / {operations('payments')}",
    aliases=("payment_success_rate",),
    path="payments",
)
def payment_success_ratio(facts: Facts) -> Iterator[Sample]:
    sides = facts.tallies(SOON_S).get("payments", {})
    yield Sample(share(sides.get(True, Tally()).calls, sides.get(False, Tally()).calls))


@indicator(
    "padel_booking_conflict_ratio",
    "Bookings refused: court taken",
    help="Share of claims that lost their court to somebody else: refused, as it should be.",
    unit=Unit.RATIO,
    rhythm=Rhythm.PRIMARY,
    source="operations",
    window_s=SOON_S,
    exported=False,
    promql=f"sum ({rate(COURT_TAKEN)}) / {operations('double_booking')}",
    path="double_booking",
)
def booking_conflict_ratio(facts: Facts) -> Iterator[Sample]:
    claims = [ended for ended in facts.ended(SOON_S) if ended.path == "double_booking"]
    taken = sum(ended.calls for ended in claims if ended.code == "court_taken")
    yield Sample(share(taken, sum(ended.calls for ended in claims) - taken))


@indicator(
    "padel_operation_rate",
    "Operations per second",
    help="Operations that ended, per second.",
    unit=Unit.PER_SECOND,
    rhythm=Rhythm.PRIMARY,
    source="operations",
    window_s=SOON_S,
    exported=False,
    promql=operations(),
    labels=("path",),
)
def operation_rate(facts: Facts) -> Iterator[Sample]:
    # A window is whole minutes and the one under way.
    seconds = SOON_S + facts.now.second
    return by_path(facts, lambda good, bad: (good.calls + bad.calls) / seconds)


def _quantile(percent: int) -> None:
    @indicator(
        f"padel_response_p{percent}_seconds",
        f"Response time, {percent}th percentile",
        help=f"Time within which {percent}% of the answered operations ended.",
        unit=Unit.SECONDS,
        rhythm=Rhythm.PRIMARY,
        source="operations",
        window_s=SOON_S,
        exported=False,
        promql=(
            f"histogram_quantile({percent / 100:g}, sum by (path, le)"
            f" ({rate('padel_operation_duration_seconds_bucket')}))"
        ),
        labels=("path",),
    )
    def response(facts: Facts) -> Iterator[Sample]:
        return by_path(facts, lambda good, _: good.quantile_s(percent / 100))


for each in (50, 95, 99):
    _quantile(each)


@indicator(
    "padel_response_avg_seconds",
    "Response time, average",
    help="Average time of the answered operations.",
    unit=Unit.SECONDS,
    rhythm=Rhythm.PRIMARY,
    source="operations",
    window_s=SOON_S,
    exported=False,
    promql=(
        f"sum by (path) ({rate('padel_operation_duration_seconds_sum')})"
        f" / sum by (path) ({rate('padel_operation_duration_seconds_count')})"
    ),
    labels=("path",),
    aliases=("avg_response_time", "response_time"),
)
def response_average(facts: Facts) -> Iterator[Sample]:
    return by_path(facts, lambda good, _: good.average_s)


# --- secondary --------------------------------------------------------------------------------


@indicator(
    "padel_error_ratio",
    "Error rate",
    help="Share of operations that were not answered, or by a stopgap only.",
    unit=Unit.RATIO,
    rhythm=Rhythm.SECONDARY,
    source="operations",
    window_s=SOON_S,
    exported=False,
    promql=f"1 - {operations(served=True)} / {operations()}",
    labels=("path",),
    aliases=("error_rate",),
)
def error_ratio(facts: Facts) -> Iterator[Sample]:
    return by_path(facts, lambda good, bad: share(bad.calls, good.calls))


@indicator(
    "padel_cache_hit_ratio",
    "Cache hit rate",
    help="Share of availability answers that came from the cache.",
    unit=Unit.RATIO,
    rhythm=Rhythm.SECONDARY,
    source="counters",
    window_s=CACHE_S,
    exported=False,
    promql=(f"sum ({rate(CACHE_HITS, '15m')}) / sum ({rate('padel_cache_requests_total', '15m')})"),
    aliases=("cache_hit_rate",),
    path="availability",
)
def cache_hit_ratio(facts: Facts) -> Iterator[Sample]:
    found = facts.counted(CACHE_S)
    missed = found.get("cache.miss", 0) + found.get("cache.error", 0)
    yield Sample(share(found.get("cache.hit", 0), missed))


def _within(limit_s: float) -> str:
    bucket = f'padel_operation_duration_seconds_bucket{{path="creation",le="{limit_s!r}"}}'
    return f"sum ({rate(bucket, '1h')})"


@indicator(
    "padel_apdex_ratio",
    "User satisfaction (Apdex)",
    help="Apdex of the bookings: satisfied within 0.5 s, half counted up to 2 s, else frustrated.",
    unit=Unit.RATIO,
    rhythm=Rhythm.SECONDARY,
    source="operations",
    window_s=HOUR_S,
    exported=False,
    promql=(
        f"({_within(SATISFIED_S)} + {_within(TOLERATING_S)}) / 2"
        f" / {operations('creation', window='1h')}"
    ),
    aliases=("user_satisfaction", "apdex"),
    path="creation",
)
def apdex(facts: Facts) -> Iterator[Sample]:
    sides = facts.tallies(HOUR_S).get("creation", {})
    good, bad = sides.get(True, Tally()), sides.get(False, Tally())
    asked = good.calls + bad.calls
    pleased = good.within(SATISFIED_S) + good.within(TOLERATING_S)
    yield Sample(pleased / 2 / asked if asked else None)


# --- what Prometheus computes the above from --------------------------------------------------


@indicator(
    "padel_operations_total",
    "Operations",
    help="Operations that ended, by critical path and outcome.",
    kind=Kind.COUNTER,
    rhythm=Rhythm.PRIMARY,
    source="operations",
    labels=("path", "outcome"),
)
def operations_total(facts: Facts) -> Iterator[Sample]:
    # Also those that never happened: a counter that appears with 1 has not grown for Prometheus.
    found = dict.fromkeys(((path, str(outcome)) for path in PATHS for outcome in Outcome), 0)
    for ended in facts.operation_totals():
        key = ended.path, ended.outcome
        found[key] = found.get(key, 0) + ended.calls
    for (path, outcome), calls in found.items():
        yield Sample(calls, {"path": path, "outcome": outcome})


@indicator(
    "padel_operation_refusals_total",
    "Operations that did not go well, by code",
    help="Operations that ended otherwise than well, by critical path, outcome and code.",
    kind=Kind.COUNTER,
    rhythm=Rhythm.PRIMARY,
    source="operations",
    labels=("path", "outcome", "code"),
)
def operation_refusals_total(facts: Facts) -> Iterator[Sample]:
    for ended in facts.operation_totals():
        if ended.code:
            labels = {"path": ended.path, "outcome": ended.outcome, "code": ended.code}
            yield Sample(ended.calls, labels)


@indicator(
    "padel_operation_duration_seconds",
    "Response times",
    help="Time that answered operations took, by critical path.",
    kind=Kind.HISTOGRAM,
    unit=Unit.SECONDS,
    rhythm=Rhythm.PRIMARY,
    source="operations",
    labels=("path",),
    promql=f"sum by (path, le) ({rate('padel_operation_duration_seconds_bucket')})",
)
def operation_duration(facts: Facts) -> Iterator[Sample]:
    found = {path: Tally() for path in PATHS}
    for ended in facts.operation_totals():
        if Outcome(ended.outcome).good:
            tally = found.setdefault(ended.path, Tally())
            tally.merge(Tally(ended.seconds, ended.buckets))
    for path, tally in found.items():
        yield Sample(tally.calls, {"path": path}, tally)


@indicator(
    "padel_cache_requests_total",
    "Cache requests",
    help="Questions to the cache, by result.",
    kind=Kind.COUNTER,
    rhythm=Rhythm.SECONDARY,
    source="counters",
    labels=("result",),
    path="availability",
)
def cache_requests_total(facts: Facts) -> Iterator[Sample]:
    found = facts.counter_totals()
    for result in ("hit", "miss", "error"):
        yield Sample(found.get(f"cache.{result}", 0), {"result": result})
