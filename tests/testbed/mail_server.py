"""A real mail server in a thread, that refuses, stalls and hangs up where it is told to."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Self

from aiosmtpd.smtp import SMTP, AuthResult

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from aiosmtpd.smtp import Envelope, Session

REFUSALS = {
    "rcpt_450": "450 4.2.1 <{to}> greylisted, come back later",
    "rcpt_550": "550 5.1.1 <{to}>: Recipient address rejected: user unknown",
    "rcpt_421": "421 4.3.2 shutting down",
    "data_451": "451 4.3.0 out of space",
    "data_554": "554 5.7.1 this looks like spam to {to}",
}
"""Answers at RCPT and after the mail, by the name of the fault."""


@dataclass
class Post:
    """What the server did, for the test to look at."""

    received: list[EmailMessage] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    farewells: int = 0

    def ids(self) -> list[str]:
        """The Message-IDs of what was accepted, in order."""
        return [str(mail["Message-ID"]) for mail in self.received]


class MailServer:
    """
    A server on 127.0.0.1; `with` starts and stops it.

    Args:
        plan: the fault for the n-th try (from 1) of an address: one of REFUSALS, `stall` after the
            mail, `hang_up_mid_data`, `hang_up_after_data` (refused silently), `accept_and_hang_up`.
    """

    def __init__(
        self,
        plan: Callable[[str, int], str | None] = lambda _address, _n: None,
        *,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.plan = plan
        self.post = Post()
        self._tls = tls
        self._login = login
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._protocols: list[SMTP] = []
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def hang_up_on_all(self) -> None:
        """Cut every connection, and wait until they are cut."""
        done = threading.Event()

        def cut() -> None:
            for protocol in self._protocols:
                if protocol.transport is not None:
                    _hang_up(protocol)
            self._loop.call_soon(done.set)

        self._loop.call_soon_threadsafe(cut)
        assert done.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(self._protocol, "127.0.0.1", 0)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _protocol(self) -> SMTP:
        self.post.connections += 1
        options: dict[str, Any] = {}
        if self._login is not None:
            user, password = self._login
            expected = (user.encode(), password.encode())

            def authenticated(*given: Any) -> Any:
                data = given[-1]
                return AuthResult(success=(data.login, data.password) == expected, handled=False)

            options = {"authenticator": authenticated, "auth_require_tls": False}
        protocol = _Faulty(
            _Handler(self),
            hostname="mail.test",
            loop=self._loop,
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            **options,
        )
        self._protocols.append(protocol)
        return protocol


class _Handler:
    """Decides at RCPT what goes wrong with this mail, and does it after DATA."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self.fault: str | None = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        del server, session, options
        post = self.server.post
        post.tries[address] += 1
        self.fault = self.server.plan(address, post.tries[address])
        if self.fault and self.fault.startswith("rcpt_"):
            return REFUSALS[self.fault].format(to=address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del session
        match self.fault:
            case "data_451" | "data_554":
                return REFUSALS[self.fault].format(to=envelope.rcpt_tos[0])
            case "stall":
                await asyncio.Event().wait()
            case "hang_up_after_data":
                _hang_up(server)
                await asyncio.Event().wait()
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        mail["X-Rcpt-To"] = envelope.rcpt_tos[0]
        self.server.post.received.append(mail)
        if self.fault == "accept_and_hang_up":
            _hang_up(server)
        return f"250 2.0.0 Ok: queued as {len(self.server.post.received):06X}"


class _Faulty(SMTP):
    """Hangs up after "go ahead", when the mail is on its way; counts who says goodbye."""

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        self.event_handler.server.post.farewells += 1
        await super().smtp_QUIT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if self.event_handler.fault == "hang_up_mid_data":
            await self.push("354 go ahead")
            await self._reader.readline()
            _hang_up(self)
            await asyncio.Event().wait()  # what is buffered would be read as commands
        await super().smtp_DATA(arg)


def _hang_up(server: SMTP) -> None:
    transport = server.transport
    assert isinstance(transport, asyncio.Transport)
    transport.abort()
