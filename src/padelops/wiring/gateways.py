"""Which payment gateway is configured, and where the sandbox keeps its books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.wiring.databases import open_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from padelops.booking.gateway import PaymentGateway
    from padelops.settings import Settings
    from padelops.store.engine import Database

SANDBOX_CONNECTIONS = 8


def sandbox_books(settings: Settings) -> Database:
    """Connections of the sandbox's own: a gateway never sees the inside of our transactions."""
    budget_ms = int(settings.gateway_timeout_s * 1000)
    return open_database(settings, budget_ms=budget_ms, pool_size=SANDBOX_CONNECTIONS)


def gateway_of(
    settings: Settings, clock: Callable[[], datetime], books: Callable[[], Database]
) -> PaymentGateway:
    """
    The configured gateway. Nothing is connected yet.

    Args:
        books: where the sandbox in process keeps its books; whoever gives them closes them.

    Raises:
        InvalidInput: a setting is missing or wrong.
    """
    timeouts = {
        "connect_timeout_s": settings.gateway_connect_timeout_s,
        "timeout_s": settings.gateway_timeout_s,
    }
    if settings.gateway == "stripe":
        from padelops.adapters.stripe_gateway import StripeGateway  # noqa: PLC0415 - 0.4 s

        return StripeGateway(
            settings.stripe_api_key,
            api_base=settings.stripe_api_base,
            webhook_secret=settings.stripe_webhook_secret,
            **timeouts,
        )
    if settings.sandbox_url is not None:
        from padelops.adapters.sandbox_http import SandboxHttp  # noqa: PLC0415

        return SandboxHttp(
            settings.sandbox_url, webhook_secret=settings.sandbox_webhook_secret, **timeouts
        )
    from padelops.adapters.sandbox_gateway import SandboxGateway  # noqa: PLC0415

    return SandboxGateway(
        books(),
        webhook_secret=settings.sandbox_webhook_secret,
        timeout_s=settings.gateway_timeout_s,
        clock=clock,
    )
