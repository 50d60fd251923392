"""
Delivery to a mail server, step by step, because what a failure means depends on the step.

Until the last dot is out the mail certainly did not arrive; once it is out and the server falls
silent, nobody knows. A refusal of the recipient or of the mail itself is about this message; any
other refusal (login, sender, TLS) is about the server or its settings, and every message can wait
until that is put right.

Every step has a time limit, and the whole delivery has one too, against a server that drips. The
connection is kept for the next message; one that went stale meanwhile is noticed at `MAIL FROM`,
before anything was sent, and made anew.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import policy
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from padelops.adapters.mail import UNWRITABLE, mail_of, recipient
from padelops.booking.delivery import (
    LONGEST_DELIVERY_S,
    Channel,
    Deferred,
    DeliveryFailed,
    DeliveryUnavailable,
    DeliveryUnknown,
    Undeliverable,
)
from padelops.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from pydantic import SecretStr

    from padelops.booking.delivery import Envelope

STEP_TIMEOUT_S = 10.0
LAST_WORD_TIMEOUT_S = 60.0
"""For the answer to the mail itself, while the server looks for viruses: giving up too early means
sending it twice (RFC 5321, 4.5.3.2.6)."""

MESSAGES_PER_CONNECTION = 100
"""Many servers hang up on who sends more at a stretch."""

OK, WILL_FORWARD, GO_AHEAD, CLOSING = 250, 251, 354, 421
REFUSED_FOR_GOOD = 500
AT_HOME = frozenset({"localhost", "127.0.0.1", "::1"})

TROUBLE = (OSError, smtplib.SMTPException)
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (smtplib.SMTPServerDisconnected, "hung_up"),
    (smtplib.SMTPAuthenticationError, "login_refused"),
    (smtplib.SMTPResponseException, "server_refused"),
    (smtplib.SMTPNotSupportedError, "no_tls"),
    (ssl.SSLError, "no_tls"),
    (ConnectionResetError, "hung_up"),
    (BrokenPipeError, "hung_up"),
)
"""What trouble is called; the first that fits, and everything else is `unreachable`."""

Reply = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in. Source: `PADELOPS_SMTP_URL`."""

    host: str
    port: int
    tls: bool = False
    starttls: bool = False
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"MailServer({self.host}:{self.port})"

    @classmethod
    def parse(cls, url: SecretStr) -> MailServer:
        """
        Read `smtp://user:password@host:587?starttls`, or `smtps://…` for TLS from the start.

        Raises:
            InvalidInput: it is none, or it would send a password over the network in the clear.
        """
        problem = InvalidInput(
            "PADELOPS_SMTP_URL is no address of a mail server.",
            fix="Write smtp://USER:PASSWORD@HOST:587?starttls or smtps://USER:PASSWORD@HOST.",
        )
        try:
            parts = urlsplit(url.get_secret_value())
            options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=False)
            tls, starttls = parts.scheme == "smtps", "starttls" in options
            port = parts.port or (465 if tls else 587 if starttls else 25)
        except ValueError as exc:
            raise problem from exc
        if (
            parts.scheme not in {"smtp", "smtps"}
            or not parts.hostname
            or set(options) - {"starttls"}
            or parts.path.strip("/")
            or (tls and starttls)
        ):
            raise problem
        if parts.password and not (tls or starttls or parts.hostname in AT_HOME):
            raise InvalidInput(
                "PADELOPS_SMTP_URL would send the password in the clear.",
                fix="Add ?starttls, or write smtps://.",
            )
        user, password = (
            None if given is None else unquote(given) for given in (parts.username, parts.password)
        )
        return cls(parts.hostname, port, tls, starttls, user, password)


class SmtpDelivery:
    """Implements `booking.delivery.Delivery`. For one thread: a worker has one of its own."""

    channels = frozenset({Channel.EMAIL})

    def __init__(
        self,
        server: MailServer,
        *,
        sender: str,
        step_timeout_s: float = STEP_TIMEOUT_S,
        last_word_timeout_s: float = LAST_WORD_TIMEOUT_S,
        longest_s: float = LONGEST_DELIVERY_S,
    ) -> None:
        self._server = server
        self._sender = sender
        self._step_timeout_s = step_timeout_s
        self._last_word_timeout_s = last_word_timeout_s
        self._longest_s = longest_s
        self._smtp: smtplib.SMTP | None = None
        self._sent = 0
        self._overdue = False

    def deliver(self, envelope: Envelope) -> str:
        """Hand a mail in; what the server answered, with its queue id."""
        mail = mail_of(envelope, sender=self._sender)
        address = recipient(envelope.address).addr_spec
        try:
            with self._within_limit():
                answer = self._hand_in(mail, address)
        except DeliveryFailed as exc:
            if isinstance(exc, Refused):
                self._begin_anew()
            else:
                self._hang_up()
            raise
        self._sent += 1
        if self._sent >= MESSAGES_PER_CONNECTION:
            self.close()
        return answer

    def probe(self) -> None:
        """
        Have the server greet us and take our login; no mail is sent.

        Raises:
            DeliveryUnavailable: it would not.
        """
        try:
            with self._within_limit():
                self._connected().noop()
        except TROUBLE as exc:
            raise DeliveryUnavailable(_reason(exc), _words(exc)) from exc
        finally:
            self.close()

    def close(self) -> None:
        """Say goodbye to the server, if there is a connection."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            with suppress(*TROUBLE):
                smtp.quit()
            smtp.close()

    # --- one mail ---------------------------------------------------------------------------

    def _hand_in(self, mail: EmailMessage, address: str) -> str:
        content, options = _on_the_wire(mail, address)
        smtp = self._greeted(options)
        with _before_the_dot():
            _check(smtp.rcpt(address), OK, WILL_FORWARD)
            smtp.putcmd("DATA")
            _check(smtp.getreply(), GO_AHEAD)
            smtp.send(content)
        try:
            if smtp.sock is not None:
                smtp.sock.settimeout(self._last_word_timeout_s)
            reply = smtp.getreply()
            if smtp.sock is not None:
                smtp.sock.settimeout(self._step_timeout_s)
        except TROUBLE as exc:
            raise DeliveryUnknown(_reason(exc), "after the mail was sent") from exc
        return _check(reply, OK)

    def _greeted(self, options: list[str]) -> smtplib.SMTP:
        """A connection on which the server has accepted the sender."""
        if self._smtp is not None:
            with suppress(*TROUBLE):
                code, answer = self._smtp.mail(self._sender, options)
                if code != CLOSING:
                    return self._accepted(self._smtp, code, answer)
            self._hang_up()
        try:
            smtp = self._connected()
            if options and not smtp.has_extn("smtputf8"):
                raise Undeliverable("needs_smtputf8", "The address is not in ASCII.")
            code, answer = smtp.mail(self._sender, options)
        except TROUBLE as exc:
            raise DeliveryUnavailable(_reason(exc), _words(exc)) from exc
        return self._accepted(smtp, code, answer)

    def _accepted(self, smtp: smtplib.SMTP, code: int, answer: bytes) -> smtplib.SMTP:
        if code != OK:
            raise DeliveryUnavailable("sender_refused", _line(code, answer))
        return smtp

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        # Without a name of its own, smtplib asks the name servers for ours, which may take long.
        name = self._sender.rpartition("@")[2]
        if server.tls:
            context = ssl.create_default_context()
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                local_hostname=name, timeout=self._step_timeout_s, context=context
            )
        else:
            smtp = smtplib.SMTP(local_hostname=name, timeout=self._step_timeout_s)
        self._smtp, self._sent = smtp, 0
        # smtplib sets the name to check the certificate against in its constructor only.
        smtp._host = server.host  # type: ignore[attr-defined]  # noqa: SLF001
        code, answer = smtp.connect(server.host, server.port)
        if self._overdue:  # the limit ran out while there was nothing to cut
            raise TimeoutError
        if code != 220:  # noqa: PLR2004 - "service ready", RFC 5321
            raise smtplib.SMTPConnectError(code, answer)
        smtp.ehlo_or_helo_if_needed()
        if server.starttls:
            smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo()
        if server.user is not None:
            smtp.login(server.user, server.password or "")
        return smtp

    def _begin_anew(self) -> None:
        """Forget the mail that was refused, and keep the connection if it is any good."""
        try:
            if self._smtp is not None:
                self._smtp.rset()
        except TROUBLE:
            self._hang_up()

    def _hang_up(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()

    @contextmanager
    def _within_limit(self) -> Iterator[None]:
        self._overdue = False
        timer = threading.Timer(self._longest_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        """From another thread: whoever waits for the server reads the end of the connection."""
        self._overdue = True
        smtp = self._smtp
        if smtp is not None and smtp.sock is not None:
            with suppress(OSError):
                # The plain socket's method: the one of TLS would take its state from the reader.
                socket.socket.shutdown(smtp.sock, socket.SHUT_RDWR)


def _on_the_wire(mail: EmailMessage, address: str) -> tuple[bytes, list[str]]:
    """The mail with its dots doubled and the last one, and what `MAIL FROM` must announce."""
    plain = address.isascii()
    try:
        content = mail.as_bytes(policy=policy.SMTP if plain else policy.SMTPUTF8)
    except UNWRITABLE as exc:
        raise Undeliverable("unwritable", type(exc).__name__) from exc
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    content = re.sub(rb"^\.", b"..", content, flags=re.MULTILINE) + b".\r\n"
    return content, [] if plain else ["SMTPUTF8", "BODY=8BITMIME"]


@contextmanager
def _before_the_dot() -> Iterator[None]:
    """Trouble in here means that the mail certainly did not arrive."""
    try:
        yield
    except TROUBLE as exc:
        raise DeliveryUnavailable(_reason(exc), _words(exc)) from exc


def _check(reply: Reply, *wanted: int) -> str:
    """
    The answer in words, if it is one of those wanted.

    Raises:
        Undeliverable, Deferred: what the server thinks of this message.
        DeliveryUnavailable: it is closing down.
    """
    code, answer = reply
    line = _line(code, answer)
    if code in wanted:
        return line
    if code == CLOSING or code < 0:
        raise DeliveryUnavailable("closing", line)
    if code >= REFUSED_FOR_GOOD:
        raise Undeliverable("refused", line)
    raise Deferred("deferred", line)


def _line(code: int, answer: bytes) -> str:
    return f"{code} {answer.decode('utf-8', 'replace')}"


def _reason(exc: OSError | smtplib.SMTPException) -> str:
    # smtplib hides a timeout in the "connection unexpectedly closed" that it raises over it.
    if isinstance(exc, TimeoutError) or isinstance(exc.__context__, TimeoutError):
        return "timed_out"
    return next((reason for kind, reason in REASONS if isinstance(exc, kind)), "unreachable")


def _words(exc: OSError | smtplib.SMTPException) -> str:
    """What to tell; a login that was refused may repeat the password, so only its number."""
    match exc:
        case smtplib.SMTPAuthenticationError():
            return str(exc.smtp_code)
        case smtplib.SMTPResponseException():
            error = exc.smtp_error
            return _line(exc.smtp_code, error if isinstance(error, bytes) else error.encode())
        case OSError() if exc.strerror:
            return exc.strerror
    return type(exc).__name__
