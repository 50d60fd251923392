"""
Critical path 4: what a reader is told agrees with the tables, whatever the cache holds or loses.
"""

from __future__ import annotations

import multiprocessing
import re
import signal
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
import redis
from pydantic import SecretStr

from padelops.adapters.database_cache import DatabaseCache
from padelops.adapters.redis_cache import RedisCache
from padelops.errors import CacheUnavailable, CourtTaken, InvalidInput, NotFound, RuleBroken
from padelops.wiring import upgrade_schema
from testbed.racing import Running, race
from testbed.rows import (
    EVENING,
    block_row,
    court_of,
    insert,
    insert_hold,
    one,
    reservation_row,
    without_triggers,
)
from testbed.workers import book_and_die

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops import Desk
    from padelops.adapters.embedded_postgres import EmbeddedPostgres
    from padelops.booking.availability import Availability
    from padelops.booking.cache import Cache
    from testbed.clock import Clock

COURT = "centro/2"
TUESDAY = date(2026, 12, 1)
AT_SIX = "2026-12-01T18:00"


@pytest.fixture(params=["database", pytest.param("redis", marks=pytest.mark.needs("redis-server"))])
def cache_url(request: pytest.FixtureRequest) -> SecretStr | None:
    """Both caches, one after the other; the Redis is emptied before each test."""
    if request.param == "database":
        return None
    url = request.getfixturevalue("redis_url")
    cache = RedisCache(SecretStr(url))
    for _ in cache.purge("*", batch=1000):
        pass
    cache.close()
    return SecretStr(url)


@pytest.fixture
def reader(another_desk: Callable[..., Desk], cache_url: SecretStr | None) -> Desk:
    """A desk that answers what is free, with the cache under test."""
    return another_desk(cache_url=cache_url)


@pytest.fixture
def writer(another_desk: Callable[..., Desk], cache_url: SecretStr | None) -> Desk:
    """Another process's desk, as it were, on the same database and cache."""
    return another_desk(cache_url=cache_url)


def starts(day: Availability, court: str = "2") -> list[datetime]:
    """The free starts of one court."""
    return [free.starts_at for one in day.courts if one.court == court for free in one.starts]


def told(desk: Desk, **more: Any) -> Availability:
    """What a reader hears about the Tuesday, for 60 minutes."""
    return desk.availability("centro", TUESDAY, **{"minutes": 60, **more})


def truth(desk: Desk, **more: Any) -> Any:
    """The same, computed from the tables without any cache."""
    return desk._availability.of_day(
        "centro", TUESDAY, now=desk.now(), use_cache=False, **{"minutes": 60, **more}
    ).courts


def test_a_day_is_hours_less_claims_priced(desk: Desk, psql: Any) -> None:
    """
    From 08:00 to 23:00 every half hour, less a booking, a block and their overlaps, each start
    with the price that a booking then costs.
    """
    desk.book(COURT, AT_SIX, minutes=60, player="A")
    insert(
        psql,
        "claims",
        block_row(psql, starts_at=EVENING.replace(hour=7), ends_at=EVENING.replace(hour=9),
                  free_at=EVENING.replace(hour=9)),
    )  # fmt: skip

    day = told(desk)

    opening = datetime(2026, 12, 1, 7, tzinfo=UTC)
    every = [opening + timedelta(minutes=30 * n) for n in range(29)]
    taken = {opening + timedelta(minutes=m) for m in (0, 30, 60, 90, 570, 600, 630)}
    assert [start for start in every if start not in taken] == starts(day)
    for free in day.courts[1].starts[::7]:
        quote = desk.price(COURT, free.starts_at.isoformat(), minutes=60)
        assert quote.total == free.total


def test_every_start_offered_can_be_booked_and_no_other(desk: Desk, psql: Any) -> None:
    """
    For each start of a busy day: offered means bookable, not offered means refused.
    """
    for hour, minutes in [(9, 60), (12, 90), (18, 120)]:
        desk.book(COURT, f"2026-12-01T{hour:02d}:00", minutes=minutes, player="A")
    insert_hold(psql, COURT, EVENING.replace(hour=14), EVENING - timedelta(days=3650))
    insert_hold(psql, COURT, EVENING.replace(hour=15), EVENING + timedelta(days=3650))
    offered = starts(told(desk, court="2", minutes=90))

    opening = datetime(2026, 12, 1, 7, tzinfo=UTC)
    for n in range(28):
        start = opening + timedelta(minutes=30 * n)
        wish = partial(desk.book, COURT, start.isoformat(), minutes=90, player="B", dry_run=True)
        assert (start in offered) == race(wish)[0].ok, start


def test_the_buffer_is_kept_on_both_sides(desk: Desk) -> None:
    """
    Around 10:00-11:00 at shibuya, which cleans for 15 minutes, 08:45 and 11:15 are the nearest.
    """
    desk.book("shibuya/A", "2026-12-01T10:00", minutes=60, player="A")

    offered = starts(desk.availability("shibuya", TUESDAY, minutes=60), "A")

    taken = datetime(2026, 12, 1, 1, tzinfo=UTC)
    assert taken - timedelta(minutes=75) == max(start for start in offered if start < taken)
    assert taken + timedelta(minutes=75) == min(start for start in offered if start > taken)


def test_a_night_belongs_to_the_day_it_opens_on(desk: Desk) -> None:
    """
    Friday's opening until 01:30 is Friday's answer, with starts after midnight.
    """
    friday = desk.availability("centro", date(2026, 12, 4), minutes=60)

    assert datetime(2026, 12, 4, 23, 30, tzinfo=UTC) == starts(friday)[-1]


def test_a_closed_day_offers_nothing(desk: Desk) -> None:
    """
    On Christmas nothing is open and nothing free, for certain.
    """
    day = desk.availability("centro", date(2026, 12, 25))

    assert ((), True) == (day.open, day.certain)
    assert [] == starts(day)


def test_the_past_is_not_offered(desk: Desk, clock: Clock) -> None:
    """
    Starts before now are left out, from the cache as well; now itself is offered.
    """
    clock.at = EVENING
    told(desk)
    clock.advance(hours=1)

    assert EVENING + timedelta(hours=1) == starts(told(desk))[0]
    assert told(desk).from_cache


def test_what_is_asked_twice_is_answered_from_the_cache(reader: Desk, psql: Any) -> None:
    """
    The second answer is a hit, the same, and counted; a booking makes it a miss.
    """
    first, second = told(reader), told(reader)
    reader.book(COURT, AT_SIX, minutes=60, player="A")
    third = told(reader)
    reader.close()

    assert (False, True, False) == (first.from_cache, second.from_cache, third.from_cache)
    assert first.courts == second.courts
    assert {"cache.hit": 1, "cache.miss": 2} == dict(
        psql.execute(
            "SELECT name, sum(n)::int FROM counters WHERE name LIKE 'cache.%' GROUP BY 1"
        ).fetchall()
    )


def test_every_change_is_seen_at_once(
    reader: Desk, writer: Desk, psql: Any, tmp_path: Path, demo_clubs: Path
) -> None:
    """
    After each acknowledged change of anything, by library or psql, the next answer is the truth.
    """
    court_id, _ = court_of(psql, COURT)
    made: list[int] = []
    block = block_row(psql, "centro/1")
    changed = tmp_path / "clubs.yaml"
    text = demo_clubs.read_text(encoding="utf-8")

    def apply(before: str, after: str) -> None:
        changed.write_text(text.replace(before, after), encoding="utf-8")
        writer.apply_club_file(changed)

    changes: list[Callable[[], Any]] = [
        lambda: made.append(writer.book(COURT, AT_SIX, minutes=60, player="A").reservation.id),
        lambda: writer.cancel(made[0]),
        lambda: insert(psql, "claims", reservation_row(psql, COURT)),
        lambda: insert(psql, "claims", block),
        lambda: psql.execute("UPDATE claims SET status = 'cancelled' WHERE kind = 'block'"),
        lambda: psql.execute("UPDATE courts SET in_service = false WHERE id = %s", [court_id]),
        lambda: psql.execute("UPDATE courts SET in_service = true WHERE id = %s", [court_id]),
        lambda: apply('mon-thu: "08:00-23:00"', 'mon-thu: "09:00-22:00"'),
        lambda: apply('"24.00"', '"26.00"'),
        lambda: apply('- {name: "4"', '- {name: "5"'),
        lambda: apply("slot_step_minutes: 30", "slot_step_minutes: 60"),
        lambda: apply("advance", "advance"),
    ]
    before = told(reader).courts
    for change in changes:
        assert before == told(reader).courts
        change()
        told(writer)  # who knows of it first, and leaves the new answer in the cache

        answer = told(reader)
        assert truth(writer) == answer.courts
        assert before != answer.courts
        before = answer.courts


def test_reading_between_a_write_and_its_commit(
    reader: Desk, raw: Callable[[], Any], psql: Any
) -> None:
    """
    A reader in between may still say free; after the commit nobody says so any more.
    """
    slow = raw()
    with slow.transaction():
        insert(slow, "claims", reservation_row(slow, COURT))
        told(reader)
        between = told(reader)

    after = told(reader)
    assert between.from_cache
    assert EVENING in starts(between)
    assert EVENING not in starts(after)
    assert truth(reader) == after.courts
    assert 1 == one(psql, "SELECT count(*) FROM claims")


def test_a_writer_killed_right_after_its_commit(
    reader: Desk, database_url: str, cache_url: SecretStr | None
) -> None:
    """
    A process that dies by SIGKILL between its commit and anything after leaves nothing stale.
    """
    told(reader)
    assert told(reader).from_cache

    worker = multiprocessing.get_context("spawn").Process(
        target=book_and_die,
        args=(database_url, cache_url and cache_url.get_secret_value(), COURT, AT_SIX),
    )
    worker.start()
    worker.join(60)

    assert -signal.SIGKILL == worker.exitcode
    after = told(reader)
    assert EVENING not in starts(after)
    assert truth(reader) == after.courts


class Slow:
    """A cache whose `put` lets something happen first: a reader held up at the worst moment."""

    def __init__(self, cache: Cache, meanwhile: Callable[[], Any]) -> None:
        self._cache = cache
        self._meanwhile = meanwhile

    def put(self, key: str, stamp: str, value: str, *, ttl_s: int) -> None:
        self._meanwhile()
        self._cache.put(key, stamp, value, ttl_s=ttl_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


def test_an_old_reader_that_puts_its_answer_late(
    reader: Desk, writer: Desk, another_desk: Callable[..., Desk], cache_url: SecretStr | None
) -> None:
    """
    An answer computed before a booking and put after it, over the newer one, is never believed.
    """
    slow = another_desk(cache_url=cache_url)

    def meanwhile() -> None:
        writer.book(COURT, AT_SIX, minutes=60, player="A")
        assert EVENING not in starts(told(reader))

    slow.__dict__["cache"] = Slow(slow.cache, meanwhile)
    told(slow)

    after = told(reader)
    assert EVENING not in starts(after)
    assert truth(reader) == after.courts


def test_an_old_reader_of_the_club_that_puts_its_answer_late(
    reader: Desk,
    writer: Desk,
    another_desk: Callable[..., Desk],
    cache_url: SecretStr | None,
    tmp_path: Path,
    demo_clubs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A club that changes between a reader's look at it and at the claims: the old hours and prices
    are not kept under the new stamp.
    """
    slow = another_desk(cache_url=cache_url)
    told(slow)
    changed = tmp_path / "clubs.yaml"
    text = demo_clubs.read_text(encoding="utf-8")
    changed.write_text(text.replace('"08:00-23:00"', '"10:00-20:00"'), encoding="utf-8")
    club_of = slow.catalogue.club

    def club_then_change(slug: str) -> Any:
        monkeypatch.undo()
        club = club_of(slug)
        writer.apply_club_file(changed)
        return club

    monkeypatch.setattr(slow.catalogue, "club", club_then_change)
    told(slow)

    after = told(reader)
    assert datetime(2026, 12, 1, 9, tzinfo=UTC) == starts(after)[0]
    assert truth(writer) == after.courts


def test_readers_and_writers_at_once(reader: Desk, writer: Desk) -> None:
    """
    While others book and cancel, no reader is told free what it booked itself just before.
    """
    wrong: list[str] = []

    def churn(court: str) -> None:
        for n in range(12):
            start = EVENING.replace(hour=8 + n % 10)
            made = writer.book(
                f"centro/{court}", start.isoformat(), minutes=60, player="A"
            ).reservation
            if start in starts(told(reader), court):
                wrong.append(f"free though booked: {court} {start}")
            writer.cancel(made.id)
            if start not in starts(told(reader), court):
                wrong.append(f"taken though cancelled: {court} {start}")

    finishes = race(*(partial(churn, court) for court in "123"), *[partial(told, reader)] * 2)

    assert [None] * 5 == [finish.error for finish in finishes]
    assert [] == wrong


def test_a_hold_runs_out_without_a_row_being_changed(reader: Desk, psql: Any, clock: Clock) -> None:
    """
    A cached answer ends with the hold in it: from its deadline on the slot is offered again.
    """
    clock.at = EVENING - timedelta(days=3000)
    start = (clock.at + timedelta(days=8)).replace(hour=18)
    insert_hold(psql, "roma/1", start, clock.at + timedelta(minutes=10))
    ask = partial(reader.availability, "roma", start.date(), minutes=60)

    before, cached = ask(), ask()
    clock.advance(minutes=10)
    after, kept = ask(), ask()

    assert start not in starts(before, "1") + starts(cached, "1")
    assert start in starts(after, "1")
    assert (True, False, True) == (cached.from_cache, after.from_cache, kept.from_cache)
    clock.advance(minutes=-1)
    assert start not in starts(ask(), "1")


def test_a_hold_that_only_the_desk_believes_over(reader: Desk, psql: Any, clock: Clock) -> None:
    """
    A desk with a fast clock offers no slot that its own booking would be refused.
    """
    clock.at = one(psql, "SELECT now()") + timedelta(hours=2)
    start = (clock.at + timedelta(days=8)).replace(hour=18, minute=0, second=0, microsecond=0)
    insert_hold(psql, "roma/1", start, clock.at - timedelta(hours=1))

    for _ in range(2):
        day = reader.availability("roma", start.date(), minutes=60)
        assert start not in starts(day, "1")
    with pytest.raises(CourtTaken):
        reader.book("roma/1", start.isoformat(), minutes=60, player="A")


GARBAGE = [
    "", "null", "[]", "{}", "0", '"text"', "{", "\0" * 10, "é" * 100, "[" * 100_000,
    '{"until":null,"since":null,"courts":{}}', '{"until":"x","since":[],"courts":7}',
    '{"until":null,"since":null,"courts":{"x":[["a","b"]]}}',
    '{"until":null,"since":null,"courts":{"1":[1e400,null]}}',
]  # fmt: skip


class Garbage:
    """A cache that answers anything asked with one text, under whatever stamp is true."""

    def __init__(self, text: str, checked: bool) -> None:
        self._text = f"{crc32(text.encode()):08x}{text}" if checked else text
        self._stamp = ""
        self.kept: list[str] = []

    def get(self, key: str) -> tuple[str, str] | None:
        del key
        return (self._stamp, self._text) if self._stamp else None

    def put(self, key: str, stamp: str, value: str, *, ttl_s: int) -> None:
        del key, ttl_s
        self._stamp = stamp
        self.kept.append(value)

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("text", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("checked", [False, True])
def test_garbage_in_the_cache_is_a_miss(desk: Desk, text: str, checked: bool) -> None:
    """
    Whatever stands under the true stamp, even with a fitting checksum: computed anew and put back.
    """
    garbage = Garbage(text, checked)
    desk.__dict__["cache"] = garbage
    told(desk)

    again = told(desk)

    assert truth(desk) == again.courts
    assert not again.from_cache
    assert 2 == len(garbage.kept)


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize(
    "value", [b"", b"\n", b"\xff\xfe\x00", b"1.2.3", b"x" * 1_000_000, b"-\n{}", None]
)
def test_foreign_bytes_in_redis(
    another_desk: Callable[..., Desk], redis_url: str, value: bytes | None
) -> None:
    """
    Bytes that are no text, a key of another type, a cut value: computed anew, and no crash.
    """
    desk = another_desk(cache_url=SecretStr(redis_url))
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    told(desk)
    (key,) = client.keys("padelops:*")
    whole = client.get(key)
    assert isinstance(whole, bytes)
    one_start_less = re.sub(rb",[0-9]{8}", b"", whole, count=1)
    assert one_start_less != whole
    for planted in [value, whole[:-1], whole[:20], one_start_less]:
        client.delete(key)
        if planted is None:
            client.rpush(key, "a", "list")
        else:
            client.set(key, planted)

        answer = told(desk)
        assert truth(desk) == answer.courts
        assert not answer.from_cache
    client.close()


@pytest.mark.needs("redis-server")
def test_two_databases_that_share_a_cache(
    another_desk: Callable[..., Desk],
    redis_url: str,
    databases: Any,
    postgres_server: EmbeddedPostgres,
    demo_clubs: Path,
) -> None:
    """
    Staging and production with the same clubs and the same number of changes, on one Redis: neither
    hears the other's answers.
    """
    mine = another_desk(cache_url=SecretStr(redis_url))
    name = databases.create()
    url = SecretStr(postgres_server.url(name))
    upgrade_schema(mine.settings.model_copy(update={"database_url": url}))
    theirs = another_desk(cache_url=SecretStr(redis_url), database_url=url)
    theirs.apply_club_file(demo_clubs)
    mine.book(COURT, AT_SIX, minutes=60, player="A")
    theirs.book(COURT, "2026-12-01T09:00", minutes=60, player="A")

    for desk in (mine, theirs, mine, theirs):
        assert truth(desk) == told(desk).courts
    databases.done_with(name)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
def test_a_cache_that_is_down(another_desk: Callable[..., Desk], psql: Any, url: str) -> None:
    """
    Answers come from the database, bookings work, and the error is counted.
    """
    desk = another_desk(cache_url=SecretStr(url))
    desk.book(COURT, AT_SIX, minutes=60, player="A")

    day = told(desk)
    desk.close()

    assert (True, False) == (day.certain, day.from_cache)
    assert EVENING not in starts(day)
    assert one(psql, "SELECT sum(n) FROM counters WHERE name = 'cache.error'") > 0


def test_a_cache_table_that_is_locked_or_gone(
    another_desk: Callable[..., Desk], raw: Callable[[], Any], psql: Any
) -> None:
    """
    Somebody who locks or drops the cache table costs time, not answers.
    """
    desk = another_desk(level1_budget_ms=200)
    told(desk)
    holder = raw()
    with holder.transaction(force_rollback=True):
        holder.execute("LOCK cache_entries")
        locked = told(desk)
    psql.execute("REVOKE ALL ON cache_entries FROM padelops")
    forbidden = told(desk)

    assert truth(desk) == locked.courts == forbidden.courts


def test_a_database_that_is_away_is_answered_conservatively(
    desk: Desk, outage: Callable[[], Any]
) -> None:
    """
    Nothing is bookable and the answer says that it is not certain; it recovers by itself.
    """
    told(desk)
    with outage():
        away = told(desk)

    assert not away.certain
    assert [] == [free for court in away.courts for free in court.starts]
    assert told(desk).certain


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [
        ({"club": "nowhere"}, NotFound), ({"club": "\0"}, NotFound), ({"club": "\ud800"}, NotFound),
        ({"court": "9"}, NotFound), ({"court": "\0"}, NotFound),
        ({"minutes": 0}, RuleBroken), ({"minutes": -60}, RuleBroken), ({"minutes": 61}, RuleBroken),
        ({"minutes": 10**20}, RuleBroken),
        ({"day": date.max}, InvalidInput), ({"day": date.min}, InvalidInput),
        ({"day": date(9999, 12, 31)}, InvalidInput), ({"day": date(2100, 1, 1)}, InvalidInput),
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense(
    desk: Desk, bad: dict[str, Any], refusal: type[Exception]
) -> None:
    """
    Bad questions are refused by what is wrong with them.
    """
    with pytest.raises(refusal):
        desk.availability(**{"club": "centro", "day": TUESDAY, **bad})


@pytest.mark.parametrize("day", [date(2027, 3, 28), date(2026, 10, 25), date(2099, 12, 31)])
def test_days_of_23_and_25_hours(desk: Desk, clock: Clock, tmp_path: Path, day: date) -> None:
    """
    A club that never closes offers every half hour that there is, and the last day there is.
    """
    (tmp_path / "always.yaml").write_text(
        "{slug: always, name: A, time_zone: Europe/Madrid, currency: EUR,"
        ' default_hourly_price: "10.00", courts: [{name: "1"}],'
        ' hours: {weekly: {mon-sun: "00:00-24:00"}}, rules: {advance_days: 400}}',
        encoding="utf-8",
    )
    desk.apply_club_file(tmp_path / "always.yaml")
    clock.at = datetime(2026, 10, 1, tzinfo=UTC)

    offered = starts(desk.availability("always", day, minutes=60), "1")

    hours = {date(2027, 3, 28): 23, date(2026, 10, 25): 25}.get(day, 24)
    assert 2 * hours - (2 if day.year == 2099 else 0) <= len(offered) + 1 <= 2 * hours + 1
    assert len(offered) == len(set(offered))


def test_purging_is_harmless(reader: Desk, cache_url: SecretStr | None) -> None:
    """
    A purge takes what its pattern matches, in batches, and the next answer is true again.
    """
    told(reader)
    told(reader, minutes=90)
    cache = reader.cache

    assert 2 == cache.count("reservation_availability:*")
    assert 0 == cache.count("reservation?availability:*")
    assert 0 == cache.count("reservation%")
    assert [1, 1] == list(cache.purge("reservation_*", batch=1))
    assert [] == list(cache.purge("reservation_*", batch=10))
    assert truth(reader) == told(reader).courts
    assert isinstance(cache, DatabaseCache if cache_url is None else RedisCache)


def test_the_cache_table_s_own_clock(desk: Desk, psql: Any) -> None:
    """
    A kept answer past its time is no answer.
    """
    told(desk)
    psql.execute("UPDATE cache_entries SET expires_at = now()")

    assert not told(desk).from_cache


def test_a_writer_without_triggers_cannot_be_cached_over(desk: Desk, psql: Any) -> None:
    """
    Deleting a claim with the guards off makes the stamp smaller, so the old answer is not used.
    """
    made = desk.book(COURT, AT_SIX, minutes=60, player="A").reservation.id
    told(desk)
    without_triggers(psql, "DELETE FROM claims WHERE id = %s", made)

    assert EVENING in starts(told(desk))


def test_alternatives_are_offered_by_the_same_clocks(desk: Desk, psql: Any) -> None:
    """
    An alternative is free by the rules that decide a booking: an expired hold is no obstacle.
    """
    desk.book(COURT, AT_SIX, minutes=60, player="A")
    insert_hold(psql, "centro/1", EVENING, EVENING - timedelta(days=3650))
    insert_hold(psql, "centro/3", EVENING, EVENING + timedelta(days=3650))

    with pytest.raises(CourtTaken) as caught:
        desk.book(COURT, AT_SIX, minutes=60, player="B")

    at_once = [
        found["court"]
        for found in caught.value.facts["alternatives"]
        if found["starts_at"] == "2026-12-01T18:00:00+01:00"
    ]
    assert ["centro/1", "centro/4"] == at_once


def test_a_reader_is_not_held_up_by_writers(desk: Desk, raw: Callable[[], Any], psql: Any) -> None:
    """
    While a booking waits for a rival, reading goes on.
    """
    rival = raw()
    with rival.transaction(force_rollback=True):
        insert(rival, "claims", reservation_row(rival, COURT))
        booking = Running(partial(desk.book, COURT, AT_SIX, minutes=60, player="A"))

        assert told(desk).certain
    assert booking.finish().ok
    assert one(psql, "SELECT count(*) FROM claims")


def test_the_cache_says_when_it_is_away(database_url: str) -> None:
    """
    Both caches name the reason in one error class, so that callers need not know which it is.
    """
    gone = RedisCache(SecretStr("redis://127.0.0.1:1/0"))
    for call in (
        partial(gone.get, "k"), partial(gone.put, "k", "s", "v", ttl_s=1),
        partial(gone.count, "k*"), lambda: list(gone.purge("k*", batch=1)),
        partial(gone.contents, most=1),
    ):  # fmt: skip
        with pytest.raises(CacheUnavailable):
            call()
    with pytest.raises(InvalidInput):
        RedisCache(SecretStr("http://nowhere"))
    assert database_url
