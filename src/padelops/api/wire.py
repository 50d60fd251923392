"""
Between the server's event loop and the threads that work: deadlines, sizes, and a bounded line.

The loop reads a request whole, however slowly it arrives, without keeping a thread with it. Then
it stands in a line of bounded length for one of the worker threads. Whoever finds the line full, or
has stood in it for too long, hears 503 and `Retry-After` at once: past saturation the server goes
on answering as many requests as it can, and the others cost it next to nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from padelops.api.exchange import Request, Response
from padelops.api.problems import Saturated, TooLarge, TooSlow
from padelops.api.routing import USUAL_BODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.api.app import App

BODY_S = 10.0
"""How long a body may take to arrive."""

LONGEST_WAIT_S = 1.0
"""How long a request may stand in line; by then its client has better things to do."""

ASIDE_THREADS = 2
"""For probes, which must be answered when everybody else is busy."""

BODYLESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})


@dataclass(slots=True)
class Waiting:
    """A request in line."""

    request: Request
    proto: Any
    since: float
    done: Callable[[], None]


class Line:
    """
    Worker threads and the bounded line before them.

    Args:
        length: how many may wait while all threads work.
    """

    def __init__(self, app: App, *, threads: int, length: int, name: str) -> None:
        self._app = app
        self._length = length
        self._threads = threads
        self._queue: SimpleQueue[Waiting] = SimpleQueue()
        self._present = 0  # in line or being worked on; changed under the lock only
        self._lock = threading.Lock()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def join(self, waiting: Waiting) -> bool:
        """Stand in line; False when it is full."""
        with self._lock:
            if self._present >= self._threads + self._length:
                return False
            self._present += 1
        self._queue.put(waiting)
        return True

    def _work(self) -> None:
        while True:
            one = self._queue.get()
            waited_s = time.monotonic() - one.since
            try:
                if waited_s > LONGEST_WAIT_S:
                    response = self._app.refuse(one.request, Saturated(), waited_s=waited_s)
                else:
                    response = self._app.answer(one.request, waited_s=waited_s)
                send(one.proto, one.request, response)
            finally:
                with self._lock:
                    self._present -= 1
                one.done()


class Wire:
    """
    The application as Granian calls it (RSGI).

    Args:
        threads: that work on requests, each with a database connection while it does.
        line: how many requests may wait for them.
    """

    def __init__(self, make_app: Callable[[], App], *, threads: int, line: int) -> None:
        self._make_app = make_app
        self._sizes = (threads, line)
        self._ready = False
        self._draining = False

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the worker process, before its first request."""
        self._app = self._make_app()
        threads, line = self._sizes
        self._line = Line(self._app, threads=threads, length=line, name="work")
        self._aside = Line(self._app, threads=ASIDE_THREADS, length=64, name="aside")
        self._loop = loop

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """After the last request was answered."""
        del loop
        self._app.close()

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Answer one request."""
        if scope.proto != "http":
            proto.close(None)
            return
        route = self._app.route_of(scope.method, scope.path)
        largest = USUAL_BODY if route is None else route.largest_body
        request = Request(scope.method, scope.path, scope.query_string, scope.headers)
        try:
            body = await _body(scope, proto, largest)
        except (TooLarge, TooSlow) as exc:
            response = self._app.refuse(request, exc)
            # What was not read cannot be told from a next request.
            response.headers["connection"] = "close"
            send(proto, request, response)
            return
        if body:
            request = Request(scope.method, scope.path, scope.query_string, scope.headers, body)
        loop = self._loop
        answered = loop.create_future()

        def done() -> None:
            # From the thread that has just sent the answer: the loop only has to let go of it.
            loop.call_soon_threadsafe(_settle, answered)

        line = self._aside if route is not None and route.aside else self._line
        if line.join(Waiting(request, proto, time.monotonic(), done)):
            await answered
        else:
            send(proto, request, self._app.refuse(request, Saturated()))


async def _body(scope: Any, proto: Any, largest: int) -> bytes:
    """
    Raises:
        TooLarge: it is, or says it will be. TooSlow: it did not arrive in time.
    """
    announced = scope.headers.get("content-length")
    if (
        announced is None
        and scope.method in BODYLESS
        and scope.headers.get("transfer-encoding") is None
    ):
        return b""
    if announced is not None and announced.isdecimal() and int(announced) > largest:
        raise TooLarge(f"A body may have {largest} bytes.", largest=largest)
    if announced == "0":
        return b""
    parts: deque[bytes] = deque()
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in proto:
                size += len(part)
                if size > largest:
                    raise TooLarge(f"A body may have {largest} bytes.", largest=largest)
                parts.append(part)
    except TimeoutError:
        raise TooSlow from None
    return b"".join(parts)


def send(proto: Any, request: Request, response: Response) -> None:
    """Hand the answer to the server; a client that went away is its own business."""
    if request.method == "HEAD":
        proto.response_empty(response.status, response.fields())
    else:
        proto.response_bytes(response.status, response.fields(), response.body)


def _settle(answered: asyncio.Future[None]) -> None:
    if not answered.done():
        answered.set_result(None)
