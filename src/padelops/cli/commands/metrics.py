"""Show what every indicator says, or give it to Prometheus and Grafana."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.output import Terminal, say, show
from padelops.errors import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.cli.tables import Piece
    from padelops.ops.indicators import Indicator, Rhythm, Sample
    from padelops.ops.metrics import Reading, Readings

app = typer.Typer()


class Format(StrEnum):
    """What it is for."""

    TABLE = "table"
    PROMETHEUS = "prometheus"
    GRAFANA = "grafana"


OF_EACH_PATH = {
    "padel_operation_rate": "per s",
    "padel_response_avg_seconds": "average",
    "padel_response_p95_seconds": "p95",
    "padel_response_p99_seconds": "p99",
    "padel_error_ratio": "errors",
}
"""What stands in one row for each critical path, and above which column: 60 cells hold no more."""

TOLD_ELSEWHERE = OF_EACH_PATH.keys() | {"padel_response_p50_seconds"}


class When(StrEnum):
    """Which rhythm of CRITICAL_PATHS.md."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


@app.command()
def metrics(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these indicators, by name or alias.")
    ] = None,
    rhythm: Annotated[
        When | None, typer.Option(help="Only those of every 30 s, or of every 5 minutes.")
    ] = None,
    format_: Annotated[
        Format,
        typer.Option("--format", help="A table, Prometheus text, or the Grafana dashboard."),
    ] = Format.TABLE,
    textfile: Annotated[
        Path | None,
        typer.Option(help="Write Prometheus text to this .prom file, for node_exporter."),
    ] = None,
) -> None:
    """
    Show what every indicator says: bookings, payments, response times, queues, the database.

    Reads only; an embedded database is not started. Exit status: 0 all read, 6 some could not be
    read, 8 the database is away (what is still known is shown).
    """
    if Terminal.of(ctx).json and (format_ is not Format.TABLE or textfile):
        raise Usage("--json is a format of its own; leave out --format and --textfile.")
    if format_ is Format.GRAFANA:
        from padelops.ops.grafana import dashboard

        show(ctx, dashboard(), _raw_json)
        return

    from padelops.ops.exposition import checked_textfile, exposition
    from padelops.ops.indicators import Rhythm
    from padelops.ops.whole_files import write_whole
    from padelops.wiring.metrics import read_metrics

    if textfile is not None:
        checked_textfile(textfile)
    only = None if rhythm is None else Rhythm[rhythm.name]
    readings = read_metrics(names=names or (), rhythm=only)
    if textfile is not None:
        write_whole(textfile, exposition(readings))
        say(ctx, f"{textfile} written.")
    elif format_ is Format.PROMETHEUS:
        show(ctx, readings, exposition)
    else:
        show(ctx, readings, _tables)
    readings.require_all()


def _raw_json(document: Any) -> str:
    import json

    return json.dumps(document, indent=2)


def _tables(readings: Readings) -> Iterator[Piece]:
    from padelops.cli.tables import Table
    from padelops.ops.indicators import Rhythm

    if readings.away is not None:
        yield f"The database is down. {readings.away.message} Unknown: all that it would tell."
    elif paths := list(_paths(readings)):
        yield Table(
            ["path", *OF_EACH_PATH.values()],
            paths,
            title="Critical paths, the last 5 minutes",
        )
    for rhythm, title in (
        (Rhythm.PRIMARY, "Primary, every 30 s"),
        (Rhythm.SECONDARY, "Secondary, every 5 min"),
    ):
        rows = list(_rows(readings, rhythm))
        if rows:
            yield Table(["indicator", "value"], rows, title=title)
    if readings.away is None and readings.unread:
        unread = [[one.indicator.name, one.problem] for one in readings.unread]
        yield Table(["indicator", "why it is unknown"], unread, title="Not read")
    yield f"Asked at {readings.at:%Y-%m-%d %H:%M:%S} UTC."
    if not all(reading.known for reading in readings.readings):
        yield "Unknown: nothing happened to judge, or nobody may tell."


def _paths(readings: Readings) -> Iterator[list[str]]:
    """A row for each critical path, of the indicators that there is one of for each."""
    from padelops.booking.critical_paths import CRITICAL_PATHS

    asked = {reading.indicator.name: reading for reading in readings.readings}
    if not asked.keys() >= OF_EACH_PATH.keys():
        return
    for path in CRITICAL_PATHS:
        yield [path.module, *(_value_of(asked[name], path.module) for name in OF_EACH_PATH)]


def _value_of(reading: Reading, path: str) -> str:
    found = (sample for sample in reading.samples if sample.labels["path"] == path)
    return _shown(reading.indicator, next(found, None))


def _rows(readings: Readings, rhythm: Rhythm) -> Iterator[list[str]]:
    """A row for each value; what the table of paths has told is not told again."""
    every = {reading.indicator.name for reading in readings.readings}
    told = TOLD_ELSEWHERE if every >= TOLD_ELSEWHERE else frozenset()
    for reading in readings.readings:
        one = reading.indicator
        if one.rhythm is not rhythm or one.name in told or (told and one.kind != "gauge"):
            continue
        if readings.away is not None and reading.problem:
            continue
        if not reading.known:
            yield [one.name, "unknown" if reading.samples or reading.problem else "none"]
            continue
        for sample in reading.samples:
            named = " ".join((one.name, *sample.labels.values()))
            yield [named, reading.word(sample) or _shown(one, sample)]


def _shown(one: Indicator, sample: Sample | None) -> str:
    if sample is None or sample.value is None:
        return "unknown"
    return AS_READ[one.unit](sample.value)


def _number(value: float) -> str:
    return f"{value:g}" if value < EXACT else f"{value:.0f}"


def _time(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.4g} s" if seconds >= 1 or not seconds else f"{seconds * 1000:.3g} ms"


AS_READ: dict[str, Callable[[float], str]] = {
    "": _number,
    "seconds": _time,
    "ratio": lambda value: f"{value * 100:.4g}%",
    "bytes": lambda value: f"{value / 2**20:.1f} MiB",
    "per second": lambda value: f"{value:.3g}",
}
"""How a value reads, by its unit."""

EXACT = 1e6
"""Below it `g` shows every digit of a whole number."""
