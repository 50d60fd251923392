"""
PagerDuty's Events API v2: one alarm for each key, set off, acknowledged and resolved.

An event that is sent twice under one key is one alarm, so doubt is no reason not to try again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from padelops.booking.delivery import Deferred, DeliveryUnavailable, DeliveryUnknown, Undeliverable

if TYPE_CHECKING:
    from pydantic import SecretStr

    from padelops.booking.on_call import Call

LONGEST_SUMMARY = 1024
TOO_MANY = 429
SERVER_ERROR = 500


def event_of(call: Call, key: str, *, source: str) -> dict[str, Any]:
    """The event as PagerDuty reads it; an update is no event there."""
    event: dict[str, Any] = {
        "routing_key": key,
        "event_action": call.action,
        "dedup_key": call.alarm,
    }
    if call.action == "trigger":
        event |= {
            "client": "padelops",
            "payload": {
                "summary": call.line[:LONGEST_SUMMARY],
                "source": source,
                "severity": call.severity,
                "timestamp": call.at.isoformat(),
                "component": "reservations",
                "custom_details": {"message": call.body},
            },
        }
    return event


def send(url: str, key: SecretStr, call: Call, *, source: str, timeout_s: float) -> str:
    """
    Hand an event over; what PagerDuty answered.

    Raises:
        DeliveryFailed: which subclass says whether to try again. Never shows the key.
    """
    event = event_of(call, key.get_secret_value(), source=source)
    try:
        with httpx.Client(timeout=timeout_s, follow_redirects=False) as client:
            answer = client.post(url, json=event)
    except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
        raise DeliveryUnavailable("unreachable", type(exc).__name__) from exc
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise DeliveryUnknown("no_answer", type(exc).__name__) from exc
    if answer.is_success:
        return f"pagerduty {answer.status_code}"
    if answer.status_code == TOO_MANY or answer.status_code >= SERVER_ERROR:
        raise Deferred("not_taken", f"PagerDuty answered {answer.status_code}.")
    raise Undeliverable("refused", f"PagerDuty answered {answer.status_code}: is the key right?")
