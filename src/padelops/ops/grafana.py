"""
The Grafana dashboard, generated from the registry: a panel for each indicator that people look at.

Grafana refreshes a dashboard as a whole. The primary row lives with that, every 30 seconds; the
panels of the secondary row ask for one point in five minutes.

Source: CRITICAL_PATHS.md, "Real-time Dashboards".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from padelops.ops.indicators import Kind, Rhythm, Unit
from padelops.ops.metrics import INDICATORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from padelops.ops.indicators import Indicator

UNITS = {
    Unit.NONE: "short",
    Unit.SECONDS: "s",
    Unit.RATIO: "percentunit",
    Unit.BYTES: "bytes",
    Unit.PER_SECOND: "ops",
}
"""Grafana's names."""

ROWS = {Rhythm.PRIMARY: "Primary: every 30 seconds", Rhythm.SECONDARY: "Secondary: every 5 minutes"}
STEPS = {Rhythm.PRIMARY: "30s", Rhythm.SECONDARY: "5m"}

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

COLUMNS, WIDTH, HEIGHT = 24, 8, 7
"""Of Grafana's grid."""


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "padelops",
        "title": "padelops",
        "tags": ["padelops"],
        "schemaVersion": 39,
        "timezone": "browser",
        "editable": True,
        "refresh": STEPS[Rhythm.PRIMARY],
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                    "hide": 0,
                }
            ]
        },
        "panels": list(_numbered(_laid_out(INDICATORS.values()))),
    }


def looked_at(one: Indicator) -> bool:
    """Whether it has a panel: what others are computed from has none."""
    return one.kind is Kind.GAUGE and one.name != "padel_build_info"


def _laid_out(indicators: Iterable[Indicator]) -> Iterator[dict[str, Any]]:
    shown = [one for one in indicators if looked_at(one)]
    top = 0
    for rhythm, title in ROWS.items():
        yield {
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        }
        top += 1
        row = [one for one in shown if one.rhythm is rhythm]
        for place, one in enumerate(row):
            line, column = divmod(place, COLUMNS // WIDTH)
            at = {"x": column * WIDTH, "y": top + line * HEIGHT, "w": WIDTH, "h": HEIGHT}
            yield {**_panel(one), "gridPos": at}
        top += -(-len(row) // (COLUMNS // WIDTH)) * HEIGHT


def _panel(one: Indicator) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": UNITS[one.unit], "noValue": "unknown"}
    if one.unit is Unit.RATIO:
        defaults |= {"min": 0, "max": 1}
    if one.words:
        options = {str(value): {"text": word} for value, word in one.words.items()}
        defaults["mappings"] = [{"type": "value", "options": options}]
    legend = " ".join(f"{{{{{label}}}}}" for label in one.labels)
    return {
        "type": "state-timeline" if one.words else "timeseries",
        "title": one.title,
        "description": one.help,
        "datasource": DATASOURCE,
        "interval": STEPS[one.rhythm],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": "A",
                "datasource": DATASOURCE,
                "expr": one.promql,
                "legendFormat": legend or one.title,
            }
        ],
    }


def _numbered(panels: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, panel in enumerate(panels, start=1):
        yield {"id": number, **panel}
