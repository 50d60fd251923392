"""Asks the API without a server: what a client sends, and what it would get."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from padelops.api.exchange import Request

if TYPE_CHECKING:
    from padelops.api.app import App


@dataclass(frozen=True)
class Answer:
    """A status, its JSON document, and the header fields."""

    status: int
    document: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(self.document["code"])


class ApiClient:
    """One caller; without a token it is a stranger."""

    def __init__(self, app: App, token: str | None = None) -> None:
        self.app = app
        self.token = token

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        fields = {"content-type": "application/json", **(headers or {})}
        if self.token is not None:
            fields.setdefault("authorization", f"Bearer {self.token}")
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        request = Request(method, path, urlencode(query, doseq=True), fields, sent)
        response = self.app.answer(request)
        is_json = "json" in response.content_type
        document = json.loads(response.body) if is_json else response.body.decode()
        return Answer(response.status, document, dict(response.fields()))

    def book(
        self, court: str = "centro/2", starts_at: str = "2026-12-04T17:30", **more: Any
    ) -> Any:
        """Try to book; the key, if any, goes into its header."""
        key = more.pop("key", None)
        body = {"court": court, "starts_at": starts_at, "player": {"name": "Ana Ruiz"}, **more}
        return self(
            "POST", "/v1/reservations", body, headers={"idempotency-key": key} if key else None
        )
