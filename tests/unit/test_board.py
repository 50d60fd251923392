"""
The dashboard in lines: what is trouble is marked, what is unknown is no number, nothing is cut off.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from padelops.booking.critical_paths import CRITICAL_PATHS
from padelops.cli.board_view import Moment, lines
from padelops.errors import DatabaseUnavailable
from padelops.ops.board import GROUPS, LIMITS, Board
from padelops.ops.indicators import Rhythm, Sample
from padelops.ops.metrics import INDICATORS, Reading, Readings
from padelops.ops.verdict import Verdict

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
HUGE = 123_456_789.0


def board(*, away: bool = False, **values: float | None) -> Board:
    """A board whose indicators all say 0, but those named; `None` is unknown."""

    def readings(rhythm: Rhythm) -> Readings:
        found = []
        for one in INDICATORS.values():
            if one.rhythm is rhythm:
                value = values.get(one.name.removeprefix("padel_"), WELL.get(one.name, 0.0))
                found.append(Reading(one, tuple(Sample(value, x) for x in labels(one.labels))))
        down = DatabaseUnavailable("The database did not answer: gone.") if away else None
        return Readings(NOON, tuple(found), 0.1, down)

    return Board(readings(Rhythm.PRIMARY), readings(Rhythm.SECONDARY))


WELL = {
    "padel_payment_success_ratio": 1.0,
    "padel_cache_hit_ratio": 0.9,
    "padel_workers": 1.0,
    "padel_overlap_guard": 1.0,
}


def labels(names: tuple[str, ...]) -> list[dict[str, str]]:
    known = {
        "path": [path.module for path in CRITICAL_PATHS],
        "status": ["confirmed", "pending"],
        "reason": ["queued", "review", "overdue"],
        "breaker": ["payment_processing", "notification"],
    }
    if len(names) == 1 and names[0] in known:
        return [{names[0]: value} for value in known[names[0]]]
    return [{}]


def text(found: Board, *, width: int = 80, height: int | None = None, live: bool = False) -> str:
    moment = Moment(NOON + timedelta(seconds=5), live=live)
    return "\n".join(line.text for line in lines(found, moment, width=width, height=height))


def test_every_fact_is_an_indicator_of_the_registry() -> None:
    """
    A name that nobody reads would stand there as unknown for ever.
    """
    named = {fact.indicator for facts in GROUPS.values() for fact in facts}

    assert set() == named - set(INDICATORS)
    assert {path.module for path in CRITICAL_PATHS} == {path.module for path in LIMITS}


def test_when_all_is_well_nothing_is_marked() -> None:
    """
    A quiet board says so.
    """
    shown = text(board())

    assert Verdict.OK == board().verdict
    assert "Nothing to look at." in shown
    assert [] == [line for line in shown.splitlines() if line[:1] in "!X"]


@pytest.mark.parametrize(
    ("name", "value", "mark", "what"),
    [
        ("double_bookings", 1, "X", "bookings double"),
        ("payment_success_ratio", 0.98, "X", "payments success"),
        ("payments_in_doubt", 1, "!", "payments in doubt"),
        ("breaker_state", 3, "!", "breakers"),
        ("cache_hit_ratio", 0.79, "!", "cache hit"),
        ("outbox_age_seconds", 901, "!", "queue oldest"),
        ("workers", 0, "!", "queue workers"),
        ("commits_waiting", 1, "!", "replicas commits waiting"),
        ("overlap_guard", 0, "X", "database guard"),
        ("audit_seal_age_seconds", 90_000, "!", "trail sealed"),
    ],
)
def test_trouble_is_marked_and_named(name: str, value: float, mark: str, what: str) -> None:
    """
    At the top by name, in its line by a mark, also without colour.
    """
    shown = text(board(**{name: value})).splitlines()

    assert f"{mark} 1 to look at: {what}" == shown[1]
    assert 1 == sum(line.startswith(f"{mark} {what.split(maxsplit=1)[0]}") for line in shown)


def test_a_path_beyond_its_limit_is_marked() -> None:
    """
    Level 1 has 500 ms: 600 at the 95th percent is a warning, at the median it is critical.
    """
    slow = board(response_p95_seconds=0.6)
    worse = board(response_p50_seconds=0.6)
    failing = board(error_ratio=0.2)

    assert "! double_booking" in text(slow)
    assert "  payments            1       0        -   600 ms" not in text(slow)
    assert "X double_booking" in text(worse)
    assert "X search" in text(failing)


def test_what_nobody_knows_is_no_number() -> None:
    """
    Unknown is a dash, neither 0 nor trouble.
    """
    found = board(payment_success_ratio=None, cache_hit_ratio=None, double_bookings=None)

    assert Verdict.OK == found.verdict
    assert "success -" in text(found)
    assert "double -" in text(found)
    assert "hit -" in text(found)


def test_a_database_that_is_away_is_said_at_the_top() -> None:
    """
    Before every number, in one line.
    """
    found = board(away=True)

    assert Verdict.CRITICAL == found.verdict
    assert text(found).splitlines()[1].startswith("X DATABASE AWAY. The database did not answer")
    assert "X DATABASE AWAY, trying again. The data" in text(found, live=True)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (40, 10), (20, 5)])
@pytest.mark.parametrize("value", [0.0, HUGE])
def test_every_line_fits(width: int, height: int, value: float) -> None:
    """
    Also with numbers that no club reaches: what does not fit is left out as a whole.
    """
    names = [name.removeprefix("padel_") for name in INDICATORS]
    found = board(**dict.fromkeys(names, value))
    shown = text(found, width=width, height=height, live=True).splitlines()

    assert len(shown) <= height
    assert [] == [line for line in shown if len(line) > width]


def test_at_60_columns_the_limits_still_stand_beside_the_times() -> None:
    """
    What is left out there is what is nice to have.
    """
    shown = text(board(response_p95_seconds=0.25), width=60, height=20, live=True)

    assert "path               per s      p95    limit  errors" in shown
    assert "250 ms   500 ms" in shown
    assert 9 == sum(f" {path.module} " in shown for path in CRITICAL_PATHS)
