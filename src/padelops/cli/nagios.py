"""
Health as a Nagios plugin prints it: one line, then details, with performance data after a bar.

Source: Monitoring Plugins Development Guidelines, "Plugin Output" and "Performance data".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.ops.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.ops.health import Finding, HealthReport, Measure

UNITS = {"_s": "s", "_bytes": "B"}
"""By the end of a measure's name; ratios and counts have none."""


def lines(report: HealthReport) -> Iterator[str]:
    """The status line with its performance data, then a line for each check that is not ok."""
    bad = [finding for finding in report.findings if finding.verdict]
    measures = " ".join(
        perfdata(finding, measure)
        for finding in report.findings
        for measure in finding.answer.measures
    )
    yield f"PADELOPS {report.verdict.name} - {_plain(_summary(report, bad))} | {measures}".rstrip(
        " |"
    )
    for finding in bad:
        yield _plain(f"{finding.verdict.name} {finding.check}: {finding.answer.message}")


def perfdata(finding: Finding, measure: Measure) -> str:
    """`label=value[unit];warn;critical`; the label names the check, so that no two are alike."""
    unit = next((unit for end, unit in UNITS.items() if measure.name.endswith(end)), "")
    bounds = [
        "" if bound is None else f"{bound:g}" for bound in (measure.warn_at, measure.critical_at)
    ]
    text = f"{finding.check}.{measure.name}={measure.value:.12g}{unit};{';'.join(bounds)}"
    return text.rstrip(";")


def _summary(report: HealthReport, bad: list[Finding]) -> str:
    if not bad:
        return f"{len(report.findings)} checks in {report.seconds:.2f} s"
    worst = next(finding for finding in bad if finding.verdict is report.verdict)
    by_verdict = ", ".join(
        f"{sum(finding.verdict is verdict for finding in bad)} {verdict.word}"
        for verdict in (Verdict.CRITICAL, Verdict.UNKNOWN, Verdict.WARNING)
        if any(finding.verdict is verdict for finding in bad)
    )
    return f"{by_verdict}: {worst.check}: {worst.answer.message}"


def _plain(text: str) -> str:
    """A bar would begin the performance data."""
    return " ".join(text.replace("|", "/").split())
