"""
From a request to its answer: route, token, input, desk; and every way it can end is told here.

The application knows no server and no socket, so it can be asked in a test without one.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from padelops.api import log
from padelops.api.access import Gate
from padelops.api.call import Call, body_of, query_of
from padelops.api.exchange import REQUEST_ID, Request, Response
from padelops.api.probing import Probes
from padelops.api.problems import OURS, TooManyRequests, problem
from padelops.api.routes import every_route
from padelops.api.routing import Table
from padelops.errors import DatabaseUnavailable, InternalError, PadelopsError, bug_of
from padelops.model import Door, Origin
from padelops.wiring import open_desk

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from padelops.api.rate_limits import RateLimits
    from padelops.api.routing import Route
    from padelops.ops.tokens import Proven
    from padelops.settings import Settings
    from padelops.wiring import Desk
    from padelops.wiring.replica import Replica

OPENING_S = 1.0
"""How long a request waits for another one that is opening the desk."""


class App:
    """
    Answers requests, in any number of threads.

    Args:
        rates: how fast each token may book.
        clock: for the desk.
    """

    def __init__(
        self,
        settings: Settings,
        rates: RateLimits,
        *,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._settings = settings
        self._rates = rates
        self._clock = clock
        self._table = Table(every_route())
        self._gate = Gate()
        self._probes = Probes(settings)
        self._replica = _replica(settings)
        self._opening = threading.Lock()
        self._desk: Desk | None = None

    def close(self) -> None:
        """Write the counts down and close every connection."""
        if self._desk is not None:
            self._desk.close()
        if self._replica is not None:
            self._replica.close()

    def route_of(self, method: str, path: str) -> Route | None:
        """What will answer; None where nothing does, and `answer` tells why."""
        try:
            return self._table.find(method, path)[0]
        except PadelopsError:
            return None

    def refuse(self, request: Request, error: PadelopsError, *, waited_s: float = 0.0) -> Response:
        """The answer to a request that does not reach its route."""
        request_id = _request_id(request)
        response = problem(error, request_id)
        _finish(response, request, request_id, None, time.monotonic() - waited_s, waited_s, error)
        return response

    def answer(self, request: Request, *, waited_s: float = 0.0) -> Response:
        """
        Work on one request. Never raises.

        Args:
            waited_s: how long it stood in line, for the log.
        """
        began = time.monotonic() - waited_s
        request_id = _request_id(request)
        error: PadelopsError | None = None
        holder: list[Proven] = []
        route: Route | None = None
        try:
            route, places = self._table.find(request.method, request.path)
            response = self._answer(route, places, request, request_id, holder)
        except PadelopsError as exc:
            error = exc
            log.trace(exc)
            response = problem(exc, request_id)
        except Exception as exc:  # noqa: BLE001 - the last door: beyond it the connection just dies
            error = bug_of(exc)
            log.trace(exc)
            response = problem(error, request_id)
        response.route = "" if route is None else route.name
        _finish(
            response, request, request_id, holder[0] if holder else None, began, waited_s, error
        )
        return response

    def _answer(
        self,
        route: Route,
        places: dict[str, str],
        request: Request,
        request_id: str,
        holder: list[Proven],
    ) -> Response:
        proven: Proven | None = None
        actor = "anybody"
        if not route.public:
            proven = self._gate.holder(request, self.desk())
            holder.append(proven)
            actor = proven.token.actor
            if route.books:
                self._spend(proven)
        origin = Origin(actor, Door.API, request_id)
        call = Call(
            request=request,
            request_id=request_id,
            at_desk=lambda: self.desk().acting_as(origin),
            proven=proven,
            places=places,
            probes=self._probes,
            replica=lambda: self._replica,
            body=body_of(route, request),
            query=query_of(route, request),
        )
        return route.handler(call)

    def _spend(self, proven: Proven) -> None:
        wait_s = self._rates.spend(proven.token.handle, proven.token.bookings_per_minute)
        if wait_s > 0:
            raise TooManyRequests(
                f"This token may book {proven.token.bookings_per_minute} times a minute.",
                retry_after_s=round(wait_s, 1),
            )

    def desk(self) -> Desk:
        """
        The desk of this process, opened by the first request that needs it.

        A server thus starts, lives and says that it is not ready while the database is away.

        Raises:
            DatabaseUnavailable: it is away. SchemaBehind, SchemaAhead: it is not ours.
        """
        if self._desk is None:
            if not self._opening.acquire(timeout=OPENING_S):
                raise DatabaseUnavailable
            try:
                if self._desk is None:
                    clock = {} if self._clock is None else {"clock": self._clock}
                    self._desk = open_desk(self._settings, actor="server", door=Door.API, **clock)
                    self._probes.metrics.counts = self._desk.counts
            finally:
                self._opening.release()
        return self._desk


def _replica(settings: Settings) -> Replica | None:
    """The configured replica; nothing is connected yet."""
    from padelops.wiring.replica import Replica  # noqa: PLC0415 - most have none

    url = settings.replica_url
    return None if url is None else Replica(url.get_secret_value(), settings)


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id") or ""
    return given if REQUEST_ID.fullmatch(given) else os.urandom(8).hex()


def _finish(
    response: Response,
    request: Request,
    request_id: str,
    holder: Proven | None,
    began: float,
    waited_s: float,
    error: PadelopsError | None,
) -> None:
    """Name the request in its answer, and write its line into the log."""
    response.headers["x-request-id"] = request_id
    level = "error" if response.status >= OURS else "info"
    facts: dict[str, object] = {}
    if holder is not None:
        facts["token"], facts["role"] = holder.token.handle, holder.token.role.value
    if error is not None:
        facts["code"] = error.code
        if response.status >= OURS or isinstance(error, InternalError):
            facts["problem"] = str(error)  # hosts and logins are for the log, never for the client
    log.write(
        level,
        "request",
        request_id=request_id,
        method=request.method[:16],
        route=response.route,
        status=response.status,
        ms=round((time.monotonic() - began) * 1000, 1),
        waited_ms=round(waited_s * 1000, 1),
        bytes=len(response.body),
        **facts,
    )
