"""
Error budgets: what is kept, what burns, what runs out, and what too little traffic cannot say.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from padelops.booking.critical_paths import CRITICAL_PATHS
from padelops.booking.operations import BOUNDS_S
from padelops.ops.slo import (
    PAIRS,
    PERIOD_S,
    PROMISES,
    WINDOWS_S,
    Objectives,
    Promise,
    Standing,
    Window,
)
from padelops.ops.verdict import Verdict

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
CREATION = next(p for p in PROMISES if p.path.module == "creation" and p.kind == "answered")
SEARCH = next(p for p in PROMISES if p.path.module == "search" and p.kind == "answered")


def standing(
    whole: tuple[int, int], promise: Promise = CREATION, **windows: tuple[int, int]
) -> Standing:
    """A promise with what was called and bad: in 30 days, and in windows such as `h1`, `m5`."""
    seconds = {"m": 60, "h": 3600, "d": 86_400}
    found = {length: Window(0, 0) for length in WINDOWS_S} | {PERIOD_S: Window(*whole)}
    for name, counted in windows.items():
        found[int(name[1:]) * seconds[name[0]]] = Window(*counted)
    return Standing(promise, found, ())


def test_every_path_has_its_two_promises() -> None:
    """
    The levels' uptimes, and each path's own limit where it names one. Source: CRITICAL_PATHS.md.
    """
    answered = {p.path.module: p.goal for p in PROMISES if p.kind == "answered"}
    limits = {p.path.module: p.limit_s for p in PROMISES if p.kind == "in_time"}

    assert [path.module for path in CRITICAL_PATHS] == list(answered) == list(limits)
    assert (0.9999, 0.999, 0.995) == tuple(
        answered[name] for name in ("creation", "pricing", "search")
    )
    assert {
        "double_booking": 0.5, "payments": 30, "creation": 2, "availability": 0.5,
        "cancellation": 5, "pricing": 0.1, "notifications": 5, "search": 1, "audit": 5,
    } == limits  # fmt: skip


def test_every_limit_is_counted_and_not_estimated() -> None:
    """
    A limit between two buckets could only be guessed.
    """
    assert set() == {p.limit_s for p in PROMISES if p.limit_s} - set(BOUNDS_S)


def test_the_pairs_are_the_workbooks() -> None:
    """
    Rate times window is the part of 30 days' budget that is gone when it fires: 2, 5, 10, 10%.
    """
    assert [(3600, 300, 14.4), (21_600, 1800, 6), (86_400, 7200, 3), (259_200, 21_600, 1)] == [
        (pair.long_s, pair.short_s, pair.factor) for pair in PAIRS
    ]
    assert [2, 5, 10, 10] == [round(100 * p.factor * p.long_s / PERIOD_S) for p in PAIRS]


@pytest.mark.parametrize(
    ("whole", "state"),
    [
        ((0, 0), "no traffic"),
        ((19, 0), "too few"),
        ((20, 0), "kept"),
        ((50, 1), "too few"),  # 98%, and still one failure only
        ((9_999, 4), "too few"),
        ((10_000, 4), "spent"),
        ((100_000, 9), "kept"),
        ((100_000, 10), "spent"),
        ((1_000, 5), "spent"),
    ],
)
def test_a_budget_is_judged_where_there_is_something_to_judge(
    whole: tuple[int, int], state: str
) -> None:
    """
    99.99% of ten thousand allows one failure; of fifty it allows none, and one says nothing.
    """
    assert state == standing(whole).state


@pytest.mark.parametrize(
    ("windows", "state"),
    [
        # 14.4 times 0.01% is 0.144%: 144 of 100,000.
        ({"h1": (100_000, 145), "m5": (10_000, 15)}, "page"),
        ({"h1": (100_000, 144), "m5": (10_000, 15)}, "kept"),
        ({"h1": (100_000, 145), "m5": (10_000, 14)}, "kept"),
        ({"h1": (100_000, 145), "m5": (10_000, 0)}, "kept"),  # over already
        ({"h1": (10, 4), "m5": (10, 4)}, "kept"),  # too few to wake somebody
        ({"h1": (5, 5), "m5": (1, 1)}, "page"),  # nothing works any more
        ({"h6": (100_000, 61), "m30": (10_000, 7)}, "page"),
        ({"d1": (100_000, 31), "h2": (10_000, 4)}, "ticket"),
        ({"d3": (100_000, 11), "h6": (10_000, 2)}, "ticket"),
        ({"d3": (100_000, 10), "h6": (10_000, 2)}, "kept"),
    ],
)
def test_both_windows_must_burn(windows: dict[str, tuple[int, int]], state: str) -> None:
    """
    The long one says that it matters, the short one that it still goes on.
    """
    assert state == standing((10_000_000, 100), **windows).state


def test_what_is_left_and_when_it_runs_out() -> None:
    """
    Half the budget is left; at ten times the rate it is gone in a day and a half.
    """
    found = standing((1_000_000, 50), h1=(100_000, 100), m5=(10_000, 10))

    assert pytest.approx(0.99995) == found.attained
    assert pytest.approx(0.5) == found.budget_left
    assert (3600, pytest.approx(10)) == found.fastest
    assert found.runs_out_in is not None
    assert 36 == round(found.runs_out_in / timedelta(hours=1))


@pytest.mark.parametrize(
    "found",
    [
        standing((1_000_000, 50), h1=(100_000, 10)),  # as fast as allowed
        standing((1_000_000, 500), h1=(100_000, 1000)),  # gone already
        standing((1_000_000, 50)),  # quiet
        standing((0, 0)),
    ],
)
def test_what_does_not_run_out(found: Standing) -> None:
    """
    No date is made up.
    """
    assert found.runs_out_in is None


def test_the_verdict_leaves_out_what_cannot_be_judged() -> None:
    """
    A path that nobody uses hides no fire and makes none; where nothing can be judged, unknown.
    """
    kept, few = standing((1_000, 0)), standing((3, 0), SEARCH)
    spent = standing((1_000, 9))
    burning = standing((1_000, 9), h1=(100, 9), m5=(10, 5))

    def verdict(*standings: Standing) -> Verdict:
        return Objectives(NOON, standings).verdict

    assert Verdict.OK == verdict(kept, few)
    assert Verdict.WARNING == verdict(kept, spent, few)
    assert Verdict.CRITICAL == verdict(kept, spent, burning)
    assert Verdict.UNKNOWN == verdict(few)
    assert Verdict.UNKNOWN == verdict()
