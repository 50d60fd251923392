"""
Webhooks are believed only when signed, recently, with our secret; and then only as "look again".

The scheme is Stripe's `v1`: a header `t=SECONDS,v1=HEX[,v1=HEX...]`, where HEX is the HMAC-SHA256
of `SECONDS.BODY`. It is checked here and not by Stripe's SDK, because the SDK compares with the
machine's clock and takes signatures from the future. The sandbox signs its events the same way.

Source: https://docs.stripe.com/webhooks, "Verify webhook signatures manually".
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from padelops.booking.gateway import WebhookEvent
from padelops.errors import InvalidInput, NotPermitted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

PAYMENT_KEY = "padelops_payment"
"""In the metadata of a payment and of all that belongs to it: our reference of the payment."""
REFUND_KEY = "padelops_refund"
"""In the metadata of a refund: our reference of the refund."""

TOLERANCE = timedelta(minutes=5)
"""How far a signature's time may lie from ours, either way. Source: the default of Stripe's SDK."""
LARGEST_BODY = 2**20
LONGEST_HEADER = 4096
LONGEST_NAME = 255

_TIME = re.compile(r"\d{1,12}")


def sign(body: bytes, secret: SecretStr, *, now: datetime) -> str:
    """The header that proves a body to be ours, from now on for `TOLERANCE`."""
    seconds = int(now.timestamp())
    return f"t={seconds},v1={_digest(seconds, body, secret)}"


def check(body: bytes, signature: str, secret: SecretStr | None, *, now: datetime) -> None:
    """
    Raises:
        NotPermitted: the signature is missing, malformed, wrong, or of another time.
    """
    if secret is None or not secret.get_secret_value().strip():
        raise NotPermitted(
            "There is no secret to check webhooks with.", fix="Set PADELOPS_STRIPE_WEBHOOK_SECRET."
        )
    parts = [part.strip().partition("=") for part in signature[:LONGEST_HEADER].split(",")]
    times = [value for name, _, value in parts if name == "t" and _TIME.fullmatch(value)]
    digests = [value.encode() for name, _, value in parts if name == "v1"]
    if len(times) != 1 or not digests or len(signature) > LONGEST_HEADER:
        raise NotPermitted("The webhook is not signed as it must be.")
    expected = _digest(int(times[0]), body, secret).encode()
    # A secret being changed signs twice, so any may fit; each is compared to its end.
    if not any([hmac.compare_digest(expected, digest) for digest in digests]):  # noqa: C419 - a generator would stop early
        raise NotPermitted("The webhook's signature is wrong.")
    if abs(now.timestamp() - int(times[0])) > TOLERANCE.total_seconds():
        raise NotPermitted("The webhook's signature is too old, or from the future.")


def read(body: bytes, signature: str, secret: SecretStr | None, *, now: datetime) -> WebhookEvent:
    """
    The signed event in a webhook's body.

    Raises:
        NotPermitted: see `check`. InvalidInput: the body is too large, or no event.
    """
    if len(body) > LARGEST_BODY:
        raise InvalidInput(f"A webhook has {LARGEST_BODY} bytes at the most.")
    check(body, signature, secret, now=now)
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput("The webhook is no JSON.") from exc
    subject = _mapping(_mapping(_mapping(event).get("data")).get("object"))
    event_id, kind = _name(_mapping(event).get("id")), _name(_mapping(event).get("type"))
    if event_id is None or kind is None or _mapping(event).get("object") != "event" or not subject:
        raise InvalidInput("The webhook is none of the gateway's events.")
    itself = subject.get("object") == "payment_intent"
    return WebhookEvent(
        event_id=event_id,
        kind=kind,
        reference=_name(_mapping(subject.get("metadata")).get(PAYMENT_KEY)),
        gateway_ref=_name(subject.get("id" if itself else "payment_intent")),
    )


def written(
    event_id: str, kind: str, *, reference: str, gateway_ref: str, created_at: datetime
) -> bytes:
    """An event in the form that `read` takes: for the sandbox, which sends such events."""
    event = {
        "id": event_id,
        "object": "event",
        "type": kind,
        "created": int(created_at.astimezone(UTC).timestamp()),
        "data": {
            "object": {
                "id": gateway_ref,
                "object": "payment_intent",
                "metadata": {PAYMENT_KEY: reference},
            }
        },
    }
    return json.dumps(event).encode()


def _digest(seconds: int, body: bytes, secret: SecretStr) -> str:
    key = secret.get_secret_value().encode()
    return hmac.new(key, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME else None
