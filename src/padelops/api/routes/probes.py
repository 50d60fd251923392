"""What other machines ask: whether this one lives, whether it can work, and what the API is."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from padelops.api.documents import LiveOut, ReadyOut
from padelops.api.exchange import NOT_KEPT, Response, answer
from padelops.api.probing import all_well
from padelops.api.routing import route
from padelops.errors import Unavailable
from padelops.wiring.metrics import MetricsText

if TYPE_CHECKING:
    from padelops.api.call import Call


@route("GET", "/health/live", answers={200: LiveOut}, public=True, aside=True)
def live(call: Call) -> Response:
    """Whether this process answers. It asks nobody else: a restart would not bring them back."""
    del call
    return answer({"status": "ok"}, headers=NOT_KEPT)


@route("GET", "/health/ready", answers={200: ReadyOut}, public=True, aside=True)
def ready(call: Call) -> Response:
    """Whether requests can be worked on: 503 takes this server out of rotation."""
    checks = call.probes.checks()
    if not all_well(checks):
        raise Unavailable(checks=checks)
    return answer({"status": "ok", "checks": checks}, headers=NOT_KEPT)


@route("GET", "/metrics", answers={200: "Prometheus text."}, public=True, aside=True)
def metrics(call: Call) -> Response:
    """Every indicator as Prometheus text; who may reach it is the network's affair."""
    text = call.probes.metrics()
    return Response(200, text.encode(), MetricsText.content_type)


@route("GET", "/openapi.json", answers={200: "The OpenAPI 3.1 document."}, public=True)
def openapi(call: Call) -> Response:
    """What this API takes and answers."""
    del call
    return answer(_document())


@cache
def _document() -> dict[str, Any]:
    from padelops.api.openapi import document  # noqa: PLC0415 - it reads every route, this too
    from padelops.api.routes import every_route  # noqa: PLC0415

    return document(every_route())
