"""
`padelops db reindex` and `db stats` at the terminal: what they would do, and who is at it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from padelops.ops.locks import operator_lock
from testbed.rows import one

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops import Desk

FILES = "SELECT array_agg(pg_relation_filenode(oid) ORDER BY oid) FROM pg_class WHERE relkind = 'i'"


@pytest.fixture
def run(database_url: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `padelops db`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "padelops", "db", *arguments],
            env=kept | {"LANG": "C.UTF-8", "PADELOPS_DATABASE_URL": database_url} | changes,
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            timeout=60, check=False,
        )  # fmt: skip

    return run


def test_a_dry_run_changes_nothing(run: Callable[..., Any], psql: Any) -> None:
    """
    It names each index, its size, and the one that would be left alone.
    """
    before = one(psql, FILES)

    shown = run("reindex", "claims", "--dry-run")

    assert 0 == shown.returncode
    assert "claims_no_overlap" in shown.stdout
    assert "leave alone" in shown.stdout
    assert "Nothing was changed." in shown.stdout
    assert before == one(psql, FILES)


def test_rebuilding_a_table(run: Callable[..., Any]) -> None:
    """
    One document: each index with what became of it; nothing is invalid.
    """
    shown = run("reindex", "courts", "--json")
    document = json.loads(shown.stdout)

    assert 0 == shown.returncode
    assert {"rebuilt"} == {index["what"] for index in document["indexes"]}
    assert [] == document["invalid"]


def test_holding_up_bookings_is_asked_for(run: Callable[..., Any], psql: Any) -> None:
    """
    Without a terminal it needs --yes as well.
    """
    before = one(psql, FILES)

    refused = run("reindex", "claims", "--block-bookings")

    assert 5 == refused.returncode
    assert "--yes" in refused.stderr
    assert before == one(psql, FILES)
    assert 0 == run("reindex", "claims", "--block-bookings", "--yes", "--quiet").returncode
    assert before != one(psql, FILES)


def test_somebody_else_is_at_it(run: Callable[..., Any], desk: Desk) -> None:
    """
    Exit status 7, with the owner and since when.
    """
    with operator_lock(desk.bulk, "reindex", purpose="all", origin=desk.origin):
        refused = run("reindex", "courts", "--json")

    error = json.loads(refused.stdout)["error"]
    assert (7, "lock_held") == (refused.returncode, error["code"])
    assert "tester" == error["owner"]["actor"]
    assert 0 <= error["age_s"] < 60


def test_stats_fit_sixty_columns(run: Callable[..., Any]) -> None:
    """
    No line is wider, and what is not known is said.
    """
    shown = run("stats", COLUMNS="60", LC_ALL="C")

    assert 0 == shown.returncode
    assert 60 >= max(map(len, shown.stdout.splitlines()))
    assert "pg_stat_statements" in shown.stdout
    assert "Foreign keys without an index" in shown.stdout
