"""Webhooks: only what is signed with our secret, just now, is read; and then only as a hint."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from padelops.adapters.gateway_events import (
    LARGEST_BODY,
    LONGEST_HEADER,
    TOLERANCE,
    check,
    read,
    sign,
    written,
)
from padelops.booking.gateway import WebhookEvent
from padelops.errors import InvalidInput, NotPermitted

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
SECRET = SecretStr("whsec_test")
BODY = written("evt_1", "charge.captured", reference="r", gateway_ref="pi_1", created_at=NOW)


def event(**subject: Any) -> bytes:
    body = {"id": "evt_1", "object": "event", "type": "t", "data": {"object": subject}}
    return json.dumps(body).encode()


def test_a_signature_made_by_stripe_is_taken() -> None:
    """
    Made by Stripe's SDK 16.1, `WebhookSignature.generate_signature_header`; ours is the same.
    """
    signature = "t=1780000000,v1=a6cfe2114f40ec5193d0304c1e682c55fdabf04be55f4190b0c065017cb094af"
    then = datetime.fromtimestamp(1_780_000_000, UTC)

    check(b'{"id":"evt_1"}', signature, SECRET, now=then)

    assert signature == sign(b'{"id":"evt_1"}', SECRET, now=then)


def test_what_was_signed_is_read() -> None:
    """Id, kind and the payment's references, and nothing more."""
    expected = WebhookEvent(
        event_id="evt_1", kind="charge.captured", reference="r", gateway_ref="pi_1"
    )

    assert expected == read(BODY, sign(BODY, SECRET, now=NOW), SECRET, now=NOW)


@pytest.mark.parametrize("drift", [-TOLERANCE, timedelta(0), TOLERANCE])
def test_a_recent_signature_counts(drift: timedelta) -> None:
    """Five minutes either way, both ends included."""
    check(BODY, sign(BODY, SECRET, now=NOW), SECRET, now=NOW + drift)


@pytest.mark.parametrize("drift", [-TOLERANCE, TOLERANCE])
def test_a_signature_of_another_time_does_not(drift: timedelta) -> None:
    """Neither an old one that is replayed, nor one from the future."""
    second = timedelta(seconds=1 if drift > timedelta(0) else -1)

    with pytest.raises(NotPermitted):
        check(BODY, sign(BODY, SECRET, now=NOW), SECRET, now=NOW + drift + second)


GOOD = sign(BODY, SECRET, now=NOW)
TIME, _, DIGEST = GOOD.partition(",")


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "v1",
        TIME,
        DIGEST,
        f"{TIME},v0={DIGEST[3:]}",
        f"{TIME},v1=",
        f"{TIME},{DIGEST[:-1]}",
        f"{TIME},{DIGEST}0",
        f"{TIME},v1=é",
        f"{TIME},{TIME},{DIGEST}",
        f"t=now,{DIGEST}",
        f"t={'9' * 4000},{DIGEST}",
        f"t=-1,{DIGEST}",
        f"t=\u0661,{DIGEST}",
        f"{GOOD},{'v1=0,' * LONGEST_HEADER}",
        sign(BODY, SecretStr("whsec_other"), now=NOW),
        sign(BODY + b" ", SECRET, now=NOW),
    ],
)
def test_anything_else_is_not_permitted(signature: str) -> None:
    """Missing, malformed, cut short, made with another secret or for another body."""
    with pytest.raises(NotPermitted):
        check(BODY, signature, SECRET, now=NOW)


def test_one_of_several_signatures_is_enough() -> None:
    """While a secret is being changed the gateway signs with both."""
    old = sign(BODY, SecretStr("whsec_old"), now=NOW).partition(",")[2]

    check(BODY, f"{TIME},{old},{DIGEST}", SECRET, now=NOW)
    check(BODY, f"{TIME}, {DIGEST}, {old}", SECRET, now=NOW)


@pytest.mark.parametrize("secret", [None, SecretStr(""), SecretStr("  ")])
def test_without_a_secret_nothing_is_believed(secret: SecretStr | None) -> None:
    """An empty secret would be one that everybody knows."""
    signature = sign(BODY, SecretStr(""), now=NOW)

    with pytest.raises(NotPermitted) as caught:
        check(BODY, signature, secret, now=NOW)

    assert "PADELOPS_STRIPE_WEBHOOK_SECRET" in str(caught.value)


@pytest.mark.parametrize(
    ("subject", "reference", "gateway_ref"),
    [
        ({"object": "charge", "id": "ch_1", "payment_intent": "pi_1"}, None, "pi_1"),
        (
            {
                "object": "refund",
                "payment_intent": "pi_1",
                "metadata": {"padelops_payment": "r", "padelops_refund": "f"},
            },
            "r",
            "pi_1",
        ),
        ({"object": "payment_intent", "id": "pi_1", "metadata": None}, None, "pi_1"),
        ({"object": "payment_intent", "id": 5, "metadata": {"padelops_payment": 5}}, None, None),
        ({"object": "payout", "id": "po_1"}, None, None),
        ({"object": "payment_intent", "id": "x" * 256}, None, None),
    ],
)
def test_the_payment_is_named_whatever_the_event_is_about(
    subject: dict[str, Any], reference: str | None, gateway_ref: str | None
) -> None:
    """A charge's and a refund's event point to their payment; strangers' to none."""
    body = event(**subject)

    found = read(body, sign(body, SECRET, now=NOW), SECRET, now=NOW)

    assert (reference, gateway_ref) == (found.reference, found.gateway_ref)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"id": "evt_1", "object": "event", "type": "t"}',
        b'{"id": "evt_1", "object": "event", "type": "t", "data": {"object": 5}}',
        b'{"id": "evt_1", "object": "v2.core.event", "type": "t", "data": {"object": {"id": "x"}}}',
        b'{"id": 5, "object": "event", "type": "t", "data": {"object": {"id": "x"}}}',
        b'{"id": "evt_1", "object": "event", "data": {"object": {"id": "x"}}}',
    ],
)
def test_a_signed_body_that_is_no_event_is_invalid(body: bytes) -> None:
    """One clear refusal, whatever was signed."""
    with pytest.raises(InvalidInput):
        read(body, sign(body, SECRET, now=NOW), SECRET, now=NOW)


def test_a_body_without_end_is_not_even_checked() -> None:
    """The bound comes before the work of checking."""
    with pytest.raises(InvalidInput):
        read(b"x" * (LARGEST_BODY + 1), "", SECRET, now=NOW)
