"""
`padelops serve` as a process: it answers, endures bad clients and lost workers, and ends cleanly.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from testbed.gateway_peers import kept_environment
from testbed.served import SERVE
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.wiring import Desk


@pytest.fixture
def a_week_ahead() -> str:
    """A day that the real clock's server sells."""
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + 7 * 86400))


def test_it_serves_and_ends_with_exit_status_0(
    serve: Callable[..., Any], a_week_ahead: str
) -> None:
    """
    One JSON document with its address, one log line a request, and a clean end on SIGTERM. A second
    server on the port, which would share its clients by mistake, is refused in one line.
    """
    with serve() as served:
        second = subprocess.run(
            [*SERVE[:4], "--port", str(served.address[1])],
            env=kept_environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        made = served.book(f"{a_week_ahead}T10:00")
        served.process.terminate()
        left = served.process.wait(20)
        lines = served.lines()

    assert (201, 0) == (made.status_code, left)
    request = next(line for line in lines if line.get("route") == "book")
    assert made.headers["x-request-id"] == request["request_id"]
    assert {"ms", "waited_ms", "token", "role", "status", "pid", "at", "level"} <= set(request)
    assert ["starting", "stopped"] == [lines[0]["event"], lines[-1]["event"]]
    assert "Ana" not in served.log.read_text()
    assert (2, "", 1) == (second.returncode, second.stdout, len(second.stderr.splitlines()))
    assert "Address already in use" in second.stderr


def test_bad_clients_are_told_and_do_no_harm(serve: Callable[..., Any], a_week_ahead: str) -> None:
    """
    Too large, too many headers, no HTTP at all, gone before the answer, forty that are slower than
    there are threads: the next one is served at once.
    """
    with serve("--threads", "1", "--queue", "1") as served, ExitStack() as slow:
        head = b"POST /v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        announced = served.raw(head + b"Content-Length: 10000000\r\n\r\n")
        chunks = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        streamed = served.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks * 2)
        bomb = served.raw(head + b"X: y\r\n" * 5000 + b"\r\n")
        wide = served.raw(head + b"X: " + b"y" * 200_000 + b"\r\n\r\n")
        noise = served.raw(b"\x16\x03\x01\x00\xff\r\n\r\n")
        typed = served.client.post("/v1/reservations", content=b"a=1")
        for sent in (head, head + b"Content-Length: 5\r\n\r\n{", b"GET /health/live HT"):
            with socket.create_connection(served.address) as gone:
                gone.sendall(sent)
        for number in range(40):
            connection = slow.enter_context(socket.create_connection(served.address))
            connection.sendall(head + (b"Content-Length: 9\r\n\r\n{" if number % 2 else b"X-Slo"))
        fine = served.book(f"{a_week_ahead}T10:00")

    assert b"HTTP/1.1 413 " == announced[:13]
    assert streamed[:13] in {b"HTTP/1.1 413 ", b""}
    assert {b"HTTP/1.1 431", b"HTTP/1.1 400"} >= {bomb[:12], wide[:12]} - {b""}
    assert noise[:12] in {b"HTTP/1.1 400", b""}
    assert 415 == typed.status_code
    assert 201 == fine.status_code


def test_killed_workers_are_replaced_and_orphans_end(serve: Callable[..., Any]) -> None:
    """
    Kill -9, three times within seconds: there are two workers again each time, and they answer.
    """
    with serve() as served:
        for _ in range(3):
            before = served.workers()
            os.kill(before[0], signal.SIGKILL)
            until(lambda before=before: len(set(served.workers()) - {before[0]}) == 2)
        until(lambda: httpx.get(f"{served.url}/health/ready").status_code == 200)
        replaced = [line for line in served.lines() if line["event"] == "worker_replaced"]
        orphans = [psutil.Process(pid) for pid in served.workers()]
        served.process.kill()
        served.process.wait(10)
        until(lambda: not any(one.is_running() for one in orphans))

    assert (3, 2) == (len(replaced), len(orphans))


def test_past_saturation_it_says_so_at_once(serve: Callable[..., Any], a_week_ahead: str) -> None:
    """
    One thread and one place in line: the others hear 503 with `Retry-After`, probes are answered.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with serve("--workers", "1", "--threads", "1", "--queue", "1") as served:

        def ask(_: int) -> httpx.Response:
            path = f"/v1/clubs/centro/availability?date={a_week_ahead}"
            return served.client.get(path)

        with ThreadPoolExecutor(32) as crowd:
            answers = list(crowd.map(ask, range(200)))
        live = served.client.get("/health/live")
        calm = ask(0)

    refused = [one for one in answers if one.status_code == 503]
    assert {200, 503} == {one.status_code for one in answers}
    assert {("overloaded", "1")} == {
        (one.json()["code"], one.headers["retry-after"]) for one in refused
    }
    assert (200, 200) == (live.status_code, calm.status_code)


def test_the_sandbox_tells_it_in_a_bad_order_and_nothing_happens_twice(
    serve: Callable[..., Any], desk: Desk, a_week_ahead: str, database_url: str
) -> None:
    """
    A card booked over HTTP, its events told three times, shuffled and in parallel: all taken in.
    """
    with serve() as served:
        made = served.book(f"{a_week_ahead}T10:00", pay="card", card="tok_visa")
        told = subprocess.run(
            [
                *SERVE[:3], "sandbox", "deliver", f"{served.url}/webhooks/stripe", "--copies", "3",
                "--order", "shuffled", "--at-once", "4", "--json",
            ],
            env=kept_environment() | {"PADELOPS_DATABASE_URL": database_url},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    deliveries = json.loads(told.stdout)["deliveries"]

    assert 201 == made.status_code
    assert {200} == {one["status"] for one in deliveries}
    assert "confirmed" == desk.show(made.json()["id"]).status
    assert 0 == desk.validator().validate_all_reservations().as_json()["violations"]
