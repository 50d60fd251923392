"""What other machines ask: whether this one lives, whether it can work, and what the API is."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from padelops.api.documents import LiveOut, ReadyOut
from padelops.api.exchange import answer
from padelops.api.routing import route

if TYPE_CHECKING:
    from padelops.api.call import Call
    from padelops.api.exchange import Response


@route("GET", "/health/live", answers={200: LiveOut}, public=True, aside=True)
def live(call: Call) -> Response:
    """Whether this process answers. It asks nobody else: a restart would not bring them back."""
    del call
    return answer({"status": "ok"}, cache_control="no-store")


@route("GET", "/health/ready", answers={200: ReadyOut}, public=True, aside=True)
def ready(call: Call) -> Response:
    """Whether requests can be worked on: 503 takes this server out of rotation."""
    with call.desk.database.reading() as tx:
        tx.execute(b"SHOW server_version_num")
    return answer({"status": "ok"}, cache_control="no-store")


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
