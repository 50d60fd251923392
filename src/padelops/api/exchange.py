"""A request and its answer, as plain values that know nothing of any server."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
"""What a caller may name its request. Anything else is not passed on into logs and the trail."""


class Headers(Protocol):
    """Header fields by lower-case name."""

    def get(self, key: str, default: Any = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Request:
    """
    What a client sent, read whole.

    Attributes:
        path: percent-decoded.
        query: as it was sent, still encoded.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes = b""


@dataclass(slots=True)
class Response:
    """What is answered; `code` and `route` are for the log."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""
    route: str = ""

    def fields(self) -> list[tuple[str, str]]:
        """The header fields to send."""
        return [
            ("content-type", self.content_type),
            ("content-length", str(len(self.body))),
            *self.headers.items(),
        ]


NOT_KEPT = {"cache-control": "no-store"}
"""For what is true now and may not be in a second."""


def answer(
    document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON document."""
    return Response(status, written(document), headers=dict(headers or {}))


def written(document: Mapping[str, Any]) -> bytes:
    """
    Raises:
        TypeError: a value has no JSON form; what has one is given to us as such.
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Half a character pair has no UTF-8 form; nothing stored holds one, but an echo may.
    return text.encode("utf-8", "replace")


def header(request: Request, name: str, *, longest: int) -> str | None:
    """
    One header field.

    Raises:
        InvalidInput: it is longer than that.
    """
    value: str | None = request.headers.get(name)
    if value is not None and len(value) > longest:
        raise InvalidInput(f"The header {name} has {len(value)} characters; {longest} is the most.")
    return value
