"""
What players read: every template in both languages, and nothing in it that could trick them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from email import message_from_bytes, policy
from email.message import EmailMessage
from string import Formatter
from typing import Any

import pytest

from padelops.adapters.mail import mail_of, recipient
from padelops.booking.delivery import Channel, Undeliverable
from padelops.booking.message_kinds import KINDS
from padelops.booking.message_templates import LANGUAGES, facts_of, render, template
from padelops.booking.notifications import compose
from padelops.errors import Corrupt, InvalidInput
from padelops.store.messages import Taken

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)

TAKEN = Taken(
    id=7,
    club_id=1,
    claim_id=4711,
    kind="confirmation",
    dedupe_key="confirmed:4711",
    lease=1,
    attempts=1,
    doubts=0,
    created_at=NOW,
    club="centro",
    club_name="Pádel Centro",
    time_zone="Europe/Madrid",
    language="es",
    reminders=None,
    court="2",
    claim_club_id=1,
    claim_kind="reservation",
    status="confirmed",
    starts_at=datetime(2026, 12, 5, 17, 0, tzinfo=UTC),
    ends_at=datetime(2026, 12, 5, 18, 30, tzinfo=UTC),
    player_name="Ana Ruiz",
    player_email="ana@example.com",
    player_phone=None,
    currency="EUR",
    total=Decimal("46.80"),
    captured=Decimal(0),
    refund_due=Decimal(0),
    refunded=Decimal(0),
    payment_method="desk",
    payment_status="due",
    reason=None,
)

NBSP = "\u00a0"


def taken(**changes: Any) -> Taken:
    """A message in hand about a booking on Saturday 5 December, 18:00 to 19:30 in Madrid."""
    return replace(TAKEN, **changes)


def sent(**changes: Any) -> EmailMessage:
    """That message as it arrives, read back from the wire."""
    about = taken(**changes)
    envelope = compose(about, Channel.EMAIL, about.player_email or "", now=NOW)
    wire = mail_of(envelope, sender="club@example.org").as_bytes(policy=policy.SMTP)
    mail = message_from_bytes(wire, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def test_a_confirmation_in_spanish_reads_as_people_write() -> None:
    """
    Dates and amounts as in Spain, what is due at the desk, and no line about cards.
    """
    text = render(taken())

    assert "Reserva confirmada: sábado 5 de diciembre de 2026, 18:00, pista 2" == text.subject
    assert (
        f"""Hola, Ana Ruiz:

Tu reserva en Pádel Centro está confirmada.

Pista:    2
Cuándo:   sábado 5 de diciembre de 2026, 18:00
Hasta:    19:30 (90 minutos)
Reserva:  n.º 4711

A pagar en el club: 46,80{NBSP}€

¡Nos vemos en la pista!
Pádel Centro
"""
        == text.body
    )
    assert "Pádel Centro: reserva confirmada, sáb 5 dic, 18:00, pista 2. N.º 4711" == text.short


def test_a_cancellation_in_english_tells_what_is_given_back() -> None:
    """
    The refund goes back the way the money came.
    """
    text = render(
        taken(
            kind="cancellation",
            language="en",
            status="cancelled",
            payment_method="card",
            payment_status="refund_due",
            captured=Decimal("46.80"),
            refund_due=Decimal("44.80"),
            reason="weather",
        )
    )

    assert "Booking cancelled: Saturday 5 December 2026, 18:00, court 2" == text.subject
    assert "Reason: bad weather." in text.body
    assert "We are refunding €44.80 to your card; it may take a few days." in text.body
    assert "at the club" not in text.body


def test_lines_about_absent_facts_are_left_out() -> None:
    """
    Nothing given back, no reason of the club's: the cancellation says neither.
    """
    text = render(
        taken(
            kind="cancellation",
            status="cancelled",
            payment_status="nothing_due",
            reason="user_requested",
        )
    )

    assert "devolvemos" not in text.body
    assert "Motivo" not in text.body
    assert "None" not in text.body
    assert "\n\n\n" not in text.body


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("captured", [Decimal(0), Decimal("46.80")])
def test_every_kind_has_words_in_every_language(
    language: str, kind: str, captured: Decimal
) -> None:
    """
    Each template can be filled, its short form fits into two text messages, nothing is left open.
    """
    text = render(taken(kind=kind, language=language, captured=captured))

    assert not {"{", "}"} & set(text.subject + text.short + text.body)
    assert "None" not in text.subject + text.short + text.body
    assert len(text.short) <= 160 * 2
    assert "4711" in text.short
    assert "4711" in text.body
    assert "\n" not in text.subject + text.short


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_template_mentions_known_facts_only(language: str, kind: str) -> None:
    """
    A typing mistake in a placeholder is found here, not when a player's mail is due.
    """
    words = template(language, kind)
    lines = (words.subject, words.short, *words.lines)

    mentioned = {
        name for line in lines for _, name, _, _ in Formatter().parse(line) if name is not None
    }

    assert set() == mentioned - facts_of(taken(), language).keys()


@pytest.mark.parametrize(
    ("language", "zone", "currency", "amount", "written"),
    [
        ("es", "Europe/Madrid", "EUR", "1046.80", f"1.046,80{NBSP}€"),
        ("en", "Europe/Madrid", "EUR", "46.80", "€46.80"),
        ("es", "America/Mexico_City", "MXN", "300.00", "$300.00"),
        ("en", "Asia/Tokyo", "JPY", "3000", "¥3,000"),
        ("en", "Europe/London", "GBP", "7.50", "£7.50"),
        ("en", "Asia/Kuwait", "KWD", "1.250", "KWD1.250"),
        ("en", "Asia/Baghdad", "IQD", "1.250", "IQD1.25"),
    ],
)
def test_money_reads_as_in_the_clubs_country(
    language: str, zone: str, currency: str, amount: str, written: str
) -> None:
    """
    Marks and digits follow the language, and the country where it is spoken there; never rounded.
    """
    facts = facts_of(taken(time_zone=zone, currency=currency, total=Decimal(amount)), language)

    # Whether a code is set off by a space changes between editions of the CLDR.
    assert written == str(facts["total"]).replace(f"KWD{NBSP}", "KWD").replace(f"IQD{NBSP}", "IQD")


@pytest.mark.parametrize(
    ("language", "zone", "written"),
    [
        ("es", "America/Mexico_City", "sábado 5 de diciembre de 2026, 11:00"),
        ("en", "Asia/Tokyo", "Sunday 6 December 2026, 02:00"),
        ("en", "America/New_York", "Saturday, December 5, 2026, 12:00 PM"),
    ],
)
def test_the_start_reads_as_on_the_clubs_wall(language: str, zone: str, written: str) -> None:
    """
    The club's zone decides the day and the hour, the country how they are written.
    """
    assert written == facts_of(taken(time_zone=zone), language)["when"]


def test_an_hour_that_comes_twice_says_which_one() -> None:
    """
    On the night the clocks go back, the offset tells the two apart.
    """
    first = taken(starts_at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    second = taken(starts_at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))

    assert str(facts_of(first, "en")["when"]).endswith("02:30 (UTC+02:00)")
    assert str(facts_of(second, "en")["when"]).endswith("02:30 (UTC+01:00)")


@pytest.mark.parametrize(
    "name",
    [
        "Eve\r\nBcc: all@example.com",
        "Eve\x00",
        "Eve\u2028Bcc: a@b.c",
        "Eve\x85X: y",
        "Eve\u202egnp",
    ],
)
def test_a_name_cannot_become_a_header_or_a_line(name: str) -> None:
    """
    Control characters and line separators in a name are spaces by the time they are sent.
    """
    mail = sent(player_name=name, club_name=name)

    assert {
        "From", "To", "Subject", "Date", "Message-ID", "Content-Language", "Auto-Submitted",
        "X-Padelops-Key", "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    } == set(mail.keys())  # fmt: skip
    assert "ana@example.com" == mail["To"]
    assert not {"\r", "\x00", "\u2028", "\x85", "\u202e"} & set(
        mail.get_content().replace("\r\n", "\n")
    )


@pytest.mark.parametrize(
    "name",
    [
        "Win now https://evil.example",
        "www evil",
        "evil.example",
        "call me@evil.example",
        "a/b",
        "x" * 61,
        " ",
    ],
)
def test_a_name_that_could_be_a_link_is_left_out(name: str) -> None:
    """
    Whoever books writes the name and the address: the club's mail must not carry their links.
    """
    body = render(taken(player_name=name)).body

    assert "Hola" not in body
    assert name.strip() == "" or name not in body


def test_a_name_in_braces_is_no_placeholder() -> None:
    """
    Facts are never read as templates.
    """
    assert "Hola, {total} {0.__class__}:" not in render(taken(player_name="{total}")).body
    assert "Hola, {total}:" in render(taken(player_name="{total}")).body


@pytest.mark.parametrize(
    "address",
    [
        "ana@example.com\r\nBcc: all@example.com",
        "ana@example.com, bob@example.com",
        "ana@example.com>",
        "<ana@example.com>",
        "ana bob@example.com",
        "ana;bob@example.com",
        '"ana"@example.com',
        "ana@",
        "@example.com",
        "ana",
        "",
        "a..b@example.com",
        ".a@example.com",
        "ana@exa mple.com",
        "ana@-example.com",
        "ana@[127.0.0.1]",
        "ana@" + "x" * 70 + ".com",
        "ana\u202e@example.com",
    ],
)
def test_an_address_is_one_address_or_none(address: str) -> None:
    """
    What could be a second recipient, or a command to the server, is refused for good.
    """
    with pytest.raises(Undeliverable, match="bad_address"):
        recipient(address)


def test_addresses_beyond_ascii_are_kept_as_they_are() -> None:
    """
    A domain is written as name servers know it; the name before the @ stays what it is.
    """
    assert "josé@xn--pdel-5na.example" == recipient("josé@pádel.example").addr_spec


def test_each_try_has_the_same_message_id_and_no_two_messages_share_one() -> None:
    """
    The id tells a repeated send from a new message, also after a database was built anew.
    """
    first = compose(taken(), Channel.EMAIL, "ana@example.com", now=NOW)
    again = compose(taken(attempts=5, lease=9), Channel.EMAIL, "ana@example.com", now=NOW)
    rebuilt = compose(
        taken(created_at=NOW.replace(hour=10)), Channel.EMAIL, "ana@example.com", now=NOW
    )
    elsewhere = compose(taken(club="norte"), Channel.EMAIL, "ana@example.com", now=NOW)

    assert first.id == again.id
    assert 3 == len({first.id, rebuilt.id, elsewhere.id})
    assert f"<{first.id}@example.org>" == sent()["Message-ID"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"language": "fr"}, Corrupt),
        ({"language": "../en"}, Corrupt),
        ({"kind": "advert"}, Corrupt),
        ({"kind": "../confirmation"}, Corrupt),
        ({"time_zone": "Nowhere/Land"}, InvalidInput),
        ({"currency": "XXX"}, InvalidInput),
    ],
)
def test_what_cannot_be_written_says_why(changes: dict[str, Any], error: type[Exception]) -> None:
    """
    A message that cannot be put into words is an error with a name, not a mail full of holes.
    """
    with pytest.raises(error):
        render(taken(**changes))
