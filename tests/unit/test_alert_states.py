"""An alert's life, minute by minute: when it fires, when it is over, what unknown does to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from padelops.ops.alert_judging import Answer
from padelops.ops.alert_states import State, Step, step

BEGIN = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Timing:
    """Holds for two minutes before it fires, goes on for two."""

    hold: timedelta = 2 * MINUTE
    keep: timedelta = 2 * MINUTE
    quiet_without_data: bool = False


WORDS = {"1": True, "0": False, "?": None}


def lived(course: str, timing: Timing | None = None) -> list[str]:
    """Its state after each minute: p, f, u, r, or `-` where there is no alert."""
    moved, told = Step({}), []
    for minute, sign in enumerate(course):
        answers = {} if sign == "." else {(): Answer(WORDS[sign])}
        moved = step(timing or Timing(), moved.standings, answers, now=BEGIN + minute * MINUTE)
        told.append(next((one.state.value[0] for one in moved.standings.values()), "-"))
    return told


@pytest.mark.parametrize(
    ("course", "states"),
    [
        ("0111", "-ppf"),  # it fires once the condition has held for two minutes
        ("1101", "pp-p"),  # and begins anew when it did not hold
        ("1110111", "ppfffff"),  # one that flaps is one
        ("1110000", "ppfffrr"),  # it is over when it has been quiet for two minutes
        ("111....", "ppfffrr"),  # what is not spoken of any more is quiet
        ("111???????", "ppffffffff"),  # nobody knows: it goes on firing
        ("1??1", "pppf"),  # nobody knows: it waits, and has been true all the time
        ("0???0", "-uuu-"),  # unknown is not quiet
        ("?1", "up"),
        ("1110000111", "ppfffrrppf"),  # and again, after it was over
        ("111000???", "ppfffruuu"),
    ],
)
def test_an_alert_lives_as_in_prometheus(course: str, states: str) -> None:
    """
    Each sign is a minute: the condition holds, does not, cannot be known, or says nothing.
    """
    assert list(states) == lived(course)


def test_without_waiting_it_fires_at_once() -> None:
    """
    A double booking is paged in the look that finds it.
    """
    at_once = Timing(hold=timedelta(0), keep=timedelta(0))

    assert list("-frrf") == lived("01001", at_once)


def test_what_has_nothing_to_judge_may_be_quiet() -> None:
    """
    No payments in the night is no failure rate; but a metric that cannot be read is unknown.
    """
    timing = Timing(quiet_without_data=True)
    blind = step(timing, {}, {(): Answer(None, None, "Nobody answers.")}, now=BEGIN)

    assert list("--p") == lived("?01", timing)
    assert [State.UNKNOWN] == [one.state for one in blind.standings.values()]


def test_a_metric_that_cannot_be_read_ends_no_alert() -> None:
    """
    The database is slow for a minute: what fired about one path goes on firing.
    """
    timing = Timing(hold=timedelta(0), keep=timedelta(0))
    search = (("path", "search"),)
    before = step(timing, {}, {search: Answer(True, 2.0)}, now=BEGIN).standings
    blind = step(timing, before, {(): Answer(None, None, "Too slow.")}, now=BEGIN + MINUTE)
    after = step(timing, blind.standings, {search: Answer(True, 3.0)}, now=BEGIN + 2 * MINUTE)

    assert ["firing", "unknown"] == [one.state.value for one in blind.standings.values()]
    assert ((), ()) == (blind.fired, blind.resolved)
    assert [("firing", 3.0, BEGIN)] == [
        (one.state.value, one.value, one.fired_at) for one in after.standings.values()
    ]


def test_a_clock_that_was_put_back_keeps_nothing_waiting() -> None:
    """
    An hour back: neither does an alert fire early, nor does it wait for that hour.
    """
    pending = step(Timing(), {}, {(): Answer(True)}, now=BEGIN).standings
    back = BEGIN - timedelta(hours=1)
    again = step(Timing(), pending, {(): Answer(True)}, now=back).standings
    fires = step(Timing(), again, {(): Answer(True)}, now=back + 2 * MINUTE)

    assert [State.PENDING] == [one.state for one in again.values()]
    assert 1 == len(fires.fired)
