"""The parts of the benchmark: library and peer in turn, round by round."""

from __future__ import annotations

import statistics
import tempfile
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
from bench_startup import ONE_COMMAND
from bench_startup import seconds as seconds_of_python
from booking_goals import Goal, Row
from booking_loads import WARM_UP, Bookings, ClubDay, Searches, herd, rate_in_threads
from booking_peers import (
    PeerFailed,
    PgBench,
    RawReader,
    book_same_rules,
    script,
    values_of_a_booking,
)
from booking_stage import CLUB, COURTS, FIRST_START, Stage, club_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS = 16
CANCELS_PER_SECOND = 400
"""Cancelling is measured by count, because reservations to cancel must be there beforehand."""

ALONE = 17
"""The court (counted from 0) of the single thread; those before it belong to the many."""
HOT = 20
"""Hot courts: one for each round from here on."""
HERD = COURTS - 1

DAY_CLUB = "day"
UNGUARDED = """
    CREATE TABLE unguarded (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, court_id bigint, starts_at timestamptz,
        ends_at timestamptz, player_name text, player_email text, total numeric, status text
    );
    GRANT ALL ON unguarded TO padelops
"""


class Bench:
    """The parts of the benchmark, on one stage."""

    PARTS: ClassVar = ("book", "hot", "herd", "availability", "cancel", "search", "startup")

    def __init__(self, stage: Stage, *, seconds: int, rounds: int, rows: int) -> None:
        self.stage = stage
        self.seconds = seconds
        self.rounds = rounds
        self.rows = rows
        day = club_file(DAY_CLUB, courts=12) | {
            "hours": {"weekly": {"mon-sun": "08:00-23:00"}},
            "rules": {
                "slot_step_minutes": 30,
                "min_minutes": 60,
                "max_minutes": 120,
                "default_minutes": 90,
                "advance_days": 60,
            },
        }
        self.desk = stage.database("padelops", [club_file(), day], pool_size=THREADS)
        stage.do(UNGUARDED)
        self.first_court = stage.first_court()
        self.pgbench = PgBench(stage, values_of_a_booking(stage))
        self.bookings = Bookings(self.desk, CLUB)
        self.herd_facts: dict[str, Any] = {}
        self.herd_sound = True

    def close(self) -> None:
        self.desk.close()

    def in_turn(self, ways: dict[str, Callable[[int], float]]) -> dict[str, list[float]]:
        """Every way once a round, each round beginning with another one."""
        names = list(ways)
        taken: dict[str, list[float]] = {name: [] for name in names}
        for nth in range(self.rounds):
            first = nth % len(names)
            for name in names[first:] + names[:first]:
                # A plan that was made for an empty table must not decide who is faster.
                self.stage.do("ANALYZE claims")
                taken[name].append(ways[name](nth))
        return taken

    # --- bookings ----------------------------------------------------------------------------

    def book(self) -> list[Row]:
        """Distinct courts: through the library, with the same rules in SQL, and with none."""
        return [*self._book(ALONE, 1, None), *self._book(0, THREADS, Goal(0.60, 0.85))]

    def _book(self, court: int, threads: int, goal: Goal | None) -> list[Row]:
        rules, least = book_same_rules(), script("book_least_safe")
        taken = self.in_turn(
            {
                "library": lambda _: self._library(court, threads, hot=False),
                "rules": lambda _: self._pgbench(rules, court, threads, hot=False),
                "least": lambda _: self._pgbench(least, court, threads, hot=False, guarded=False),
            }
        )
        ours = taken["library"]
        who = f"book, {threads} thread{'s' if threads > 1 else ''}"
        return [
            Row(f"{who}, of pgbench, same rules", ours, taken["rules"], "bookings/s", goal),
            Row(f"{who}, of pgbench, least safe", ours, taken["least"], "bookings/s"),
        ]

    def hot(self) -> list[Row]:
        """Distinct slots of one court: the slot is locked here, the court there."""
        taken = self.in_turn(
            {
                "library": lambda nth: self._library(HOT + nth, THREADS, hot=True),
                "court": lambda nth: self._pgbench(
                    script("book_lock_court"), HOT + nth, THREADS, hot=True
                ),
            }
        )
        return [
            Row(
                f"book on one hot court, {THREADS} threads, of pgbench locking the court",
                taken["library"],
                taken["court"],
                "bookings/s",
                Goal(1.0, 1.8),
            )
        ]

    def herd(self) -> list[Row]:
        """Everybody wants the same slots; the database's own books say what came of it."""
        slots = 10 * self.seconds
        court_id = self.first_court + HERD
        before = self._deadlocks()
        seen = herd(self.desk, CLUB, HERD + 1, slots=slots, threads=THREADS)
        winners, overlaps = self.stage.ask(
            """
            SELECT count(DISTINCT one.starts_at), count(*) FILTER (WHERE other.id IS NOT NULL)
              FROM claims AS one
              LEFT JOIN claims AS other
                ON other.court_id = one.court_id AND other.id <> one.id
               AND other.status IN ('pending', 'confirmed')
               AND other.starts_at < one.free_at AND one.starts_at < other.free_at
             WHERE one.court_id = %s AND one.status IN ('pending', 'confirmed')
            """,
            court_id,
        )
        deadlocks = self._deadlocks() - before
        unexpected = seen.threads * slots - seen.answers["won"] - seen.answers["court_taken"]
        self.herd_facts = {
            "threads": seen.threads,
            "slots": slots,
            "slots with one winner": winners,
            "winners": seen.answers["won"],
            "told court_taken": seen.answers["court_taken"],
            "other answers": unexpected,
            "overlaps": overlaps,
            "deadlocks": deadlocks,
            "ms at worst": round(seen.worst_s * 1000),
        }
        self.herd_sound = (winners, seen.answers["won"], overlaps, deadlocks, unexpected) == (
            slots,
            slots,
            0,
            0,
            0,
        )
        return []

    def cancel(self) -> list[Row]:
        """The same number of reservations cancelled by each."""
        each = max(1, CANCELS_PER_SECOND * self.seconds // THREADS)
        taken = self.in_turn(
            {
                "library": lambda _: self._library_cancels(each),
                "pgbench": lambda _: self._pgbench_cancels(each),
            }
        )
        return [
            Row(
                f"cancel, {THREADS} threads, of pgbench, no policy",
                taken["library"],
                taken["pgbench"],
                "cancellations/s",
            )
        ]

    # --- reading -----------------------------------------------------------------------------

    def availability(self) -> list[Row]:
        """One busy day of twelve courts, over and over."""
        zone = self.desk.catalogue.club(DAY_CLUB).zone
        morning = (FIRST_START + timedelta(days=3)).replace(hour=8, tzinfo=zone)
        opens, closes = (hour.astimezone(UTC) for hour in (morning, morning + timedelta(hours=15)))
        day = ClubDay(self.desk, DAY_CLUB, opens, closes)
        day.fill()
        courts = self.desk.catalogue.club(DAY_CLUB).courts.values()
        ids = [court.id for court in courts]
        with psycopg.connect(self.stage.url, autocommit=True) as connection:
            raw = RawReader(connection, ids, opens, closes, day.LENGTH, day.STEP)
            if not day.agrees_with(raw):
                raise PeerFailed("library and raw peer find different free starts")
            taken = self.in_turn(
                {
                    "library": lambda _: self._reads(day.uncached),
                    "raw": lambda _: self._reads(raw.free),
                    "cached": lambda _: self._reads(day.cached),
                }
            )
        unit = "days/s"
        return [
            Row(
                "availability, uncached, of raw read + slots",
                taken["library"],
                taken["raw"],
                unit,
                Goal(0.6, 0.85),
            ),
            Row("availability, cached, of raw read + slots", taken["cached"], taken["raw"], unit),
        ]

    def search(self) -> list[Row]:
        """The same mix of searches on few rows and on ten times as many."""
        few = self.rows // 10
        with (
            self._searches("search_few", few) as small,
            self._searches("search_many", self.rows) as large,
        ):
            for searches in (small, large):
                searches.seconds()  # warms caches and prepares statements
            taken = self.in_turn({"large": lambda _: _p95(large), "small": lambda _: _p95(small)})
        return [
            Row(
                f"search p95 at {self.rows:,} rows, x at {few:,}",
                taken["large"],
                taken["small"],
                "ms",
                Goal(1.5, 1.2),
                smaller_is_better=True,
            )
        ]

    def startup(self) -> list[Row]:
        """`--help` of padelops and of the smallest Typer program."""
        with tempfile.TemporaryDirectory() as folder:
            smallest = Path(folder, "smallest.py")
            smallest.write_text(ONE_COMMAND.format(settings=""), encoding="utf-8")
            programs = {"ours": ["-m", "padelops", "--help"], "typer": [str(smallest), "--help"]}
            for arguments in programs.values():
                seconds_of_python(arguments)
            taken: dict[str, list[float]] = {"ours": [], "typer": []}
            for _ in range(5 * self.rounds):
                for name, arguments in programs.items():
                    taken[name].append(1000 * seconds_of_python(arguments))
        return [
            Row(
                "padelops --help, x a one-command Typer program's",
                taken["ours"],
                taken["typer"],
                "ms",
                Goal(1.3, 1.1),
                smaller_is_better=True,
            )
        ]

    # --- one measurement ---------------------------------------------------------------------

    def _library(self, court: int, threads: int, *, hot: bool) -> float:
        courts = self._ids(court, 1 if hot else threads)
        return self.bookings.rate(
            first_court=court + 1,
            first_start=self.stage.free_from(courts),
            threads=threads,
            seconds=self.seconds,
            hot=hot,
        )[0]

    def _pgbench(
        self, text: str, court: int, clients: int, *, hot: bool, guarded: bool = True
    ) -> float:
        courts = self._ids(court, 1 if hot else clients)
        before = self.stage.live(courts)
        rate, count = self.pgbench.rate(
            text,
            clients=clients,
            seconds=self.seconds,
            first_court=courts.start,
            first_start=int(self.stage.free_from(courts).timestamp()),
        )
        made = self.stage.live(courts) - before
        if guarded and made != count:
            raise PeerFailed(f"pgbench counts {count} bookings, the table {made}")
        return rate

    def _library_cancels(self, each: int) -> float:
        first_id = self._seed_to_cancel(each + WARM_UP)
        return rate_in_threads(
            lambda thread, nth: self.desk.cancel(first_id + nth * THREADS + thread),
            threads=THREADS,
            each=each,
        )[0]

    def _pgbench_cancels(self, each: int) -> float:
        first_id = self._seed_to_cancel(each)
        rate, count = self.pgbench.rate(
            script("cancel"), clients=THREADS, each=each, first_id=first_id
        )
        cancelled = self.stage.ask(
            "SELECT count(*) FROM claims WHERE id >= %s AND status = 'cancelled'", first_id
        )[0]
        if cancelled != count:
            raise PeerFailed(f"pgbench counts {count} cancellations, the table {cancelled}")
        return rate

    def _reads(self, read: Callable[[], object]) -> float:
        return rate_in_threads(lambda *_: read(), threads=1, seconds=self.seconds)[0]

    def _ids(self, court: int, courts: int) -> range:
        first = self.first_court + court
        return range(first, first + courts)

    def _seed_to_cancel(self, each: int) -> int:
        rows = each * THREADS
        every = self._ids(0, COURTS)
        self.stage.seed("padelops", rows, first_start=self.stage.free_from(every), ended_percent=0)
        return int(self.stage.ask("SELECT max(id) FROM claims")[0]) - rows + 1

    def _deadlocks(self) -> int:
        self.stage.do("SELECT pg_stat_clear_snapshot()")
        sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'padelops'"
        return int(self.stage.ask(sql)[0])

    @contextmanager
    def _searches(self, database: str, rows: int) -> Iterator[Searches]:
        clubs = [f"club-{number}" for number in range(10)]
        desk = self.stage.database(
            database, [club_file(club, courts=10) for club in clubs], pool_size=2
        )
        try:
            self.stage.seed(database, rows, first_start=FIRST_START, ended_percent=6, bare=True)
            yield Searches(desk, clubs, rows=rows, first_start=FIRST_START)
        finally:
            desk.close()


def _p95(searches: Searches) -> float:
    """Milliseconds, over several passes through the mix."""
    taken = [second for _ in range(5) for second in searches.seconds()]
    return 1000 * statistics.quantiles(taken, n=20)[-1]
