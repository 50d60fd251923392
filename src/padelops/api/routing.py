"""
Which function answers what: each is declared where it stands, with what it takes and may answer.

The same declarations make the OpenAPI document, so what it says is what happens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.api.problems import MethodNotAllowed, NoSuchRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import BaseModel

    from padelops.api.call import Call
    from padelops.api.exchange import Response

PARAMETERS = {
    "reservation_id": "[1-9][0-9]{0,18}",
    "club": "[a-z0-9][a-z0-9-]{0,62}",
    "court": "[A-Za-z0-9][A-Za-z0-9_.-]{0,31}",
}
"""What a path may hold, by the name of the place; at any other address there is nothing."""

USUAL_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Route:
    """
    One method at one address.

    Attributes:
        path: with places such as `{club}`, named as in `PARAMETERS`.
        takes, asks: the models of the body and of the query; None where there is none.
        answers: what may come back below 300, by status.
        refusals: the statuses of problems that only this route has.
        public: whether it needs no token.
        aside: whether it is answered by threads of its own, so that it answers under load too.
        signed: whether its body is proven by a signature, which is checked on the bytes.
        books: whether a token's rate of bookings applies.
        largest_body: in bytes.
    """

    method: str
    path: str
    handler: Callable[[Call], Response]
    takes: type[BaseModel] | None = None
    asks: type[BaseModel] | None = None
    answers: dict[int, type[BaseModel] | str] | None = None
    refusals: tuple[int, ...] = ()
    public: bool = False
    aside: bool = False
    signed: bool = False
    books: bool = False
    largest_body: int = USUAL_BODY

    @property
    def name(self) -> str:
        """What logs and the OpenAPI document call it."""
        return self.handler.__name__

    @property
    def parameters(self) -> list[str]:
        """The names of the places in its path."""
        return re.findall(r"{(\w+)}", self.path)


ROUTES: list[Route] = []


def route(
    method: str, path: str, **declared: Any
) -> Callable[[Callable[[Call], Response]], Callable[[Call], Response]]:
    """
    Answer this method at this address with the decorated function.

    Raises:
        ValueError: somebody answers it already.
    """

    def declare(handler: Callable[[Call], Response]) -> Callable[[Call], Response]:
        if any((known.method, known.path) == (method, path) for known in ROUTES):
            raise ValueError(f"{method} {path} is answered twice")
        ROUTES.append(Route(method, path, handler, **declared))
        return handler

    return declare


class Table:
    """Finds the route of a request; a path without places is looked up, the others are matched."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        patterns: dict[str, dict[str, Route]] = {}
        for one in routes:
            home = patterns if one.parameters else self._fixed
            home.setdefault(one.path, {})[one.method] = one
        self._patterns = [(_pattern(path), methods) for path, methods in patterns.items()]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """
        Raises:
            NoSuchRoute, MethodNotAllowed: names what is allowed.
        """
        methods = self._fixed.get(path)
        places: dict[str, str] = {}
        if methods is None:
            for pattern, candidates in self._patterns:
                if match := pattern.fullmatch(path):
                    methods, places = candidates, match.groupdict()
                    break
            else:
                raise NoSuchRoute(fix="The addresses there are: GET /openapi.json")
        # HEAD is GET without the body; whoever sends the answer leaves it out.
        found = methods.get("GET" if method == "HEAD" else method)
        if found is None:
            allowed = sorted(methods) + (["HEAD"] if "GET" in methods else [])
            raise MethodNotAllowed(headers={"allow": ", ".join(allowed)})
        return found, places


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(
        re.sub(r"{(\w+)}", lambda place: f"(?P<{place[1]}>{PARAMETERS[place[1]]})", path),
        re.ASCII,
    )
