"""
Whatever somebody changes about the schema by hand, validation names the object and what is wrong.
"""

# ruff: noqa: E501 - SQL is easier to read in whole lines

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from padelops.ops.integrity import Verdict
from padelops.store.schema_shape import PARTS, expected_shape, shape_of, written

if TYPE_CHECKING:
    from padelops import Desk

DRIFTS = {
    "constraints_hold": [
        (
            "ALTER TABLE claims DROP CONSTRAINT claims_no_overlap",
            "constraint claims.claims_no_overlap",
            "it is missing",
        ),
        (
            ("ALTER TABLE claims DROP CONSTRAINT claims_end_after_start;"
            "ALTER TABLE claims ADD CONSTRAINT claims_end_after_start CHECK (starts_at < ends_at) NOT VALID"),
            "constraint claims.claims_end_after_start",
            "it is not validated: old rows may break it",
        ),
        (
            "ALTER TABLE refunds DISABLE TRIGGER ALL; ALTER TABLE refunds ENABLE TRIGGER USER",
            "constraint refunds.refunds_attempt_id_fkey",
            "it is switched off",
        ),
        (
            ("ALTER TABLE claims DROP CONSTRAINT claims_amounts_agree;"
            "ALTER TABLE claims ADD CONSTRAINT claims_amounts_agree CHECK (total >= 0)"),
            "constraint claims.claims_amounts_agree",
            "it is defined otherwise",
        ),
    ],
    "triggers_on": [
        (
            "ALTER TABLE claims DISABLE TRIGGER claims_recorded",
            "trigger claims.claims_recorded",
            "it is switched off",
        ),
        (
            "ALTER TABLE audit_entries ENABLE REPLICA TRIGGER audit_entries_append_only",
            "trigger audit_entries.audit_entries_append_only",
            "it is switched off",
        ),
        (
            "DROP TRIGGER messages_keep_their_history ON messages",
            "trigger messages.messages_keep_their_history",
            "it is missing",
        ),
        (
            "CREATE TRIGGER sneaky BEFORE INSERT ON claims FOR EACH ROW EXECUTE FUNCTION count_version()",
            "trigger claims.sneaky",
            "it was added by hand",
        ),
    ],
    "indexes_valid": [
        ("DROP INDEX claims_one_per_key", "index claims.claims_one_per_key", "it is missing"),
        (
            ("SET allow_system_table_mods = on; UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'claims_by_start'::regclass; RESET allow_system_table_mods"),
            "index claims.claims_by_start",
            "it is invalid: nothing uses it",
        ),
    ],
    "functions_unchanged": [
        (
            ("CREATE OR REPLACE FUNCTION keep_history() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN NEW; END $$"),
            "function keep_history()",
            "it is defined otherwise",
        ),
        (
            ("CREATE OR REPLACE FUNCTION sum_of_lines(lines jsonb) RETURNS numeric LANGUAGE sql"
            " IMMUTABLE STRICT PARALLEL SAFE RETURN 0"),
            "function sum_of_lines(lines jsonb)",
            "it is defined otherwise",
        ),
    ],
    "columns_kept": [
        (
            "ALTER TABLE claims ALTER free_at DROP NOT NULL",
            "column claims.free_at",
            "it is defined otherwise",
        ),
        (
            "ALTER TABLE messages DROP COLUMN detail",
            "column messages.detail",
            "it is missing",
        ),
        (
            "ALTER TABLE messages ENABLE ROW LEVEL SECURITY",
            "table messages",
            "it hides rows from some roles",
        ),
        ("DROP TABLE counters", "table counters", "it is missing"),
    ],
}  # fmt: skip

HARMLESS = (
    "CREATE INDEX claims_of_ours ON claims (notes)",
    "CREATE TABLE ours (id int PRIMARY KEY)",
    "CREATE FUNCTION ours() RETURNS int LANGUAGE sql RETURN 1",
    "ALTER TABLE claims ADD COLUMN ours text",
)
"""What a club may add for itself."""


def told(desk: Desk, check: str) -> dict[str, str]:
    """By object, what is wrong with it."""
    report = desk.validator().validate_all_reservations(checks=[check])
    assert [] == report.not_run
    return {one.subject: one.evidence["problem"] for one in report.outcomes[0].violations}


def test_the_file_is_what_the_migrations_make(desk: Desk) -> None:
    """
    The expectation comes from the migrations: when this fails, run `make schema-shape`.
    """
    with desk.database.reading() as tx:
        assert dict(expected_shape()) == shape_of(tx)


def test_the_file_reads_back() -> None:
    """
    One object, one line, in order: nothing in a definition can break the form.
    """
    lines = written(dict(expected_shape())).splitlines()

    assert sorted(lines) == lines
    assert {2} == {line.count("\t") for line in lines}
    assert set(PARTS.values()) <= {line.partition("\t")[0] for line in lines}


@pytest.mark.parametrize("check", DRIFTS)
def test_each_drift_is_named(desk: Desk, psql: Any, check: str) -> None:
    """
    Each change by hand is named by its check, with what is wrong, and the verdict is critical.
    """
    before = told(desk, check)
    for statement, _, _ in DRIFTS[check]:
        psql.execute(statement)
    found = told(desk, check)

    assert {} == before
    assert {name: problem for _, name, problem in DRIFTS[check]}.items() <= found.items()
    assert Verdict.CRITICAL == desk.validator().validate_all_reservations(checks=[check]).verdict


def test_what_a_club_adds_for_itself_is_no_drift(desk: Desk, psql: Any) -> None:
    """
    An index, a table, a function or a column more breaks nothing.
    """
    for statement in HARMLESS:
        psql.execute(statement)

    assert {} == {name: problem for check in DRIFTS for name, problem in told(desk, check).items()}


def test_an_invalid_index_left_by_a_reindex_is_told(desk: Desk, psql: Any) -> None:
    """
    An additional index is harmless, but not one that only costs time.
    """
    psql.execute("CREATE INDEX claims_by_start_ccnew ON claims (starts_at, id)")
    psql.execute("SET allow_system_table_mods = on")
    psql.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'claims_by_start_ccnew'::regclass"
    )

    assert ["index claims.claims_by_start_ccnew"] == list(told(desk, "indexes_valid"))
