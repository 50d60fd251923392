"""The registry of indicators: all that CRITICAL_PATHS.md asks for is there, each told once."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest

from padelops.booking.operations import BOUNDS_S, Tally
from padelops.errors import DatabaseUnavailable, InvalidInput, PartlyDone
from padelops.ops.exposition import exposition
from padelops.ops.facts import Facts
from padelops.ops.grafana import ROWS, STEPS, dashboard, looked_at
from padelops.ops.indicators import INDICATORS, Kind, Rhythm, Sample, Unit, indicator
from padelops.ops.metrics import Reading, Readings, chosen, named, read
from padelops.store.indicators import STATEMENTS

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)

ASKED_FOR = {
    "active_reservations": Rhythm.PRIMARY,
    "payment_success_rate": Rhythm.PRIMARY,
    "double_booking_incidents": Rhythm.PRIMARY,
    "response_time": Rhythm.PRIMARY,
    "circuit_breaker_state": Rhythm.SECONDARY,
    "cache_hit_rate": Rhythm.SECONDARY,
    "error_rate": Rhythm.SECONDARY,
    "user_satisfaction": Rhythm.SECONDARY,
    "survey_score": Rhythm.SECONDARY,
}
"""Source: CRITICAL_PATHS.md, "Real-time Dashboards"."""

IN_CONDITIONS = ("booking_conflicts", "payment_success_rate", "avg_response_time", "cache_hit_rate")
"""Source: CRITICAL_PATHS.md, "Alerting Rules"."""

SUFFIXES = {Unit.SECONDS: "_seconds", Unit.BYTES: "_bytes", Unit.RATIO: "_ratio"}


def test_what_the_dashboards_ask_for_is_there() -> None:
    """
    Each metric of CRITICAL_PATHS.md, in its rhythm; and each alert's condition names one.
    """
    assert {name: named(name).rhythm for name in ASKED_FOR} == ASKED_FOR
    assert all(named(name) for name in IN_CONDITIONS)
    with pytest.raises(InvalidInput, match="no indicator 'conflict_count'"):
        named("conflict_count")


@pytest.mark.parametrize("one", INDICATORS.values(), ids=lambda one: one.name)
def test_each_is_told_whole_and_named_as_prometheus_wants_it(one: object) -> None:
    """
    Prefix, base unit and type in the name; where it comes from exists; help is a sentence.
    """
    found = INDICATORS[one.name]  # type: ignore[attr-defined]
    source, _, statement = found.source.partition(":")

    assert re.fullmatch(r"padel_[a-z0-9_]+", found.name)
    assert (found.kind is Kind.COUNTER) == found.name.endswith("_total")
    assert found.name.endswith(SUFFIXES.get(found.unit, ""))
    assert found.help.endswith(".")
    assert found.title
    assert found.exported or "padel_operation" in found.promql or "padel_cache" in found.promql
    assert source in {"operations", "counters", "process", "sql"}
    assert bool(statement) == (source == "sql")


def test_every_statement_belongs_to_an_indicator() -> None:
    """
    What is asked of the tables is shown to somebody.
    """
    assert set() == STATEMENTS - {one.source.removeprefix("sql:") for one in INDICATORS.values()}


def test_a_name_is_given_once() -> None:
    """
    Two indicators of one name, or of one's alias, are refused when they are defined.
    """
    for name in ("padel_up", "booking_conflicts"):
        with pytest.raises(ValueError, match="two indicators"):
            indicator(name, "", help=".", rhythm=Rhythm.PRIMARY, source="process")(lambda _: [])


def nowhere() -> Facts:
    def refuse() -> None:
        raise DatabaseUnavailable("Nobody answers.")

    return Facts(refuse, now=NOW, deadline=time.monotonic() + 60)  # type: ignore[arg-type]


def test_without_a_database_everything_is_unknown_and_nothing_is_zero() -> None:
    """
    But that it is down: that is known, and Prometheus is told.
    """
    readings = read(nowhere(), chosen())
    text = exposition(readings)

    assert 0 == readings.value("padel_up")
    assert {"padel_up", "padel_build_info"} == {
        reading.indicator.name for reading in readings.readings if reading.known
    }
    assert "Nobody answers." == readings.of("booking_conflicts").problem
    assert "padel_up 0\n" in text
    assert 'padel_indicator_up{indicator="padel_double_bookings"} 0\n' in text
    assert "\npadel_double_bookings" not in text
    with pytest.raises(DatabaseUnavailable):
        readings.require_all()


def test_a_question_that_fails_takes_no_other_with_it() -> None:
    """
    What could not be read is named; the rest stands.
    """
    good = Reading(named("padel_workers"), (Sample(2),))
    bad = Reading(named("padel_standbys"), (), "It took too long.")
    readings = Readings(NOW, (good, bad), 0.1)

    assert (2, None) == (readings.value("padel_workers"), readings.value("padel_standbys"))
    with pytest.raises(PartlyDone, match="1 indicators could not be read; padel_standbys"):
        readings.require_all()
    with pytest.raises(LookupError):
        readings.value("padel_up")


def test_labels_are_escaped_and_histograms_add_up() -> None:
    """
    Whatever a code holds, a line stays a line; buckets are cumulative and end with all.
    """
    spread = Tally()
    for seconds in (0.0005, 0.3, 0.4, 100.0):
        spread.add(seconds)
    odd = {"path": 'a"b\\c\nd', "outcome": "failed", "code": "x"}
    text = exposition(
        Readings(
            NOW,
            (
                Reading(named("padel_operation_refusals_total"), (Sample(3, odd),)),
                Reading(
                    named("padel_operation_duration_seconds"),
                    (Sample(4, {"path": "search"}, spread),),
                ),
            ),
            0.1,
        )
    )
    buckets = re.findall(r'_bucket\{path="search",le="([^"]+)"\} (\d+)', text)

    assert r'{path="a\"b\\c\nd",outcome="failed",code="x"} 3' in text
    assert [*map(repr, BOUNDS_S), "+Inf"] == [le for le, _ in buckets]
    assert ("1", "3", "4") == (buckets[0][1], buckets[8][1], buckets[-1][1])
    assert 'padel_operation_duration_seconds_count{path="search"} 4\n' in text
    assert f'padel_operation_duration_seconds_sum{{path="search"}} {spread.seconds!r}\n' in text


def test_every_panel_shows_an_indicator_and_every_indicator_has_a_panel() -> None:
    """
    The dashboard is the registry: expressions, units and rhythms are not written twice.
    """
    board = dashboard()
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    shown = [one for one in INDICATORS.values() if looked_at(one)]

    assert sorted(one.promql for one in shown) == sorted(
        target["expr"] for panel in panels for target in panel["targets"]
    )
    assert len(board["panels"]) == len({panel["id"] for panel in board["panels"]})
    assert "30s" == board["refresh"]


def test_the_rows_of_the_dashboard_keep_their_rhythms() -> None:
    """
    Primary above, a point in 30 seconds; secondary below, one in five minutes. Nothing overlaps.
    """
    row, seen = "", set()
    by_title = {one.title + one.help: one for one in INDICATORS.values()}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & seen
        assert place["x"] + place["w"] <= 24
        seen |= cells
        if panel["type"] == "row":
            row = panel["title"]
            continue
        one = by_title[panel["title"] + panel["description"]]
        assert (ROWS[one.rhythm], STEPS[one.rhythm]) == (row, panel["interval"])
