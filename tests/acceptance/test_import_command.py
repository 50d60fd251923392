"""
`padelops import` as a person runs it: what it prints, how it ends, and what a killed one leaves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed.dumps import COURT_2, place, reservation, schedule, written
from testbed.rows import one
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

REAL_FILE = Path(__file__).parents[3] / "shared" / "data" / "padelyzer_demo_clubs.json"


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
def environment(database_url: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return kept | {
        "LANG": "C.UTF-8",
        "PADELOPS_DATABASE_URL": database_url,
        "PADELOPS_ACTOR": "ana",
    }


@pytest.fixture
def start(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Start `padelops import` on this test's database."""

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "padelops", "import", *map(str, arguments)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    return start


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Ended]:
    """Run `padelops import` to its end."""

    def run(*arguments: str | Path) -> Ended:
        process = start(*arguments)
        out, err = process.communicate(timeout=100)
        return Ended(process.returncode, out, err)

    return run


@pytest.mark.skipif(not REAL_FILE.exists(), reason=f"{REAL_FILE.name} is not beside the project")
def test_a_real_dump_is_told_in_a_few_lines(run: Callable[..., Ended]) -> None:
    """
    What came in, per model; what has no place here; exit 0, also the second time.
    """
    first, again = run(REAL_FILE), run(REAL_FILE)

    assert (0, 0, "") == (first.code, again.code, first.err)
    assert first.out.startswith("Imported 5 of 5 rows of 1 file.\n")
    assert "padel-club-demo  new  1, 2\n" in first.out
    assert "clubs.schedule" in first.out
    assert "left out: clubs.club: address" in first.out
    assert again.out.startswith("Imported 0 of 5 rows of 1 file, 5 were there.\n")


def test_what_could_not_go_in_is_told_listed_and_tried_again(
    run: Callable[..., Ended], tmp_path: Path
) -> None:
    """
    Exit 6 as long as a row waits; the list names what it clashes with, and nobody's name.
    """
    file = written(
        tmp_path,
        *place(),
        reservation("first", created_at="2024-01-01T00:00:00Z"),
        reservation("second", "10:30", "11:30"),
        reservation("bad", status="maybe", player_name="Secret Person"),
    )
    imported = run(file)
    listed, document = run("--quarantine"), run("--quarantine", "--json").document
    retried = run("--retry", "--json")

    assert (6, 0, 6) == (imported.code, listed.code, retried.code)
    assert imported.out.startswith("Imported 4 of 6 rows of 1 file, 2 are in quarantine.\n")
    assert "padelops import --retry" in imported.out
    assert [("bad", "unknown_status"), ("second", "overlap")] == [
        (row["ref"], row["reason"]) for row in document["rows"]
    ]
    assert {"id", "reason", "model", "ref", "detail", "clashes_with"} <= document["rows"][0].keys()
    assert "padel-norte/1 2027-02-01 10:30 to 11:30 is taken" in listed.out
    assert "(first)" in listed.out
    assert "Secret" not in listed.out + json.dumps(document)
    assert "2 are still in quarantine" in run("--retry").out
    assert {"rows_read": 2, "quarantined": 2, "imported": 0} == {
        name: retried.document[name] for name in ("rows_read", "quarantined", "imported")
    }


def test_a_row_of_a_csv_file_that_could_not_go_in_is_found_again(
    run: Callable[..., Ended], tmp_path: Path
) -> None:
    """
    By its file and line, also behind a row of several lines; and it says what helps which row.
    """
    run(written(tmp_path, *place()))
    file = tmp_path / "old.csv"
    file.write_text(
        "club,court,start,minutes,player_name,total,created_at,notes\n"
        'padel-norte,1,2027-02-01T10:00,60,Ana,300.00,2024-01-01T00:00:00Z,"two\nlines"\n'
        "padel-norte,1,never,60,Leo,300.00,,\n"
        "padel-norte,1,2027-02-01T10:30,60,Eva,300.00,2024-01-02T00:00:00Z,\n",
        encoding="utf-8",
    )

    imported, retried, listed = run(file), run("--retry"), run("--quarantine")

    assert (6, 6, 0) == (imported.code, retried.code, listed.code)
    assert "old.csv:4" in listed.out
    assert "start is no moment" in listed.out.partition("old.csv:4")[2].splitlines()[0]
    assert "old.csv:5" in listed.out
    assert "content-" not in listed.out
    assert "padelops import --retry" in listed.out
    assert "mend it where it comes from" in listed.out


def test_a_dry_run_says_would(run: Callable[..., Ended], tmp_path: Path) -> None:
    """
    It ends as the import would, and leaves nothing to list.
    """
    file = written(tmp_path, *place(), reservation("r", status="maybe"))
    ended = run(file, "--dry-run")

    assert 6 == ended.code
    assert ended.out.startswith("Would import 3 of 4 rows of 1 file, 1 would be in quarantine.\n")
    assert "Nothing is in quarantine.\n" == run("--quarantine").out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "padelops: usage: Name a file to import."),
        (["nothing.json"], "padelops: invalid_input: nothing.json cannot be read: No such file"),
        (["{file}", "--retry"], "padelops: usage: Import files, or look after the quarantine"),
        (["{file}", "--timezone", "Mars/Base"], "padelops: invalid_input: Unknown time zone"),
        (["{file}", "--currency", "XXX"], "padelops: invalid_input: Unknown currency"),
        (["{broken}"], "padelops: invalid_input: broken.json, line 1: this is not JSON"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Callable[..., Ended], tmp_path: Path, psql: Any, arguments: list[str], line: str
) -> None:
    """
    Exit 2, one line, nothing written.
    """
    file = written(tmp_path, *place())
    broken = tmp_path / "broken.json"
    broken.write_text("[{]")
    ended = run(*(text.format(file=file, broken=broken) for text in arguments))

    assert (2, "") == (ended.code, ended.out)
    assert ended.err.startswith(line)
    assert 1 == ended.err.count("\n")
    assert 0 == one(psql, "SELECT count(*) FROM clubs WHERE external_ref IS NOT NULL")


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """Two batches on court 1, one on court 2, and losers on both."""
    rows = [
        reservation(
            f"{name}{n:04d}",
            f"{7 + n % 14:02d}:00",
            f"{8 + n % 14:02d}:30",
            date=f"20{27 + n // 14 // 28:02d}-03-{1 + n // 14 % 28:02d}",
            payment_status="paid",
            **changes,
        )
        for name, changes, count in (("a", {}, 700), ("b", {"court": COURT_2}, 300))
        for n in range(count)
    ]
    return written(tmp_path, *place(), schedule("s", 0), *rows)


def state(psql: Any) -> list[Any]:
    found: list[Any] = psql.execute(
        "SELECT external_ref, status, court_id, starts_at, captured, version FROM claims ORDER BY 1"
    ).fetchall()
    counts = (
        "SELECT count(*), count(DISTINCT external_ref) FROM quarantine",
        "SELECT count(*), sum(amount) FROM payment_events",
    )
    return [*found, *(psql.execute(count).fetchone() for count in counts)]


class Obstacle:
    """
    Somebody else's claim on court 2, not committed: the import has to wait there, half done.
    """

    def __init__(self, raw: Callable[[], Any]) -> None:
        self._connection = raw()

    def stand(self) -> None:
        self._connection.execute("BEGIN")
        self._connection.execute(
            "INSERT INTO claims"
            " (club_id, court_id, kind, status, starts_at, ends_at, free_at, reason)"
            " SELECT club_id, id, 'block', 'confirmed', '2027-03-01 13:00Z', '2027-03-01 14:00Z',"
            " '2027-03-01 14:00Z', 'rival' FROM courts WHERE external_ref = %s",
            [COURT_2],
        )

    def go(self) -> None:
        self._connection.execute("ROLLBACK")


def waits_behind(psql: Any) -> bool:
    return bool(
        one(
            psql,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO claims%'",
        )
    )


@pytest.mark.parametrize("end", ["kill -9", "connection lost"])
def test_an_import_that_ended_halfway_is_finished_by_running_it_again(
    run: Callable[..., Ended],
    start: Callable[..., subprocess.Popen[str]],
    big: Path,
    psql: Any,
    raw: Callable[[], Any],
    tmp_path: Path,
    end: str,
) -> None:
    """
    Killed, or cut off from the database, in a batch: the same final state, nothing twice.
    """
    run(written(tmp_path, *place(), schedule("s", 0), name="club.json"))
    obstacle = Obstacle(raw)
    obstacle.stand()
    process = start(big)
    until(lambda: waits_behind(psql))
    if end == "kill -9":
        process.kill()
        process.communicate(timeout=60)
    else:
        psql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        _, err = process.communicate(timeout=60)
        assert 6 == process.returncode
        assert "partly_done" in err
        assert "Run it again" in err
    until(lambda: not waits_behind(psql))
    halfway = one(psql, "SELECT count(*) FROM claims")
    obstacle.go()
    ended = run(big, "--json")
    finished = state(psql)

    assert 0 < halfway < 700
    assert halfway == ended.document["already_there"] - 4
    assert 6 == ended.code
    again = run(big, "--json").document
    assert 0 == again["imported"]
    assert finished == state(psql)
    assert one(psql, "SELECT count(*) FROM claims") == one(
        psql, "SELECT count(DISTINCT external_ref) FROM claims"
    )
    assert 1000 == one(psql, "SELECT count(*) FROM claims") + again["quarantined"]


def test_two_imports_at_once_both_end_well(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, psql: Any
) -> None:
    """
    The same file twice at the same moment: every row once, both exit 0.
    """
    file = written(
        tmp_path,
        *place(),
        *(
            reservation(f"r{n}", date=f"2027-{1 + n // 28:02d}-{1 + n % 28:02d}")
            for n in range(300)
        ),
    )
    processes = [start(file, "--json"), start(file, "--json")]
    ended = [process.communicate(timeout=100) for process in processes]
    documents = [json.loads(out) for out, _ in ended]

    assert [0, 0] == [process.returncode for process in processes]
    assert [303, 303] == [one["imported"] + one["already_there"] for one in documents]
    assert 300 == one(psql, "SELECT count(*) FROM claims")
