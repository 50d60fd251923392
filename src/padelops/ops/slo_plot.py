"""A picture of the error budgets' course over 30 days, drawn by matplotlib: PNG or SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.errors import InvalidInput, OutputFailed, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from padelops.ops.slo import Objectives

FORMATS = (".png", ".svg")
LOWEST = -1.0
"""What is overspent tenfold and a hundredfold looks the same: as a line at the bottom."""


def checked_target(path: Path) -> Path:
    """
    Raises:
        InvalidInput: not a name that ends in .png or .svg.
    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidInput("A picture's name ends in .png or .svg.")
    return path


def draw(found: Objectives, path: Path) -> None:
    """
    Write the picture, whole or not at all.

    Raises:
        Unavailable: matplotlib is not installed. OutputFailed: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - a second, and not always installed
    except ImportError as exc:
        raise Unavailable("Pictures need matplotlib.", fix="pip install 'padelops[plot]'") from exc
    figure = Figure(figsize=(9, 8), layout="constrained")
    charts = figure.subplots(2, 1, sharex=True)
    titles = {"answered": "Operations answered", "in_time": "Answers in time"}
    for chart, (kind, title) in zip(charts, titles.items(), strict=True):
        for standing in found.standings:
            if standing.promise.kind == kind and any(left is not None for left in standing.course):
                days = range(1 - len(standing.course), 1)
                course = [None if x is None else max(x, LOWEST) * 100 for x in standing.course]
                chart.plot(days, course, marker=".", label=standing.promise.path.module)
        chart.set_title(f"{title}: error budget left")
        chart.set_ylabel("% of 30 days' budget")
        chart.axhline(0, color="black", linewidth=0.8)
        chart.set_ylim(LOWEST * 100 - 5, 105)
        chart.grid(alpha=0.3)
        if chart.get_legend_handles_labels()[0]:
            chart.legend(loc="lower left", fontsize="small", ncols=3)
        else:
            chart.text(0.5, 0.5, "no traffic", ha="center", transform=chart.transAxes)
    charts[-1].set_xlabel(f"days before {found.at:%Y-%m-%d %H:%M} UTC")
    unfinished = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(unfinished, format=path.suffix[1:].lower(), dpi=120)
        unfinished.replace(path)
    except OSError as exc:
        unfinished.unlink(missing_ok=True)
        raise OutputFailed(f"{path} could not be written: {exc.strerror or exc}.") from exc
