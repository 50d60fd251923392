"""
Critical path 1 between processes: nothing that is kept in one process's memory can decide a race.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from testbed.invariants import broken
from testbed.rows import column, one
from testbed.workers import Wish, book_in_turn, take_barriers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.pool import Pool

    from padelops import Desk

PROCESSES = 8
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
LIVE = "SELECT count(*) FROM claims WHERE status IN ('pending', 'confirmed')"


Herd = Callable[[int, Callable[[int], list[Wish]]], list[list[tuple[int, str]]]]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Real processes, started once; a task that waits at a barrier keeps its process to itself."""
    spawn = multiprocessing.get_context("spawn")
    barriers = {processes: spawn.Barrier(processes) for processes in (2, 4, PROCESSES)}
    with spawn.Pool(PROCESSES, initializer=take_barriers, initargs=(barriers,)) as pool:
        yield pool


@pytest.fixture
def herd(pool: Pool, database_url: str) -> Herd:
    """Every process's answers to its wishes; before each wish all of them wait for each other."""

    def herd(processes: int, wishes_of: Callable[[int], list[Wish]]) -> list[Any]:
        running = [
            pool.apply_async(book_in_turn, (database_url, processes, wishes_of(n)))
            for n in range(processes)
        ]
        return [answers.get(timeout=90) for answers in running]

    return herd


def test_eight_processes_and_overlapping_slots(herd: Herd, desk: Desk, psql: Any) -> None:
    """
    Eight processes want slots that overlap in a hundred ways: of each round one books, the others
    hear `court_taken`; no deadlock or other raw error, and each booking has its one audit entry.
    """
    rounds = 24

    def wishes(process: int) -> list[Wish]:
        # Each round is a two-hour stretch; every wish of 90 or 120 minutes covers its middle.
        return [
            (
                "centro/2",
                f"2026-12-{1 + n // 6:02d}T{9 + 2 * (n % 6):02d}:{30 * (process % 2):02d}",
                120 if process % 4 == 0 else 90,
            )
            for n in range(rounds)
        ]

    answers = herd(PROCESSES, wishes)

    for n in range(rounds):
        told = Counter(process[n][1] for process in answers)
        assert 1 == told["booked"], (n, told)
        assert {"booked", "court_taken"} >= set(told), (n, told)
    assert rounds == one(psql, LIVE)
    assert {1} == set(
        column(
            psql,
            "SELECT count(*) FROM audit_entries WHERE subject_kind = 'reservation'"
            " GROUP BY subject_id",
        )
    )
    assert [] == broken(psql)
    assert desk.verify_audit().intact


def test_eight_processes_and_one_court_s_whole_week(herd: Herd, psql: Any) -> None:
    """
    The same start asked for by all, round after round: exactly one booking per start.
    """

    def wishes(process: int) -> list[Wish]:
        del process
        return [
            ("shibuya/A", f"2026-12-{1 + n // 8:02d}T{7 + 2 * (n % 8):02d}:00", 60)
            for n in range(40)
        ]

    answers = herd(PROCESSES, wishes)

    assert [1] * 40 == [sum(process[n][1] == "booked" for process in answers) for n in range(40)]
    assert {"booked", "court_taken"} == {code for process in answers for _, code in process}
    assert 40 == one(psql, LIVE)
    assert [] == broken(psql)


def test_two_courts_in_opposite_order_fifty_times(herd: Herd, psql: Any) -> None:
    """
    Parties of two processes want the same two courts in opposite order: each time one gets both
    and the other none.
    """
    courts = (("centro/2", "centro/3"), ("centro/3", "centro/2"))

    def wishes(process: int) -> list[Wish]:
        return [
            (courts[process % 2], f"2026-12-{1 + n // 7:02d}T{8 + 2 * (n % 7):02d}:00", 60)
            for n in range(57)
            if 1 + n // 7 != 6  # a Sunday, closed over lunch
        ]

    answers = herd(2, wishes)

    rounds = len(answers[0])
    for n in range(rounds):
        assert {"booked", "court_taken"} == {process[n][1] for process in answers}, n
    assert 2 * rounds == one(psql, LIVE)
    assert 0 == one(psql, DEADLOCKS)
    assert 0 == one(
        psql,
        "SELECT count(*) FROM (SELECT starts_at FROM claims GROUP BY 1"
        " HAVING count(*) <> 2 OR count(DISTINCT coalesce(party_id, id)) <> 1) AS torn",
    )
    assert [] == broken(psql)


def test_processes_that_share_a_key(herd: Herd, psql: Any) -> None:
    """
    Four retries of one request from four processes: one reservation, the same answer everywhere.
    """
    wishes: list[Wish] = [
        ("centro/2", f"2026-12-01T{10 + n:02d}:00", 60, f"key {n}") for n in range(8)
    ]

    answers = herd(4, lambda _: list(wishes))

    assert [8] * 4 == [len(process) for process in answers]
    assert 1 == len({tuple(process) for process in answers})
    assert 8 == one(psql, LIVE)
    assert [] == broken(psql)
