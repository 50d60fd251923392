"""What is exported to Prometheus and Alertmanager: taken by their tools, of one mind with us."""

from __future__ import annotations

import random
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from padelops.booking.operations import Outcome
from padelops.ops.alert_conditions import parse
from padelops.ops.alert_export import (
    RULES_FILE,
    TESTS_FILE,
    alertmanager_files,
    camel,
    prometheus_files,
    prometheus_rules,
    prometheus_tests,
    promql,
    written,
)
from padelops.ops.alert_metrics import BUDGETS
from padelops.ops.alert_rules import Rule
from padelops.wiring.alerts import reader, rules_of
from padelops.wiring.metrics import MetricsText

if TYPE_CHECKING:
    from pathlib import Path

    from padelops.wiring import Desk
    from testbed.clock import Clock

RULES = rules_of(None)

ROUTES = {
    "double_booking_detected": "pager,sms,email",
    "payment_failure_rate": "pager,sms",
    "sync_standby_lost": "pager",
    "refund_failed": "sms,email",
    "high_response_time": "email",
    "watchdog": "nobody",
}
"""Whom Alertmanager tells of each."""


def run(*command: str | Path, cwd: Path) -> tuple[int, str]:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def scrape(text: str) -> dict[str, float]:
    """The samples of an exposition, by name and labels."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def test_a_condition_is_written_as_promql() -> None:
    """
    Values in base units, copies of several doors seen once, windows as labels, parts joined on what
    both have.
    """
    assert "padel_payment_success_ratio < 0.99" == promql(parse("payment_success_rate < 99%"))
    assert "max without (instance, job) (padel_double_bookings) > 0" == promql(
        parse("booking_conflicts > 0")
    )
    assert (
        'padel_budget_burn_rate{level="1",window="1h"} > 14.4'
        ' and on (level, objective, path) padel_budget_burn_rate{window="5m"} > 14.4'
        == promql(
            parse(
                'padel_budget_burn_rate{level="1"} in 1h > 14.4'
                " and padel_budget_burn_rate in 5m > 14.4"
            )
        )
    )
    assert (
        "padel_cache_hit_ratio < 0.8 and on ()"
        " (padel_response_avg_seconds > 1 or padel_error_ratio > 0.01)"
        == promql(parse("cache_hit_rate < 80%"))
        + " and on () "
        "(" + promql(parse("avg_response_time > 1s or error_rate > 1%")) + ")"
    )


def test_each_rule_is_exported_with_all_that_people_need() -> None:
    """
    CamelCase, a summary, a description, where the runbook is, and the times of the rule.
    """
    found = {one["alert"]: one for one in prometheus_rules(RULES)["groups"][1]["rules"]}

    assert {camel(name) for name in RULES} < found.keys()
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]+", name) for name in found)
    assert all(
        {"summary", "description", "runbook_url"} == one["annotations"].keys()
        for one in found.values()
    )
    slow = found["HighResponseTime"]
    assert ("5m", "5m", "padel_response_avg_seconds > 1") == (
        slow["for"], slow["keep_firing_for"], slow["expr"],
    )  # fmt: skip
    assert (
        "https://runbooks.example.com/padelops/slow_responses"
        == (slow["annotations"]["runbook_url"])
    )


@pytest.mark.needs("promtool")
def test_promtool_takes_the_rules_and_plays_their_samples(tmp_path: Path) -> None:
    """
    In each minute of each sample exactly those alerts fire that fire here.
    """
    put(tmp_path, prometheus_files(RULES))

    code, told = run("promtool", "check", "rules", RULES_FILE, cwd=tmp_path)
    assert (0, True) == (code, "SUCCESS" in told), told
    code, told = run("promtool", "test", "rules", TESTS_FILE, cwd=tmp_path)
    assert (0, True) == (code, "SUCCESS" in told), told


def rule(**changes: object) -> Rule:
    body = {
        "condition": "avg_response_time > 1s", "severity": "warning", "notification": "email",
        "level": 3, "runbook": "slow_responses", "summary": "Something is wrong",
        "description": "Something is wrong for a trial.", "samples": {"fires": [], "quiet": []},
    }  # fmt: skip
    return Rule.model_validate(body | changes)


def course(chance: random.Random, minutes: int, low: str, high: str) -> str:
    """Values that stay for a while and then change."""
    return " ".join(
        f"{chance.choice((low, high))}*{chance.randint(1, 6)}" for _ in range(minutes // 3)
    )


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("seed", range(2))
def test_on_any_series_both_say_the_same(tmp_path: Path, seed: int) -> None:
    """
    An hour of chance, many conditions, times and labels: minute by minute the same alerts fire.
    """
    chance = random.Random(seed)
    search, audit = ('avg_response_time{path="search"}', 'avg_response_time{path="audit"}')
    errors = ('error_rate{path="search"}', 'error_rate{path="audit"}')
    made = {}
    slow = {name: course(chance, 60, "1s", "1001ms") for name in (search, audit)}
    wrong = {name: course(chance, 60, "1%", "2%") for name in errors}
    alone = {"cache_hit_rate": course(chance, 60, "79.9%", "80%")}
    for number in range(12):
        condition, series = chance.choice(
            [
                ("avg_response_time > 1000ms", slow),
                ("avg_response_time > 1s and error_rate > 1%", slow | wrong),
                ("avg_response_time >= 1.001s or error_rate > 1%", slow | wrong),
                ("error_rate > 1% and cache_hit_rate < 80%", wrong | alone),
                ("cache_hit_rate < 80%", alone),
            ]
        )
        made[f"trial_{number}"] = rule(
            condition=condition,
            samples={"fires": [series], "quiet": [series]},
            keep_firing_for=chance.choice(["0s", "2m", "5m"]),
            **{"for": chance.choice(["0s", "1m", "3m"])},
        )
    put(
        tmp_path,
        {
            "rules.yml": written(prometheus_rules(made)),
            "tests.yml": written(prometheus_tests(made, "rules.yml")),
        },
    )
    code, told = run("promtool", "test", "rules", "tests.yml", cwd=tmp_path)
    text = (tmp_path / "tests.yml").read_text(encoding="utf-8")

    assert (0, True) == (code, "SUCCESS" in told), told
    assert text.count("exp_annotations") > 20  # they did fire


@pytest.mark.needs("promtool")
def test_the_comparison_can_fail(tmp_path: Path) -> None:
    """
    A rule that is exported with another limit than ours is found.
    """
    files = prometheus_files({"high_response_time": RULES["high_response_time"]})
    files[RULES_FILE] = files[RULES_FILE].replace("avg_seconds > 1\n", "avg_seconds > 2\n")
    put(tmp_path, files)

    code, told = run("promtool", "test", "rules", TESTS_FILE, cwd=tmp_path)
    assert 1 == code
    assert "HighResponseTime" in told


@pytest.mark.needs("amtool")
def test_alertmanager_tells_whom_the_rule_says(tmp_path: Path) -> None:
    """
    Amtool takes the configuration, and routes each rule's labels by its notification.
    """
    files = alertmanager_files(
        pager_key_file="/etc/alertmanager/pagerduty.key",
        sms_webhook="http://127.0.0.1:9095/sms",
        email={"to": "a@example.com", "from": "b@example.com", "smarthost": "localhost:25"},
    )
    put(tmp_path, files)
    labels = {
        one["labels"].get("padelops_rule"): one["labels"]
        for one in prometheus_rules(RULES)["groups"][1]["rules"]
    }

    code, told = run("amtool", "check-config", "alertmanager.yml", cwd=tmp_path)
    assert 0 == code, told
    routed = {}
    for name in ROUTES:
        given = [f"{label}={value}" for label, value in labels[name].items()]
        command = ("amtool", "config", "routes", "test", "--config.file=alertmanager.yml", *given)
        code, told = run(*command, cwd=tmp_path)
        routed[name] = next(line for line in told.splitlines() if "Warning" not in line)
    assert ROUTES == {name: text.strip() for name, text in routed.items()}
    assert "secret" not in yaml.safe_dump(files)


@pytest.mark.needs("promtool")
def test_prometheus_burns_budgets_as_we_do(desk: Desk, clock: Clock, tmp_path: Path) -> None:
    """
    From what is scraped, through the recording rules: the burn rates that the rules compare here.
    """
    before = scrape(MetricsText(desk.settings, clock=clock)())
    for path in ("creation", "search"):
        for _ in range(6):
            desk.counts.took(path, Outcome.OK, "", 0.3)
        desk.counts.took(path, Outcome.OK, "", 5.0)
        desk.counts.took(path, Outcome.UNAVAILABLE, "database_unavailable", 0.1)
    desk.flusher.flush()
    after = scrape(MetricsText(desk.settings, clock=clock)())
    (reading,) = reader(desk.settings, clock)([BUDGETS["padel_budget_burn_rate"]])
    ours = [
        (sample.value, dict(sample.labels) | {"window": "5m"})
        for sample in reading.samples
        if sample.labels["window"] == "300" and sample.value is not None
    ]
    put(tmp_path, prometheus_files(RULES))
    checks = []
    for value, labels in ours:
        pairs = "{" + ",".join(f'{name}="{text}"' for name, text in labels.items()) + "}"
        checks.append(
            {
                "expr": f"abs(padel_budget_burn_rate{pairs} - {value!r}) < bool 1e-6",
                "eval_time": "5m",
                "exp_samples": [{"labels": pairs, "value": 1}],
            }
        )
    tests = {
        "rule_files": [RULES_FILE],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": series, "values": f"{before.get(series, 0)} {value}x5"}
                    for series, value in after.items()
                    if series.startswith("padel_operation")
                ],
                "promql_expr_test": checks,
            }
        ],
    }
    put(tmp_path, {"burn.yml": written(tests)})
    code, told = run("promtool", "test", "rules", "burn.yml", cwd=tmp_path)

    assert 4 == len(ours)
    assert (0, True) == (code, "SUCCESS" in told), told
