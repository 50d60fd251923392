"""What an operation counts as, and what a histogram of times can tell."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from padelops.booking.critical_paths import CRITICAL_PATHS, OBJECTIVES
from padelops.booking.double_booking import Replayed, TermsChanged
from padelops.booking.gateway import Declined, GatewayRefused
from padelops.booking.operations import BOUNDS_S, Outcome, Tally, Timed, ending
from padelops.errors import (
    BreakerOpen,
    Corrupt,
    CourtBusy,
    CourtTaken,
    Interrupted,
    NotPermitted,
    OutcomeUnknown,
    PartlyDone,
)


@pytest.mark.parametrize(
    ("raised", "counted"),
    [
        (None, (Outcome.OK, "")),
        (CourtTaken(), (Outcome.REFUSED, "court_taken")),
        (Declined(), (Outcome.REFUSED, "card_declined")),
        (CourtBusy(), (Outcome.UNAVAILABLE, "court_busy")),
        (BreakerOpen(), (Outcome.UNAVAILABLE, "breaker_open")),
        (PartlyDone(), (Outcome.UNAVAILABLE, "partly_done")),
        (OutcomeUnknown(), (Outcome.UNKNOWN, "outcome_unknown")),
        (Corrupt(), (Outcome.FAILED, "corrupt")),
        (GatewayRefused(), (Outcome.FAILED, "gateway_refused")),
        (NotPermitted(), (Outcome.FAILED, "not_permitted")),
        (ZeroDivisionError(), (Outcome.FAILED, "internal_error")),
        (Interrupted(), None),
        (KeyboardInterrupt(), None),
        (TermsChanged(), None),
        (Replayed(1), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_an_end_counts_as(
    raised: BaseException | None, counted: tuple[Outcome, str] | None
) -> None:
    """
    A rule's no is an answer; what nobody outside can help is not; what was broken off is nothing.
    """
    assert counted == ending(raised)


def test_only_answers_are_good() -> None:
    """
    A stopgap is not what was asked for.
    """
    assert {Outcome.OK, Outcome.REFUSED} == {outcome for outcome in Outcome if outcome.good}


def test_a_timed_body_tells_how_it_ended() -> None:
    """
    Once, with its time; errors go on to whoever waits for them.
    """
    told: list[tuple[tuple[str, str, str], float]] = []
    with Timed("pricing", lambda *what: told.append(what)) as timed:
        timed.degraded("fallback")
    with pytest.raises(CourtTaken), Timed("creation", lambda *what: told.append(what)):
        raise CourtTaken

    assert [("pricing", "degraded", "fallback"), ("creation", "refused", "court_taken")] == [
        ended for ended, _ in told
    ]
    assert all(0 <= seconds < 60 for _, seconds in told)


def test_every_limit_is_counted_exactly() -> None:
    """
    The share within a limit is counted, not estimated: each limit bounds a bucket.
    """
    limits = {path.limit_s for path in CRITICAL_PATHS if path.limit_s is not None}
    limits |= {objective.response_s for objective in OBJECTIVES.values()}

    assert set() == limits - set(BOUNDS_S)


def test_a_time_on_a_bound_is_within_it() -> None:
    """
    500 ms is within 500 ms.
    """
    tally = Tally()
    for seconds in (0.5, 0.500001, 0.1):
        tally.add(seconds)

    assert (2, 1) == (tally.within(0.5), tally.within(0.1))
    with pytest.raises(ValueError, match="not in"):
        tally.within(0.3)


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(share: float) -> None:
    """
    What is read off a histogram is as exact as its buckets: never a bucket beside.
    """
    draw = random.Random(4711)
    times = sorted(draw.lognormvariate(-4, 1.5) for _ in range(5000))
    tally = Tally()
    for seconds in times:
        tally.add(seconds)
    exact = times[int(share * len(times)) - 1]
    lower, upper = next(
        (low, high) for low, high in pairwise((0.0, *BOUNDS_S)) if low < exact <= high
    )
    told = tally.quantile_s(share)

    assert told is not None
    assert lower <= told <= upper
    assert sum(times) / len(times) == pytest.approx(tally.average_s)


def test_nothing_has_no_quantile() -> None:
    """
    No operation is not one that took no time.
    """
    assert (None, None) == (Tally().quantile_s(0.95), Tally().average_s)


def test_beyond_the_last_bound_the_bound_is_told() -> None:
    """
    Longer than a minute is all that is known.
    """
    tally = Tally()
    tally.add(3600)

    assert BOUNDS_S[-1] == tally.quantile_s(0.5)


def test_tallies_add_up() -> None:
    """
    Two processes' times together are as if one had taken them all.
    """
    one, other, both = Tally(), Tally(), Tally()
    for place, seconds in enumerate((0.002, 0.3, 7.0, 90.0, 0.04)):
        (one if place % 2 else other).add(seconds)
        both.add(seconds)
    one.merge(other)

    assert (both.calls, both.buckets) == (one.calls, one.buckets)
    assert both.seconds == pytest.approx(one.seconds)
