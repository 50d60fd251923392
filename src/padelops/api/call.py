"""One request on its way to the desk: who asks, and what was given, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pydantic import ValidationError

from padelops.api.exchange import JSON
from padelops.api.problems import WrongMediaType
from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from padelops.api.exchange import Request
    from padelops.api.probing import Probes
    from padelops.api.routing import Route
    from padelops.ops.tokens import Proven, Token
    from padelops.wiring import Desk
    from padelops.wiring.replica import Replica

MOST_FIELDS = 50
MOST_ERRORS = 10


@dataclass(frozen=True, slots=True)
class Call:
    """
    What a route's function works with.

    Attributes:
        at_desk: opens the desk, acting as whoever holds the token; probes do without.
        proven: the token and its digest; None on a public route.
        places: what stood in the path, by name.
        replica: answers reads that may be stale, where there is one.
        probes: what the process tells other machines about itself.
        body, query: instances of the models that the route declares.
    """

    request: Request
    request_id: str
    at_desk: Callable[[], Desk]
    proven: Proven | None
    places: dict[str, str]
    probes: Probes
    replica: Callable[[], Replica | None]
    body: Any = None
    query: Any = None

    @property
    def desk(self) -> Desk:
        """
        Raises:
            DatabaseUnavailable: it cannot be opened just now.
        """
        return self.at_desk()

    @property
    def holder(self) -> Proven:
        """
        Raises:
            LookupError: the route is public.
        """
        if self.proven is None:
            raise LookupError("a public route asked who is calling")
        return self.proven

    @property
    def token(self) -> Token:
        """What the caller is permitted."""
        return self.holder.token


def body_of(route: Route, request: Request) -> Any:
    """
    The body as the route's model.

    Raises:
        WrongMediaType: it is not said to be JSON. InvalidInput: it does not fit; says where.
    """
    if route.takes is None:
        return None
    kind = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise WrongMediaType(fix=f"Send it with Content-Type: {JSON}")
    try:
        return route.takes.model_validate_json(request.body)
    except ValidationError as exc:
        raise _unfit("body", exc) from None


def query_of(route: Route, request: Request) -> Any:
    """
    The query as the route's model; a route without one takes no query.

    Raises:
        InvalidInput: it does not fit; says where.
    """
    if not request.query and route.asks is None:
        return None
    try:
        pairs = parse_qsl(
            request.query,
            keep_blank_values=True,
            strict_parsing=bool(request.query),
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:  # UnicodeDecodeError is one
        raise InvalidInput("The query string cannot be read.") from None
    if route.asks is None:
        raise InvalidInput("This address takes no query.")
    try:
        return route.asks.model_validate(_gathered(route.asks, pairs))
    except ValidationError as exc:
        raise _unfit("query", exc) from None


def _gathered(model: type[BaseModel], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """
    Raises:
        InvalidInput: a field that may stand once stands twice.
    """
    given: dict[str, Any] = {}
    for name, value in pairs:
        field = model.model_fields.get(name)
        if field is not None and str(field.annotation).startswith("tuple"):
            given.setdefault(name, []).append(value)
        elif name in given:
            raise InvalidInput("A field of the query stands there twice.", field=name[:40])
        else:
            given[name] = value
    return given


def _unfit(what: str, exc: ValidationError) -> InvalidInput:
    """What is wrong and where, without a word of what was given: it may be personal."""
    problems = exc.errors(include_url=False, include_input=False, include_context=False)
    errors = [
        {"where": ".".join(str(step)[:40] for step in one["loc"]), "problem": one["msg"]}
        for one in problems[:MOST_ERRORS]
    ]
    first = errors[0]
    where = f" {first['where']}:" if first["where"] else ""
    return InvalidInput(f"The {what} does not fit:{where} {first['problem']}.", errors=errors)
