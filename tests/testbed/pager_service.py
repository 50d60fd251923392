"""A real pager service on 127.0.0.1 that speaks PagerDuty's Events v2, and can be down."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class PagerService:
    """`with` starts and stops it; `down` makes it answer 503, `events` is what it took."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.down = False
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not service.down:
                    service.events.append(json.loads(body))
                self.send_response(503 if service.down else 202)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v2/enqueue"

    def of(self, action: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event_action"] == action]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
