"""
The sandbox over HTTP: `padelops sandbox serve`. Faults are real: it hangs, resets, or is not there.

    POST /payments {key, reference, amount, currency, card}   hold an amount; 402 if declined
    POST /payments/REF/capture {key}                          take it
    POST /payments/REF/void {key}                             let it go
    POST /payments/REF/refunds {key, reference, amount}       give some back
    GET  /payments?reference=R                                {payment: which counts, or null}
    GET  /health

A connection carries one request. While an outage is set the server does not listen, so clients are
refused before they can send; it looks for the end of it a few times a second.

This is not a public service: it keeps no secrets, checks no credentials, and belongs on 127.0.0.1.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from padelops.adapters.sandbox_faults import FaultKind, Operation, SandboxFaults
from padelops.adapters.sandbox_wire import amount_from, payment_json, refund_json
from padelops.booking.gateway import Declined, GatewayRefused
from padelops.errors import InvalidInput, PadelopsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.adapters.sandbox_ledger import SandboxLedger

LARGEST_BODY = 64 * 1024
SLOWEST_REQUEST_S = 10
LONGEST_HANG_S = 120
"""Longer than any client waits; a thread must end some day."""
LOOK_S = 0.2
"""How often the server looks whether an outage began or ended."""

Reply = tuple[int, dict[str, Any]]


class _OutageBegan(Exception):
    """From now on nobody is to get through."""


class _Listener(ThreadingMixIn, TCPServer):
    """Accepts connections until an outage begins; each is served in a thread of its own."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sandbox: SandboxServer) -> None:
        self.sandbox = sandbox
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Exchange)

    def service_actions(self) -> None:
        """Called between requests, and every `LOOK_S`."""
        if self.sandbox.is_away():
            raise _OutageBegan

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is its own business; there is nobody to tell."""


class SandboxServer:
    """
    The bank behind a port.

    Args:
        port: 0 takes a free one.

    Raises:
        InvalidInput: nothing can listen there.
    """

    def __init__(
        self, ledger: SandboxLedger, faults: SandboxFaults, *, host: str, port: int
    ) -> None:
        self.ledger = ledger
        self.faults = faults
        self.gone = threading.Event()
        """Set when the server ends, so that hanging exchanges end with it."""
        self._address = (host, port)
        self._listener = self._listen()
        self._address = (host, self._listener.server_address[1])

    @property
    def url(self) -> str:
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def serve(self) -> None:
        """Answer until the process is told to stop."""
        try:
            while True:
                try:
                    self._listener.serve_forever(poll_interval=LOOK_S)
                except _OutageBegan:
                    self._listener.server_close()
                    while self.is_away():
                        self.gone.wait(LOOK_S)
                    self._listener = self._listen()
        finally:
            self.gone.set()
            self._listener.server_close()

    def _listen(self) -> _Listener:
        try:
            return _Listener(self._address, self)
        except (OSError, OverflowError) as exc:
            host, port = self._address
            raise InvalidInput(f"Cannot listen on {host}:{port}: {exc}.") from exc

    def is_away(self) -> bool:
        """Whether an outage is set; if the books cannot be read, that is told in each answer."""
        try:
            return self.faults.outage()
        except PadelopsError:
            return False


class _Exchange(BaseHTTPRequestHandler):
    """One request and its answer, or the lack of one."""

    server: _Listener
    server_version = "padelops-sandbox"
    timeout = SLOWEST_REQUEST_S

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        ledger = self.server.sandbox.ledger
        if parts.path == "/health":

            def probe() -> dict[str, Any]:
                ledger.probe()
                return {}

            self._perform(Operation.PROBE, probe)
        elif parts.path == "/payments":
            reference = parse_qs(parts.query).get("reference", [""])[0]

            def find() -> dict[str, Any]:
                found = ledger.find(reference)
                return {"payment": None if found is None else payment_json(found)}

            self._perform(Operation.FIND, find)
        else:
            self._refuse(404, "There is nothing here.")

    def do_POST(self) -> None:
        facts = self._body()
        if facts is None:
            return
        ledger = self.server.sandbox.ledger
        match [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]:
            case ["payments"]:
                self._perform(
                    Operation.AUTHORIZE,
                    lambda: payment_json(
                        ledger.authorize(
                            reference=_text(facts, "reference"),
                            key=_text(facts, "key"),
                            amount=_amount(facts),
                            currency=_text(facts, "currency"),
                            card=_text(facts, "card"),
                        )
                    ),
                )
            case ["payments", gateway_ref, "capture"]:
                self._perform(
                    Operation.CAPTURE,
                    lambda: payment_json(ledger.capture(gateway_ref, key=_text(facts, "key"))),
                )
            case ["payments", gateway_ref, "void"]:
                self._perform(
                    Operation.VOID,
                    lambda: payment_json(ledger.void(gateway_ref, key=_text(facts, "key"))),
                )
            case ["payments", gateway_ref, "refunds"]:
                self._perform(
                    Operation.REFUND,
                    lambda: refund_json(
                        ledger.refund(
                            gateway_ref,
                            reference=_text(facts, "reference"),
                            key=_text(facts, "key"),
                            amount=_amount(facts),
                        )
                    ),
                )
            case _:
                self._refuse(404, "There is nothing here.")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Nobody reads an access log of this; the ledger tells what happened."""

    def _body(self) -> dict[str, Any] | None:
        """The request's JSON object; None when it was refused."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10):  # noqa: PLR2004 - ten digits are no body
            self._refuse(411, "The request needs a Content-Length.")
            return None
        if int(length) > LARGEST_BODY:
            self._refuse(413, f"A request has {LARGEST_BODY} bytes at the most.")
            return None
        try:
            facts = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            facts = None
        if not isinstance(facts, dict):
            self._refuse(400, "The request is no JSON object.")
            return None
        return facts

    # --- with what was told to go wrong ---------------------------------------------------------

    def _perform(self, operation: Operation, work: Callable[[], dict[str, Any]]) -> None:
        try:
            fault = self.server.sandbox.faults.take(operation)
        except PadelopsError as exc:
            self._refuse(503, exc.message)
            return
        if fault is None:
            self._answer(*_outcome(work))
            return
        if fault.kind is FaultKind.LATENCY_MS:
            self.server.sandbox.gone.wait(fault.latency_s)
        outcome = _outcome(work) if fault.kind.works else (500, _error("It was told to fail.", {}))
        match fault.kind:
            case FaultKind.LATENCY_MS:
                self._answer(*outcome)
            case FaultKind.TIMEOUT_BEFORE_WORK | FaultKind.TIMEOUT_AFTER_WORK:
                self._hang()
            case FaultKind.ERROR_500 | FaultKind.ERROR_500_AFTER_WORK:
                self._refuse(500, "It was told to fail.")
            case FaultKind.RESET | FaultKind.RESET_BEFORE_WORK | FaultKind.OUTAGE:
                self._reset()

    def _hang(self) -> None:
        """Say nothing until the client gives up, or the server ends."""
        waited = 0.0
        while waited < LONGEST_HANG_S and not self.server.sandbox.gone.is_set():
            readable, _, _ = select.select([self.connection], [], [], 1.0)
            if readable and not self.connection.recv(1024):
                break
            waited += 1.0
        self.close_connection = True

    def _reset(self) -> None:
        """End the connection so that the client's kernel is told: reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        # Both of these hold the socket open; with the last of them the kernel sends the reset.
        self.rfile.close()
        self.connection.close()

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, _error(message, {}))

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _outcome(work: Callable[[], dict[str, Any]]) -> Reply:
    """What is answered to a request whose work was done."""
    try:
        return 200, work()
    except Declined as exc:
        return 402, _error(exc.message, exc.facts)
    except (GatewayRefused, InvalidInput) as exc:
        return 400, _error(str(exc), exc.facts)
    except PadelopsError as exc:
        return 503, _error(exc.message, {})


def _error(message: str, facts: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"message": message, "facts": facts}}


def _text(facts: dict[str, Any], name: str) -> str:
    value = facts.get(name)
    if not isinstance(value, str):
        raise GatewayRefused(f"The request needs {name!r}, a text.")
    return value


def _amount(facts: dict[str, Any]) -> Any:
    try:
        return amount_from(facts.get("amount"))
    except ValueError as exc:
        raise GatewayRefused(str(exc)) from exc
