"""
What breaks while clients book: a worker, the server, the database, the cache. Every booking that
was acknowledged is there afterwards, each key made one at the most, and the invariants hold.
"""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from testbed.loaders import Loaders
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

    from padelops.wiring import Desk

BEFORE, AFTER = 15, 15
"""Bookings that are acknowledged before the fault, and after it."""


@pytest.fixture
def loaders() -> Iterator[Callable[..., Loaders]]:
    """Clients for a server; they are stopped at the end."""
    made: list[Loaders] = []

    def load(served: Any) -> Loaders:
        first = datetime.now(UTC).replace(hour=9, minute=0) + timedelta(days=3)
        made.append(Loaders(served.url, served.token, first=first))
        return made[-1]

    yield load
    for one in made:
        one.finish()


def nothing_is_lost(loaders: Loaders, desk: Desk, psql: psycopg.Connection[Any]) -> None:
    """Compare every acknowledgement with the tables, then ask every invariant."""
    rows = psql.execute(
        "SELECT id, idempotency_key, status FROM reservations WHERE idempotency_key LIKE 'fire-%'"
    ).fetchall()
    there = {number: status for number, _, status in rows}
    keys = [key for _, key, _ in rows]

    assert set() == set(loaders.acknowledged.values()) - there.keys()
    assert {"cancelled"} >= {there[number] for number in loaders.cancelled}
    assert len(keys) == len(set(keys))
    assert {
        key: number for number, key, _ in rows if key in loaders.acknowledged
    } == loaders.acknowledged
    desk.seal_audit()
    report = desk.validator().validate_all_reservations()
    assert "ok" == report.verdict.name.lower(), str(report.as_json())


def test_a_worker_killed_under_load(
    serve: Callable[..., Any],
    loaders: Callable[..., Loaders],
    another_desk: Callable[..., Desk],
    psql: psycopg.Connection[Any],
) -> None:
    """
    Kill -9 of each worker in turn: its clients ask again and are served by another.
    """
    with serve() as served:
        load = loaders(served)
        load.wait_for(BEFORE)
        for victim in served.workers():
            os.kill(victim, signal.SIGKILL)
            load.wait_for(AFTER)
        load.finish()
        # At once: a worker that has just been forked must hear it too.
        served.process.terminate()
        left = served.process.wait(20)

    assert 0 == left
    nothing_is_lost(load, another_desk(), psql)


def test_a_server_stopped_under_load(
    serve: Callable[..., Any],
    loaders: Callable[..., Loaders],
    another_desk: Callable[..., Desk],
    psql: psycopg.Connection[Any],
) -> None:
    """
    SIGTERM: what was accepted is answered, nobody waits for the drain's end, exit status 0.
    """
    with serve("--drain-seconds", "20") as served:
        load = loaders(served)
        load.wait_for(BEFORE)
        served.process.terminate()
        left = served.process.wait(20)
        load.finish()
        errors = [line for line in served.lines() if line["level"] not in {"info", "warning"}]

    assert 0 == left
    assert [] == errors
    nothing_is_lost(load, another_desk(), psql)


def test_a_database_that_throws_everybody_out_under_load(
    serve: Callable[..., Any],
    loaders: Callable[..., Loaders],
    outage: Callable[[], Any],
    another_desk: Callable[..., Desk],
    psql: psycopg.Connection[Any],
) -> None:
    """
    Connections cut in the middle of commits: unknown outcomes are settled by their keys.
    """
    with serve() as served:
        load = loaders(served)
        load.wait_for(BEFORE)
        with outage():
            until(lambda: load.answers["503"] >= 3)
        load.wait_for(AFTER)
        load.finish()

    nothing_is_lost(load, another_desk(), psql)


@pytest.mark.needs("redis-server")
def test_a_cache_killed_under_load(
    serve: Callable[..., Any],
    loaders: Callable[..., Loaders],
    another_desk: Callable[..., Desk],
    psql: psycopg.Connection[Any],
    tmp_path: Path,
) -> None:
    """
    Kill -9 of Redis: not one request fails, and availability stays true.
    """
    socket = tmp_path / "redis.sock"
    redis = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        until(socket.exists)
        with serve(PADELOPS_CACHE_URL=f"unix://{socket}?db=0") as served:
            day = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}"
            path = f"/v1/clubs/centro/availability?date={day}&minutes=60"
            load = loaders(served)
            load.wait_for(BEFORE)
            warm = served.client.get(path)
            redis.kill()
            redis.wait(10)
            load.wait_for(AFTER)
            cold = served.client.get(path)
            load.finish()
    finally:
        redis.kill()
        redis.wait(10)

    assert (200, 200) == (warm.status_code, cold.status_code)
    assert not {"500", "503", "504"} & load.answers.keys()
    nothing_is_lost(load, another_desk(), psql)
