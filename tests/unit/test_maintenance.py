"""
The maintenance plan holds every item of CRITICAL_PATHS.md, and says honestly who does it and when.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError

import padelops.ops.maintenance_tasks  # noqa: F401 - fills WORK
from padelops.adapters.dead_man import ping
from padelops.errors import InvalidInput, OutputFailed
from padelops.ops.error_log import summed
from padelops.ops.maintenance_export import cron, systemd
from padelops.ops.maintenance_metrics import exposition
from padelops.ops.maintenance_plan import Plan, Standing, the_plan
from padelops.ops.maintenance_report import KeptReport
from padelops.ops.maintenance_results import Due
from padelops.ops.maintenance_work import WORK, Finding, task
from padelops.ops.verdict import Verdict
from padelops.ops.whole_files import write_whole
from padelops.store.operator_runs import OperatorRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)

ITEMS = {
    "daily": {
        "health_report", "performance_metric_review", "error_log_analysis", "cache_optimization",
    },
    "weekly": {
        "critical_path_performance_review", "circuit_breaker_statistics", "load_test_results",
        "security_audit",
    },
    "monthly": {
        "full_system_performance_review", "dependency_analysis_update",
        "disaster_recovery_testing", "documentation_updates",
    },
    "quarterly": {
        "critical_path_optimization", "technology_stack_evaluation", "scalability_planning",
        "team_training_updates",
    },
}  # fmt: skip
"""Source: CRITICAL_PATHS.md, "Maintenance schedules"."""

ELSEWHERE = {
    "daily/delivery_report", "daily/audit_verification", "daily/integrity_check",
    "weekly/level_3_incidents", "monthly/chaos_engineering",
}  # fmt: skip
"""Source: CRITICAL_PATHS.md, paths 6, 7 and 9 ("Check"), escalation matrix, chaos engineering."""


@pytest.mark.parametrize("schedule", ITEMS)
def test_every_item_of_the_schedules_is_there(schedule: str) -> None:
    """
    Nothing that CRITICAL_PATHS.md lists is forgotten.
    """
    planned = {name.partition("/")[2] for name in the_plan().of(schedule)}

    assert set() == ITEMS[schedule] - planned


def test_items_of_other_headings_are_there() -> None:
    """
    "Daily audit verification" stands at its path, not under the schedules.
    """
    assert set() == ELSEWHERE - set(the_plan().tasks)


def test_a_machines_task_has_its_work_and_no_work_is_idle() -> None:
    """
    What is planned for a machine can be run; what can be run is planned.
    """
    machine = {name for name, item in the_plan().tasks.items() if item.who == "machine"}

    assert set() == machine - set(WORK)
    assert set() == set(WORK) - set(the_plan().tasks)


def test_what_no_machine_has_tried_needs_a_person() -> None:
    """
    A load test, a recovery and an experiment that did not run can never look done.
    """
    honest = ("weekly/load_test_results", "monthly/disaster_recovery_testing")

    assert {"person"} == {the_plan().tasks[name].who for name in honest}
    assert set() == set(honest) & set(WORK)


def test_two_works_of_one_name_are_refused() -> None:
    """
    The second would silently take the place of the first.
    """
    with pytest.raises(ValueError, match="two functions"):
        task("daily/health_report")(lambda _: Finding(Verdict.OK, ""))


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": {"yearly/party": {"title": "Party", "who": "machine"}}},
        {"tasks": {"daily/look": {"title": "Look", "who": "person"}}},
        {"tasks": {"daily/look": {"title": "Look", "who": "nobody"}}},
        {"tasks": {"daily/look": {"title": "Look", "who": "machine", "when": "soon"}}},
    ],
)
def test_a_plan_that_contradicts_itself_does_not_load(change: dict[str, Any]) -> None:
    """
    No schedule, nothing to look at, nobody to do it, a word nobody knows: refused.
    """
    with pytest.raises(ValidationError):
        Plan.model_validate(the_plan().model_dump() | change)


def standing(name: str, days: float, *, done: bool = True) -> Standing:
    at = NOON - timedelta(days=days)
    plan = the_plan()
    return Standing(name, plan.tasks[name], plan.schedule_of(name), at if done else None, at, NOON)


@pytest.mark.parametrize(
    ("name", "days", "state", "verdict"),
    [
        ("daily/health_report", 0.9, "fresh", Verdict.OK),
        ("daily/health_report", 1, "due", Verdict.OK),
        ("daily/health_report", 1 + 2 / 24, "due", Verdict.OK),
        ("daily/health_report", 1.1, "late", Verdict.WARNING),
        ("daily/health_report", 2, "late", Verdict.CRITICAL),
        ("weekly/security_audit", 7.5, "due", Verdict.OK),
        ("weekly/security_audit", 8.1, "late", Verdict.WARNING),
        ("weekly/security_audit", 70, "late", Verdict.WARNING),
        ("quarterly/team_training_updates", 92, "due", Verdict.OK),
        ("quarterly/team_training_updates", 100, "late", Verdict.WARNING),
    ],
)
def test_late_is_past_the_grace(name: str, days: float, state: str, verdict: Verdict) -> None:
    """
    A machine that missed two turns has stopped; a person who did is only late.
    """
    found, never = standing(name, days), standing(name, days, done=False)

    assert (state, verdict) == (found.state, found.verdict)
    assert (state, verdict) == (never.state, never.verdict)


# --- the error log -------------------------------------------------------------------------------

LOG = """\
2026-11-28 11:00:00.000 UTC [7] FATAL:  too old to count
2026-11-30 10:00:00.001 UTC [7] LOG:  checkpoint complete
2026-11-30 10:00:01.002 UTC [7] ERROR:  duplicate key value violates unique constraint "a"
2026-11-30 10:00:01.002 UTC [7] DETAIL:  Key (email)=(eva@example.com) already exists.
2026-11-30 10:00:02.003 UTC [8] ERROR:  duplicate key value violates unique constraint "b"
2026-11-30 10:00:03.004 UTC [9] FATAL:  terminating connection due to administrator command
2026-11-30 10:00:04.005 UTC [9] PANIC:  could not write to file "pg_wal/xlogtemp.9": No space left
not a line of a log
"""


def test_lines_that_differ_in_values_are_one_kind() -> None:
    """
    Two keys twice are one line in the report, and nobody's data is repeated in it.
    """
    found = summed(LOG.splitlines(), since=NOON - timedelta(days=1))

    assert {"ERROR": 2, "PANIC": 1} == found["levels"]
    assert {
        "level": "ERROR",
        "message": "duplicate key value violates unique constraint …",
        "times": 2,
    } == found["kinds"][0]
    assert "eva@example.com" not in str(found)


# --- metrics -------------------------------------------------------------------------------------


def kept(task: str = "daily/health_report", **changes: Any) -> OperatorRun:
    run = OperatorRun(
        id=1, run_id=UUID(int=7), action="maintenance", task=task, started_at=NOON,
        ended_at=NOON + timedelta(seconds=2), outcome="warning", summary="15 checks",
        actor="ana", host="h", pid=7, evidence={"checks": []},
    )  # fmt: skip
    return replace(run, **changes)


def metrics() -> str:
    standings = (
        standing("daily/health_report", 0.5),
        standing("daily/delivery_report", 3, done=False),
    )
    return exposition(
        Due(NOON, standings),
        {
            "daily/health_report": kept(),
            "weekly/security_audit": kept(outcome="abandoned", ended_at=None),
        },
    )


def test_what_was_never_done_has_no_success_but_is_late() -> None:
    """
    A timestamp of 0 would be a lie that some alerts take for long ago, and others for fine.
    """
    lines = metrics().splitlines()
    name = "padel_maintenance_last_success_timestamp_seconds"

    assert (
        f'{name}{{task="daily/health_report"}} {(NOON - timedelta(days=0.5)).timestamp():.0f}'
        in lines
    )
    assert [] == [line for line in lines if line.startswith(name) and "delivery" in line]
    assert 'padel_maintenance_task_late{task="daily/delivery_report"} 1' in lines
    assert 'padel_maintenance_verdict{task="daily/health_report"} 1' in lines
    assert 'padel_maintenance_verdict{task="weekly/security_audit"} 3' in lines
    assert 'padel_maintenance_duration_seconds{task="daily/health_report"} 2' in lines


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_metrics() -> None:
    """
    What node_exporter is to read is what Prometheus' own tool calls well-formed.
    """
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=metrics(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """
    A write that fails in the middle is told, and nobody reads half a file.
    """
    path = tmp_path / "x.prom"
    write_whole(path, "old\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OutputFailed, match=str(path)):
            write_whole(path, "new\n" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "old\n" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


# --- reports -------------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script> | `rm` [x](javascript:y)"


def test_a_report_takes_nothing_for_markup() -> None:
    """
    A server's message, or a login, must not become a script in a manager's browser.
    """
    run = kept(summary=HOSTILE, actor=HOSTILE, evidence={"message": f"```\n{HOSTILE}"})
    whole = kept("daily", actor=HOSTILE, evidence={"waiting_for_a_person": [HOSTILE]})
    report = KeptReport(whole, (run,), the_plan())
    page, text = report.html(), report.markdown()

    assert "<script" not in page
    assert "<script" not in text.partition("```json")[0]
    row = next(line for line in text.splitlines() if line.startswith("| Health"))
    assert 4 == row.replace("\\|", "").count("|")
    assert 2 == text.count("```")


# --- cron and systemd ----------------------------------------------------------------------------

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@pytest.mark.parametrize("user", [None, "padelops"])
def test_cron_lines_can_be_read_by_cron(user: str | None) -> None:
    """
    Five fields within their bounds, the account where there is one, a command that sh can parse.
    """
    lines = [
        line
        for line in cron(the_plan(), "/opt/50% off/padelops", user=user).splitlines()
        if not line.startswith("#") and "=" not in line.split()[0]
    ]

    assert 5 == len(lines)
    for line in lines:
        *fields, rest = line.split(maxsplit=5)
        for field, (least, most) in zip(fields, BOUNDS, strict=True):
            assert field == "*" or all(least <= int(n) <= most for n in field.split(","))
        if user:
            account, rest = rest.split(maxsplit=1)
            assert user == account
        assert "\\%" in rest
        assert "%" not in rest.replace("\\%", "")
        command = rest.replace("\\%", "%")
        assert 0 == subprocess.run(["sh", "-n", "-c", command], check=False).returncode
        assert command.endswith(" --quiet")


def test_a_cron_line_runs_what_it_names(tmp_path: Path) -> None:
    """
    The command is run by sh as cron does it: with the path's blanks, and without an environment.
    """
    program = tmp_path / "pa del"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    line = next(x for x in cron(the_plan(), str(program)).splitlines() if "run daily" in x)
    done = subprocess.run(
        ["/bin/sh", "-c", line.split(maxsplit=5)[5]],
        env={}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (0, "maintenance run daily --quiet\n", "") == (
        done.returncode,
        done.stdout,
        done.stderr,
    )


@pytest.mark.needs("systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """
    The tool that comes with systemd finds nothing to say about the services and timers.
    """
    program = shutil.which("true") or "/bin/true"
    units = systemd(the_plan(), program, user="root")
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    # A template is checked as one of its instances.
    template = tmp_path / "padelops-maintenance@.service"
    instance = tmp_path / "padelops-maintenance@daily.service"
    instance.write_text(template.read_text())
    names = [tmp_path / name for name in units if not name.endswith("@.service")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", instance, *names],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    said = [
        line for line in done.stderr.splitlines() if str(tmp_path) in line or "padelops" in line
    ]

    assert (0, []) == (done.returncode, said)


def test_a_path_is_quoted_for_systemd() -> None:
    """
    `%` and `$` mean something to systemd; in a path they are letters.
    """
    unit = systemd(the_plan(), "/opt/a %b $c/padelops")["padelops-maintenance@.service"]

    assert 'ExecStart="/opt/a %%b $$c/padelops" maintenance run %i --quiet' in unit.splitlines()


@pytest.mark.parametrize(
    ("program", "user"),
    [("padelops", None), ("/bin/x\nExecStartPre=/bin/y", None), ("/bin/x", "root; reboot")],
)
def test_what_would_write_another_unit_is_refused(program: str, user: str | None) -> None:
    """
    Neither a path nor an account can smuggle in a line of its own.
    """
    for export in (cron, systemd):
        with pytest.raises(InvalidInput):
            export(the_plan(), program, user=user)


# --- the dead man's switch -----------------------------------------------------------------------


@contextmanager
def switch(status: int = 200) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A real HTTP server, and what it was told: path and body."""
    told: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            told.append((self.path, body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hush/{{schedule}}?rid=1", told
    finally:
        server.shutdown()
        server.server_close()


def test_the_switch_is_told_how_it_went() -> None:
    """
    The address itself for success, `/fail` behind its path for failure.
    """
    with switch() as (address, told):
        answers = [
            ping(SecretStr(address), "daily", well=well, line="7 tasks") for well in (True, False)
        ]

    assert [None, None] == answers
    assert [("/hush/daily?rid=1", "7 tasks"), ("/hush/daily/fail?rid=1", "7 tasks")] == told


@pytest.mark.parametrize(("status", "times"), [(500, 3), (404, 1)])
def test_a_switch_that_refuses_is_told_of(status: int, times: int) -> None:
    """
    Tried again where that may help; the address, which is a secret, is not repeated.
    """
    with switch(status) as (address, told):
        problem = ping(SecretStr(address), "daily", well=True, line="")

    assert times == len(told)
    assert f"127.0.0.1 answered the ping with {status}" == problem


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/hush", "hush", "ftp://host/hush", "http://[hush", "http://a\nb/hush"],
)
def test_a_switch_that_is_away_or_no_address(address: str) -> None:
    """
    A reason in words, never an exception, never the secret.
    """
    problem = ping(SecretStr(address), "daily", well=True, line="")

    assert problem is not None
    assert "hush" not in problem
