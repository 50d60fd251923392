"""What processes count arrives in the database once, in its minute, whatever dies in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from padelops.booking import counts as counting
from padelops.booking.counts import Counts, forget_old
from padelops.booking.critical_paths import CRITICAL_PATHS
from padelops.booking.operations import BOUNDS_S, Outcome, Tally
from padelops.errors import CourtTaken, DatabaseUnavailable, OutcomeUnknown, Unavailable
from padelops.store import counts as rows
from padelops.wiring import flushing
from testbed.clock import MORNING, Clock
from testbed.racing import race
from testbed.rows import one
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.wiring import Desk

COURT = "centro/2"
AT_SIX = "2026-12-01T18:00"

FLUSHER = """
import sys
from datetime import UTC, datetime
from padelops.booking.counts import Counts
from padelops.booking.operations import Outcome
from padelops.store.engine import Database

database = Database(sys.argv[1], budget_ms=5000)
counts = Counts(lambda: datetime.now(UTC))
print("begun", flush=True)
while True:
    for _ in range(50):
        counts.took("creation", Outcome.OK, "", 0.01)
    counts.flush(database)
    print("flushed", flush=True)
"""


def stored(psql: Any) -> dict[tuple[str, str, str], int]:
    found = psql.execute(
        "SELECT path, outcome, code, sum(calls)::int FROM operations GROUP BY 1, 2, 3"
    )
    return {tuple(row[:3]): row[3] for row in found.fetchall()}


def disagreement(psql: Any) -> int:
    """Rows in which the sum of the minutes is not the total, or not the sum of its buckets."""
    return int(
        one(
            psql,
            "SELECT count(*) FROM (SELECT path, outcome, code, sum(calls) AS n FROM operations"
            " GROUP BY 1, 2, 3) AS minutes FULL JOIN operation_totals AS totals"
            " USING (path, outcome, code) WHERE n IS DISTINCT FROM totals.calls"
            " OR totals.calls <> (SELECT sum(bucket) FROM unnest(totals.buckets) AS bucket)",
        )
    )


def test_what_a_desk_does_is_counted_by_path_and_outcome(desk: Desk, psql: Any) -> None:
    """
    Each of the critical paths that a request takes, a refusal with its code, and no dry run.
    """
    desk.book(
        COURT, AT_SIX, player="Ana Ruiz", email="ana@example.com", pay="card", card="tok_visa"
    )
    made = desk.book(COURT, "2026-12-01T20:00", player="Ana Ruiz")
    desk.book(COURT, "2026-12-01T21:30", player="Ana Ruiz", dry_run=True)
    with pytest.raises(CourtTaken):
        desk.book(COURT, AT_SIX, player="Eva Gil")
    desk.availability("centro")
    desk.price(COURT, AT_SIX)
    desk.show(made.reservation.id)
    desk.cancel(made.reservation.id, dry_run=True)
    desk.cancel(made.reservation.id)
    desk.worker().until_idle(lambda: False)
    desk.history(made.reservation.id)
    desk.close()

    found = stored(psql)

    assert {path.module for path in CRITICAL_PATHS} == {path for path, *_ in found}
    assert (2, 1) == tuple(
        found["creation", *ended] for ended in (("ok", ""), ("refused", "court_taken"))
    )
    assert (2, 1) == tuple(
        found["double_booking", *ended] for ended in (("ok", ""), ("refused", "court_taken"))
    )
    assert 2 == found["payments", "ok", ""]  # authorized, and captured by the worker
    assert 1 == found["cancellation", "ok", ""]
    assert 0 == disagreement(psql)


def test_an_operation_counts_in_the_minute_it_ended_in(desk: Desk, psql: Any, clock: Clock) -> None:
    """
    To the last microsecond, also when it is written down much later.
    """
    for seconds in (20, 39.999999, 0.000001):
        clock.advance(seconds=seconds)
        desk.counts.took("search", Outcome.OK, "", 0.2)
        desk.counts.add("cache.hit")
        assert desk.counts.waiting_minutes  # sorted now, each for itself
    clock.advance(hours=1)
    desk.close()

    minutes = [MORNING, MORNING + timedelta(minutes=1)]
    for table, counted in (("operations", "calls"), ("counters", "n")):
        found = psql.execute(f"SELECT minute, {counted} FROM {table} ORDER BY minute")
        assert list(zip(minutes, [2, 1], strict=True)) == found.fetchall(), table


def test_flushers_that_race_lose_nothing_and_never_deadlock(desk: Desk, psql: Any) -> None:
    """
    Processes that add to the same minutes, in whatever order they counted, wait in line.
    """
    paths = [path.module for path in CRITICAL_PATHS]
    crew = [Counts(desk.now) for _ in range(6)]

    def flush_often(counts: Counts, place: int) -> None:
        for turn in range(10):
            for path in paths[:: 1 if place % 2 else -1]:
                counts.took(path, Outcome.OK, "", 0.001 * turn)
                counts.add(f"test.{path}")
            counts.flush(desk.database)

    finishes = race(
        *(lambda counts=counts, place=place: flush_often(counts, place)  # type: ignore[misc]
          for place, counts in enumerate(crew))
    )  # fmt: skip

    assert [None] * 6 == [finish.error for finish in finishes]
    assert {60} == set(stored(psql).values())
    assert 0 == disagreement(psql)
    assert 60 * len(paths) == one(psql, "SELECT sum(n) FROM counters WHERE name LIKE 'test.%%'")


def test_a_flusher_killed_in_the_middle_leaves_whole_batches(database_url: str, psql: Any) -> None:
    """
    Kill -9 loses what it had not written down, never half of it.
    """
    flusher = subprocess.Popen(
        [sys.executable, "-c", FLUSHER, database_url], stdout=subprocess.PIPE, text=True
    )
    assert flusher.stdout is not None
    told = [flusher.stdout.readline() for _ in range(20)]
    flusher.kill()
    flushed = told.count("flushed\n") + flusher.communicate()[0].count("flushed\n")

    found = sum(stored(psql).values())

    assert found in {50 * flushed, 50 * (flushed + 1)}
    assert 0 == disagreement(psql)


def test_a_database_that_is_away_costs_no_count(
    desk: Desk, psql: Any, outage: Callable[[], Any], clock: Clock
) -> None:
    """
    What could not be written is kept, with its minute, and written once.
    """
    with outage():
        for _ in range(3):
            desk.counts.took("creation", Outcome.UNAVAILABLE, "database_unavailable", 0.5)
            with pytest.raises(Unavailable):
                desk.flusher.flush()
            clock.advance(minutes=1)
        assert 3 == desk.counts.waiting_minutes
    desk.flusher.flush()

    assert 0 == desk.counts.waiting_minutes
    assert {("creation", "unavailable", "database_unavailable"): 3} == stored(psql)
    assert 3 == one(psql, "SELECT count(DISTINCT minute) FROM operations")


def test_a_flush_whose_answer_was_lost_counts_once(
    desk: Desk, psql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It was committed and nobody heard: the same batch is sent again, and what came since after it.
    """
    write = Counts._write

    def deaf(*arguments: Any) -> None:
        write(*arguments)
        raise OutcomeUnknown

    desk.counts.took("search", Outcome.OK, "", 0.1)
    with monkeypatch.context() as broken:
        broken.setattr(Counts, "_write", deaf)
        with pytest.raises(OutcomeUnknown):
            desk.flusher.flush()
    desk.counts.took("search", Outcome.OK, "", 0.1)
    desk.flusher.flush()

    assert {("search", "ok", ""): 2} == stored(psql)
    assert 0 == disagreement(psql)


def test_an_outage_of_days_takes_bounded_memory(desk: Desk, psql: Any, clock: Clock) -> None:
    """
    The oldest minutes grow coarse; every operation is still counted.
    """
    for _ in range(counting.MOST_MINUTES + 60):
        desk.counts.took("search", Outcome.OK, "", 0.1)
        clock.advance(minutes=1)

    assert counting.MOST_MINUTES == desk.counts.waiting_minutes
    desk.close()
    assert counting.MOST_MINUTES + 60 == sum(stored(psql).values())


def test_names_without_end_take_bounded_memory(desk: Desk) -> None:
    """
    Codes are words of ours; should one hold a number, the rest of them is counted together.
    """
    for number in range(2 * counting.MOST_SERIES):
        desk.counts.took("search", Outcome.FAILED, f"code_{number}", 0.1)
    sums = desk.counts.since_start()

    assert len(sums.tallies) <= counting.MOST_SERIES + 1
    assert 2 * counting.MOST_SERIES == sum(tally.calls for tally in sums.tallies.values())


def test_threads_lose_no_count() -> None:
    """
    Whoever happens to sort, everybody's events are in it.
    """
    counts = Counts(Clock())

    def work() -> None:
        for _ in range(2000):
            counts.took("creation", Outcome.OK, "", 0.01)
            counts.add("cache.hit")

    race(*[work] * 8)
    sums = counts.since_start()

    assert 16_000 == sums.names["cache.hit"] == sums.tallies["creation", "ok", ""].calls


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_count_for_its_parent(desk: Desk, psql: Any) -> None:
    """
    What the parent has counted and not written down, the parent writes down: once.
    """
    desk.counts.took("search", Outcome.OK, "", 0.1)
    child = os.fork()
    if not child:
        with suppress(Exception):
            desk.counts.took("audit", Outcome.OK, "", 0.1)
            desk.flusher.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    desk.counts.took("search", Outcome.OK, "", 0.1)
    desk.close()

    assert {("search", "ok", ""): 2, ("audit", "ok", ""): 1} == stored(psql)


def test_old_minutes_grow_coarse_and_are_forgotten_but_totals_stay(
    desk: Desk, psql: Any, clock: Clock
) -> None:
    """
    By the hour after four days, gone after 35; a counter never goes back for it.
    """
    for age in (36, 20, 1):
        clock.at = MORNING - timedelta(days=age)
        for _ in range(3):
            desk.counts.took("search", Outcome.OK, "", 0.3)
            desk.counts.add("cache.hit")
            clock.advance(minutes=7)
        desk.flusher.flush()
    clock.at = MORNING
    before = totals(desk)
    while forget_old(desk.bulk, now=clock()):
        pass

    kept = psql.execute("SELECT minute, calls FROM operations ORDER BY minute").fetchall()
    day_ago = MORNING - timedelta(days=1)

    assert [
        (MORNING - timedelta(days=20), 3),
        *((day_ago + timedelta(minutes=7 * turn), 1) for turn in range(3)),
    ] == kept
    assert 6 == one(psql, "SELECT sum(n) FROM counters")
    assert before == totals(desk)
    assert (9, 9) == (before[0][0].calls, before[1]["cache.hit"])


def totals(desk: Desk) -> tuple[list[rows.Ended], dict[str, int]]:
    with desk.database.reading() as tx:
        return rows.operation_totals(tx), rows.counter_totals(tx)


def test_counters_start_again_with_a_timeline(desk: Desk, psql: Any) -> None:
    """
    A failover may lose the last counts. A counter that goes back a little would look like a million
    operations at once; one that starts at 0 is a restart.
    """
    desk.counts.took("search", Outcome.OK, "", 0.1)
    desk.flusher.flush()
    psql.execute("UPDATE operation_totals SET epoch = 'another:00000001', calls = 1000000")
    desk.counts.took("search", Outcome.OK, "", 0.1)
    desk.flusher.flush()

    assert [1] == [ended.calls for ended in totals(desk)[0]]
    forget_old(desk.bulk, now=desk.now())
    assert 1 == one(psql, "SELECT count(*) FROM operation_totals")


def test_a_window_adds_up_all_that_ended_in_it(desk: Desk, clock: Clock) -> None:
    """
    Several windows from one question, with the buckets added place by place.
    """
    spread = Tally()
    for minutes_ago, seconds in ((90, 0.02), (20, 0.3), (3, 0.3), (0, 70.0)):
        clock.at = MORNING - timedelta(minutes=minutes_ago)
        desk.counts.took("cancellation", Outcome.OK, "", seconds)
        if minutes_ago < 60:
            spread.add(seconds)
    clock.at = MORNING
    desk.flusher.flush()
    with desk.database.reading() as tx:
        found = rows.operations_within(tx, (300, 3600, 7200), now=clock())
        counted = rows.counters_within(tx, (300,), now=clock())

    assert {300: 2, 3600: 3, 7200: 4} == {
        length: sum(ended.calls for ended in endings) for length, endings in found.items()
    }
    assert tuple(spread.buckets) == found[3600][0].buckets
    assert {300: {}} == counted


def test_the_table_keeps_one_number_for_each_bucket(psql: Any) -> None:
    """
    Changing the bounds takes a migration; until then the database refuses what it would not add.
    """
    told = one(
        psql,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname = 'operations_buckets_whole'",
    )

    assert f"= {len(BOUNDS_S) + 1})" in told


def test_a_desk_of_the_library_flushes_by_itself(
    psql: Any,
    monkeypatch: pytest.MonkeyPatch,
    another_desk: Callable[..., Desk],
) -> None:
    """
    Whoever keeps a desk open for weeks need not think of it; a closed one leaves no thread.
    """
    monkeypatch.setattr(flushing, "FLUSH_EVERY", timedelta(milliseconds=20))
    desk = another_desk()
    desk.counts.took("search", Outcome.OK, "", 0.1)

    until(lambda: bool(stored(psql)))
    desk.close()
    until(lambda: "padelops-counts" not in {each.name for each in threading.enumerate()})


def test_a_flush_that_hangs_holds_up_nobody_else(desk: Desk) -> None:
    """
    Whoever closes a desk while another flush waits for a silent server goes on after a moment.
    """
    with desk.counts._flushing, pytest.raises(DatabaseUnavailable):
        desk.flusher.flush()
