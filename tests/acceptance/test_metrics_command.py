"""`padelops metrics` and `survey`: at a terminal, for cron, for Prometheus, with nothing to ask."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from padelops.ops.metrics import INDICATORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT18:00")
NOWHERE = "postgresql://padelops:hush-hush@127.0.0.1:1/padelops"


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(database_url: str) -> Callable[..., Ended]:
    """Run `padelops` on this test's database, or on the one that a keyword names."""

    def run(*arguments: str, url: str = database_url, **environ: str) -> Ended:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-m", "padelops", *arguments],
            env=kept | {"LANG": "C.UTF-8", "PADELOPS_DATABASE_URL": url} | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def test_commands_that_end_at_once_are_counted_all_the_same(run: Callable[..., Ended]) -> None:
    """
    Each flushes when it ends; the next one shows it, by the names that alerts use.
    """
    assert 0 == run("book", "centro/2", TOMORROW, "--player", "Ana Ruiz").code
    assert 1 == run("book", "centro/2", TOMORROW, "--player", "Eva Gil").code
    assert 0 == run("survey", "1", "4").code
    shown = run("metrics")
    told = json.loads(run("metrics", "padel_operations_total", "--json").out)["indicators"][0]
    counted = {tuple(one["labels"].values()): one["value"] for one in told["samples"]}

    assert (0, "") == (shown.code, shown.err)
    assert "Critical paths, the last 5 minutes" in shown.out
    assert "padel_survey_score" in shown.out
    assert (1, 1) == (counted["creation", "ok"], counted["creation", "refused"])


def test_json_says_what_a_program_must_know(run: Callable[..., Ended]) -> None:
    """
    One document: unit, rhythm, path, level, and null for what is unknown.
    """
    document = json.loads(run("metrics", "payment_success_rate", "--json").out)
    (one,) = document["indicators"]

    assert (1, [], "padel_payment_success_ratio") == (
        document["schema_version"],
        document["unread"],
        one["name"],
    )
    assert ("ratio", 30, 300, "payments", 1) == tuple(
        one[fact] for fact in ("unit", "rhythm_s", "window_s", "path", "level")
    )
    assert [None] == [sample["value"] for sample in one["samples"]]


def test_it_can_be_read_in_sixty_columns(run: Callable[..., Ended]) -> None:
    """
    No line is longer than the terminal, no control code in a pipe.
    """
    shown = run("metrics", COLUMNS="60", NO_COLOR="1")

    assert 0 == shown.code
    assert 60 >= max(map(len, shown.out.splitlines()))
    assert "\x1b" not in shown.out


def test_a_database_that_is_down_is_told_once_and_is_no_success(
    run: Callable[..., Ended], tmp_path: Path
) -> None:
    """
    Exit 8; what is still known is shown, Prometheus hears `padel_up 0`, and nobody the password.
    """
    file = tmp_path / "padelops.prom"
    table, text, written = (
        run("metrics", *arguments, url=NOWHERE)
        for arguments in ((), ("--format", "prometheus"), ("--textfile", str(file), "--quiet"))
    )

    assert {8} == {table.code, text.code, written.code}
    assert 1 == table.out.count("The database is down.")
    assert "padel_up" in table.out
    assert "padel_double_bookings" not in table.out
    assert "\npadel_up 0\n" in text.out
    assert "\npadel_up 0\n" in file.read_text()
    assert all("database_unavailable" in ended.err for ended in (table, text, written))
    assert all("hush" not in ended.out + ended.err for ended in (table, text, written))


def test_a_textfile_is_whole_readable_and_quiet(run: Callable[..., Ended], tmp_path: Path) -> None:
    """
    As node_exporter's textfile collector wants it, from cron: nothing said, nothing left beside it.
    """
    file = tmp_path / "padelops.prom"
    file.write_text("old")
    ended = run("metrics", "--textfile", str(file), "--quiet")

    assert (0, "", "") == (ended.code, ended.out, ended.err)
    assert file.read_text().startswith("# HELP padel_")
    assert file.read_text().endswith("\n")
    assert 0o644 == stat.S_IMODE(file.stat().st_mode)
    assert [file] == list(tmp_path.iterdir())


def test_a_textfile_that_cannot_be_written_leaves_the_old_one(
    run: Callable[..., Ended], tmp_path: Path
) -> None:
    """
    A wrong name is refused before anything is asked; a folder that is not there is told.
    """
    named = run("metrics", "--textfile", str(tmp_path / "metrics.txt"))
    gone = run("metrics", "--textfile", str(tmp_path / "gone" / "padelops.prom"))

    assert (2, 8) == (named.code, gone.code)
    assert ".prom" in named.err
    assert "output_failed" in gone.err
    assert [] == list(tmp_path.iterdir())


def test_the_dashboard_is_what_grafana_imports(run: Callable[..., Ended]) -> None:
    """
    Without a database: it is made of the registry alone.
    """
    board = json.loads(run("metrics", "--format", "grafana", url=NOWHERE).out)

    assert ("padelops", "30s") == (board["uid"], board["refresh"])
    assert {"Primary: every 30 seconds", "Secondary: every 5 minutes"} == {
        panel["title"] for panel in board["panels"] if panel["type"] == "row"
    }


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("metrics", "booking_conflict"), 2, "There is no indicator 'booking_conflict'"),
        (("metrics", "--rhythm", "hourly"), 2, "hourly"),
        (("metrics", "--format", "prometheus", "--json"), 2, "--json"),
        (("survey", "1", "6"), 2, "from 1 to 5"),
        (("survey", "4711", "5"), 1, "no reservation 4711"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    run: Callable[..., Ended], arguments: tuple[str, ...], code: int, told: str
) -> None:
    """
    And names what to do instead.
    """
    ended = run(*arguments)

    assert code == ended.code
    assert told in ended.err
    assert 1 == len(ended.err.splitlines())


def test_what_is_called_by_its_name_can_be_asked_for(run: Callable[..., Ended]) -> None:
    """
    Every name and alias; so an alert's condition can be tried by hand.
    """
    names = [name for one in INDICATORS.values() for name in (one.name, *one.aliases)]
    document = json.loads(run("metrics", *names, "--json").out)

    assert list(INDICATORS) == [one["name"] for one in document["indicators"]]
