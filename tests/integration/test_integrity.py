"""
Validation finds one violation of each kind among thousands of good rows, and nothing else.
"""

from __future__ import annotations

from inspect import getsource
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml
from pydantic import SecretStr

from padelops.ops.integrity import CHECKS, IntegrityValidator, Verdict
from padelops.ops.integrity_hands import Hands
from padelops.ops.integrity_questions import QUESTIONS
from padelops.ops.integrity_tally import Job
from padelops.settings import Settings
from padelops.wiring import open_desk
from testbed import books
from testbed.clock import Clock
from testbed.corruption import CORRUPTIONS, DROP_GUARDS, Books
from testbed.rows import without_triggers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Databases
    from padelops import Desk
    from padelops.adapters.embedded_postgres import EmbeddedPostgres
    from padelops.ops.integrity_report import Report

GOOD_ROWS = 20_000
SCHEMA = {check.name for check in CHECKS.values() if check.invariant == "schema"}
NOT_BY_ROWS = {"cached_days_true"}
"""Broken in the cache, in test_integrity_cache.py."""


def named(report: Report) -> dict[str, set[str]]:
    """By check, what it names."""
    return {
        outcome.check: {one.subject for one in outcome.violations}
        for outcome in report.outcomes
        if outcome.violations
    }


@pytest.fixture(scope="module")
def filled(
    databases: Databases,
    postgres_server: EmbeddedPostgres,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The name of a database with full books of two clubs, to be copied."""
    name = databases.create(template)
    file = tmp_path_factory.mktemp("clubs") / "clubs.yaml"
    file.write_text(
        yaml.safe_dump_all([books.club(f"books-{n}", courts=8) for n in (1, 2)]), encoding="utf-8"
    )
    settings = Settings(
        database_url=SecretStr(postgres_server.url(name)), home=postgres_server.home
    )
    with open_desk(settings, actor="books", clock=Clock()) as desk:
        desk.apply_club_file(file)
        with psycopg.connect(postgres_server.admin_url(name), autocommit=True) as admin:
            books.fill(admin, GOOD_ROWS)
        desk.seal_audit()
    return name


@pytest.fixture
def database_url(
    databases: Databases, postgres_server: EmbeddedPostgres, filled: str
) -> Iterator[str]:
    """The books, for this test alone."""
    name = databases.create(filled)
    yield postgres_server.url(name)
    databases.done_with(name)


def test_good_books_hold(desk: Desk) -> None:
    """
    Whatever the library and its triggers leave behind, no check has anything to say about it.
    """
    report = desk.validator().validate_all_reservations(sample=None)

    assert {} == named(report)
    assert (Verdict.OK, []) == (report.verdict, report.not_run)
    assert GOOD_ROWS == report.reservations + report.blocks


def test_one_of_each_kind_is_found_and_nothing_else(desk: Desk, psql: Any) -> None:
    """
    Every constraint dropped and every kind of violation done: each row is named by its check alone.
    """
    psql.execute(DROP_GUARDS)
    rows = Books.open(psql, every=97)
    expected: dict[str, set[str]] = {}
    for spoil in CORRUPTIONS.values():
        for check, subjects in spoil(rows).items():
            expected.setdefault(check, set()).update(subjects)

    report = desk.validator().validate_all_reservations(sample=None)
    found = named(report)

    assert expected == {check: found[check] for check in found if check not in SCHEMA}
    assert Verdict.CRITICAL == report.verdict
    assert [] == report.not_run


def test_every_check_is_broken_by_somebody() -> None:
    """
    No check is without a corruption that it alone has to find.
    """
    source = {check for check in CHECKS if check not in SCHEMA | NOT_BY_ROWS}
    told = {
        check
        for spoil in CORRUPTIONS.values()
        for check in source
        if f'"{check}"' in getsource(spoil)
    }

    assert set() == source - told


def test_all_hands_see_one_moment(desk: Desk, psql: Any) -> None:
    """
    A row is spoiled after the snapshot was exported: no connection sees it, the next run does.
    """
    hands = Hands(desk.bulk, None)
    try:
        hands.lead()
        claim = Books.open(psql, every=7).row()
        without_triggers(psql, "UPDATE claims SET status = 'completed' WHERE id = %s", claim)
        jobs = [Job(question, None, 1) for question in QUESTIONS if question.name != "cached_days"]
        answers = list(hands.ask(jobs, now=desk.now(), sample=None, seed=0))
        connections = len(hands._txs)
    finally:
        hands.close()

    assert 2 == connections
    assert [] == [answer.found for answer in answers if answer.found or answer.failure]
    assert {f"reservation {claim}"} == named(desk.validator().validate_all_reservations())[
        "states_recorded"
    ]


def test_nothing_can_be_written_while_it_looks(desk: Desk) -> None:
    """
    Every connection is read-only: validation repairs nothing, whatever is asked.
    """
    hands = Hands(desk.bulk, None)
    try:
        hands.lead()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            hands.leader.execute("UPDATE clubs SET name = name")
    finally:
        hands.close()


def test_a_server_that_stands_still_is_unknown_in_time(desk: Desk, psql: Any) -> None:
    """
    Nobody answers any more: the check failed within its patience, and the verdict says so.
    """
    psql.execute("ALTER TABLE messages RENAME TO messages_stored")
    psql.execute(
        "CREATE VIEW messages AS SELECT messages_stored.* FROM messages_stored,"
        " LATERAL (SELECT pg_sleep(60 + messages_stored.id * 0)) AS slow"
    )
    psql.execute("GRANT SELECT ON messages TO padelops")
    validator = IntegrityValidator(desk.bulk, clock=desk.now, patience_s=2)

    report = validator.validate_all_reservations(checks=["message_missing"])

    assert Verdict.UNKNOWN == report.verdict
    assert ["message_missing"] == report.not_run
