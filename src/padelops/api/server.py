"""
The processes behind `padelops serve`: workers side by side on one port, watched by their parent.

A worker that dies is replaced; one that was asked to stop takes no new requests and answers those
it has. Their parent keeps no connection that they could inherit, and they end when it is gone.

Granian serves (RSGI, HTTP/1.1): measured beside its rivals with the real booking behind each, see
the commit that chose it. Two of its habits are changed here: it ends altogether when a worker dies
twice within seconds, where a worker that was killed must be replaced however often; and it tells
nobody when it begins to answer.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from padelops.api import log
from padelops.api.app import App
from padelops.api.rate_limits import RateLimits
from padelops.api.wire import ASIDE_THREADS, Wire
from padelops.errors import InvalidInput, Unavailable
from padelops.model import Door
from padelops.wiring import open_desk

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from padelops.settings import Settings

HEADER_S = 30
"""How long the head of a request may take to arrive, and a connection may rest between two."""

LARGEST_HEAD = 64 * 1024
MOST_CONNECTIONS = 4096
"""Per worker; those beyond wait to be accepted."""

BACKLOG = 2048
STOPS = (signal.SIGTERM, signal.SIGINT)
PARENT_S = 1.0
SHORT_LIFE_S = 5.0
"""A worker that lived no longer is replaced after a pause, so that a broken one does not spin."""


@dataclass(frozen=True, slots=True)
class Serving:
    """
    How to serve.

    Attributes:
        workers: processes. threads: that work on requests in each.
        line: requests that may wait in each worker while all its threads work.
        drain_s: how long a worker that is asked to stop may take for what it has.
    """

    settings: Settings
    host: str
    port: int
    workers: int
    threads: int
    line: int
    drain_s: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def serve(serving: Serving, *, started: Callable[[str], None]) -> None:
    """
    Serve until SIGTERM or SIGINT, then answer what was accepted, then return.

    Args:
        started: called with the address once it answers.

    Raises:
        InvalidInput: nothing can listen there. SchemaBehind, SchemaAhead, NotPermitted: the
            database cannot be worked on. One that is merely away is waited for.
    """
    _raise_file_limit()
    with (
        _reserved(serving.host, serving.port) as port,
        tempfile.TemporaryDirectory(prefix="padelops-serve-") as folder,
    ):
        _look_at_database(serving.settings)
        serving = Serving(
            serving.settings.model_copy(
                update={
                    "pool_size": max(serving.settings.pool_size, serving.threads + ASIDE_THREADS)
                }
            ),
            serving.host,
            port,
            serving.workers,
            serving.threads,
            serving.line,
            serving.drain_s,
        )
        log.write("info", "starting", url=serving.url, workers=serving.workers)
        server = _Watched(serving, started)
        server.serve(
            target_loader=partial(_worker, serving, Path(folder, "rates"), os.getpid()),
            wrap_loader=False,
        )
        log.write("info", "stopped", url=serving.url)


class _Watched(MPServer):
    """Granian's parent process; see the head of this file for what differs."""

    def __init__(self, serving: Serving, started: Callable[[str], None]) -> None:
        super().__init__(
            "padelops",
            address=serving.host,
            port=serving.port,
            interface=Interfaces.RSGI,
            workers=serving.workers,
            runtime_threads=1,
            loop=Loops.asyncio,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=MOST_CONNECTIONS,
            http1_settings=HTTP1Settings(
                header_read_timeout=HEADER_S * 1000, max_buffer_size=LARGEST_HEAD
            ),
            log_level=LogLevels.warning,
            log_dictconfig=log.server_logging("WARNING"),
            respawn_failed_workers=True,
            workers_kill_timeout=serving.drain_s,
        )
        self._serving = serving
        self._started = started

    def _spawn_workers(self, spawn_target: Any, target_loader: Any) -> None:
        with _stops_kept_waiting():
            super()._spawn_workers(spawn_target, target_loader)  # type: ignore[no-untyped-call]
        threading.Thread(target=self._announce, daemon=True).start()

    def _respawn_workers(
        self, workers: Any, spawn_target: Any, target_loader: Any, delay: float = 0
    ) -> None:
        for index in workers:
            lived_s = time.monotonic() - self.wrks[index].birth
            log.write("warning", "worker_replaced", worker=index + 1, lived_s=round(lived_s, 1))
            if lived_s < SHORT_LIFE_S:
                self.main_loop_interrupt.wait(PARENT_S)
        with _stops_kept_waiting():
            super()._respawn_workers(workers, spawn_target, target_loader, delay)
        self.respawned_wrks.clear()
        if self.interrupt_signal:
            # Granian forgets what happened before it replaces a worker, also that it was to stop.
            self.main_loop_interrupt.set()

    def _announce(self) -> None:
        """Tell the address once somebody answers there."""
        while not self.interrupt_signal:
            with contextlib.suppress(OSError):
                socket.create_connection((self._serving.host, self._serving.port), 1).close()
                self._started(self._serving.url)
                return
            time.sleep(0.02)


class _Worker(Wire):
    """A worker process: the wire, and an eye on the parent."""

    def __init__(self, serving: Serving, rates: Path, parent: int) -> None:
        super().__init__(
            lambda: App(serving.settings, RateLimits(rates)),
            threads=serving.threads,
            line=serving.line,
        )
        self._parent = parent

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__rsgi_init__(loop)
        threading.Thread(target=self._watch_parent, daemon=True).start()

    def _watch_parent(self) -> None:
        while os.getppid() == self._parent:
            time.sleep(PARENT_S)
        log.write("error", "parent_gone")
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _stops_kept_waiting() -> Iterator[None]:
    """
    While children are forked: one that is told to stop before it can hear finds the signal waiting.

    With the handler that it inherits it would only note that *it* should stop its children, and
    go on; and its parent would wait for it until the drain's end.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _worker(serving: Serving, rates: Path, parent: int) -> Any:
    """
    The RSGI application of a worker process, made there.

    Until Granian sets its own way with signals the child has none of its parent's: a stop that came
    meanwhile ends it here. It has accepted nothing yet.
    """
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    return _Worker(serving, rates, parent)


def _look_at_database(settings: Settings) -> None:
    """Start and upgrade an embedded database; refuse one that we cannot work on."""
    try:
        with open_desk(settings, actor="server", door=Door.API) as desk:
            _ = desk.card  # a payment gateway that is set up wrongly is told now, not to a customer
    except Unavailable as exc:
        log.write("error", "database_away", problem=str(exc), now="serving all the same")


@contextlib.contextmanager
def _reserved(host: str, port: int) -> Any:
    """
    The port to serve on, kept from others; 0 takes a free one.

    The workers share the port (SO_REUSEPORT), and so could a second server by mistake: hence the
    first, exclusive attempt. The socket that is kept does not listen, so nobody is sent to it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((host, port))
            alone.listen(1)
            port = alone.getsockname()[1]
        with socket.socket(family) as kept:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            kept.bind((host, port))
            yield port
    except (OSError, OverflowError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise InvalidInput(
            f"Nothing can listen on {host}, port {port}: {reason}.", fix="Choose another --port."
        ) from exc


def _raise_file_limit() -> None:
    """A connection is a file; the usual soft limit of 1024 is less than what workers may hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (
        2 * MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 2 * MOST_CONNECTIONS)
    )
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
