"""
`padelops serve` as a process: it answers, endures bad clients and lost workers, and ends cleanly.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from padelops.ops.tokens import Role
from testbed.gateway_peers import kept_environment
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops.wiring import Desk

SERVE = (sys.executable, "-m", "padelops", "serve", "--port", "0", "--json", "--workers", "2")


class Served:
    """A running server, its log, and a client with an operator's token."""

    def __init__(self, process: subprocess.Popen[str], log: Path, token: str) -> None:
        assert process.stdout is not None
        self.process = process
        self.log = log
        self.url = str(json.loads(process.stdout.readline())["url"])
        self.address = ("127.0.0.1", int(self.url.rpartition(":")[2]))
        self.client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=20
        )

    def workers(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def book(self, starts_at: str, **more: Any) -> httpx.Response:
        body = {"court": "centro/2", "starts_at": starts_at, "player": {"name": "Ana"}, **more}
        return self.client.post("/v1/reservations", json=body)

    def raw(self, sent: bytes, *, rest_s: float = 10) -> bytes:
        """Everything that comes back for these bytes, until the server has nothing more to say."""
        got = b""
        with (
            socket.create_connection(self.address, timeout=rest_s) as connection,
            # A server that has heard enough hangs up in the middle of what we send.
            suppress(OSError),
        ):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                got += part
        return got

    def lines(self) -> list[dict[str, Any]]:
        text = self.log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture
def serve(database_url: str, desk: Desk, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts servers on this test's database; what is still running at the end is killed."""
    token = desk.tokens.create("boss", Role.OPERATOR, origin=desk.origin, now=desk.now()).text
    environment = kept_environment() | {
        "PADELOPS_DATABASE_URL": database_url,
        "PADELOPS_LEVEL1_BUDGET_MS": "5000",
    }

    @contextmanager
    def serve(*options: str) -> Iterator[Served]:
        log = tmp_path / "log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [*SERVE, *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        family = []
        try:
            served = Served(process, log, token)
            family = psutil.Process(process.pid).children()
            yield served
        finally:
            served.client.close()
            process.terminate()
            process.wait(30)
            if process.stdout is not None:
                process.stdout.close()
            for child in family:
                if child.is_running():
                    child.kill()

    return serve


@pytest.fixture
def a_week_ahead() -> str:
    """A day that the real clock's server sells."""
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + 7 * 86400))


def test_it_serves_and_ends_with_exit_status_0(
    serve: Callable[..., Any], a_week_ahead: str
) -> None:
    """
    One JSON document with its address, one log line a request, and a clean end on SIGTERM.
    """
    with serve() as served:
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


def test_a_taken_port_is_refused(serve: Callable[..., Any]) -> None:
    """
    A second server on the same port would share its clients by mistake: 2, and one line.
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

    assert (2, "") == (second.returncode, second.stdout)
    assert "Address already in use" in second.stderr
    assert 1 == len(second.stderr.splitlines())


def test_bad_clients_are_told_and_do_no_harm(serve: Callable[..., Any], a_week_ahead: str) -> None:
    """
    Too large, too many headers, no HTTP at all, gone before the answer: the next one is served.
    """
    with serve() as served:
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
        fine = served.book(f"{a_week_ahead}T10:00")

    assert b"HTTP/1.1 413 " == announced[:13]
    assert streamed[:13] in {b"HTTP/1.1 413 ", b""}
    assert {b"HTTP/1.1 431", b"HTTP/1.1 400"} >= {bomb[:12], wide[:12]} - {b""}
    assert noise[:12] in {b"HTTP/1.1 400", b""}
    assert 415 == typed.status_code
    assert 201 == fine.status_code


def test_slow_clients_keep_no_thread(serve: Callable[..., Any], a_week_ahead: str) -> None:
    """
    More half-sent requests than there are threads, and the next whole one is answered at once.
    """
    with serve("--threads", "1", "--queue", "1") as served:
        slow = [socket.create_connection(served.address) for _ in range(40)]
        for number, connection in enumerate(slow):
            body = b"Content-Length: 100\r\n\r\n{" if number % 2 else b"X-Slo"
            connection.sendall(
                b"POST /v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                + body
            )
        fine = served.book(f"{a_week_ahead}T10:00")
        for connection in slow:
            connection.close()

    assert 201 == fine.status_code


def test_a_killed_worker_is_replaced_however_often(serve: Callable[..., Any]) -> None:
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

    assert 3 == len(replaced)


def test_workers_end_with_their_parent(serve: Callable[..., Any]) -> None:
    """
    Kill -9 of the parent leaves nobody behind on the port.
    """
    with serve() as served:
        orphans = [psutil.Process(pid) for pid in served.workers()]
        served.process.kill()
        served.process.wait(10)
        until(lambda: not any(one.is_running() for one in orphans))

    assert 2 == len(orphans)


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
