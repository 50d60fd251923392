"""
Objectives from what was really counted, and the command that shows them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from padelops.booking.operations import Outcome
from padelops.errors import CourtTaken, NotFound, OutcomeUnknown, Unavailable
from padelops.ops.slo import PERIOD_S, Objectives, Standing, objectives
from padelops.ops.verdict import Verdict
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from padelops.wiring import Desk
    from testbed.clock import Clock


def count(desk: Desk, clock: Clock, at: datetime, good: int, bad: int, took_s: float) -> None:
    """So many bookings ended at that time, and were written down."""
    now, clock.at = clock.at, at
    for _ in range(good):
        desk.counts.took("creation", Outcome.OK, "", took_s)
    for _ in range(bad):
        desk.counts.took("creation", Outcome.UNAVAILABLE, "court_busy", took_s)
    desk.counts.flush(desk.database)
    clock.at = now


def flushed(desk: Desk) -> bool:
    with suppress(Unavailable, OutcomeUnknown):
        desk.counts.flush(desk.database)
        return True
    return False


def of(found: Objectives, path: str, kind: str) -> Standing:
    return next(
        s for s in found.standings if (s.promise.path.module, s.promise.kind) == (path, kind)
    )


def test_an_outage_burns_the_budget_and_a_taken_court_does_not(
    desk: Desk, another_desk: Callable[..., Desk], outage: Callable[[], Any]
) -> None:
    """
    Six bookings that nobody could answer page; one that lost its court to another is an answer.
    """
    desk.book("centro/2", "2026-12-04T18:00", player="Ana")
    with pytest.raises(CourtTaken):
        desk.book("centro/2", "2026-12-04T18:00", player="Leo")
    desk.counts.flush(desk.database)
    before = of(objectives(desk.bulk, now=desk.now()), "creation", "answered")
    with outage():
        for hour in range(10, 16):
            with pytest.raises((Unavailable, OutcomeUnknown)):
                desk.book("centro/3", f"2026-12-04T{hour}:00", player="Eva")
    until(lambda: flushed(desk))  # the pool finds out that its connections are dead
    found = objectives(another_desk().bulk, now=desk.now())
    after = of(found, "creation", "answered")

    assert (2, 0) == (before.whole.calls, before.whole.bad)
    assert (8, 6, "page") == (after.whole.calls, after.whole.bad, after.state)
    assert Verdict.CRITICAL == found.verdict


def test_each_window_counts_its_own_time(desk: Desk, clock: Clock) -> None:
    """
    Trouble of two hours ago is in the six hours, and neither in the last hour nor out of the month.
    """
    now = clock.at
    count(desk, clock, now - timedelta(hours=2, minutes=30), 100, 20, 0.1)
    count(desk, clock, now - timedelta(minutes=2), 100, 0, 3.0)
    count(desk, clock, now - timedelta(days=31), 0, 1000, 0.1)
    found = objectives(desk.bulk, now=now, paths=["creation"])
    answered, in_time = found.standings

    assert (220, 20) == (answered.whole.calls, answered.whole.bad)
    assert (100, 0) == (answered.windows[3600].calls, answered.windows[3600].bad)
    assert (220, 20) == (answered.windows[21_600].calls, answered.windows[21_600].bad)
    assert (200, 100) == (in_time.whole.calls, in_time.whole.bad)
    assert "page" == in_time.state


def test_the_course_ends_where_the_budget_stands(desk: Desk, clock: Clock) -> None:
    """
    Day by day from a full budget to what is left now; unknown before the first operation.
    """
    now = clock.at
    count(desk, clock, now - timedelta(days=10), 30_000, 0, 0.1)
    count(desk, clock, now - timedelta(days=5), 0, 1, 0.1)
    count(desk, clock, now, 0, 1, 0.1)
    found = of(objectives(desk.bulk, now=now), "creation", "answered")

    assert 30 == len(found.course)
    assert [None] * 19 == list(found.course[:19])
    assert 1.0 == found.course[20]
    assert found.course[26] == pytest.approx(1 - 1 / 3, abs=1e-3)
    assert found.course[-1] == pytest.approx(found.budget_left)
    assert PERIOD_S in found.windows


def test_an_unknown_path_is_refused(desk: Desk) -> None:
    """
    A typing mistake must not look like an objective that is kept.
    """
    with pytest.raises(NotFound, match="no critical path 'createon'"):
        objectives(desk.bulk, now=desk.now(), paths=["createon"])


@pytest.fixture
def slo(database_url: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `padelops slo` on this test's database."""

    def slo(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        names = ("PATH", "HOME", "PYTHONPATH")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "padelops", "slo", *arguments],
            env=kept | {"LANG": "C.UTF-8", "PADELOPS_DATABASE_URL": database_url} | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return slo


def test_the_command_judges_and_draws(
    desk: Desk, clock: Clock, slo: Callable[..., Any], tmp_path: Path, psql: Any
) -> None:
    """
    Kept is 0, a budget that burns is 2 and says since when; pictures are a PNG and an SVG.
    """
    now = psql.execute("SELECT clock_timestamp()").fetchone()[0]
    count(desk, clock, now, 100, 0, 0.1)
    kept = slo("creation", "--plot", str(tmp_path / "b.png"))
    partly = slo()
    count(desk, clock, now, 0, 50, 0.1)
    burning = slo("creation", "--plot", str(tmp_path / "b.svg"), COLUMNS="60", LC_ALL="C")

    assert (0, 2) == (kept.returncode, burning.returncode)
    assert kept.stdout.endswith("Objectives: ok.\n")
    assert partly.stdout.endswith("Judged: 2 of 18; too little happened for the rest.\n")
    assert "spent" in burning.stdout
    assert "-999%" not in burning.stdout
    assert "█" in kept.stdout
    assert "creation, answered: page. The budget burns" in burning.stdout
    assert "(50 of 150 bad)" in burning.stdout
    assert burning.stdout.isascii()
    assert b"\x89PNG" == (tmp_path / "b.png").read_bytes()[:4]
    assert "svg" in ET.parse(tmp_path / "b.svg").getroot().tag
    assert 2 == len(list(tmp_path.iterdir()))


def test_the_command_says_what_it_cannot_know(
    slo: Callable[..., Any], outage: Callable[[], Any], tmp_path: Path
) -> None:
    """
    No traffic and no database are both 3, a picture of no kind is refused before anything is asked.
    """
    quiet = slo()
    picture = slo("--plot", str(tmp_path / "b.gif"))
    with outage():
        away = slo("--json")

    assert (3, 2, 3) == (quiet.returncode, picture.returncode, away.returncode)
    assert "no traffic" in quiet.stdout
    assert '"not_checked"' in away.stdout
