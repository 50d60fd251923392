"""
`padelops cache` on both caches: what is counted is what is deleted, and never everything.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from padelops.adapters.redis_cache import RedisCache
from padelops.wiring import utc_now
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops import Desk
    from padelops.booking.cache import Cache


@pytest.fixture(params=["database", pytest.param("redis", marks=pytest.mark.needs("redis-server"))])
def cache_url(request: pytest.FixtureRequest) -> str:
    """Both caches, one after the other; empty means the database's own table."""
    if request.param == "database":
        return ""
    url: str = request.getfixturevalue("redis_url")
    cache = RedisCache(SecretStr(url))
    assert 0 <= sum(cache.purge("*", batch=1000))
    cache.close()
    return url


@pytest.fixture
def cache(another_desk: Callable[..., Desk], cache_url: str) -> Cache:
    return another_desk(cache_url=SecretStr(cache_url) if cache_url else None).cache


@pytest.fixture
def environ(database_url: str, cache_url: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return kept | {
        "LANG": "C.UTF-8",
        "PADELOPS_DATABASE_URL": database_url,
        "PADELOPS_CACHE_URL": cache_url,
    }


@pytest.fixture
def run(environ: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `padelops cache`."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "padelops", "cache", *arguments],
            env=environ | changes, stdin=subprocess.DEVNULL,
            capture_output=True, encoding="utf-8", timeout=60, check=False,
        )  # fmt: skip

    return run


def fill(cache: Cache, many: int, kind: str = "reservation_availability") -> None:
    for number in range(many):
        cache.put(f"{kind}:centro:{number}", "stamp", "value", ttl_s=600)


def test_a_purge_counts_first_and_deletes_what_matches(
    run: Callable[..., Any], cache: Cache
) -> None:
    """
    Acceptance 37: the dry run's number is the number deleted, in several batches; the rest stays.
    """
    fill(cache, 1200)
    fill(cache, 3, "search")

    dry = json.loads(run("purge", "reservation_*", "--dry-run", "--json").stdout)
    assert (1200, 0, True) == (dry["matched"], dry["deleted"], dry["dry_run"])
    assert 1203 == cache.count("*")

    done = run("purge", "reservation_*", "--yes", "--json")

    assert 0 == done.returncode
    assert 1200 == json.loads(done.stdout)["deleted"]
    assert (0, 3) == (cache.count("reservation_*"), cache.count("search:*"))
    assert "0 keys match" in run("purge", "reservation_*").stdout


@pytest.mark.parametrize("pattern", ["", "*"])
def test_everything_is_never_purged(run: Callable[..., Any], cache: Cache, pattern: str) -> None:
    """
    Acceptance 37: refused with the way out, also with --yes; nothing is deleted.
    """
    fill(cache, 2)

    refused = run("purge", pattern, "--yes")

    assert 5 == refused.returncode
    assert "'reservation_*'" in refused.stderr
    assert 2 == cache.count("*")


def test_without_a_terminal_it_needs_yes(run: Callable[..., Any], cache: Cache) -> None:
    """
    It says so at once, names the flag, and deletes nothing.
    """
    fill(cache, 2)

    refused = run("purge", "reservation_*")

    assert (5, 2) == (refused.returncode, cache.count("*"))
    assert "Delete 2 keys" in refused.stderr
    assert "--yes" in refused.stderr


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 5, 2), (b"y\n", 0, 0)])
def test_on_a_terminal_it_asks(
    environ: dict[str, str], cache: Cache, answer: bytes, code: int, left: int
) -> None:
    """
    Whoever says no has deleted nothing.
    """
    fill(cache, 2)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "padelops", "cache", "purge", "reservation_*"],
        env=environ, stdin=theirs, stdout=theirs, stderr=theirs,
    ) as asking:  # fmt: skip
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, answer)
        assert code == asking.wait(60)
    os.close(ours)

    assert b"Delete 2 keys" in shown
    assert left == cache.count("*")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_purge_is_run_again(
    environ: dict[str, str], run: Callable[..., Any], cache: Cache, number: int, code: int
) -> None:
    """
    Acceptance 37: whole batches are gone, the rest is there, and what to do is said.
    """
    many = 40_000
    if isinstance(cache, RedisCache):
        with cache._client.pipeline(transaction=False) as pipeline:
            for each in range(many):
                pipeline.set(f"padelops:reservation_availability:{each}", "s\nv", ex=600)
            pipeline.execute()
    else:
        with cache._database.reading() as tx:  # type: ignore[attr-defined]
            tx.execute(
                "INSERT INTO cache_entries SELECT 'reservation_availability:' || n, 's', 'v',"
                " clock_timestamp() + interval '1 hour' FROM generate_series(1, %s) AS n",
                [many],
            )
    with subprocess.Popen(
        [sys.executable, "-m", "padelops", "cache", "purge", "reservation_*", "--yes"],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as purging:  # fmt: skip
        until(lambda: cache.count("*") < many)
        purging.send_signal(number)
        told = purging.communicate(timeout=60)[1]

    left = cache.count("*")
    if purging.returncode:  # else it was faster than the signal
        assert code == purging.returncode
        assert f"of {many} keys were deleted; run it again for the rest." in told
        assert 0 < left < many
        assert 0 == left % 500 or isinstance(cache, RedisCache)
    assert 0 == run("purge", "reservation_*", "--yes").returncode
    assert 0 == cache.count("*")


def test_stats_tell_the_hit_rate_and_what_is_kept(
    run: Callable[..., Any], another_desk: Callable[..., Desk], cache_url: str, psql: Any
) -> None:
    """
    Nine of ten were hits: the goal is reached; of one in two it is missed, and that is a warning.
    """
    url = SecretStr(cache_url) if cache_url else None
    another_desk(cache_url=url).availability("centro", minutes=60)

    def counted(hits: int, misses: int) -> None:
        psql.execute("DELETE FROM counters")
        psql.execute(
            "INSERT INTO counters VALUES (date_trunc('minute', now()), 'cache.hit', %s),"
            " (date_trunc('minute', now()), 'cache.miss', %s)",
            [hits, misses],
        )

    counted(90, 10)
    good = run("stats", "--json")
    document = json.loads(good.stdout)
    assert 0 == good.returncode
    assert (100, 90.0, True) == (
        document["asked"],
        document["hit_percent"],
        document["reaches_goal"],
    )
    assert [{"kind": "reservation_availability", "entries": 1}] == document["kinds"]
    assert 0 < document["size_bytes"] < 100_000
    assert 0 <= document["oldest_s"] < 900

    counted(50, 50)
    bad = run("stats")
    assert 1 == bad.returncode
    assert "50.0% of 100 (goal: over 80%, missed)" in bad.stdout
    psql.execute("DELETE FROM counters")
    assert "nobody asked" in run("stats").stdout


@pytest.mark.parametrize("cache_url", ["database"], indirect=True)
def test_a_cache_that_is_away(run: Callable[..., Any]) -> None:
    """
    Nothing was deleted, and it is not shown as empty.
    """
    away = {"PADELOPS_CACHE_URL": "redis://127.0.0.1:1/0"}

    for arguments in (["stats"], ["purge", "reservation_*", "--yes"], ["warm"]):
        ended = run(*arguments, **away)
        assert (8, "") == (ended.returncode, ended.stdout)
        assert "cache_unavailable" in ended.stderr


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize("cache_url", ["database"], indirect=True)
def test_redis_is_cleared_while_the_database_is_away(
    run: Callable[..., Any], redis_url: str
) -> None:
    """
    The recovery procedure does not wait for the database; the hit rate is then not known.
    """
    fill(RedisCache(SecretStr(redis_url)), 2)
    nowhere = {
        "PADELOPS_DATABASE_URL": "postgresql://127.0.0.1:1/x",
        "PADELOPS_CACHE_URL": redis_url,
    }

    stats = run("stats", **nowhere)
    assert 3 == stats.returncode
    assert "not known: the database is away" in stats.stdout
    assert 0 == run("purge", "reservation_*", "--yes", **nowhere).returncode


def test_warming_saves_the_first_who_asks_the_work(
    run: Callable[..., Any], another_desk: Callable[..., Desk], cache_url: str, psql: Any
) -> None:
    """
    The days are answered from the cache afterwards; a second warming computes nothing, and neither
    counts as somebody's hit or miss.
    """
    url = SecretStr(cache_url) if cache_url else None

    first = run("warm", "centro", "--days", "3", "--json")
    again = json.loads(run("warm", "centro", "--days", "3", "--json").stdout)

    assert 0 == first.returncode, first.stderr
    assert [{"club": "centro", "computed": 3, "kept": 0, "uncertain": 0}] == (
        json.loads(first.stdout)["clubs"]
    )
    assert [{"club": "centro", "computed": 0, "kept": 3, "uncertain": 0}] == again["clubs"]
    assert 0 == psql.execute("SELECT count(*) FROM counters WHERE name LIKE 'cache%'").fetchone()[0]
    desk = another_desk(cache_url=url)
    desk.now = utc_now
    assert desk.availability("centro").from_cache
    assert 1 == run("warm", "nowhere").returncode
