"""
`padelops runbook` as somebody paged at 3 a.m. meets it, and the names in CRITICAL_PATHS.md.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from testbed.gateway_peers import kept_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops import Desk

SCRIPTS = Path(__file__).parents[2] / "scripts"


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    return kept_environment() | {
        "PADELOPS_DATABASE_URL": database_url,
        "PADELOPS_HOME": str(tmp_path / "home"),
        "PADELOPS_ACTOR": "ana",
        "PADELOPS_LEVEL1_BUDGET_MS": "5000",
        "COLUMNS": "60",
    }


@pytest.fixture
def program(environment: dict[str, str]) -> Callable[..., Ended]:
    """`padelops runbook`, without a terminal."""

    def run(*arguments: str, **changes: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "padelops", "runbook", *arguments],
            env=environment | changes,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=100,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def test_a_step_that_fails_ends_with_6_and_a_rerun_goes_on(
    program: Callable[..., Ended], desk: Desk
) -> None:
    """
    It says what was done and what is left; what stood in the way is mended, and the rerun ends.
    """
    with desk.worker() as worker:
        worker.until_idle(lambda: False)
    stopped = program("run", "restart_service", "--yes", "--json", PADELOPS_RESTART_COMMAND="false")
    resumed = program("run", "restart_service", "--yes", PADELOPS_RESTART_COMMAND="true")

    assert 6 == stopped.code
    assert ["database"] == stopped.document["error"]["done"]
    assert ["api", "worker", "verify"] == stopped.document["error"]["left"]
    assert "s left:" in stopped.err
    assert "Run it again to go on there." in stopped.err
    assert 0 == resumed.code, resumed.err
    assert "done earlier" in resumed.err
    assert "of 120." in resumed.out


def test_without_a_terminal_what_is_risky_needs_yes(
    program: Callable[..., Ended], tmp_path: Path
) -> None:
    """
    Refused at once, with the flag, before anything was looked at.
    """
    refused = program("run", "database_down")

    assert 5 == refused.code
    assert "--yes" in refused.err
    assert not (tmp_path / "home").exists()


def test_a_dry_run_needs_no_yes_and_writes_nothing(
    program: Callable[..., Ended], tmp_path: Path
) -> None:
    """
    Each check says what it sees, and the commands stand beside it.
    """
    told = program("run", "database_down", "--dry-run", "--json")

    assert 0 == told.code, told.err
    steps = {step["step"]: step["outcome"] for step in told.document["steps"]}
    assert {"see": "holds", "start": "holds", "promote": "holds"}.items() <= steps.items()
    assert not (tmp_path / "home" / "runbooks").exists()


def test_a_runbook_is_read_without_a_database(
    program: Callable[..., Ended], tmp_path: Path
) -> None:
    """
    List, show and render need nothing but the program; a page has every command.
    """
    nowhere = {"PADELOPS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    listed = program("list", **nowhere)
    shown = program("show", "worker_stopped", **nowhere)
    rendered = program("render", "--to", str(tmp_path / "pages"), **nowhere)
    missing = program("show", "payment_failure_rate", **nowhere)

    assert [0, 0, 0, 1] == [one.code for one in (listed, shown, rendered, missing)]
    assert "payments_failing" in listed.out
    assert all(len(line) <= 60 for line in shown.out.splitlines())
    assert "systemctl restart padelops-worker" in shown.out
    page = (tmp_path / "pages" / "database_down.md").read_text()
    assert "$ padelops runbook run database_down" in page
    assert "(database_down.md)" in (tmp_path / "pages" / "index.md").read_text()
    assert "Did you mean payments_failing?" in missing.err


def test_quiet_says_nothing_where_all_went_well(program: Callable[..., Ended]) -> None:
    """
    For cron: silence on success.
    """
    done = program("run", "error_budget", "--quiet")

    assert (0, "", "") == (done.code, done.out, done.err)


def test_a_person_at_a_terminal_is_asked(environment: dict[str, str]) -> None:
    """
    What to look at, the commands, and a question; the answer is written down.
    """
    parent, child = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "padelops", "runbook", "run", "breaker_open"],
        env=environment | {"TERM": "dumb"},
        stdin=child,
        stdout=subprocess.PIPE,
        stderr=child,
        encoding="utf-8",
    )
    os.close(child)
    said = b""
    while b"stop" not in said:
        said += os.read(parent, 4096)
    os.write(parent, b"d\n")
    out, _ = running.communicate(timeout=60)
    os.close(parent)

    assert 0 == running.returncode
    assert b"Look at: Who opened it" in said, said
    assert b"$ padelops breakers list" in said
    assert "ana says so" in " ".join(out.split())


@pytest.mark.parametrize(
    ("script", "runbook"),
    [
        ("failover_database.sh", "database_down"),
        ("validate_reservations_module.sh", "full_system_check"),
    ],
)
def test_the_names_of_critical_paths_lead_to_the_runbooks(
    environment: dict[str, str], script: str, runbook: str
) -> None:
    """
    Whoever types what CRITICAL_PATHS.md says gets what padelops does, with its flags.
    """
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        [SCRIPTS / script, "--dry-run", "--json"],
        env=environment | {"PATH": path},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert runbook == json.loads(done.stdout)["runbook"]


@pytest.mark.needs("systemd-analyze")
def test_the_units_that_runbooks_restart_are_ones_that_systemd_takes(tmp_path: Path) -> None:
    """
    Under the names that the runbooks use; only the program's place is this machine's.
    """
    books = Path(__file__).parents[2] / "alerts" / "runbooks"
    restarted = {
        step["with"]["service"]
        for book in books.glob("*.yaml")
        for step in yaml.safe_load(book.read_text(encoding="utf-8"))["steps"]
        if step.get("do") == "service.restart"
    }
    units = []
    for service in sorted(restarted):
        text = (SCRIPTS / f"{service}.service").read_text(encoding="utf-8")
        unit = tmp_path / f"{service}.service"
        unit.write_text(text.replace("/usr/local/bin/padelops", str(shutil.which("sh"))))
        units.append(unit)
    found = subprocess.run(
        ["systemd-analyze", "verify", *units],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert (0, "") == (found.returncode, found.stderr)
