"""
Readings in Prometheus' text format, for a scrape or for node_exporter's textfile collector.

Written by hand because nothing is measured here: values and histograms are counted already, and
what is left of a client library is escaping. promtool checks every byte of it in the tests.

Source: prometheus.io, "Exposition formats", text format 0.0.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.booking.operations import BOUNDS_S
from padelops.errors import InvalidInput
from padelops.ops.indicators import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from padelops.booking.operations import Tally
    from padelops.ops.metrics import Reading, Readings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def checked_textfile(path: Path) -> Path:
    """
    Raises:
        InvalidInput: node_exporter's textfile collector would not read a file of that name.
    """
    if path.suffix != ".prom":
        raise InvalidInput("A textfile's name ends in .prom: node_exporter reads no other.")
    return path


def exposition(readings: Readings) -> str:
    """
    The text. What is unknown has no sample, and `padel_indicator_up` says 0 for it: neither a
    graph nor an alert may take it for a number.
    """
    exported = [one for one in readings.readings if one.indicator.exported]
    lines = [line for reading in exported for line in _metric(reading)]
    lines += _head("padel_indicator_up", "gauge", "Whether an indicator could be read.")
    lines += [
        _line("padel_indicator_up", {"indicator": one.indicator.name}, 0 if one.problem else 1)
        for one in exported
    ]
    lines += _head("padel_read_duration_seconds", "gauge", "Time that reading all of this took.")
    lines.append(_line("padel_read_duration_seconds", {}, round(readings.took_s, 6)))
    return "\n".join(lines) + "\n"


def _metric(reading: Reading) -> Iterator[str]:
    known = [sample for sample in reading.samples if sample.value is not None]
    if not known:
        return
    one = reading.indicator
    yield from _head(one.name, one.kind.value, one.help)
    for sample in known:
        if one.kind is Kind.HISTOGRAM and sample.spread is not None:
            yield from _histogram(one.name, sample.labels, sample.spread)
        elif sample.value is not None:
            yield _line(one.name, sample.labels, sample.value)


def _head(name: str, kind: str, told: str) -> list[str]:
    text = told.replace("\\", "\\\\").replace("\n", "\\n")
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _histogram(name: str, labels: Mapping[str, str], spread: Tally) -> Iterator[str]:
    """Cumulative buckets; bounds with a point, as every version of Prometheus keeps them."""
    seen = 0
    for bound, count in zip(BOUNDS_S, spread.buckets, strict=False):
        seen += count
        yield _line(f"{name}_bucket", {**labels, "le": repr(bound)}, seen)
    yield _line(f"{name}_bucket", {**labels, "le": "+Inf"}, spread.calls)
    yield _line(f"{name}_sum", labels, spread.seconds)
    yield _line(f"{name}_count", labels, spread.calls)


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    shown = int(value) if float(value).is_integer() else repr(float(value))
    return f"{name}{{{pairs}}} {shown}" if pairs else f"{name} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
