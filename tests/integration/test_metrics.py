"""What the indicators say about a real database, healthy, broken and away."""

from __future__ import annotations

import subprocess
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import SecretStr

from padelops.booking.counts import Counts, forget_old
from padelops.booking.operations import Outcome
from padelops.errors import CourtTaken, InvalidInput, NotFound
from padelops.ops.indicators import INDICATORS, Rhythm
from padelops.wiring import metrics as wired
from padelops.wiring.metrics import MetricsText, read_metrics
from testbed.clock import MORNING, Clock
from testbed.racing import race
from testbed.rows import EVENING, insert, insert_hold, one, reservation_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.settings import Settings
    from padelops.wiring import Desk

COURT = "centro/2"
AT_SIX = "2026-12-01T18:00"


def promtool(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], input=text, capture_output=True, text=True, check=False
    )


def scrape(text: str) -> dict[str, float]:
    """The samples of an exposition, by name and labels."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def test_every_indicator_can_be_read(desk: Desk) -> None:
    """
    Each statement is right, on an empty database too: nothing fails, what is not so is unknown.
    """
    readings = desk.metrics()

    assert [] == [(found.indicator.name, found.problem) for found in readings.unread]
    assert len(INDICATORS) == len(readings.readings)
    assert {"padel_payment_success_ratio", "padel_apdex_ratio", "padel_survey_score"} <= {
        found.indicator.name for found in readings.readings if not found.known
    }
    assert (1, 0, 1) == tuple(
        readings.value(name) for name in ("padel_up", "booking_conflicts", "padel_overlap_guard")
    )


def test_the_indicators_follow_what_a_desk_does(desk: Desk) -> None:
    """
    Bookings, refusals, payments and a survey, as whoever is on call reads them.
    """
    made = desk.book(COURT, AT_SIX, player="Ana Ruiz", pay="card", card="tok_visa")
    with pytest.raises(CourtTaken):
        desk.book(COURT, AT_SIX, player="Eva Gil")
    with pytest.raises(Exception, match="declined"):
        desk.book(COURT, "2026-12-01T20:00", player="E", pay="card", card="tok_chargeDeclined")
    desk.availability("centro")
    desk.availability("centro")
    desk.counts.took("payments", Outcome.UNAVAILABLE, "gateway_unavailable", 10.0)
    desk.counts.took("creation", Outcome.OK, "", 1.5)
    desk.survey(made.reservation.id, 2)
    desk.survey(made.reservation.id, 5)
    desk.flusher.flush()
    found = desk.metrics()

    assert 1 == found.value("active_reservations", status="confirmed")
    assert pytest.approx(2 / 3) == found.value("payment_success_rate")  # a decline is an answer
    assert pytest.approx(1 / 3) == found.value("padel_booking_conflict_ratio")
    assert pytest.approx(1 / 3) == found.value("error_rate", path="payments")
    assert 0.5 == found.value("cache_hit_rate")
    assert 0 < (found.value("user_satisfaction") or 0) < 1
    assert (5, 1) == (found.value("survey_score"), found.value("padel_survey_answers"))
    assert 0 < (found.value("response_time", path="availability") or 0) < 60
    assert found.value("response_time", path="cancellation") is None


def test_apdex_counts_the_impatient_and_the_unserved(desk: Desk) -> None:
    """
    Satisfied within 500 ms, half within 2 s; slower ones and those that got no answer are not.
    """
    for outcome, seconds in (
        (Outcome.OK, 0.5),
        (Outcome.REFUSED, 0.01),
        (Outcome.OK, 2.0),
        (Outcome.OK, 2.5),
        (Outcome.UNAVAILABLE, 0.01),
    ):
        desk.counts.took("creation", outcome, "", seconds)
    desk.flusher.flush()

    assert pytest.approx(2.5 / 5) == desk.metrics("apdex").value("apdex")


def test_a_double_booking_is_an_incident_until_it_is_over(
    desk: Desk, psql: Any, clock: Clock
) -> None:
    """
    Somebody dropped the guard and sold a court twice: both show, and a rest of it does not hide.
    """
    insert(psql, "claims", reservation_row(psql))
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
    insert(psql, "claims", reservation_row(psql, starts_at=EVENING + timedelta(minutes=30)))
    found = desk.metrics("booking_conflicts", "padel_overlap_guard")

    assert (1, 0) == tuple(found.value(one.indicator.name) for one in found.readings)
    clock.at = EVENING + timedelta(hours=5)
    assert 0 == desk.metrics("booking_conflicts").value("booking_conflicts")


def test_stale_holds_and_open_breakers_show(desk: Desk, psql: Any) -> None:
    """
    What the sweep should have ended, and what refuses calls.
    """
    insert_hold(psql, COURT, EVENING, MORNING - timedelta(minutes=10))
    desk.breakers["notification"].force_open(actor="tester", reason="a trial")
    found = desk.metrics("padel_stale_holds", "padel_breaker_state")
    states = found.of("padel_breaker_state")

    assert 1 == found.value("padel_stale_holds")
    assert 4 == found.value("padel_breaker_state", breaker="notification")
    assert {"forced_open", "closed"} == {states.word(sample) for sample in states.samples}


def test_maintenance_that_was_done_has_an_age(desk: Desk, psql: Any) -> None:
    """
    What never was done is unknown, and not done just now.
    """
    psql.execute(
        "INSERT INTO operator_runs"
        " (run_id, action, task, started_at, ended_at, outcome, actor, host, pid) VALUES"
        " (gen_random_uuid(), 'maintenance', 'daily/health_report', %s, %s, 'ok', 'cron', 'h', 1)",
        [MORNING - timedelta(hours=3), MORNING - timedelta(hours=2)],
    )
    found = desk.metrics("padel_maintenance_age_seconds")
    ages = {sample.labels["task"]: sample.value for sample in found.readings[0].samples}

    assert 3 * 3600 == ages.pop("daily/health_report")
    assert {None} == set(ages.values())


def test_a_survey_takes_scores_of_reservations_only(desk: Desk) -> None:
    """
    1 to 5, and about something that was booked.
    """
    for score in (0, 6):
        with pytest.raises(InvalidInput):
            desk.survey(1, score)
    with pytest.raises(NotFound):
        desk.survey(4711, 3)


def test_only_what_is_asked_for_is_read(desk: Desk) -> None:
    """
    A dashboard's fast rhythm does not pay for the slow one.
    """
    primary = desk.metrics(rhythm=Rhythm.PRIMARY)

    assert {Rhythm.PRIMARY} == {found.indicator.rhythm for found in primary.readings}
    assert ["padel_up"] == [found.indicator.name for found in desk.metrics("padel_up").readings]


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_to_say(desk: Desk) -> None:
    """
    Names, types, help and escaping are what Prometheus wants, with traffic and without.
    """
    desk.book(COURT, AT_SIX, player="Ana Ruiz")
    with pytest.raises(CourtTaken):
        desk.book(COURT, AT_SIX, player="Eva Gil")
    desk.flusher.flush()
    checked = promtool("check", "metrics", text=desk.metrics_text()())

    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)


@pytest.mark.needs("promtool")
def test_prometheus_computes_what_we_compute(desk: Desk, clock: Clock, tmp_path: Path) -> None:
    """
    The expressions are PromQL, and over two scrapes of us they come to the numbers that we tell.
    """
    before = scrape(MetricsText(desk.settings, clock=clock)())
    for outcome, code, seconds in (
        *[(Outcome.OK, "", 0.3)] * 6,
        (Outcome.REFUSED, "court_taken", 0.3),
        (Outcome.OK, "", 1.5),
        *[(Outcome.UNAVAILABLE, "database_unavailable", 0.5)] * 2,
    ):
        for path in ("creation", "payments", "double_booking"):
            desk.counts.took(path, outcome, code, seconds)
    desk.counts.add("cache.hit", 9)
    desk.counts.add("cache.miss")
    desk.flusher.flush()
    after = scrape(MetricsText(desk.settings, clock=clock)())
    ours = desk.metrics()
    names = {
        "payment_success_rate": {}, "padel_booking_conflict_ratio": {}, "cache_hit_rate": {},
        "error_rate": {"path": "payments"}, "avg_response_time": {"path": "creation"},
        "padel_response_p95_seconds": {"path": "creation"}, "user_satisfaction": {},
    }  # fmt: skip
    tests = []
    for name, labels in names.items():
        pairs = ",".join(f'{label}="{value}"' for label, value in labels.items())
        told = ours.value(name, **labels)
        expression = ours.of(name).indicator.promql
        if labels:
            only = f"label_replace(vector(1), 'path', '{labels['path']}', '', '')"
            expression = f"({expression}) and on(path) {only}"
        assert told is not None
        tests.append(
            {
                "expr": f"abs(({expression}) - {told!r}) < bool 1e-9",
                "eval_time": "5m",
                "exp_samples": [{"labels": f"{{{pairs}}}", "value": 1}],
            }
        )
    one_door = 'sum by (path) (rate(padel_operations_total{instance="a:1",path="creation"}[5m]))'
    rates = ours.of("padel_operation_rate").indicator.promql
    tests.append(
        {
            "expr": f"({rates}) == bool on(path) {one_door}",
            "eval_time": "5m",
            "exp_samples": [{"labels": '{path="creation"}', "value": 1}],
        }
    )
    file = tmp_path / "tests.yaml"
    # Two doors are scraped for one database: their copies count once.
    series = [
        {"series": _scraped(series, door), "values": f"{before.get(series, 0)} {value}x5"}
        for series, value in after.items()
        for door in ("a:1", "b:1")
    ]
    file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [],
                "evaluation_interval": "1m",
                "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}],
            }
        )
    )
    checked = promtool("test", "rules", str(file))

    assert 0 == checked.returncode, checked.stdout + checked.stderr


def _scraped(series: str, door: str) -> str:
    name, brace, labels = series.partition("{")
    return f'{name}{{instance="{door}",' + (labels if brace else "}")


@pytest.mark.needs("promtool")
def test_every_expression_is_promql(tmp_path: Path) -> None:
    """
    Alerts and dashboards get expressions that Prometheus can read.
    """
    rules = [{"record": f"test:{name}", "expr": found.promql} for name, found in INDICATORS.items()]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    checked = promtool("check", "rules", str(file))

    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_counters_never_go_back(desk: Desk, settings: Settings, clock: Clock) -> None:
    """
    Not when processes end and others begin, and not when old minutes are forgotten.
    """
    series = 'padel_operations_total{path="search",outcome="ok"}'
    seen = []
    for _ in range(3):
        process = Counts(clock)
        process.took("search", Outcome.OK, "", 0.1)
        process.flush(desk.database)
        seen.append(scrape(MetricsText(settings, clock=clock)())[series])
        clock.advance(days=40)
        while forget_old(desk.bulk, now=clock()):
            pass

    assert [1, 2, 3] == seen


def test_a_door_tells_its_own_counts_while_the_database_is_away(
    desk: Desk, outage: Callable[[], Any]
) -> None:
    """
    `padel_up 0`, what this process did, and no number that nobody knows.
    """
    desk.counts.took("creation", Outcome.UNAVAILABLE, "database_unavailable", 0.5)
    with outage():
        found = scrape(desk.metrics_text()())

    process = f'process="{desk.counts.process[:8]}"'
    own = f'padel_process_operations_total{{{process},path="creation",outcome="unavailable"}}'
    assert (0, 1) == (found["padel_up"], found[own])
    assert 0 == found['padel_indicator_up{indicator="padel_double_bookings"}']
    assert not any(series.startswith("padel_double_bookings") for series in found)


def test_a_question_that_waits_is_given_up_and_the_others_are_answered(
    desk: Desk, raw: Callable[[], Any]
) -> None:
    """
    Somebody holds a lock on one table: what needs it is unknown after a moment, the rest is told.
    """
    blocker = raw()
    blocker.execute("BEGIN; LOCK TABLE quarantine IN ACCESS EXCLUSIVE MODE")
    try:
        began = time.monotonic()
        found = read_metrics(
            desk.settings, ("padel_quarantined_rows", "padel_stale_holds"), deadline_s=20
        )
    finally:
        blocker.execute("ROLLBACK")

    assert ["padel_quarantined_rows"] == [one.indicator.name for one in found.unread]
    assert 0 == found.value("padel_stale_holds")
    assert time.monotonic() - began < 20


def test_a_wrong_address_is_told_without_its_password(settings: Settings) -> None:
    """
    Whoever reads metrics is not whoever may read secrets.
    """
    url = "postgresql://padelops:hush-hush@127.0.0.1:1/padelops"
    nowhere = settings.model_copy(update={"database_url": SecretStr(url)})
    readings = read_metrics(nowhere, deadline_s=3)

    assert 0 == readings.value("padel_up")
    assert "hush" not in str(readings.as_json()) + MetricsText(nowhere)()


def test_a_storm_of_scrapes_reads_once(
    desk: Desk, psql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whoever asks while an answer is fresh takes that one.
    """
    times: list[int] = []
    reads = wired.read_metrics
    monkeypatch.setattr(
        wired, "read_metrics", lambda *args, **more: times.append(1) or reads(*args, **more)
    )
    text = desk.metrics_text()
    finishes = race(*[text] * 8)

    assert 1 == len(times)
    assert 1 == len({finish.value for finish in finishes})
    assert 0 == one(psql, "SELECT count(*) FROM operations")
