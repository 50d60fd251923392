"""
The ways out, for real: files in a folder, a mail server that refuses, stalls and hangs up, and a
service behind Apprise. Source: CRITICAL_PATHS.md, path 7; ACCEPTANCE scenario 22.
"""

from __future__ import annotations

import contextlib
import email
import http.server
import json
import random
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email import policy
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from pydantic import SecretStr

from padelops.adapters.apprise_delivery import AppriseDelivery
from padelops.adapters.delivery import delivery_of
from padelops.adapters.smtp import MailServer as Address
from padelops.adapters.smtp import SmtpDelivery
from padelops.adapters.spool import SpoolDelivery
from padelops.booking.delivery import (
    Channel,
    Deferred,
    DeliveryFailed,
    DeliveryUnavailable,
    DeliveryUnknown,
    Envelope,
    Undeliverable,
)
from padelops.booking.notifications import deliver_due
from padelops.settings import Settings
from testbed.clock import MORNING, Clock
from testbed.mail_server import MailServer
from testbed.racing import race
from testbed.rows import EVENING, insert, reservation_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops import Desk

SENDER = "club@example.org"
SHORT_S = 0.3
"""How long the tests wait for a server that says nothing."""


def envelope(address: str = "ana@example.com", **changes: Any) -> Envelope:
    """A message ready to go, with everything in its body that a mail server treats specially."""
    facts: dict[str, Any] = {
        "id": "confirmation-17-0123456789abcdef",
        "key": "confirmed:17",
        "kind": "confirmation",
        "channel": Channel.EMAIL,
        "address": address,
        "sender": "Pádel Centro",
        "language": "es",
        "subject": "Reserva confirmada: sábado 5 de diciembre de 2026, 18:00, pista 2",
        "short": "Pádel Centro: reserva confirmada",
        "body": "Hola, Ñandú:\n.\n..dos puntos\n.fin\nFrom here\nadiós\n",
        "queued_at": datetime(2026, 12, 1, 23, 30, tzinfo=UTC),
        "at": datetime(2026, 12, 2, 0, 30, tzinfo=UTC),
    }
    return Envelope(**facts | changes)


def smtp(server: MailServer, url: str | None = None, **changes: Any) -> SmtpDelivery:
    """An impatient client of this server."""
    times = {"step_timeout_s": 5.0, "last_word_timeout_s": SHORT_S} | changes
    return SmtpDelivery(Address.parse(SecretStr(url or server.url)), sender=SENDER, **times)


@contextlib.contextmanager
def closing(delivery: SmtpDelivery) -> Iterator[SmtpDelivery]:
    try:
        yield delivery
    finally:
        delivery.close()


# --- the spool ------------------------------------------------------------------------------


def test_a_spooled_mail_is_a_file_that_people_can_read(tmp_path: Path) -> None:
    """
    Under the day it was written on, in plain UTF-8, for its owner's eyes only.
    """
    folder = tmp_path / "home" / "spool"

    receipt = SpoolDelivery(folder, sender=SENDER).deliver(envelope())

    path = folder / receipt
    text = path.read_text(encoding="utf-8")
    assert "2026-12-01/confirmation-17-0123456789abcdef.eml" == receipt
    assert "Subject: Reserva confirmada: sábado 5 de diciembre de 2026, 18:00, pista 2" in text
    assert "From: Pádel Centro <club@example.org>" in text
    assert "Hola, Ñandú:" in text
    assert (0o600, 0o700) == (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)


def test_a_repeated_delivery_is_the_same_file(tmp_path: Path) -> None:
    """
    So that a folder never holds a message twice; nothing unfinished is left behind.
    """
    spool = SpoolDelivery(tmp_path, sender=SENDER)

    first = spool.deliver(envelope())
    again = SpoolDelivery(tmp_path, sender=SENDER).deliver(envelope())

    assert first == again
    assert [tmp_path / first] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_spooled_text_message_is_short(tmp_path: Path) -> None:
    """
    One line, and whom it is for.
    """
    sms = envelope("+34600123456", channel=Channel.SMS)

    receipt = SpoolDelivery(tmp_path, sender=SENDER).deliver(sms)

    assert "To: +34600123456\nKey: confirmed:17\n\nPádel Centro: reserva confirmada\n" == (
        tmp_path / receipt
    ).read_text(encoding="utf-8")


def test_a_spool_that_cannot_be_written_is_a_passing_failure(tmp_path: Path) -> None:
    """
    Messages wait until the folder is put right; no half-written file is left.
    """
    blocked = tmp_path / "spool"
    blocked.write_text("a file where the folder should be")
    spool = SpoolDelivery(blocked, sender=SENDER)

    with pytest.raises(DeliveryUnavailable, match="spool_unwritable"):
        spool.deliver(envelope())
    blocked.unlink()

    assert spool.deliver(envelope())


# --- a real mail server ---------------------------------------------------------------------


def test_a_mail_arrives_as_it_was_written() -> None:
    """
    Dots at line starts, accents, and headers that say who, what and which message.
    """
    with MailServer() as server, closing(smtp(server)) as delivery:
        receipt = delivery.deliver(envelope())

    (mail,) = server.post.received
    assert "250 2.0.0 Ok: queued as 000001" == receipt
    assert envelope().body == mail.get_content().replace("\r\n", "\n")
    assert envelope().subject == mail["Subject"]
    assert "Pádel Centro <club@example.org>" == mail["From"]
    assert "ana@example.com" == mail["To"] == mail["X-Rcpt-To"]
    assert "<confirmation-17-0123456789abcdef@example.org>" == mail["Message-ID"]
    assert ("confirmed:17", "es", "auto-generated") == (
        mail["X-Padelops-Key"],
        mail["Content-Language"],
        mail["Auto-Submitted"],
    )


def test_an_address_beyond_ascii_arrives() -> None:
    """
    The server is asked for SMTPUTF8, and the headers are in UTF-8.
    """
    with MailServer() as server, closing(smtp(server)) as delivery:
        delivery.deliver(envelope("josé@pádel.example"))

    assert "josé@xn--pdel-5na.example" == server.post.received[0]["X-Rcpt-To"]


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        ("rcpt_450", Deferred, "deferred"),
        ("rcpt_550", Undeliverable, "refused"),
        ("rcpt_421", DeliveryUnavailable, "closing"),
        ("data_451", Deferred, "deferred"),
        ("data_554", Undeliverable, "refused"),
        ("stall", DeliveryUnknown, "timed_out"),
        ("hang_up_mid_data", DeliveryUnknown, "hung_up"),
        ("hang_up_after_data", DeliveryUnknown, "hung_up"),
        ("accept_and_hang_up", DeliveryUnknown, "hung_up"),
    ],
)
def test_each_failure_is_known_by_what_it_means(
    fault: str, error: type[DeliveryFailed], reason: str
) -> None:
    """
    Permanent, passing or unknown; without the address in it; and the next mail goes out.
    """
    with (
        MailServer(lambda _, n: fault if n == 1 else None) as server,
        closing(smtp(server)) as delivery,
    ):
        with pytest.raises(DeliveryFailed) as caught:
            delivery.deliver(envelope())
        delivery.deliver(envelope())

    assert (error, reason) == (type(caught.value), caught.value.reason)
    assert "ana@" not in str(caught.value)
    assert (2 if fault == "accept_and_hang_up" else 1) == len(server.post.received)


def test_a_connection_is_kept_for_the_next_mail() -> None:
    """
    Also over a refusal of one recipient.
    """
    refused = lambda address, _: "rcpt_550" if address == "bad@example.com" else None  # noqa: E731
    with MailServer(refused) as server, closing(smtp(server)) as delivery:
        for n in range(5):
            delivery.deliver(envelope(f"p{n}@example.com"))
            with pytest.raises(Undeliverable):
                delivery.deliver(envelope("bad@example.com"))

    assert 1 == server.post.connections
    assert 5 == len(server.post.received)


def test_a_connection_that_went_stale_is_made_anew() -> None:
    """
    The server hung up while nobody wrote to it: noticed before anything is sent.
    """
    with MailServer() as server, closing(smtp(server)) as delivery:
        delivery.deliver(envelope())
        server.hang_up_on_all()
        delivery.deliver(envelope())

    assert 2 == server.post.connections
    assert 2 == len(server.post.received)


def test_a_server_that_is_away_is_a_passing_failure() -> None:
    """
    Nothing was sent, and that is certain.
    """
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    delivery = SmtpDelivery(Address("127.0.0.1", port), sender=SENDER)

    with pytest.raises(DeliveryUnavailable, match="unreachable"):
        delivery.deliver(envelope())


@contextlib.contextmanager
def raw_server(*replies: bytes, drip_s: float | None = None) -> Iterator[int]:
    """Answers with these lines, one for each line it reads, and then with nothing any more."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                for reply in replies:
                    connection.sendall(reply)
                    if drip_s is None:
                        connection.recv(1000)
                while drip_s is not None and not over.wait(drip_s):
                    connection.sendall(b"2")
                over.wait(30)

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.close()
            thread.join(10)


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ((), "timed_out"),
        ((b"554 no service here\r\n",), "server_refused"),
        ((b"220 hello\r\n",), "timed_out"),
        ((b"220 hello\r\n", b"250 mail\r\n", b"550 not from you\r\n"), "sender_refused"),
        ((b"220 hello\r\n", b"250 mail\r\n", b"250 ok\r\n"), "timed_out"),
    ],
)
def test_a_server_that_falls_silent_before_the_mail_is_a_passing_failure(
    replies: tuple[bytes, ...], reason: str
) -> None:
    """
    At every step before the mail itself; also a refused sender, which is no fault of the message.
    """
    with raw_server(*replies) as port:
        delivery = SmtpDelivery(Address("127.0.0.1", port), sender=SENDER, step_timeout_s=SHORT_S)
        with pytest.raises(DeliveryUnavailable) as caught:
            delivery.deliver(envelope())

    assert reason == caught.value.reason


def test_a_server_that_drips_is_cut_off() -> None:
    """
    A byte now and then keeps every single wait short; the whole delivery is bounded all the same.
    """
    with raw_server(b"220 hello\r\n", drip_s=0.05) as port:
        delivery = SmtpDelivery(
            Address("127.0.0.1", port), sender=SENDER, step_timeout_s=20, longest_s=SHORT_S
        )
        started = time.monotonic()
        with pytest.raises(DeliveryUnavailable):
            delivery.deliver(envelope())

    assert time.monotonic() - started < 5


def test_a_login_is_tried_and_its_refusal_keeps_messages_waiting() -> None:
    """
    A wrong password is put right by a person; it must not fail every message for good.
    """
    with MailServer(login=("club", "s3cret")) as server:
        right = server.url.replace("://", "://club:s3cret@")
        wrong = server.url.replace("://", "://club:hunter2@")
        with closing(smtp(server, right)) as delivery:
            delivery.deliver(envelope())
        with (
            closing(smtp(server, wrong)) as delivery,
            pytest.raises(DeliveryUnavailable) as caught,
        ):
            delivery.deliver(envelope())

    assert "login_refused" == caught.value.reason
    assert "hunter2" not in str(caught.value)
    assert 1 == len(server.post.received)


@pytest.mark.needs("openssl")
def test_tls_is_checked_before_anything_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A certificate that nobody vouches for: no mail. One that is trusted: mail.
    """
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with MailServer(tls=context) as server:
        url = f"{server.url}?starttls"
        with (
            closing(smtp(server, url)) as delivery,
            pytest.raises(DeliveryUnavailable, match="no_tls"),
        ):
            delivery.deliver(envelope())
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with closing(smtp(server, url)) as delivery:
            delivery.deliver(envelope())

    assert 1 == len(server.post.received)


def test_a_server_without_tls_gets_no_mail_that_asks_for_it() -> None:
    """
    Whoever took TLS away on the way must not read it either.
    """
    with (
        MailServer() as server,
        closing(smtp(server, f"{server.url}?starttls")) as delivery,
        pytest.raises(DeliveryUnavailable, match="no_tls"),
    ):
        delivery.deliver(envelope())

    assert [] == server.post.received


# --- the whole path -------------------------------------------------------------------------

FAULTS = (
    "rcpt_450", "rcpt_550", "rcpt_421", "data_451", "data_554", "stall", "hang_up_mid_data",
    "hang_up_after_data",
)  # fmt: skip
STORM = 90


def storm(address: str, attempt: int) -> str | None:
    """A fault for two tries in five; the same in every run."""
    chance = random.Random(f"{address} {attempt}")
    return chance.choice(FAULTS) if chance.random() < 0.4 else None


def test_under_a_server_in_trouble_each_mail_arrives_once_or_fails_with_its_reason(
    psql: Any, another_desk: Callable[..., Desk], clock: Clock
) -> None:
    """
    Three workers, one server that refuses, stalls and hangs up: nothing is stuck, nothing is lost
    without a word, nothing arrives twice.
    """
    queue_confirmations(psql, STORM)
    desks = [another_desk() for _ in range(3)]
    with MailServer(storm) as server:
        for _ in range(10):
            finishes = race(*(worker(desk, server, clock) for desk in desks))
            assert [None] * 3 == [finish.error for finish in finishes]
            clock.advance(hours=2)

    arrived = Counter(mail["X-Rcpt-To"] for mail in server.post.received)
    outcomes = outcomes_of(psql)
    assert STORM == len(outcomes)
    assert {"delivered", "failed"} == {state for state, _ in outcomes.values()}
    for address, (state, reason) in outcomes.items():
        assert (1 if state == "delivered" else 0) == arrived[address], address
        assert (reason is None) == (state == "delivered"), address
    assert len(arrived) == len(set(server.post.ids()))
    assert STORM * 0.6 < len(arrived)


def test_a_lost_answer_costs_one_extra_mail_under_the_same_id(
    psql: Any, another_desk: Callable[..., Desk], clock: Clock
) -> None:
    """
    The server took the mail and its answer never came: sent again once, and then put aside.
    """
    queue_confirmations(psql, 2)
    lost = {"p0@example.com": 1, "p1@example.com": 99}

    def plan(address: str, attempt: int) -> str | None:
        return "accept_and_hang_up" if attempt <= lost[address] else None

    with MailServer(plan) as server:
        for _ in range(5):
            worker(another_desk(), server, clock)()
            clock.advance(hours=2)

    assert {"p0@example.com": 2, "p1@example.com": 2} == dict(server.post.tries)
    assert 2 == len(set(server.post.ids()))
    assert {
        "p0@example.com": ("delivered", None),
        "p1@example.com": ("failed", "hung_up"),
    } == outcomes_of(psql)


def test_by_default_a_booking_ends_in_the_spool(
    psql: Any, desk: Desk, clock: Clock, tmp_path: Path
) -> None:
    """
    From `book` to a readable file, with nothing set up.
    """
    desk.book("centro/2", "2026-12-05T18:00", player="Ana Ruiz", email="ana@example.com")
    due_now(psql)

    delivery = delivery_of(Settings(home=tmp_path))
    done = deliver_due(desk.database, delivery, now=clock, worker="worker")

    (path,) = (tmp_path / "spool").rglob("*.eml")
    mail = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    assert 1 == done.delivered
    assert "ana@example.com" == mail["To"]
    assert "sábado 5 de diciembre de 2026, 18:00" in mail["Subject"]


def queue_confirmations(psql: Any, many: int) -> None:
    """So many confirmed reservations, each with an address of its own, due now."""
    for n in range(many):
        row = reservation_row(
            psql,
            f"centro/{1 + n % 4}",
            starts_at=EVENING + timedelta(days=5, hours=n // 4),
            price_source="tariff",
            player_email=f"p{n}@example.com",
        )
        insert(psql, "claims", row)
    due_now(psql)


def due_now(psql: Any) -> None:
    """The database's clock is the real one; the tests' is not."""
    psql.execute("UPDATE messages SET due_at = %s, next_attempt_at = %s", [MORNING, MORNING])


def worker(desk: Desk, server: MailServer, clock: Clock) -> Callable[[], None]:
    """One round of a worker with a connection of its own."""

    def run() -> None:
        with closing(smtp(server)) as delivery:
            deliver_due(desk.database, delivery, now=clock, worker="worker", limit=1000)

    return run


def outcomes_of(psql: Any) -> dict[str, tuple[str, str | None]]:
    """What became of each message, by its address."""
    rows = psql.execute(
        "SELECT player_email, state, messages.reason FROM messages"
        " JOIN claims ON claims.id = claim_id"
    ).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}


# --- Apprise --------------------------------------------------------------------------------


@contextlib.contextmanager
def service(status: int) -> Iterator[tuple[int, list[tuple[str, dict[str, Any]]]]]:
    """A real HTTP service that answers with this status; its port, and what it was told."""
    told: list[tuple[str, dict[str, Any]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            told.append((self.path, json.loads(self.rfile.read(length))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port, told
        finally:
            server.shutdown()
            thread.join(10)


def test_a_text_message_goes_out_by_apprise() -> None:
    """
    To the number in the address, as one line.
    """
    with service(200) as (port, told):
        delivery = AppriseDelivery({Channel.SMS: f"json://127.0.0.1:{port}/to/{{phone}}"})
        delivery.deliver(envelope("+34 600 123 456", channel=Channel.SMS))

    (path, document) = told[0]
    assert "/to/+34 600 123 456" == unquote(path).rstrip("/")
    assert "Pádel Centro: reserva confirmada" == document["message"]


@pytest.mark.parametrize("status", [400, 500, 503])
def test_what_a_service_does_not_take_is_tried_again(status: int) -> None:
    """
    Apprise only says no, so no is worth another try.
    """
    with service(status) as (port, _):
        delivery = AppriseDelivery({Channel.SMS: f"json://127.0.0.1:{port}/{{phone}}"})
        with pytest.raises(Deferred, match="not_taken"):
            delivery.deliver(envelope("+34600123456", channel=Channel.SMS))
