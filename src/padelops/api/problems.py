"""
Errors as HTTP tells them: `application/problem+json` (RFC 9457), with the terminal's codes.

A refusal tells all it knows. What is our own trouble (5xx) tells its code and whether to come back:
a driver's words name hosts and logins, and belong in the log, where the request id leads to them.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from padelops.api.exchange import JSON, Response, written
from padelops.booking.card_payments import LatePayment, PaymentQueued
from padelops.booking.gateway import Declined
from padelops.errors import (
    CannotCancel,
    ConstraintBroken,
    Corrupt,
    CourtOutOfService,
    CourtTaken,
    IllegalMove,
    InternalError,
    InvalidInput,
    KeyReused,
    NotFound,
    NotPermitted,
    OutcomeUnknown,
    PadelopsError,
    PriceChanged,
    Refused,
    Unavailable,
    first_line,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBLEM = "application/problem+json"
SOON_S = 1
"""When to come back, where nothing tells better."""


class HttpRefused(Refused):
    """The request was refused before the desk heard of it."""

    status: ClassVar[int] = 400

    def __init__(
        self,
        message: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        fix: str | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, fix=fix, **facts)
        self.headers = dict(headers or {})


class NoSuchRoute(HttpRefused):
    """There is nothing at this address."""

    code = "not_found"
    status = 404


class MethodNotAllowed(HttpRefused):
    """This address does not take this method."""

    code = "method_not_allowed"
    status = 405


class TooSlow(HttpRefused):
    """The request did not arrive in time."""

    code = "request_timeout"
    status = 408


class TooLarge(HttpRefused):
    """The request is too large."""

    code = "too_large"
    status = 413


class WrongMediaType(HttpRefused):
    """The body must be JSON."""

    code = "wrong_media_type"
    status = 415


class Unauthenticated(HttpRefused):
    """A valid token is needed."""

    code = "unauthenticated"
    status = 401


class Forbidden(HttpRefused):
    """This token does not permit that."""

    code = "not_permitted"
    status = 403


class TooManyRequests(HttpRefused):
    """This token books too fast."""

    code = "rate_limited"
    status = 429
    retryable = True


class Saturated(Unavailable):
    """More requests are waiting than can be served in time. Nothing was changed."""

    code = "overloaded"


STATUS: dict[type[PadelopsError], int] = {
    InvalidInput: 400,
    NotFound: 404,
    CourtTaken: 409,
    CourtOutOfService: 409,
    PriceChanged: 409,
    CannotCancel: 409,
    IllegalMove: 409,
    ConstraintBroken: 409,
    KeyReused: 422,  # RFC draft httpapi-idempotency-key-header, section 2.7
    Declined: 402,
    LatePayment: 409,
    Refused: 422,
    PaymentQueued: 202,
    # The *database* refuses our login or role: no fault of the client, and nothing it can mend.
    NotPermitted: 503,
    Unavailable: 503,
    OutcomeUnknown: 504,
    InternalError: 500,
    Corrupt: 500,
    PadelopsError: 500,
}
"""By the nearest class an error belongs to."""

OURS = 500
"""From here on the trouble is ours."""


def status_of(error: PadelopsError) -> int:
    """The HTTP status that an error is told with."""
    if isinstance(error, HttpRefused):
        return error.status
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(error: PadelopsError, request_id: str) -> Response:
    """An error as the client gets it."""
    status = status_of(error)
    told = error.as_json()
    headers = dict(error.headers) if isinstance(error, HttpRefused) else {}
    if status >= OURS:
        told = _discreet(error, told)
    if error.retryable and "retry-after" not in headers:
        headers["retry-after"] = str(_wait_s(error))
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": told.pop("message"),
        **told,
        "request_id": request_id,
    }
    # 202: the court is held, only its payment waits; that is no problem of the client's.
    kind = PROBLEM if status >= HTTPStatus.BAD_REQUEST else JSON
    return Response(status, written(document), kind, headers, code=error.code)


def _discreet(error: PadelopsError, told: dict[str, Any]) -> dict[str, Any]:
    """What a client may know of our own trouble: what to do, never where it is."""
    kept = {name: told[name] for name in ("code", "message", "retryable")}
    kept["message"] = first_line(type(error).__doc__)
    if isinstance(error, OutcomeUnknown):
        for name in ("key", "reservation_id"):
            if name in told:
                kept[name] = told[name]
    for name in ("retry_after_s", "checks", "certain"):
        if name in told:
            kept[name] = told[name]
    return kept


def _wait_s(error: PadelopsError) -> int:
    return max(SOON_S, math.ceil(float(error.facts.get("retry_after_s", SOON_S))))
