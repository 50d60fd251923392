"""
The rules of the delivery path that need no database: kinds, back-off, masking, goals, settings.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from padelops.adapters.apprise_delivery import AppriseDelivery, parse_urls
from padelops.adapters.delivery import Routes, delivery_of
from padelops.adapters.smtp import LAST_WORD_TIMEOUT_S, STEP_TIMEOUT_S, MailServer
from padelops.booking.delivery import (
    LONGEST_DELIVERY_S,
    Channel,
    Deferred,
    DeliveryFailed,
    DeliveryUnavailable,
    DeliveryUnknown,
    Undeliverable,
)
from padelops.booking.delivery_report import DeliveryReport, KindReport, Verdict
from padelops.booking.masking import LONGEST_LINE, masked, scrubbed
from padelops.booking.message_kinds import KINDS
from padelops.booking.notifications import LEASE, PATIENCE
from padelops.circuit_breakers import Verdict as BreakerVerdict
from padelops.circuit_breakers import counts_by_default, judge
from padelops.errors import InvalidInput
from padelops.settings import Settings
from padelops.store.messages import Rates, Taken

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def about(status: str, *, starts_in: timedelta = 24 * HOUR) -> Taken:
    """A message about a reservation of 90 minutes in this status."""
    facts: dict[str, Any] = dict.fromkeys(field.name for field in fields(Taken))
    starts_at = NOW + starts_in
    facts |= {"status": status, "starts_at": starts_at, "ends_at": starts_at + 1.5 * HOUR}
    return Taken(**facts)


def outcome(kind: str, taken: Taken) -> str:
    untrue = KINDS[kind].untrue(taken, NOW)
    return "sent" if untrue is None else f"{untrue.state} {untrue.reason}"


@pytest.mark.parametrize(
    ("kind", "status", "becomes"),
    [
        ("confirmation", "confirmed", "sent"),
        ("confirmation", "cancelled", "skipped cancelled_meanwhile"),
        ("confirmation", "expired", "skipped not_confirmed"),
        ("cancellation", "cancelled", "sent"),
        ("cancellation", "confirmed", "skipped not_cancelled"),
        ("reminder", "confirmed", "sent"),
        ("reminder", "cancelled", "skipped cancelled_meanwhile"),
        ("reminder", "no_show", "skipped not_confirmed"),
        ("payment_pending", "pending", "sent"),
        ("payment_pending", "confirmed", "skipped payment_known"),
        ("payment_pending", "expired", "skipped payment_known"),
        ("payment_failed", "expired", "sent"),
        ("payment_failed", "confirmed", "skipped confirmed_meanwhile"),
        ("late_money_refunded", "expired", "sent"),
        ("late_money_refunded", "confirmed", "skipped confirmed_meanwhile"),
    ],
)
def test_a_message_is_only_sent_while_it_is_true(kind: str, status: str, becomes: str) -> None:
    """
    What happened since it was queued decides, and what is no longer true is no failure.
    """
    assert becomes == outcome(kind, about(status))


@pytest.mark.parametrize(
    ("kind", "starts_in", "becomes"),
    [
        ("reminder", timedelta(minutes=1), "sent"),
        ("reminder", timedelta(), "failed too_late"),
        ("confirmation", -HOUR, "sent"),
        ("confirmation", -1.5 * HOUR, "failed too_late"),
    ],
)
def test_a_message_that_comes_too_late_has_failed(
    kind: str, starts_in: timedelta, becomes: str
) -> None:
    """
    Somebody missed it, so it counts against the goal: a reminder from the start on, a
    confirmation from the end on.
    """
    assert becomes == outcome(kind, about("confirmed", starts_in=starts_in))


def test_news_of_a_cancellation_is_never_too_late() -> None:
    """
    There may be money in it.
    """
    assert "sent" == outcome("cancellation", about("cancelled", starts_in=-100 * HOUR))


def test_the_goals_are_those_of_the_requirements() -> None:
    """
    CRITICAL_PATHS.md, path 7: confirmation 99%, cancellation 99%, reminder 95%.
    """
    goals = {kind.name: str(kind.goal) for kind in KINDS.values() if kind.goal is not None}

    assert {"confirmation": "0.99", "cancellation": "0.99", "reminder": "0.95"} == goals


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_waits_grow_to_an_hour_with_jitter(kind: Any) -> None:
    """
    Each wait is longer than the one before, spread by half of itself, and bounded.
    """
    waits = [kind.wait(n, 0.5) for n in range(1, kind.tries)]

    assert timedelta(seconds=30) == waits[0]
    assert waits == sorted(waits)
    assert waits[0] < waits[-1] <= HOUR
    assert 0.5 * HOUR == kind.wait(1000, 0.0)
    assert timedelta(seconds=15) == kind.wait(1, 0.0)
    assert kind.wait(1, 0.999) < timedelta(seconds=45)


def test_retries_outlast_an_outage_of_two_hours() -> None:
    """
    With the shortest jitter an hour and a half, on average three.
    """
    for name in ("confirmation", "cancellation"):
        kind = KINDS[name]

        average = sum((kind.wait(n, 0.5) for n in range(1, kind.tries)), timedelta())

        assert 2 * HOUR < average < 6 * HOUR


def test_a_lease_outlasts_the_longest_delivery() -> None:
    """
    A message changes hands only when its worker is dead.
    """
    assert timedelta(seconds=LONGEST_DELIVERY_S) + PATIENCE < LEASE
    assert STEP_TIMEOUT_S < LAST_WORD_TIMEOUT_S < LONGEST_DELIVERY_S


# --- what may be stored and shown -----------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ana@example.com", "a***@example.com"),
        ("ñandú@example.com", "ñ***@example.com"),
        ("+34 600 123 456", "***456"),
        ("@example.com", "***@example.com"),
        ("", "***"),
    ],
)
def test_addresses_are_masked(address: str, shown: str) -> None:
    """
    Enough to recognise one's own, too little to write to.
    """
    assert shown == masked(address)


@pytest.mark.parametrize(
    ("text", "secret", "shown"),
    [
        ("550 <ana@example.com>: unknown", None, "550 <a***@example.com>: unknown"),
        ("550 ANA@Example.com unknown", "ana@example.com", "550 a***@example.com unknown"),
        ("no such user 'a b'@example.com", None, "no such user 'a b'@example.com"),
        ("cannot text +34 600 123 456 now", None, "cannot text ***456 now"),
        ("cannot text 34600123456.", None, "cannot text 34600123456."),
        ("250 2.0.0 Ok: queued as 4B2C3D", None, "250 2.0.0 Ok: queued as 4B2C3D"),
        ("one\r\ntwo\x00three\ud800", None, "one two three"),
    ],
)
def test_what_a_server_says_is_stored_without_addresses(
    text: str, secret: str | None, shown: str
) -> None:
    """
    One printable line; queue numbers and enhanced status codes stay readable.
    """
    assert shown == scrubbed(text, secret=secret)


def test_a_long_answer_is_cut_in_linear_time() -> None:
    """
    A hostile server cannot keep a worker busy with its answer.
    """
    assert LONGEST_LINE == len(scrubbed("a" * 200_000 + "@" * 1000))
    assert LONGEST_LINE == len(scrubbed("+" + "1 " * 100_000))


def test_an_error_never_carries_an_address() -> None:
    """
    Neither its text nor what programs get of it.
    """
    error = Undeliverable("refused", "550 <ana@example.com> unknown")

    assert "ana@" not in str(error) + str(error.as_json()) + error.detail


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Undeliverable("refused"), BreakerVerdict.REFUSED),
        (Deferred("deferred"), BreakerVerdict.REFUSED),
        (DeliveryUnavailable("unreachable"), BreakerVerdict.FAILED),
        (DeliveryUnknown("hung_up"), BreakerVerdict.FAILED),
    ],
)
def test_only_a_server_in_trouble_counts_for_the_breaker(
    error: DeliveryFailed, verdict: BreakerVerdict
) -> None:
    """
    A refused recipient proves that the server is alive.
    """
    assert verdict is judge(error, counts_by_default)


# --- the report -----------------------------------------------------------------------------


def kind_report(kind: str, **counts: int) -> KindReport:
    rates = Rates(
        kind=kind,
        **{"delivered": 0, "failed": 0, "late": 0, "waiting": 0, "skipped": 0} | counts,
        average_s=None,
        p95_s=None,
    )
    return KindReport(kind, KINDS[kind].goal, rates)


@pytest.mark.parametrize(
    ("kind", "counts", "verdict"),
    [
        ("confirmation", {"delivered": 100}, Verdict.OK),
        ("confirmation", {"delivered": 99, "failed": 1}, Verdict.OK),
        ("confirmation", {"delivered": 989, "failed": 11}, Verdict.WARNING),
        ("confirmation", {"delivered": 90, "failed": 10}, Verdict.WARNING),
        ("confirmation", {"delivered": 899, "failed": 101}, Verdict.CRITICAL),
        ("confirmation", {"delivered": 0, "late": 1}, Verdict.CRITICAL),
        ("confirmation", {"delivered": 10, "skipped": 90, "waiting": 90}, Verdict.OK),
        ("confirmation", {"skipped": 5, "waiting": 5}, Verdict.UNKNOWN),
        ("reminder", {"delivered": 95, "failed": 5}, Verdict.OK),
        ("reminder", {"delivered": 94, "failed": 6}, Verdict.WARNING),
        ("payment_failed", {"delivered": 90, "failed": 10}, Verdict.OK),
        ("payment_failed", {"delivered": 89, "failed": 11}, Verdict.CRITICAL),
    ],
)
def test_a_kind_is_judged_by_what_should_have_arrived(
    kind: str, counts: dict[str, int], verdict: Verdict
) -> None:
    """
    Failed and late messages count against the goal, skipped and waiting ones do not count.
    """
    assert verdict is kind_report(kind, **counts).verdict


def test_the_report_is_as_bad_as_its_worst_kind() -> None:
    """
    Kinds with nothing to judge neither hide a miss nor spoil a good day.
    """
    good, missed = kind_report("confirmation", delivered=1), kind_report("reminder", failed=1)
    nothing = KindReport("cancellation", Decimal("0.99"), None)

    def verdict(*kinds: KindReport) -> Verdict:
        return DeliveryReport(NOW, NOW, kinds, ()).verdict

    assert Verdict.OK is verdict(good, nothing)
    assert Verdict.CRITICAL is verdict(good, missed, nothing)
    assert Verdict.UNKNOWN is verdict(nothing)


def test_a_rate_is_never_rounded_up_to_its_goal() -> None:
    """
    98.996% is shown as less than 99%, as it is judged.
    """
    report = kind_report("confirmation", delivered=98_996, failed=1004)

    assert Decimal("0.9899") == report.rate
    assert Verdict.WARNING is report.verdict


# --- what operators configure ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", MailServer("mail.example", 25)),
        ("smtp://mail.example:2525/", MailServer("mail.example", 2525)),
        ("smtp://mail.example?starttls", MailServer("mail.example", 587, starttls=True)),
        (
            "smtp://me%40club:p%2Fw@mail.example:587?starttls",
            MailServer("mail.example", 587, starttls=True, user="me@club", password="p/w"),
        ),
        ("smtps://u:p@mail.example", MailServer("mail.example", 465, True, False, "u", "p")),
        ("smtp://u:p@127.0.0.1:25", MailServer("127.0.0.1", 25, user="u", password="p")),
    ],
)
def test_a_mail_server_is_read_from_its_address(url: str, server: MailServer) -> None:
    """
    Ports follow from the kind of TLS; user and password may be percent-encoded.
    """
    assert server == MailServer.parse(SecretStr(url))
    assert "p/w" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "mail.example",
        "http://mail.example",
        "smtp://",
        "smtp://mail.example:99999",
        "smtp://mail.example?tls",
        "smtp://mail.example/path",
        "smtps://mail.example?starttls",
        "smtp://user:hunter2@mail.example",
        "smtp://[::1",
    ],
)
def test_a_wrong_mail_server_address_is_refused_without_showing_it(url: str) -> None:
    """
    The variable is named, its value is not; a password never goes out in the clear.
    """
    with pytest.raises(InvalidInput, match="PADELOPS_SMTP_URL") as caught:
        MailServer.parse(SecretStr(url))

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    ["sms", "sms=", "fax=json://localhost", "sms=json://a sms=json://b", "sms=localhost"],
)
def test_wrong_service_addresses_are_refused(setting: str) -> None:
    """
    Each is a known channel and an address, each channel once.
    """
    with pytest.raises(InvalidInput, match="PADELOPS_NOTIFY_URLS"):
        parse_urls(SecretStr(setting))


def test_a_service_that_apprise_does_not_know_is_refused_at_once() -> None:
    """
    Not when the first player should be told.
    """
    with pytest.raises(InvalidInput, match="cannot use the address for sms") as caught:
        AppriseDelivery({Channel.SMS: "nosuch://token123/{phone}"})

    assert "token123" not in str(caught.value)


def channels(**changes: Any) -> dict[str, str]:
    """Which way out each channel takes under these settings."""
    made = delivery_of(Settings(home=Path("/nowhere"), **changes))
    assert isinstance(made, Routes)
    return {str(name): type(way).__name__ for name, way in sorted(made._ways.items())}


def test_messages_are_spooled_until_a_way_out_is_configured() -> None:
    """
    Then only real ways are used: nobody's confirmation ends in a forgotten folder.
    """
    server, sms = SecretStr("smtp://mail.example"), SecretStr("sms=json://localhost/{phone}")
    sender = "club@example.org"

    assert {"email": "SpoolDelivery", "sms": "SpoolDelivery"} == channels()
    assert {"email": "SmtpDelivery"} == channels(smtp_url=server, mail_from=sender)
    assert {"sms": "AppriseDelivery"} == channels(notify_urls=sms)
    assert {"email": "SmtpDelivery", "sms": "AppriseDelivery"} == channels(
        smtp_url=server, mail_from=sender, notify_urls=sms
    )


def test_a_pager_alone_reaches_no_player() -> None:
    """
    Who only configures whom to wake still has messages spooled.
    """
    pager = SecretStr("pager=json://localhost/")

    assert {
        "email": "SpoolDelivery",
        "pager": "AppriseDelivery",
        "sms": "SpoolDelivery",
    } == channels(notify_urls=pager)


@pytest.mark.parametrize(
    "changes",
    [
        {"smtp_url": SecretStr("smtp://mail.example")},
        {"smtp_url": SecretStr("smtp://mail.example"), "mail_from": "club"},
        {"mail_from": "a@b.example, c@d.example"},
        {
            "smtp_url": SecretStr("smtp://mail.example"),
            "mail_from": "a@b.example",
            "notify_urls": SecretStr("email=json://localhost"),
        },
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any]) -> None:
    """
    No sender, a sender that is none, two ways out for mail.
    """
    with pytest.raises(InvalidInput, match="PADELOPS_"):
        delivery_of(Settings(**changes))


def test_the_spool_is_in_the_home_folder_unless_told_otherwise() -> None:
    """
    So that nothing needs to be set up.
    """
    settings = Settings(home=Path("/home/padel"))

    assert Path("/home/padel/spool") == settings.spool_folder
    assert Path("/spool") == settings.model_copy(update={"spool": Path("/spool")}).spool_folder
