"""A door is open while its node is the primary, and throws everybody out when it is no more."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any

import pytest

from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Patroni(BaseHTTPRequestHandler):
    """Answers `OPTIONS /primary` as the test says."""

    status = 200

    def do_OPTIONS(self) -> None:
        assert "/primary" == self.path
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def patroni() -> Iterator[tuple[type[Patroni], int]]:
    """A node's Patroni, as far as a door asks it."""
    kind = type("Mine", (Patroni,), {"status": 200})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kind, server.server_address[1]
        server.shutdown()


class Echo(BaseRequestHandler):
    """Says everything back."""

    def handle(self) -> None:
        with suppress(OSError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says everything back."""
    with ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def relay() -> Iterator[Any]:
    """Starts relays with one route each, from a port that it finds; returns that port."""
    started = []

    def relay(route: str) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        command = [sys.executable, "-m", "padelops.lab.relay", route.format(port=port)]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        return port

    yield relay
    for process in reversed(started):
        process.kill()
        process.wait()


def speaks(port: int) -> socket.socket | None:
    """A connection through which an echo came back; None where the door is shut."""
    connection = socket.socket()
    try:
        connection.settimeout(5)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"hello")
        if b"hello" == connection.recv(100):
            return connection
    except OSError:
        pass
    connection.close()
    return None


def opened(port: int) -> socket.socket:
    """Waits until the door lets us in."""
    found: list[socket.socket] = []
    until(lambda: found or found.extend(filter(None, [speaks(port)])) or found)
    return found[0]


def test_a_door_shuts_with_its_primary(patroni: Any, echo: int, relay: Any) -> None:
    """
    Who is inside is thrown out, who knocks is refused, and later it opens again.
    """
    kind, rest = patroni
    door = relay(f"tcp:{{port}}>tcp:{echo}@{rest}")
    with opened(door) as inside:
        kind.status = 503
        inside.settimeout(30)
        told = inside.recv(100)
    shut = speaks(door)
    kind.status = 200

    assert b"" == told
    assert shut is None
    with opened(door):
        pass


def test_a_door_whose_patroni_is_silent_is_shut(echo: int, relay: Any) -> None:
    """
    No answer is no primary: a door never opens on a guess.
    """
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        door = relay(f"tcp:{{port}}>tcp:{echo}@{silent.getsockname()[1]}")
        street = relay(f"tcp:{{port}}>tcp:{echo}")
        with opened(street):  # the programs have started
            until(lambda: _accepts(door))
            found = speaks(door)

    assert found is None


def test_a_relay_carries_everything_both_ways(tmp_path: Path, echo: int, relay: Any) -> None:
    """
    A megabyte through two relays and a Unix socket comes back whole, and the end with it.
    """
    cable = Path("/tmp") / f"padelops-{tmp_path.name[-20:]}.sock"
    relay(f"unix:{cable}>tcp:{echo}")
    street = relay(f"tcp:{{port}}>unix:{cable}")
    sent = bytes(range(256)) * 4096
    with opened(street) as connection:
        writer = threading.Thread(target=connection.sendall, args=(sent,))
        writer.start()
        got = b""
        while len(got) < len(sent):
            got += connection.recv(65536)
        writer.join()
        connection.shutdown(socket.SHUT_WR)
        end = connection.recv(100)
    cable.unlink()

    assert sent == got
    assert b"" == end


def test_a_port_refuses_while_nobody_listens_behind_it(relay: Any) -> None:
    """
    A dead server's port is refused, not answered and dropped; the same port answers again later.
    """
    with socket.create_server(("127.0.0.1", 0)) as living:
        behind = int(living.getsockname()[1])
        street = relay(f"tcp:{{port}}>tcp:{behind}")
        until(lambda: _accepts(street))
    until(lambda: _refuses(street))
    with socket.create_server(("127.0.0.1", behind)):
        until(lambda: _accepts(street))


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
