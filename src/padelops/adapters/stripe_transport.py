"""
Stripe's SDK on our own connections: one try per request, one deadline, sure about what was sent.

The SDK's own client repeats requests by itself and calls every failure a connection error. Here a
failure is already ours when it leaves (`GatewayUnavailable`, `GatewayOutcomeUnknown`); the SDK lets
it pass. Imports the SDK: import this module only where Stripe is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stripe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padelops.adapters.gateway_http import GatewayHttp


class SdkTransport(stripe.HTTPClient):
    """What `StripeClient` sends its requests with."""

    name = "padelops"

    def __init__(self, http: GatewayHttp) -> None:
        super().__init__()
        self._http = http

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        del _usage
        body = post_data.encode() if isinstance(post_data, str) else post_data
        answer = self._http.exchange(method.upper(), url, headers=headers or {}, body=body)
        return (
            answer.body.decode("utf-8", "replace"),
            answer.status,
            # The SDK looks some headers up by their usual spelling, and others in lower case.
            stripe_headers(answer.headers),
        )

    def close(self) -> None:
        self._http.close()


def stripe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Each header under both spellings that the SDK uses."""
    return {name.title(): value for name, value in headers.items()} | dict(headers)
