"""
`padelops health` as an engineer at 3 a.m., a cron job and Nagios see it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops import Desk
    from padelops.adapters.embedded_postgres import EmbeddedPostgres

QUICK = ["--check", "database", "--check", "schema", "--check", "cache"]
NOWHERE = "postgresql://ana:s3cret@127.0.0.1:1/padelops"


@pytest.fixture
def environ(database_url: str, tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return kept | {
        "LANG": "C.UTF-8",
        "PADELOPS_DATABASE_URL": database_url,
        "PADELOPS_HOME": str(tmp_path),
    }


@pytest.fixture
def run(environ: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `padelops health`."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "padelops", "health", "--deadline", "30", *arguments],
            env=environ | changes, stdin=subprocess.DEVNULL,
            capture_output=True, encoding="utf-8", timeout=60, check=False,
        )  # fmt: skip

    return run


def test_a_whole_house(run: Callable[..., Any]) -> None:
    """
    Exit status 0, one document, and for cron nothing at all.
    """
    shown = run("--json", *QUICK)
    document = json.loads(shown.stdout)

    assert (0, "") == (shown.returncode, shown.stderr)
    assert "ok" == document["verdict"]
    assert ["database", "schema", "cache"] == [one["check"] for one in document["checks"]]
    assert (0, "", "") == (
        (quiet := run("--quiet", *QUICK)).returncode,
        quiet.stdout,
        quiet.stderr,
    )


def test_the_database_is_down(run: Callable[..., Any]) -> None:
    """
    Acceptance 26: critical, with host and reason; the others are still asked; no password.
    """
    shown = run("--quiet", PADELOPS_DATABASE_URL=NOWHERE)

    assert 2 == shown.returncode
    assert "127.0.0.1" in shown.stdout
    assert "refused" in shown.stdout
    assert "delivery          ok" in shown.stdout
    assert "schema            unknown" in shown.stdout
    assert "s3cret" not in shown.stdout + shown.stderr


@contextmanager
def stopped(server: EmbeddedPostgres) -> Iterator[None]:
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_postmaster_is_stopped(
    run: Callable[..., Any], postgres_server: EmbeddedPostgres
) -> None:
    """
    Acceptance 26: critical within the deadline, also for Nagios.
    """
    with stopped(postgres_server):
        shown = run("--deadline", "1", "--format", "nagios", *QUICK)

    assert 2 == shown.returncode
    assert shown.stdout.startswith("PADELOPS CRITICAL - ")


def test_nagios_gets_its_numbers(run: Callable[..., Any]) -> None:
    """
    A bar, then label=value with units and bounds.
    """
    shown = run("--format", "nagios", *QUICK)

    assert 0 == shown.returncode
    status, _, numbers = shown.stdout.partition(" | ")
    assert status.startswith("PADELOPS OK - 3 checks in ")
    assert numbers.startswith("database.connect_s=0.")


def test_a_cache_that_is_down_is_a_warning(run: Callable[..., Any]) -> None:
    """
    Acceptance 27.
    """
    shown = run(*QUICK, PADELOPS_CACHE_URL="redis://127.0.0.1:1/0")

    assert 1 == shown.returncode
    assert "Bookings go on without it." in shown.stdout


def test_sixty_columns_and_plain_text(run: Callable[..., Any]) -> None:
    """
    Acceptance 44: nothing is wider, no control codes, in plain ASCII.
    """
    shown = run(
        COLUMNS="60", LC_ALL="C", TERM="dumb", PADELOPS_DATABASE_URL=NOWHERE, PADELOPS_SPOOL="/tmp"
    )

    assert 60 >= max(map(len, shown.stdout.splitlines()))
    assert shown.stdout.isascii()
    assert "\x1b" not in shown.stdout


def test_an_emergency_response_gets_the_report(
    run: Callable[..., Any], tmp_path: Path, desk: Desk
) -> None:
    """
    The command runs where the report is critical, with the report; not otherwise. One that fails is
    told, and the verdict stays.
    """
    page = (
        f"{sys.executable} -c \"import sys; open('{tmp_path}/page', 'w').write(sys.stdin.read())\""
    )
    breakers = ["--check", "circuit_breakers"]

    well = run("--on-critical", page, *breakers)
    assert (0, False) == (well.returncode, (tmp_path / "page").exists())

    desk.breakers["payment_processing"].force_open(actor="ana", reason="test")
    called = run("--on-critical", page, *breakers)
    failed = run("--on-critical", "false", *breakers)

    assert 2 == called.returncode
    assert "Responded: " in called.stderr
    assert "critical" == json.loads((tmp_path / "page").read_text())["verdict"]
    assert 2 == failed.returncode
    assert "response_failed: false failed with exit status 1." in failed.stderr


def test_watching_until_ctrl_c(environ: dict[str, str]) -> None:
    """
    Reports follow each other, each a document of its own with --json.
    """
    command = [sys.executable, "-m", "padelops", "health", "--watch", "--every", "1", "--json"]
    with subprocess.Popen(
        [*command, *QUICK], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        reports = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=30)

    assert 130 == watching.returncode
    assert ["ok", "ok"] == [report["verdict"] for report in reports]
    assert reports[0]["at"] < reports[1]["at"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--check", "databas"], "no health check 'databas'"),
        (["--formt", "nagios"], "--format"),
        (["--deadline", "0"], "0.5"),
        (["--on-critical", "'"], "cannot be read"),
    ],
)
def test_what_makes_no_sense(run: Callable[..., Any], arguments: list[str], told: str) -> None:
    """
    One line that names the fix; nothing is asked.
    """
    shown = run(*arguments)

    assert (2, "") == (shown.returncode, shown.stdout)
    assert told in shown.stderr
    assert "Traceback" not in shown.stderr
