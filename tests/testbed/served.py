"""A running `padelops serve`, with what a test asks it and does to it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
        self.token = token

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


@contextmanager
def serving(
    environment: dict[str, str], token: str, log: Path, *options: str, **settings: str
) -> Iterator[Served]:
    """A server that is gone at the end, and all its processes with it."""
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*SERVE, *options],
            env=environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    family = []
    try:
        served = Served(process, log, token)
        family = psutil.Process(process.pid).children()
        with served.client:
            yield served
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
        for child in family:
            if child.is_running():
                child.kill()
