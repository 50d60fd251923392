"""
The alert rules for Prometheus and Alertmanager: rules, their unit tests, and the routing.

Made from the tree that `alerts check` judges by, so that both say the same of the same series. What
Prometheus has to compute is recorded first, under the name that the metric has here; then a rule
compares it. promtool and amtool check every line of it in the tests.

Source: prometheus.io, "Alerting rules", "Unit testing for rules"; Alertmanager, "Configuration".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.booking.delivery import Channel
from padelops.ops.alert_conditions import Both, Comparison, comparisons, length
from padelops.ops.alert_judging import WINDOW
from padelops.ops.alert_metrics import metric_named, recorded
from padelops.ops.alert_samples import STEP, play
from padelops.ops.alert_states import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.ops.alert_conditions import Condition
    from padelops.ops.alert_rules import Rule
    from padelops.ops.alert_samples import Series
    from padelops.ops.indicators import Indicator

EVERY = "30s"
AFTERWARDS = 120
"""Minutes that a series goes on after its last value."""

RUNBOOKS = "https://runbooks.example.com/padelops"
"""Where runbooks can be read, until somebody says where."""

RULES_FILE, TESTS_FILE = "padelops.rules.yml", "padelops.tests.yml"


def camel(name: str) -> str:
    """`double_booking_detected` as Prometheus' people write it: `DoubleBookingDetected`."""
    return "".join(part.capitalize() for part in name.split("_"))


# --- PromQL -----------------------------------------------------------------------------------


def promql(condition: Condition) -> str:
    """The expression that has a sample for each thing that the condition holds of."""
    if isinstance(condition, Comparison):
        return _comparison(condition)
    parts = [_inside(part) for part in condition.parts]
    if not isinstance(condition, Both):
        return " or ".join(parts)
    found = parts[0]
    for before, part, text in zip(condition.parts, condition.parts[1:], parts[1:], strict=False):
        shared = sorted(_labels(before) & _labels(part))
        found = f"{found} and on ({', '.join(shared)}) {text}"
    return found


def _inside(part: Condition) -> str:
    return promql(part) if isinstance(part, Comparison) else f"({promql(part)})"


def _comparison(one: Comparison) -> str:
    indicator = metric_named(one.metric)
    matchers = dict(one.labels)
    if one.window_s is not None and WINDOW in indicator.labels:
        matchers[WINDOW] = length(one.window_s)
    chosen = ",".join(f'{name}="{value}"' for name, value in sorted(matchers.items()))
    series = indicator.name + (f"{{{chosen}}}" if chosen else "")
    if indicator.exported:
        series = f"max without (instance, job) ({series})"
    return f"{series} {one.comparator} {one.value:.12g}"


def _labels(condition: Condition) -> set[str]:
    """The labels that its samples have, but the window."""
    found = [set(metric_named(one.metric).labels) for one in comparisons(condition)]
    return set.union(*found) - {WINDOW}


# --- rules ------------------------------------------------------------------------------------


def prometheus_rules(rules: Mapping[str, Rule], *, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """A rule file: what is recorded, then the alerts, critical ones first."""
    used = {one.name: one for rule in rules.values() for one in rule.indicators}
    return {
        "groups": [
            {
                "name": "padelops-recorded",
                "interval": EVERY,
                "rules": [record for one in used.values() for record in _records(one)],
            },
            {
                "name": "padelops-alerts",
                "interval": EVERY,
                "rules": [
                    *(_alert(name, rule, runbooks) for name, rule in rules.items()),
                    *_unread(runbooks),
                ],
            },
        ]
    }


def _records(one: Indicator) -> Iterator[dict[str, Any]]:
    for expression, labels in recorded(one):
        yield {"record": one.name, "expr": expression} | ({"labels": labels} if labels else {})


def _alert(name: str, rule: Rule, runbooks: str) -> dict[str, Any]:
    found: dict[str, Any] = {"alert": camel(name), "expr": promql(rule.parsed)}
    if rule.hold:
        found["for"] = length(rule.hold.total_seconds())
    if rule.keep:
        found["keep_firing_for"] = length(rule.keep.total_seconds())
    return found | {
        "labels": _alert_labels(name, rule),
        "annotations": {
            "summary": rule.summary,
            "description": rule.description.replace("{{", "{ {"),
            "runbook_url": f"{runbooks.rstrip('/')}/{rule.runbook}",
        },
    }


def _unread(runbooks: str) -> Iterator[dict[str, Any]]:
    """What is `unknown` here: to Prometheus a metric that is not there is quiet."""
    for name, expression, hold, summary in (
        ("PadelopsNotScraped", "absent(padel_up)", "2m", "Nobody scrapes padelops"),
        (
            "IndicatorUnread",
            "max by (indicator) (padel_indicator_up) < 1",
            "5m",
            "An indicator cannot be read",
        ),
    ):
        yield {
            "alert": name,
            "expr": expression,
            "for": hold,
            "labels": {
                "severity": "warning",
                "priority": "2",
                "notify": "email+sms",
                "mute_group": "alerting_blind",
            },
            "annotations": {
                "summary": summary,
                "description": "The rules about it can not fire. Ask: padelops alerts check",
                "runbook_url": f"{runbooks.rstrip('/')}/alerting_blind",
            },
        }


def _alert_labels(name: str, rule: Rule) -> dict[str, str]:
    """
    What Alertmanager routes and mutes by. `priority`, because some metrics have a `level` of their
    own, and an alert's label would hide it.
    """
    return {
        "severity": rule.severity,
        "priority": str(rule.level.value),
        "notify": "+".join(sorted(rule.channels)) or "none",
        "padelops_rule": name,
        "mute_group": rule.group or name,
    }


# --- unit tests -------------------------------------------------------------------------------


def prometheus_tests(
    rules: Mapping[str, Rule], file: str, *, runbooks: str = RUNBOOKS
) -> dict[str, Any]:
    """
    The rules' samples as promtool plays them: in each minute, what our own judge says.

    Args:
        file: the rule file beside it.
    """
    samples = [
        _Played(name, rule, series)
        for name, rule in rules.items()
        for kind in ("fires", "quiet")
        for series in rule.played(kind)
    ]
    return {
        "rule_files": [file],
        "evaluation_interval": "1m",
        "tests": [_test(together, runbooks) for together in _packed(samples)],
    }


@dataclass(frozen=True, slots=True)
class _Played:
    """One sample of one rule."""

    name: str
    rule: Rule
    series: tuple[Series, ...]

    def disturbs(self, other: _Played) -> bool:
        """Whether the other's series would be seen by this one's rule, as something of its own."""
        return any(
            one not in self.series and _sees(comparison, one)
            for comparison in comparisons(self.rule.parsed)
            for one in other.series
        ) or any(
            mine != theirs and (mine.metric, mine.labels) == (theirs.metric, theirs.labels)
            for mine in self.series
            for theirs in other.series
        )


def _sees(comparison: Comparison, series: Series) -> bool:
    window = () if comparison.window_s is None else ((WINDOW, str(comparison.window_s)),)
    return metric_named(comparison.metric).name == series.metric and set(comparison.labels) | set(
        window
    ) <= set(series.labels)


def _packed(samples: list[_Played]) -> list[list[_Played]]:
    """
    Samples that do not disturb each other, together: promtool evaluates every rule in every test,
    so a test for each sample would take minutes.
    """
    found: list[list[_Played]] = []
    for sample in samples:
        for together in found:
            if not any(sample.disturbs(one) or one.disturbs(sample) for one in together):
                together.append(sample)
                break
        else:
            found.append([sample])
    return found


def _test(together: list[_Played], runbooks: str) -> dict[str, Any]:
    series = {_series_name(one): one for sample in together for one in sample.series}
    return {
        "interval": f"{int(STEP.total_seconds())}s",
        "input_series": [{"series": name, "values": _values(one)} for name, one in series.items()],
        "alert_rule_test": [line for sample in together for line in _expected(sample, runbooks)],
    }


def _expected(sample: _Played, runbooks: str) -> Iterator[dict[str, Any]]:
    """Minute by minute, what fires."""
    rule = sample.rule
    annotations = _alert(sample.name, rule, runbooks)["annotations"]
    for minute, states in enumerate(play(rule, sample.series)):
        yield {
            "eval_time": f"{minute}m",
            "alertname": camel(sample.name),
            "exp_alerts": [
                {
                    "exp_labels": _labels_of(key, rule) | _alert_labels(sample.name, rule),
                    "exp_annotations": annotations,
                }
                for key, state in states.items()
                if state is State.FIRING
            ],
        }


def _labels_of(key: str, rule: Rule) -> dict[str, str]:
    """An alert's labels as Prometheus has them: with the window of the first comparison."""
    labels: dict[str, str] = json.loads(key)
    first = next(comparisons(rule.parsed))
    if first.window_s is not None and WINDOW in metric_named(first.metric).labels:
        labels[WINDOW] = length(first.window_s)
    return labels


def _series_name(one: Series) -> str:
    labels = dict(one.labels)
    if WINDOW in labels:
        labels[WINDOW] = length(int(labels[WINDOW]))
    chosen = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{one.metric}{{{chosen}}}"


def _values(one: Series) -> str:
    """Promtool's words. What ends before the series beside it stays as it was, as it does here."""
    told = ["stale" if value is None else f"{value:.12g}" for value in one.values]
    return " ".join([*told, *([f"{told[-1]}x{AFTERWARDS}"] if told[-1] != "stale" else [])])


# --- Alertmanager -----------------------------------------------------------------------------


def alertmanager_config(
    *, pager_key_file: str, sms_webhook: str, email: Mapping[str, str]
) -> dict[str, Any]:
    """
    Routing by what each rule says in `notification`; the matrix of levels is in the rules already.

    Args:
        pager_key_file: holds PagerDuty's routing key, so that no secret stands in the text.
        sms_webhook: what sends text messages.
        email: Alertmanager's e-mail settings: to, from, smarthost.
    """
    return {
        "route": {
            "receiver": "email",
            "group_by": ["alertname"],
            "group_wait": "0s",
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": [
                {
                    "matchers": ['severity="none"'],
                    "receiver": "nobody",
                    "repeat_interval": "5m",
                },
                *(
                    {
                        "matchers": [f'notify=~"(.*[+])?{channel}([+].*)?"'],
                        "receiver": str(channel),
                        "continue": True,
                    }
                    for channel in (Channel.PAGER, Channel.SMS, Channel.EMAIL)
                ),
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": ['severity="critical"'],
                "target_matchers": ['severity="warning"'],
                "equal": ["mute_group"],
            }
        ],
        "receivers": [
            {"name": "nobody"},
            {
                "name": "pager",
                "pagerduty_configs": [{"routing_key_file": pager_key_file, "send_resolved": True}],
            },
            {"name": "sms", "webhook_configs": [{"url": sms_webhook, "send_resolved": True}]},
            {"name": "email", "email_configs": [dict(email) | {"send_resolved": True}]},
        ],
    }


def written(document: Mapping[str, Any]) -> str:
    """As YAML."""
    import yaml  # noqa: PLC0415 - 20 ms

    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=10_000)


def prometheus_files(rules: Mapping[str, Rule], *, runbooks: str = RUNBOOKS) -> dict[str, str]:
    """By name: the rules, and their unit tests."""
    return {
        RULES_FILE: written(prometheus_rules(rules, runbooks=runbooks)),
        TESTS_FILE: written(prometheus_tests(rules, RULES_FILE, runbooks=runbooks)),
    }


def alertmanager_files(**settings: Any) -> dict[str, str]:
    """By name: the routing. See `alertmanager_config`."""
    return {"alertmanager.yml": written(alertmanager_config(**settings))}
