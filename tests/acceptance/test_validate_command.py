"""
`padelops validate` as cron and an engineer at 3 a.m. run it: exit codes, evidence, interruptions.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from padelops import ReservationIntegrityValidator
from padelops.ops.integrity import CHECKS
from padelops.ops.integrity_questions import sql_of
from padelops.wiring import utc_now
from testbed.rows import column, insert, insert_hold, one, reservation_row
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops import Desk
    from padelops.settings import Settings

COURT = "centro/2"
RUNNING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'padelops' AND wait_event = 'PgSleep'"
)


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

    def check(self, name: str) -> dict[str, Any]:
        """What the document says about one check."""
        return next(one for one in self.document["checks"] if one["check"] == name)


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return kept | {
        "LANG": "C.UTF-8",
        "HOME": str(tmp_path),
        "PADELOPS_HOME": str(tmp_path),
        "PADELOPS_DATABASE_URL": database_url,
        "PADELOPS_LEVEL1_BUDGET_MS": "5000",
        "PADELOPS_ACTOR": "ana",
    }


@pytest.fixture
def start(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Start `padelops validate` on this test's database; keywords change its environment."""

    def start(*arguments: str, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "padelops", "validate", *arguments],
            env=environment | changes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    return start


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Ended]:
    """Run `padelops validate` to its end."""

    def run(*arguments: str, **changes: str) -> Ended:
        process = start(*arguments, **changes)
        out, err = process.communicate(timeout=100)
        return Ended(process.returncode, out, err)

    return run


@pytest.fixture
def overlaps(psql: Any) -> list[int]:
    """Two live reservations on one court at one time, possible once the constraint is dropped."""
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
    return [insert(psql, "claims", reservation_row(psql, COURT)) for _ in range(2)]


@pytest.fixture
def slow(psql: Any) -> Iterator[None]:
    """Reading messages takes a minute, so that validation is met in the middle."""
    insert(psql, "claims", reservation_row(psql, COURT, price_source="fallback"))
    psql.execute("ALTER TABLE messages RENAME TO messages_stored")
    psql.execute(
        "CREATE VIEW messages AS SELECT messages_stored.* FROM messages_stored,"
        " LATERAL (SELECT pg_sleep(60 + messages_stored.id * 0)) AS slow"
    )
    psql.execute("GRANT SELECT ON messages TO padelops")
    yield
    psql.execute("DROP VIEW messages")
    psql.execute("ALTER TABLE messages_stored RENAME TO messages")


def test_all_is_well(run: Callable[..., Ended], desk: Desk) -> None:
    """
    0, one document with every check in it, and what no table can show is said.
    """
    desk.book(COURT, "2026-12-01T18:00", player="Ana")

    ended = run("--json")

    assert (0, "") == (ended.code, ended.err)
    assert list(CHECKS) == [one["check"] for one in ended.document["checks"]]
    assert ("ok", True, 0) == tuple(
        ended.document[name] for name in ("verdict", "complete", "violations")
    )
    assert "nothing_lost" in ended.document["not_checked_here"]


def test_overlaps_end_with_2_ids_and_evidence(
    run: Callable[..., Ended], psql: Any, overlaps: list[int]
) -> None:
    """
    The constraint was dropped and rows inserted: 2, who clashes with whom, nothing repaired.
    """
    before = psql.execute("SELECT * FROM claims ORDER BY id").fetchall()

    ended = run("--json")
    found = ended.check("no_double_booking")

    assert 2 == ended.code
    assert ("critical", 1) == (found["verdict"], found["found"])
    assert f"reservation {overlaps[1]}" == found["violations"][0]["subject"]
    assert [overlaps[0]] == found["violations"][0]["evidence"]["clashes_with"]
    assert "padelops show" in found["advice"]
    assert "constraint claims.claims_no_overlap" in [
        one["subject"] for one in ended.check("constraints_hold")["violations"]
    ]
    assert before == psql.execute("SELECT * FROM claims ORDER BY id").fetchall()


def test_people_read_what_to_do(run: Callable[..., Ended], overlaps: list[int]) -> None:
    """
    In 60 columns: the rows, the advice, the verdict; no line is cut inside a word.
    """
    ended = run(COLUMNS="60")

    assert 2 == ended.code
    assert f"reservation {overlaps[1]}" in ended.out
    assert "Move or cancel one of each pair by hand." in ended.out
    assert ended.out.rstrip().endswith("critical.")


def test_cron_hears_nothing_when_all_is_well(
    run: Callable[..., Ended], psql: Any, desk: Desk
) -> None:
    """
    `--quiet`: silent with 0, all the evidence otherwise.
    """
    quiet = run("--quiet")
    hold = insert_hold(psql, COURT, desk.now().replace(year=2027), desk.now().replace(year=2020))
    loud = run("--quiet", "--check", "stale_holds")

    assert (0, "", "") == (quiet.code, quiet.out, quiet.err)
    assert 1 == loud.code
    assert f"reservation {hold}" in loud.out


def test_json_lines_name_each_finding(run: Callable[..., Ended], overlaps: list[int]) -> None:
    """
    One line for each finding, and the verdict last.
    """
    lines = [json.loads(line) for line in run("--format", "jsonl").out.splitlines()]

    assert {"violation", "summary"} == {line["type"] for line in lines}
    assert [f"reservation {overlaps[1]}"] == [
        line["subject"] for line in lines if line.get("check") == "no_double_booking"
    ]
    assert ("summary", "critical") == (lines[-1]["type"], lines[-1]["verdict"])


def test_junit_is_xml_that_ci_reads(run: Callable[..., Ended], psql: Any) -> None:
    """
    One test for each check; a name with control characters and emoji breaks nothing, in any locale.
    """
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
    for _ in range(2):
        insert(psql, "claims", reservation_row(psql, COURT, idempotency_key=f"\x01<&é🎾{_}"))
    psql.execute("DROP INDEX claims_one_per_key")
    psql.execute("UPDATE claims SET version = version")  # a change that is recorded
    psql.execute("SET session_replication_role = replica")
    psql.execute("UPDATE claims SET idempotency_key = %s", ["\x01<&é🎾"])

    ended = run("--format", "junit", LANG="C", LC_ALL="C")
    suite = ET.fromstring(ended.out)
    failed = {case.get("name") for case in suite if case.find("failure") is not None}

    assert 2 == ended.code
    assert str(len(CHECKS)) == suite.get("tests")
    assert {"no_double_booking", "one_reservation_per_key"} <= failed
    assert suite.get("failures") == str(len(failed))


def test_one_document_cannot_be_many_lines(run: Callable[..., Ended]) -> None:
    """
    `--json` promises one document, so it is refused with another format.
    """
    ended = run("--json", "--format", "jsonl")

    assert 2 == ended.code
    assert "usage" == ended.document["error"]["code"]


def test_a_database_that_is_away_is_unknown(run: Callable[..., Ended]) -> None:
    """
    3, never "0 problems": what could not be looked at is not known.
    """
    ended = run("--json", PADELOPS_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

    assert 3 == ended.code
    assert "not_checked" == ended.document["error"]["code"]
    assert "database_unavailable" == ended.document["error"]["cause"]
    assert "violations" not in ended.document


@pytest.mark.usefixtures("slow")
def test_a_database_lost_in_the_middle_is_unknown(
    start: Callable[..., subprocess.Popen[str]], psql: Any
) -> None:
    """
    The server throws it out while it looks: 3, incomplete, and which checks did not run.
    """
    # The view in place of a table would be a finding of its own.
    process = start("--json", "--check", "message_missing", "--check", "no_double_booking")
    until(lambda: psql.execute(RUNNING).fetchall())
    psql.execute(f"SELECT pg_terminate_backend(pid) FROM ({RUNNING}) AS running")
    out, err = process.communicate(timeout=60)
    document = json.loads(out)

    assert (3, "") == (process.returncode, err)
    assert ("unknown", False) == (document["verdict"], document["complete"])
    assert "message_missing" in document["not_run"]
    assert "lost" in next(
        one["failure"] for one in document["checks"] if one["check"] == "message_missing"
    )


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_server_s_work_too(
    start: Callable[..., subprocess.Popen[str]], psql: Any, number: int, code: int
) -> None:
    """
    Whoever stops it leaves no statement running for an hour behind.
    """
    process = start()
    until(lambda: psql.execute(RUNNING).fetchall())
    process.send_signal(number)
    _, err = process.communicate(timeout=30)

    assert code == process.returncode
    assert "Nothing more was changed." in err
    until(lambda: not psql.execute(RUNNING).fetchall())


def test_an_interrupted_run_goes_on_with_the_clubs_left(
    run: Callable[..., Ended], psql: Any, desk: Desk, tmp_path: Path
) -> None:
    """
    One club's rows cannot be read at first: what was asked of the others is not asked again.
    """
    for slug in ("centro", "roma", "shibuya"):
        court = desk.catalogue.club(slug).courts
        desk.book(f"{slug}/{next(iter(court.values())).name}", "2026-12-01T18:00", player="Ana")
    # Else the table that is away would be a finding of its own.
    two = ("--json", "--check", "message_missing", "--check", "no_double_booking")
    psql.execute("ALTER TABLE messages RENAME TO messages_away")
    first = run(*two, "--piece", "1", "--seed", "7")
    psql.execute("ALTER TABLE messages_away RENAME TO messages")
    kept = json.loads(next(tmp_path.glob("validate-*.json")).read_text())["answers"]
    second = run(*two, "--piece", "1", "--resume")
    third = run(*two, "--resume")

    assert (3, False) == (first.code, first.document["complete"])
    assert any(key.startswith("double_bookings:") for key in kept)
    assert not any(key.startswith("untold:") for key in kept)
    assert (0, True, 2, 7) == (
        second.code,
        second.document["complete"],
        second.document["snapshots"],
        second.document["seed"],
    )
    assert "asked anew" in third.err
    assert [] == list(tmp_path.glob("validate-*"))


def test_one_club_alone(run: Callable[..., Ended], overlaps: list[int]) -> None:
    """
    Another club's trouble is not told, and what is no matter of one club is said to be skipped.
    """
    other, mine = run("--club", "roma", "--json"), run("--club", "centro", "--json")

    assert (0, 2) == (other.code, mine.code)
    assert [f"reservation {overlaps[1]}"] == [
        one["subject"] for one in mine.check("no_double_booking")["violations"]
    ]
    assert "skipped" == other.check("triggers_on")["verdict"]
    assert 3 == run("--club", "nowhere").code


def test_a_role_without_rights_is_told_what_is_missing(
    run: Callable[..., Ended], psql: Any
) -> None:
    """
    4, the tables and the statement that grants them; nothing was looked at.
    """
    psql.execute("REVOKE SELECT ON messages, refunds FROM padelops")

    ended = run("--json")
    psql.execute(ended.document["error"]["fix"].partition("run: ")[2])
    allowed = run("--json")

    assert 4 == ended.code
    assert ["messages", "refunds"] == ended.document["error"]["missing"]
    assert "checks" not in ended.document
    assert 0 == allowed.code, allowed.out


def test_a_sample_is_drawn_again_by_its_seed(run: Callable[..., Ended], desk: Desk) -> None:
    """
    The seed is printed, and draws the same prices; `all` asks each.
    """
    desk.book(COURT, "2026-12-01T18:00", player="Ana")

    given = run("--sample", "5", "--seed", "11")
    every = run("--sample", "all", "--json")
    wrong = run("--sample", "many")

    assert "5 of each drawn with --seed 11" in given.out
    assert every.document["sample"] is None
    assert 2 == wrong.code


def test_every_check_s_sql_runs_as_it_is_printed(psql: Any, overlaps: list[int]) -> None:
    """
    Pasted into a session of its own, it gives this check's findings.
    """
    found: dict[str, list[Any]] = {}
    for name in CHECKS:
        for statement in sql_of(name, now=utc_now()):
            rows = psql.execute(statement.removesuffix("\\gexec")).fetchall()
            if statement.endswith("\\gexec"):
                rows = [row for (text,) in rows for row in psql.execute(text).fetchall()]
            found.setdefault(name, []).extend(rows)

    assert CHECKS.keys() - {"cached_days_true"} == found.keys()
    assert [f"reservation {overlaps[1]}"] == [row[1] for row in found["no_double_booking"]]
    assert [] == found["sequences_ahead"]


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_the_printed_sql_goes_through_psql(
    run: Callable[..., Ended], psql: Any, database_url: str, overlaps: list[int]
) -> None:
    """
    `padelops validate --show-sql CHECK | psql` works as it stands.
    """
    del psql
    for check, wanted in (
        ("no_double_booking", f"reservation {overlaps[1]}"),
        ("sequences_ahead", ""),
    ):
        done = subprocess.run(
            ["psql", database_url, "-v", "ON_ERROR_STOP=1", "-f", "-"],
            input=run("--show-sql", check).out,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert (0, "") == (done.returncode, done.stderr)
        assert wanted in done.stdout


def test_the_list_names_every_check(run: Callable[..., Ended]) -> None:
    """
    `--list` needs no database, and says which checks can be repaired.
    """
    ended = run("--list", "--json", PADELOPS_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

    assert list(CHECKS) == [one["check"] for one in ended.document["checks"]]
    assert 4 == sum(one["repair"] is not None for one in ended.document["checks"])
    assert 2 == run("--show-sql", "nothing").code


def test_repair_asks_and_mends(run: Callable[..., Ended], psql: Any) -> None:
    """
    Without a terminal and without --yes it refuses; a dry run shows; --yes mends and checks again.
    """
    hold = insert_hold(psql, COURT, _far(psql), _long_ago(psql))

    shown = run("--repair", "stale_holds", "--dry-run", "--json")
    refused = run("--repair", "stale_holds")
    still = one(psql, "SELECT status FROM claims WHERE id = %s", hold)
    mended = run("--repair", "stale_holds", "--yes", "--json")
    again = run("--repair", "stale_holds", "--json")

    assert (0, True) == (shown.code, shown.document["dry_run"])
    assert (5, "pending") == (refused.code, still)
    assert f"reservation {hold}" in refused.err
    assert (0, [f"reservation {hold}"], 0) == (
        mended.code,
        [step["subject"] for step in mended.document["mended"]],
        mended.document["remaining"],
    )
    assert ["expired"] == column(psql, "SELECT status FROM claims")
    assert (0, []) == (again.code, again.document["mended"])


def _far(psql: Any) -> Any:
    return one(psql, "SELECT date_trunc('hour', now()) + interval '1 year'")


def _long_ago(psql: Any) -> Any:
    return one(psql, "SELECT now() - interval '1 day'")


def test_repair_of_what_is_not_safe_is_refused(
    run: Callable[..., Ended], overlaps: list[int]
) -> None:
    """
    A double booking needs a person: usage, naming what can be mended.
    """
    ended = run("--repair", "no_double_booking", "--yes", "--json")

    assert 2 == ended.code
    assert "stale_holds" in ended.document["error"]["fix"]
    assert 2 == run("--dry-run").code
    assert 2 == len(overlaps)


def test_the_validator_of_critical_paths_md(settings: Settings, overlaps: list[int]) -> None:
    """
    `ReservationIntegrityValidator().validate_all_reservations()`, as the document has it.
    """
    results = ReservationIntegrityValidator(settings).validate_all_reservations()

    assert 2 == results.exit_code
    assert [f"reservation {overlaps[1]}"] == [
        found.subject
        for outcome in results
        if outcome.check == "no_double_booking"
        for found in outcome.violations
    ]


def test_it_opens_what_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    """
    Without an argument it finds the configured database by itself.
    """
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert 0 == ReservationIntegrityValidator().validate_all_reservations().exit_code
