"""
One HTTP exchange with a payment gateway: bounded in time and size, and sure about what was sent.

When an exchange fails, one bit decides between "try again" and "nobody knows": had the request been
handed to the network? It is read from the transport itself, not guessed from the exception's name:
a refused connection, a name that does not resolve and a broken handshake come before it, whatever
they are called; a reset, a silence and half an answer come after it. Asking (GET) changes nothing,
so there a lost answer is only `GatewayUnavailable`.

The whole exchange has one deadline, kept by a thread that waits for it: the timeouts of sockets
count from byte to byte, and resolving a name has none at all. A request that was given up before it
was sent is never sent later.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from padelops.booking.gateway import GatewayOutcomeUnknown, GatewayUnavailable
from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padelops.errors import PadelopsError

LARGEST_ANSWER = 16 * 2**20
"""Bytes; a page of a hundred payments with everything in it takes less than one."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _GivenUpError(Exception):
    """Nobody waits for this exchange any more."""


class _Sending:
    """Whether a request was handed to the network, decided once between two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = False
        self._given_up = False

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by the transport at each of its steps; those of the connection come first."""
        del info
        if event.startswith("connection."):
            return
        with self._lock:
            if self._given_up:
                raise _GivenUpError
            self._begun = True

    def give_up(self) -> bool:
        """From here on nothing is sent any more; whether it was already."""
        with self._lock:
            self._given_up = True
            return self._begun


class GatewayHttp:
    """
    Connections to one gateway; safe to share between threads.

    Args:
        origin: `https://api.stripe.com`, without a path.
        variable: the setting it came from, for messages.
        connect_timeout_s: until the connection stands.
        timeout_s: for all of one exchange, from resolving the name to the last byte.
        keep_alive: whether connections are used again.
        peer: what to call the other side in messages.
    """

    def __init__(
        self,
        origin: str,
        *,
        variable: str,
        connect_timeout_s: float,
        timeout_s: float,
        keep_alive: bool = True,
        peer: str = "payment gateway",
    ) -> None:
        self.origin = checked_origin(origin, variable)
        host = urlsplit(self.origin).hostname
        where = f"{host}:{urlsplit(self.origin).port or ''}".rstrip(":")
        self._peer = f"The {peer} at {where}"
        self._timeout_s = timeout_s
        self._connect_timeout_s = min(connect_timeout_s, timeout_s)
        self._keep_alive = keep_alive
        self._process, self._client = os.getpid(), self._connections()

    def _connections(self) -> httpx.Client:
        return httpx.Client(
            timeout=httpx.Timeout(self._timeout_s, connect=self._connect_timeout_s),
            # A proxy is for the world outside, never for this machine.
            trust_env=urlsplit(self.origin).hostname not in LOOPBACK,
            limits=httpx.Limits(max_keepalive_connections=None if self._keep_alive else 0),
            follow_redirects=False,
        )

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent."""
        parts = urlsplit(self.origin)
        return parts.scheme == "https" or parts.hostname in LOOPBACK

    def close(self) -> None:
        self._client.close()

    def exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """
        Send one request and read its answer.

        Raises:
            GatewayUnavailable: it was never sent, or it asked for nothing but an answer.
            GatewayOutcomeUnknown: a request that may change something was sent, and no whole
                answer came back.
        """
        if self._process != os.getpid():
            # A forked child on its parent's connection could read the answer to another's payment.
            self._process, self._client = os.getpid(), self._connections()
        sending = _Sending()
        answers: SimpleQueue[Answer | BaseException] = SimpleQueue()

        def talk() -> None:
            try:
                answers.put(self._talk(sending, method, url, headers, body))
            except BaseException as exc:  # noqa: BLE001 - the waiting thread raises it
                answers.put(exc)

        # Not from a pool: a thread that hangs on a resolver must not take another call's place,
        # nor keep the process from ending.
        threading.Thread(target=talk, name="gateway-exchange", daemon=True).start()
        try:
            came = answers.get(timeout=self._timeout_s)
        except Empty as exc:
            raise self._lost(
                method, f"no answer within {self._timeout_s:g} s", sent=sending.give_up()
            ) from exc
        except BaseException:
            sending.give_up()
            raise
        if isinstance(came, Answer):
            return came
        if isinstance(came, httpx.HTTPError | httpx.StreamError | httpx.InvalidURL):
            # Only the kind: the text of a foreign exception may quote a header with the key in it.
            raise self._lost(method, type(came).__name__, sent=sending.give_up()) from came
        raise came

    def _talk(
        self,
        sending: _Sending,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        with self._client.stream(
            method, url, headers=dict(headers), content=body, extensions={"trace": sending.trace}
        ) as response:
            pieces: list[bytes] = []
            size = 0
            for piece in response.iter_bytes():
                size += len(piece)
                if size > LARGEST_ANSWER:
                    raise httpx.DecodingError("The answer does not end.", request=response.request)
                pieces.append(piece)
            return Answer(response.status_code, dict(response.headers), b"".join(pieces))

    def _lost(self, method: str, why: str, *, sent: bool) -> PadelopsError:
        if not sent:
            return GatewayUnavailable(f"{self._peer} cannot be reached: {why}.")
        if method == "GET":
            return GatewayUnavailable(f"{self._peer} did not tell: {why}.")
        return GatewayOutcomeUnknown(
            f"{self._peer} did not answer: {why}. The request may have been carried out."
        )


def checked_origin(address: str, variable: str) -> str:
    """
    An address without its last slash.

    Raises:
        InvalidInput: it is no `http(s)://HOST[:PORT]`; names the setting, and never a password.
    """
    try:
        parts = urlsplit(address)
        usable = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and not (parts.username or parts.password or parts.query or parts.fragment)
            and parts.path in {"", "/"}
            and httpx.URL(address).host != ""
        )
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        raise InvalidInput(
            f"{variable} is no address of a server.",
            fix="Write https://HOST or http://HOST:PORT, with nothing after it.",
            variable=variable,
        )
    return address.rstrip("/")
