"""
What validation costs: `validate` of a million reservations, as times one reading of its tables.

    python load_tests/bench_validate.py [--rows N] [--rounds N] [--json FILE]

The books are a million claims of ten clubs with their payments, messages and audit trail, on a
PostgreSQL of its own. In each round the tables are read once (`count(*)` by sequential scans, with
the server's parallel workers as they are by default, and once more without any), then validated.

At the end one violation of each kind is hidden among the million: validation must name each, and
nothing else. Exit status 1: a goal was missed, or a finding.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from booking_goals import Goal, Row
from booking_stage import SECONDARY_INDEXES, raised
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from padelops.store.schema_shape import relations
from testbed import books
from testbed.corruption import CORRUPTIONS, DROP_GUARDS, Books

if TYPE_CHECKING:
    from booking_stage import Stage

    from padelops.ops.integrity_report import Report

CLUBS, COURTS = 10, 12
SCANS = "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _as_interrupt)
    with raised() as stage:
        desk = stage.database(
            "padelops", [books.club(f"books-{n}", courts=COURTS) for n in range(CLUBS)]
        )
        try:
            seed(stage, options.rows)
            tell("sealing the trail")
            desk.seal_audit()
            stage.do("VACUUM (ANALYZE)")
            stage.do("CHECKPOINT")
            rows, slowest = measure(stage, desk, options.rounds)
            for row in rows:
                print("  ".join(cell for cell in row.cells() if cell))
            print(f"slowest checks: {slowest}", flush=True)
            tell("hiding one violation of each kind")
            wrong = hide_and_seek(stage, desk)
        finally:
            desk.close()
    print("hidden among them: " + ("; ".join(wrong) or f"{len(CORRUPTIONS)} kinds, all found"))
    if options.json:
        document = {
            "schema_version": 1,
            "reservations": options.rows,
            "rows": [row.as_json() for row in rows],
            "wrong": wrong,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 1 if wrong or any(row.verdict == "MISSED" for row in rows) else 0


def seed(stage: Stage, rows: int) -> None:
    """Full books; without the exclusion constraint, which takes minutes and validation ignores."""
    tell(f"writing {rows} claims and what belongs to them")
    with psycopg.connect(stage.server.admin_url("padelops"), autocommit=True) as admin:
        admin.execute("SET maintenance_work_mem = '256MB'")
        admin.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
        again = admin.execute(SECONDARY_INDEXES).fetchall()
        for index, _ in again:
            admin.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(index)))
        books.fill(admin, rows)
        for _, definition in again:
            admin.execute(definition)


def measure(stage: Stage, desk: Any, rounds: int) -> tuple[list[Row], str]:
    """Scan and validate in turn; the last report's slowest checks come along."""
    scans: list[float] = []
    alone: list[float] = []
    validated: list[float] = []
    report: Report | None = None
    for nth in range(rounds):
        tell(f"round {nth + 1} of {rounds}")
        scans.append(scan(stage, workers=2))
        started = time.perf_counter()
        report = desk.validator().validate_all_reservations()
        validated.append(1000 * (time.perf_counter() - started))
        alone.append(scan(stage, workers=0))
    assert report is not None
    found = [violation.subject for one in report for violation in one.violations]
    assert found == ["constraint claims.claims_no_overlap", "index claims.claims_no_overlap"], found
    slowest = sorted(report, key=lambda one: -one.seconds)[:6]
    goal = Goal(10, 5)
    return [
        Row("validate, x one scan with parallel workers", validated, scans, "ms", goal, True),
        Row("validate, x one scan by one process", validated, alone, "ms", None, True),
    ], ", ".join(f"{one.check} {one.seconds:.1f} s" for one in slowest)


def scan(stage: Stage, *, workers: int) -> float:
    """Milliseconds to read every table that validation reads, once."""
    with psycopg.connect(stage.server.admin_url("padelops"), autocommit=True) as admin:
        admin.execute(SCANS)
        admin.execute(f"SET max_parallel_workers_per_gather = {workers}".encode())
        started = time.perf_counter()
        for relation in relations():
            admin.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(relation))
            ).fetchone()
        return 1000 * (time.perf_counter() - started)


def hide_and_seek(stage: Stage, desk: Any) -> list[str]:
    """What validation did not find, or found too much; empty when it is exact."""
    expected: dict[str, set[str]] = {}
    with psycopg.connect(stage.server.admin_url("padelops"), autocommit=True) as admin:
        admin.execute(DROP_GUARDS)
        spoiled = Books.open(admin, every=9973)
        for spoil in CORRUPTIONS.values():
            for check, subjects in spoil(spoiled).items():
                expected.setdefault(check, set()).update(subjects)
    report = desk.validator().validate_all_reservations(sample=None)
    found = {
        one.check: {violation.subject for violation in one.violations}
        for one in report
        if one.violations and one.definition.invariant != "schema"
    }
    return [
        f"{check}: missed {sorted(expected.get(check, set()) - found.get(check, set()))},"
        f" too much {sorted(found.get(check, set()) - expected.get(check, set()))}"
        for check in sorted(expected.keys() | found.keys())
        if expected.get(check) != found.get(check)
    ] + [f"{check}: not run" for check in report.not_run]


def tell(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            sys.exit("interrupted; the server is stopped")
