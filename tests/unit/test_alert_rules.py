"""Alert rules: the four of CRITICAL_PATHS.md, one for each path, and nothing that cannot work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from padelops.booking.critical_paths import CRITICAL_PATHS
from padelops.errors import InvalidInput
from padelops.ops.alert_conditions import (
    Both,
    Comparison,
    Either,
    comparisons,
    length,
    parse,
    parse_length,
)
from padelops.ops.alert_files import json_schema, read_folder
from padelops.ops.alert_judging import Answer, Unread, judge
from padelops.ops.alert_metrics import WINDOWS_S
from padelops.ops.indicators import Sample, Unit
from padelops.ops.slo import PAIRS
from padelops.wiring.alerts import rules_in

ROOT = Path(__file__).parents[2]
RULES = read_folder(ROOT / "alerts").rules

OF_THE_DOCUMENT = {
    "double_booking_detected": ("booking_conflicts > 0", "critical", "pager + sms + email"),
    "payment_failure_rate": ("payment_success_rate < 99%", "critical", "pager + sms"),
    "high_response_time": ("avg_response_time > 1000ms", "warning", "email"),
    "low_cache_hit_rate": ("cache_hit_rate < 80%", "warning", "email"),
}
"""Source: CRITICAL_PATHS.md, "Alerting Rules"."""

NEEDED = {
    "multiple_primaries", "no_primary", "sync_standby_lost", "replication_lag",
    "hold_sweeper_stopped", "outbox_stale", "payment_in_doubt_too_old", "audit_seal_broken",
    "daily_job_missing", "worker_heartbeat_missing", "watchdog",
}  # fmt: skip

GOOD = """
cancellation_failure:
  condition: error_rate{path="cancellation"} > 1%
  severity: warning
  notification: sms + email
  level: 2
  for: 2m
  runbook: cancellation_failing
  summary: Cancellations fail
  description: Somebody wanted to cancel and got no answer.
  samples:
    fires: {'error_rate{path="cancellation"}': "5%*3"}
    quiet: {'error_rate{path="cancellation"}': "1%*3"}
"""


# --- what there is ----------------------------------------------------------------------------


def test_the_rules_that_ship_are_well() -> None:
    """
    None is refused, and each does on its samples what they say.
    """
    found = rules_in(None)

    assert [] == [str(problem) for problem in found.problems]
    assert {} == {
        name: rule.failed_samples() for name, rule in RULES.items() if rule.failed_samples()
    }


def test_the_documents_rules_stand_under_their_names() -> None:
    """
    Condition, severity and notification word by word.
    """
    assert OF_THE_DOCUMENT == {
        name: (RULES[name].condition, RULES[name].severity, RULES[name].notification)
        for name in OF_THE_DOCUMENT
    }


def test_each_path_and_each_way_to_fail_has_a_rule() -> None:
    """
    The nine paths, what an operator would miss, and each pair of burn rates for each level.
    """
    budgets = [
        {one.window_s for one in comparisons(rule.parsed)}
        for name, rule in RULES.items()
        if name.startswith("budget_")
    ]

    assert {path.module for path in CRITICAL_PATHS} <= {rule.path for rule in RULES.values()}
    assert set() == NEEDED - RULES.keys()
    assert sorted([[pair.short_s, pair.long_s] for pair in PAIRS] * 3) == sorted(
        sorted(windows) for windows in budgets if windows
    )


def test_the_schema_for_editors_is_the_one_that_is_checked_by() -> None:
    """
    To write it anew: padelops alerts export schema --into alerts
    """
    text = (ROOT / "alerts" / "schema.json").read_text(encoding="utf-8")

    assert json_schema() == json.loads(text)
    assert all(
        path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json")
        for path in (ROOT / "alerts").glob("*.yaml")
    )


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("error_rate{", "eror_rate{", "There is no metric 'eror_rate'. Did you mean error_rate"),
        ("> 1%", "> 1000ms", "is counted in ratio, and this compares it with seconds"),
        ("> 1%", "> 1furlong", "There is no unit 'furlong'"),
        ('path="cancellation"} > 1%', 'route="x"} > 1%', "has no label route; it has path"),
        ("} > 1%", "} in 1h > 1%", "error_rate is over 5m. Leave out `in`."),
        ("> 1%", "is high", "expected where there is 'is high'"),
        ("  runbook: cancellation_failing\n", "", "runbook: it is missing. The runbook to run"),
        ("cancellation_failing", "canceling", "there is no runbook 'canceling'. Did you mean"),
        ("severity:", "severty:", "severty: there is no such field. Did you mean severity?"),
        ("sms + email", "email", "a level 2 rule tells people by email + sms, and this leaves out"),
        ("for: 2m", "for: soon", "'soon' is no length of time. Write 90s, 5m or 1h30m."),
        ('"5%*3"}', '"5%*2"}', "fires: it does not fire at the end of number 1"),
        ('"1%*3"}', '"2%*3"}', "quiet: it fires on number 1"),
        ('"5%*3"}', '"5ms*3"}', "error_rate is counted in ratio, not in ms"),
        ("fires: {'error_rate", "fires: {'cache_hit_rate", "condition asks for padel_error_ratio"),
        ("  level: 2\n", "  level: 2\n  level: 3\n", "line 7: 'level' stands twice"),
        ("cancellation_failure:", "Cancellation-Failure:", "A rule's name is of the form"),
        ("condition: ", "condition: [", "this is not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_file_rule_and_fix(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    """
    An unknown metric, a wrong unit, a typing mistake, no runbook: none of them goes through.
    """
    assert before in GOOD
    (tmp_path / "mine.yaml").write_text(GOOD.replace(before, after), encoding="utf-8")
    found = read_folder(tmp_path, runbooks={"cancellation_failing"})
    failed = [
        f"{name}: {text}" for name, rule in found.rules.items() for text in rule.failed_samples()
    ]
    problems = [str(one) for one in found.problems] + failed

    assert any(told in problem for problem in problems), problems
    assert all(str(one).startswith("mine.yaml: ") for one in found.problems)
    if found.problems:
        with pytest.raises(InvalidInput, match="padelops alerts test"):
            found.require()


def test_a_name_is_given_once(tmp_path: Path) -> None:
    """
    Two files cannot both say what a rule is.
    """
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(GOOD, encoding="utf-8")

    (problem,) = read_folder(tmp_path).problems
    assert "b.yaml: cancellation_failure: It stands in a.yaml too." == str(problem)


# --- the language -----------------------------------------------------------------------------


def test_a_condition_is_read_into_one_tree() -> None:
    """
    `and` binds tighter than `or`; values are in base units.
    """
    small = Comparison("cache_hit_rate", (), None, "<", 0.8, Unit.RATIO)
    slow = Comparison("avg_response_time", (("path", "search"),), None, ">=", 1.5, Unit.SECONDS)
    burn = Comparison("padel_budget_burn_rate", (), 3600, ">", 14.4, None)

    assert Either((small, Both((slow, burn)))) == parse(
        'cache_hit_rate<80% or avg_response_time{path="search"} >= 1500ms'
        " and padel_budget_burn_rate in 1h > 14.4"
    )


@pytest.mark.parametrize(
    "text",
    ["", "x", "x >", "x > y", "x > 1 and", "x > 1 2", "x{a=b} > 1", 'x{a="b" > 1', "x in > 1",
     "__import__('os') > 1", "x > 1 or or y > 1", "x > 1; drop", "x => 1",
     "x > 1" + " or x > 1" * 10],
)  # fmt: skip
def test_what_is_no_condition_is_refused(text: str) -> None:
    """
    With what was expected where; nothing of it is ever executed.
    """
    with pytest.raises(InvalidInput, match=r"expected where|at most"):
        parse(text)


def test_lengths_of_time_go_both_ways() -> None:
    """
    As Prometheus writes them.
    """
    assert (90, 5400, 259_200) == tuple(map(parse_length, ("90s", "1h30m", "3d")))
    assert "1h30m" == length(5400)
    assert list(WINDOWS_S) == [parse_length(length(window)) for window in WINDOWS_S]
    for text in ("", "5", "m5", "500ms", "5m 3"):
        with pytest.raises(InvalidInput):
            parse_length(text)


class Values(dict[str, list[tuple[float | None, dict[str, str]]]]):
    """Measured values by metric; what is not there cannot be read."""

    def samples(self, metric: str) -> list[Sample]:
        if metric not in self:
            raise Unread("Nobody answers.")
        return [Sample(value, labels) for value, labels in self[metric]]


@pytest.mark.parametrize(
    ("a", "b", "both", "either"),
    [
        (2, 2, True, True), (2, 0, False, True), (0, 2, False, True), (0, 0, False, False),
        (None, 2, None, True), (2, None, None, True), (None, 0, False, None),
        (0, None, False, None), (None, None, None, None),
    ],
)  # fmt: skip
def test_unknown_is_a_third_answer(
    a: float | None, b: float | None, both: bool | None, either: bool | None
) -> None:
    """
    Never taken for yes, and for no only where the other part decides.
    """
    values = Values(a=[(a, {})], b=[(b, {})])

    assert both is judge(parse("a > 1 and b > 1"), values)[()].holds
    assert either is judge(parse("a > 1 or b > 1"), values)[()].holds


def test_parts_are_joined_where_their_labels_agree() -> None:
    """
    One alert for each thing; a part without labels is about all of them.
    """
    slow = [(2.0, {"path": "search"}), (2.0, {"path": "audit"}), (0.1, {"path": "pricing"})]
    busy = [(9.0, {"path": "search"}), (0.0, {"path": "audit"})]
    values = Values(slow=slow, busy=busy, up=[(1.0, {})])
    search, audit = (("path", "search"),), (("path", "audit"),)

    joined = judge(parse("slow > 1 and busy > 1"), values)
    every = judge(parse("slow > 1 and up > 0"), values)
    assert {search} == {labels for labels, answer in joined.items() if answer.holds}
    assert {search, audit} == {labels for labels, answer in every.items() if answer.holds}
    assert Answer(None, None, "Nobody answers.") == judge(parse("away > 1"), values)[()]


def test_a_window_picks_its_own_values() -> None:
    """
    And is no part of what the alert is about.
    """
    values = Values(
        burn=[(20.0, {"path": "x", "window": "3600"}), (0.0, {"path": "x", "window": "300"})]
    )

    assert {(("path", "x"),): Answer(True, 20.0)} == judge(parse("burn in 1h > 14"), values)
    assert {(("path", "x"),): Answer(False, 0.0)} == judge(parse("burn in 5m > 14"), values)
