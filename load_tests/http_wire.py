"""
Load over raw HTTP/1.1: kept connections, one request under way on each, one thread, epoll. A server
that closes a connection with each answer (and says so) gets a new one for the next request.

A client library would take longer than the servers that are measured, and from the same two cores.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP_S = 0.5
SILENT_S = 20
_CLOSES = b"\r\nconnection: close\r\n"


@dataclass
class Heard:
    """
    What came back.

    Attributes:
        seconds: of each answer that came while the clock ran.
        statuses: how often each came.
        odd: an answer that was not 2xx, to look at.
    """

    clock_s: float
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    odd: bytes = b""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.clock_s

    def percentile_ms(self, percent: float) -> float:
        """How long that many percent of the answers took at the most."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


@dataclass
class _Line:
    socket: socket.socket
    sent_at: float = 0.0
    got: bytes = b""


def press(
    address: tuple[str, int], next_request: Callable[[], bytes], *, connections: int, seconds: float
) -> Heard:
    """
    Keep a request under way on every connection.

    Raises:
        ConnectionError: the server hung up. TimeoutError: it fell silent.
    """
    heard = Heard(seconds)
    lines: dict[int, _Line] = {}
    with select.epoll() as poll:
        try:
            for _ in range(connections):
                line = _connected(address)
                lines[line.socket.fileno()] = line
                poll.register(line.socket.fileno(), select.EPOLLIN)
                _send(line, next_request)
            begins = time.perf_counter() + WARM_UP_S
            ends = begins + seconds
            while (now := time.perf_counter()) < ends:
                ready = poll.poll(SILENT_S)
                if not ready:
                    raise TimeoutError("no answer")
                for number, _ in ready:
                    line = lines[number]
                    if _whole(line):
                        now = time.perf_counter()
                        if now >= begins:
                            heard.seconds.append(now - line.sent_at)
                            status = line.got[9:12].decode()
                            heard.statuses[status] += 1
                            if not status.startswith("2"):
                                heard.odd = heard.odd or line.got
                        if _CLOSES in line.got.lower():
                            del lines[number]
                            poll.unregister(number)
                            line.socket.close()
                            line = _connected(address)
                            lines[line.socket.fileno()] = line
                            poll.register(line.socket.fileno(), select.EPOLLIN)
                        _send(line, next_request)
        finally:
            for line in lines.values():
                line.socket.close()
    return heard


def post(path: str, body: bytes, *, token: str = "") -> bytes:
    """A request as bytes."""
    who = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{who}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _connected(address: tuple[str, int]) -> _Line:
    line = _Line(socket.create_connection(address, timeout=SILENT_S))
    line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def _send(line: _Line, next_request: Callable[[], bytes]) -> None:
    line.got = b""
    line.sent_at = time.perf_counter()
    line.socket.sendall(next_request())


def _whole(line: _Line) -> bool:
    part = line.socket.recv(65536)
    if not part:
        raise ConnectionError("the server hung up")
    line.got += part
    head, end, body = line.got.partition(b"\r\n\r\n")
    if not end:
        return False
    _, found, rest = head.lower().partition(b"content-length:")
    if not found:
        raise ConnectionError(f"no length in {head!r}")
    return len(body) >= int(rest.split(b"\r\n", 1)[0])
