"""The failover matrix believes nobody: each way to be told an untruth is found in the tables."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "load_tests" / "failover_crowd.py"


@pytest.fixture(scope="module")
def crowd_module() -> Any:
    """The players of `make failover-matrix`, which is no package."""
    spec = importlib.util.spec_from_file_location("failover_crowd", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["failover_crowd"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def crowd(crowd_module: Any) -> Any:
    """Nobody plays: the test says what was told."""
    return crowd_module.Crowd(None, {})


def story(module: Any, key: str, ended: str, *, reservation: int | None = None) -> Any:
    return module.Story(key, "matrix/1", "10:00", reservation=reservation, ended=ended)


def row(key: str, number: int, start: str = "10:00", status: str = "confirmed") -> Any:
    return (key, number, "1", start, status)


def test_what_was_told_truly_is_clean(crowd: Any, crowd_module: Any) -> None:
    """
    Booked and there, refused and not there, given up and not there.
    """
    crowd.stories = [
        story(crowd_module, "m-1", "acknowledged", reservation=1),
        story(crowd_module, "m-2", "refused"),
        story(crowd_module, "m-3", "gave_up"),
    ]
    crowd.commands = [(story(crowd_module, "t-1", "open"), 0)]
    found = crowd.judged([row("m-1", 1), row("t-1", 2, "11:00")])

    assert found.clean
    assert Counter({0: 1}) == found.exits


@pytest.mark.parametrize(
    ("ended", "rows", "where"),
    [
        ("acknowledged", [], "lost"),
        ("acknowledged", [row("m-1", 2)], "lost"),
        ("acknowledged", [row("m-1", 1, status="cancelled")], "lost"),
        ("gave_up", [row("m-1", 1)], "lies"),
        ("refused", [row("m-1", 1)], "lies"),
        ("acknowledged", [row("m-1", 1), row("m-9", 2, "11:00")], "invented"),
        ("broken", [], "broken"),
    ],
)
def test_each_untruth_is_found(
    crowd: Any, crowd_module: Any, ended: str, rows: list[Any], where: str
) -> None:
    """
    Lost, there although "nothing was changed", there although nobody asked, or no answer at all.
    """
    crowd.stories = [
        story(crowd_module, "m-0", "acknowledged", reservation=5),
        story(crowd_module, "m-1", ended, reservation=1),
    ]
    found = crowd.judged([row("m-0", 5, "09:00"), *rows])

    assert 1 == len(getattr(found, where))
    assert not found.clean


def test_a_court_sold_twice_is_found(crowd: Any, crowd_module: Any) -> None:
    """
    Two confirmed reservations of one court at one time, both acknowledged.
    """
    crowd.stories = [
        story(crowd_module, "m-1", "acknowledged", reservation=1),
        story(crowd_module, "m-2", "acknowledged", reservation=2),
    ]
    found = crowd.judged([row("m-1", 1), row("m-2", 2)])

    assert ["1 10:00"] == found.doubles
    assert not found.clean


@pytest.mark.parametrize(("code", "there"), [(0, False), (1, True), (8, True), (2, False)])
def test_an_exit_status_that_is_not_true_is_found(
    crowd: Any, crowd_module: Any, code: int, there: bool
) -> None:
    """
    0 and not there, 1 or 8 and there, and statuses that no booking of the matrix may end with.
    """
    crowd.stories = [story(crowd_module, "m-0", "acknowledged", reservation=5)]
    crowd.commands = [(story(crowd_module, "t-1", "open"), code)]
    rows = [row("m-0", 5, "09:00")] + ([row("t-1", 1)] if there else [])

    assert not crowd.judged(rows).clean


def test_an_unknown_outcome_that_was_never_settled_is_not_clean(
    crowd: Any, crowd_module: Any
) -> None:
    """
    Unknown is never shown as success.
    """
    crowd.stories = [
        story(crowd_module, "m-0", "acknowledged", reservation=5),
        story(crowd_module, "m-1", "unsettled"),
    ]

    assert not crowd.judged([row("m-0", 5)]).clean
