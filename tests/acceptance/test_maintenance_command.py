"""
`padelops maintenance` as cron and a person at night meet it: silent when all is well, only then.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from padelops.ops.maintenance_metrics import FILE
from testbed.racing import waiting_on_a_lock
from testbed.rows import column, one, without_triggers
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FEW = ("--task", "daily/audit_verification", "--task", "daily/forget_old_rows")
"""Two tasks that do not mind what else is wrong here, such as that no worker runs."""


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


@dataclass
class Program:
    """`padelops` on this test's database, as ana."""

    database_url: str
    more: dict[str, str] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        names = ("PATH", "HOME", "PYTHONPATH")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        ours = {"PADELOPS_DATABASE_URL": self.database_url, "PADELOPS_ACTOR": "ana"}
        return {"env": kept | {"LANG": "C.UTF-8"} | ours | self.more, "stdin": subprocess.DEVNULL}

    def __call__(self, *arguments: str, **options: Any) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "padelops", "maintenance", *arguments],
            encoding="utf-8",
            timeout=60,
            check=False,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | self.options | options),
        )
        return Ended(done.returncode, done.stdout or "", done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "padelops", "maintenance", *arguments],
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **self.options,
        )


@pytest.fixture
def switch() -> Iterator[tuple[str, list[str]]]:
    """A dead man's switch, and the paths that were asked for."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            told.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{{schedule}}", told
    server.shutdown()
    server.server_close()


@pytest.fixture
def program(database_url: str, tmp_path: Path, switch: tuple[str, list[str]]) -> Program:
    return Program(
        database_url,
        {
            "PADELOPS_TEXTFILE_FOLDER": str(tmp_path),
            "PADELOPS_MAINTENANCE_PING_URL": switch[0],
        },
    )


@contextmanager
def held_up(psql: Any, raw: Callable[[], Any], process: subprocess.Popen[str]) -> Iterator[None]:
    """A run that has reached the audit's verification and waits there."""
    with raw() as other, other.transaction():
        other.execute("LOCK TABLE audit_seals IN ACCESS EXCLUSIVE MODE")
        until(partial(waiting_on_a_lock, psql))
        yield
    del process


def tamper(psql: Any) -> None:
    without_triggers(psql, "UPDATE audit_entries SET actor = 'nobody' WHERE id = 1")


def test_cron_hears_nothing_when_all_is_well(
    program: Program, switch: tuple[str, list[str]], tmp_path: Path, psql: Any
) -> None:
    """
    Silence, exit 0, a ping, and a fresh metrics file; the run is kept and audited.
    """
    done = program("run", "daily", *FEW, "--quiet")
    metrics = (tmp_path / FILE).read_text()

    assert Ended(0, "", "") == done
    assert ["/daily"] == switch[1]
    assert 'last_success_timestamp_seconds{task="daily/audit_verification"}' in metrics
    assert 'padel_maintenance_verdict{task="daily"} 0' in metrics
    assert [("ana", "ok")] == psql.execute(
        "SELECT actor, outcome FROM operator_runs WHERE task = 'daily'"
    ).fetchall()
    assert 1 == one(psql, "SELECT count(*) FROM audit_entries WHERE action = 'maintenance_run'")


def test_cron_hears_everything_when_something_is_found(
    program: Program, switch: tuple[str, list[str]], psql: Any
) -> None:
    """
    A forged entry: critical, the entry is named, the switch is told, the other task still ran.
    """
    program("run", "daily", *FEW)
    tamper(psql)
    done = program("run", "daily", *FEW, "--quiet")
    report = program("report", "--json").document

    assert 2 == done.code
    assert "Tampered with: 1 findings, first entry 1." in done.out
    assert "Maintenance, daily: critical." in done.out
    assert ["/daily", "/daily/fail"] == switch[1]
    assert ["critical", "ok"] == [task["outcome"] for task in report["tasks"]]
    assert "entry 1" == report["tasks"][0]["evidence"]["findings"][0]["where"]


def test_a_failing_ping_is_told_and_changes_nothing(program: Program, tmp_path: Path) -> None:
    """
    Nobody at the switch, no folder for the metrics: two lines, also with --quiet, and still 0.
    """
    program.more |= {
        "PADELOPS_MAINTENANCE_PING_URL": "http://127.0.0.1:9/hush",
        "PADELOPS_TEXTFILE_FOLDER": str(tmp_path / "nowhere"),
    }
    done = program("run", "daily", *FEW, "--quiet")

    assert (0, "") == (done.code, done.out)
    assert [
        f"{tmp_path}/nowhere/{FILE} could not be written: No such file or directory.",
        "The dead man's switch was not told: 127.0.0.1 did not take the ping (ConnectError).",
    ] == done.err.splitlines()


def test_a_full_disk_is_said_in_one_line(program: Program, psql: Any) -> None:
    """
    The report that cannot be written is told of; the run is kept, and nobody thinks it well.
    """
    tamper(psql)
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = program("run", "daily", *FEW, stdout=full)

    assert 3 == done.code
    assert 1 == len(done.err.splitlines())
    assert "No space left on device" in done.err
    assert "critical" == program("report", "--json").document["outcome"]


def test_a_reader_that_went_away(program: Program, psql: Any) -> None:
    """
    `| head -0` ends it without a traceback, as it ends other programs.
    """
    tamper(psql)
    read, write = os.pipe()
    os.close(read)
    done = program("run", "daily", *FEW, stdout=write)
    os.close(write)

    assert (128 + signal.SIGPIPE, "") == (done.code, done.err)


def test_a_second_run_is_refused_by_name(
    program: Program, switch: tuple[str, list[str]], psql: Any, raw: Callable[[], Any]
) -> None:
    """
    While one run is under way the next ends with 7, says whose it is, and pings nobody.
    """
    first = program.start("run", "daily", *FEW)
    with held_up(psql, raw, first):
        second = program("run", "weekly", "--json")
    first.communicate(timeout=60)
    error = second.document["error"]

    assert (7, "lock_held") == (second.code, error["code"])
    assert ("ana", first.pid) == (error["owner"]["actor"], error["owner"]["pid"])
    assert error["owner"]["purpose"].startswith("daily, run ")
    assert error["age_s"] >= 0
    assert ["/daily"] == switch[1]


def test_a_killed_run_is_closed_by_the_next(
    program: Program, psql: Any, raw: Callable[[], Any]
) -> None:
    """
    Kill -9 in the middle leaves no lock, and a run that is called what it is.
    """
    first = program.start("run", "daily", *FEW)
    with held_up(psql, raw, first):
        first.kill()
        first.communicate(timeout=60)
    until(lambda: not column(psql, "SELECT pid FROM pg_locks WHERE locktype = 'advisory'"))
    second = program("run", "daily", *FEW)

    assert 0 == second.code
    assert "2 tasks of a run that died in the middle were closed." in second.out
    assert ["abandoned", "abandoned"] == column(
        psql, "SELECT outcome FROM operator_runs WHERE pid = %s", first.pid
    )


def test_a_lock_lost_in_the_middle_ends_the_run(
    program: Program, switch: tuple[str, list[str]], psql: Any, raw: Callable[[], Any]
) -> None:
    """
    A failover takes the lock: what is left is not done behind somebody's back, and is named.
    """
    process = program.start("run", "daily", *FEW, "--json")
    with held_up(psql, raw, process):
        psql.execute("SELECT pg_terminate_backend(backend_pid, 5000) FROM operator_locks")
    out, _ = process.communicate(timeout=60)
    document = json.loads(out)

    assert (3, "unknown") == (process.returncode, document["verdict"])
    assert ["daily/forget_old_rows"] == document["not_run"]
    assert "lock_lost" == document["stopped"]["code"]
    assert ["/daily/fail"] == switch[1]


def test_without_a_database_a_run_is_refused_and_a_check_unknown(
    program: Program, switch: tuple[str, list[str]], outage: Callable[[], Any]
) -> None:
    """
    8 for what would have acted, 3 for what should have known; the switch hears that nothing ran.
    """
    with outage():
        ran, due = program("run", "daily"), program("due", "--json")

    assert (8, "") == (ran.code, ran.out)
    assert (3, "not_checked") == (due.code, due.document["error"]["code"])
    assert ["/daily/fail"] == switch[1]


def test_a_persons_task_is_done_when_a_person_says_so(program: Program, psql: Any) -> None:
    """
    What a run lays out proves nothing; a signature does, with its note, once and audited.
    """
    before = program("run", "weekly", "--json").document
    signed = program("done", "weekly/load_test_results", "--note", "1000 users, p99 0.4 s")
    after = program("run", "weekly", "--json")
    refused = program("done", "daily/health_report", "--note", "looks fine")

    def waits(document: dict[str, Any]) -> list[str]:
        return [item["task"] for item in document["waiting_for_a_person"]]

    assert "weekly/load_test_results" in waits(before)
    assert 0 == signed.code
    assert "weekly/load_test_results" not in waits(after.document)
    assert (1, "warning") == (after.code, after.document["verdict"])
    assert [("ana", "1000 users, p99 0.4 s")] == psql.execute(
        "SELECT actor, changes ->> 'note' FROM audit_entries WHERE action = 'maintenance_signed'"
    ).fetchall()
    assert 1 == refused.code
    assert "padelops maintenance run daily" in refused.err


def test_reports_are_kept_listed_and_written(program: Program, tmp_path: Path) -> None:
    """
    The newest by itself, any by its id, as Markdown, as a page; an unknown one is refused.
    """
    program("run", "daily", *FEW)
    listed = program("report", "--list", "--json").document["reports"]
    run_id = listed[0]["run_id"]
    markdown = program("report", run_id, "--format", "markdown")
    written = program("report", "--format", "html", "--output", str(tmp_path / "r.html"))
    strange = program("report", "00000000-0000-0000-0000-000000000000")

    assert [("daily", "ok", "ana")] == [
        (kept["schedule"], kept["outcome"], kept["actor"]) for kept in listed
    ]
    assert markdown.out.startswith("# Daily maintenance: ok\n")
    assert run_id in markdown.out
    assert 0 == written.code
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert (1, "") == (strange.code, strange.out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "hourly"),
        ("done", "weekly/security_audit", "--note", "  "),
        ("report", "--format", "pdf"),
    ],
)
def test_what_makes_no_sense_is_one_line(program: Program, arguments: tuple[str, ...]) -> None:
    """
    Refused with what to do instead, and nothing kept.
    """
    done = program(*arguments)

    assert done.code in {1, 2}
    assert "" == done.out
    assert 1 == len(done.err.splitlines())
