"""
Payment gateways to test against: localstripe, our sandbox as a process, and a peer that misbehaves.
"""

from __future__ import annotations

import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

END_WITH_US = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
"""
"""A server that runs this ends when its standard input does: with the test process, however."""

LOCALSTRIPE = """
import socket
from aiohttp import web
from localstripe import resources, server

# It would keep its objects in one file in /tmp, for every test on the machine.
resources.Store.dump_to_disk = lambda self: None
# Its own start() listens on all addresses.
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
web.run_app(server.app, sock=listening, print=None, access_log=None)
"""

SANDBOX = """
import sys
from padelops.cli.main import main
sys.exit(main(["sandbox", "serve", *sys.argv[1:]]))
"""


@dataclass(frozen=True)
class Peer:
    """A running server."""

    url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def _running(code: str, *arguments: str, **environment: str) -> Iterator[Peer]:
    with subprocess.Popen(
        [sys.executable, "-c", END_WITH_US + code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=kept_environment() | environment,
    ) as process:
        assert process.stdout is not None
        try:
            yield Peer(process.stdout.readline().strip(), process)
        finally:
            process.kill()


def kept_environment() -> dict[str, str]:
    """What a server needs of our environment; no setting of padelops' slips through."""
    names = ("PATH", "HOME", "VIRTUAL_ENV", "PYTHONPATH")
    return {name: os.environ[name] for name in names if name in os.environ} | {"LANG": "C.UTF-8"}


@contextmanager
def localstripe() -> Iterator[str]:
    """The address of a fake Stripe that others wrote."""
    with _running(LOCALSTRIPE) as peer:
        until(lambda: listens(peer.port))
        yield peer.url


@contextmanager
def sandbox(database_url: str, *, port: int = 0) -> Iterator[Peer]:
    """Our sandbox as `padelops sandbox serve` runs it."""
    environment = {"PADELOPS_DATABASE_URL": database_url, "PADELOPS_LEVEL1_BUDGET_MS": "5000"}
    with _running(SANDBOX, f"--port={port}", **environment) as peer:
        yield peer


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Asked:
    """One request that a scripted peer got; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Script:
    """What a scripted peer does, request by request; the last line is repeated."""

    lines: list[Callable[[BaseHTTPRequestHandler], None]]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def next(self) -> Callable[[BaseHTTPRequestHandler], None]:
        return self.lines[min(len(self.asked), len(self.lines)) - 1]


@contextmanager
def scripted(*lines: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Script]:
    """A server on a free port that does what the script says."""
    script = Script(list(lines))

    class Actor(BaseHTTPRequestHandler):
        def _act(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.asked.append(Asked(self.command, self.path, headers, body))
            script.next()(self)
            self.close_connection = True

        do_GET = do_POST = _act  # noqa: N815 - the names are the standard library's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the same
            pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Actor) as server:
        script.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


def says(status: int, body: str, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with this."""

    def act(exchange: BaseHTTPRequestHandler) -> None:
        exchange.send_response(status)
        exchange.send_header("Content-Length", str(len(body.encode())))
        for name, value in headers.items():
            exchange.send_header(name.replace("_", "-"), value)
        exchange.end_headers()
        exchange.wfile.write(body.encode())

    return act


def hangs(exchange: BaseHTTPRequestHandler) -> None:
    """Never answer; until the client goes away."""
    exchange.connection.settimeout(30)
    exchange.connection.recv(1)


def drips(exchange: BaseHTTPRequestHandler) -> None:
    """Answer so slowly that no single wait is long."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    gone = threading.Event()
    for _ in range(600):
        exchange.wfile.write(b"x")
        gone.wait(0.05)


def resets(exchange: BaseHTTPRequestHandler) -> None:
    """Cut the connection."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.rfile.close()
    exchange.connection.close()


def hangs_up(exchange: BaseHTTPRequestHandler) -> None:
    """End the connection politely, in the middle of an answer."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
