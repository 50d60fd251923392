"""
Health checks as such: nothing hides behind a deadline, an error or a bug, and nothing looks green.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from padelops.cli.nagios import lines
from padelops.errors import DatabaseUnavailable
from padelops.ops.health import Answer, Check, Measure, run
from padelops.ops.health_line import FACTS, fact
from padelops.ops.verdict import Verdict, worst
from padelops.wiring.health import CHECKS, check_health

if TYPE_CHECKING:
    from padelops.ops.health import HealthReport

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
WELL = Check("well", lambda: Answer(Verdict.OK, "All well."))


def away() -> Answer:
    raise DatabaseUnavailable("Nobody there.", fix="Start it.")


def broken() -> Answer:
    raise ZeroDivisionError("postgresql://ana:secret@db")


def test_a_silent_check_is_not_waited_for() -> None:
    """
    At its deadline it is what its silence means; the others have answered meanwhile.
    """
    never = threading.Event()
    silent = Check("silent", lambda: Answer(Verdict.OK, str(never.wait(60))), 0.2, Verdict.CRITICAL)

    report = run([silent, WELL], now=NOW)
    never.set()

    assert Verdict.CRITICAL is report.of("silent").verdict
    assert "No answer within 0.2 s." == report.of("silent").answer.message
    assert Verdict.OK is report.of("well").verdict
    assert Verdict.CRITICAL is report.verdict


def test_checks_run_side_by_side() -> None:
    """
    Each waits for the other: one after the other neither would ever answer.
    """
    meeting = threading.Barrier(2)

    def meet() -> Answer:
        meeting.wait(20)
        return Answer(Verdict.OK, "Met.")

    report = run([Check("one", meet, 30), Check("other", meet, 30)], now=NOW)

    assert Verdict.OK is report.verdict


@pytest.mark.parametrize("if_away", [Verdict.CRITICAL, Verdict.WARNING, Verdict.UNKNOWN])
def test_what_is_away_counts_as_its_check_says(if_away: Verdict) -> None:
    """
    The error's message and fix are told, and the report is as bad as the check says.
    """
    report = run([Check("gone", away, if_away=if_away), WELL], now=NOW)

    answer = report.of("gone").answer
    assert (if_away, "Nobody there.", "Start it.") == (answer.verdict, answer.message, answer.fix)
    assert if_away is report.verdict


def test_a_bug_in_a_check_is_unknown_and_tells_no_secret() -> None:
    """
    The others are still told; a foreign exception's text may hold a password.
    """
    report = run([Check("buggy", broken, if_away=Verdict.WARNING), WELL], now=NOW)

    assert Verdict.UNKNOWN is report.verdict
    assert "ZeroDivisionError" in report.of("buggy").answer.message
    assert "secret" not in str(report.as_json())


def test_unknown_is_never_success() -> None:
    """
    Trouble outranks a doubt, a doubt outranks a warning, and no check at all is a doubt.
    """
    assert Verdict.CRITICAL is worst([Verdict.UNKNOWN, Verdict.CRITICAL, Verdict.OK])
    assert Verdict.UNKNOWN is worst([Verdict.UNKNOWN, Verdict.WARNING, Verdict.OK])
    assert Verdict.UNKNOWN is worst([])
    assert Verdict.UNKNOWN is run([], now=NOW).verdict


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.9, Verdict.OK), (1, Verdict.WARNING), (4.9, Verdict.WARNING), (5, Verdict.CRITICAL)],
)
def test_a_measure_reaches_its_bounds(value: float, verdict: Verdict) -> None:
    """
    Exactly on a bound is trouble already.
    """
    assert verdict is Measure("wait_s", value, 1, 5).judged()


def test_every_check_is_there() -> None:
    """
    What DESIGN.md and CRITICAL_PATHS.md want looked at has a check of its own.
    """
    assert FACTS.keys() <= set(CHECKS)
    assert {"database", "payment_gateway", "cache", "circuit_breakers"} <= set(CHECKS)
    with pytest.raises(ValueError, match="worker"):
        fact("worker")(FACTS["worker"])


def test_a_check_that_does_not_exist_is_refused() -> None:
    """
    A typing mistake in a cron job must not look like health.
    """
    with pytest.raises(Exception, match="no health check 'databas'"):
        check_health(only=["databas"])


def report_of(*checks: Check) -> HealthReport:
    return run(checks, now=NOW)


def test_nagios_reads_it() -> None:
    """
    One status line with performance data by name and unit, then a line for each trouble.
    """
    slow = Answer(Verdict.WARNING, "Slow | very.", measures=(Measure("commit_s", 0.75, 0.5, 2),))
    size = Answer(Verdict.OK, "Room.", measures=(Measure("disk_free_bytes", 1024.0),))

    first, *rest = lines(report_of(Check("write", lambda: slow), Check("disk", lambda: size)))

    assert (
        "PADELOPS WARNING - 1 warning: write: Slow / very."
        " | write.commit_s=0.75s;0.5;2 disk.disk_free_bytes=1024B" == first
    )
    assert ["WARNING write: Slow / very."] == rest
    assert "PADELOPS OK - 1 checks in" in next(lines(report_of(WELL)))
