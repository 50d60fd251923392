"""
Carry bytes between two addresses: the streets of the lab's network, and the doors of its nodes.

    python -m padelops.lab.relay ROUTE [ROUTE ...] [--own-network] [--ready=PATH]

A route is `FROM>TO`, each `tcp:PORT` on 127.0.0.1 or `unix:PATH`; Unix sockets pass between network
namespaces, which is how a node that has a network of its own is reached. `FROM>TO@PORT` is a door:
open only while `OPTIONS /primary` on that port of the node's Patroni answers 200, and whoever is
inside is thrown out when it shuts. That is what fences clients off a former primary.

A port answers while somebody listens at the other end, and refuses while nobody does.
Frozen (SIGSTOP) it is a cut cable: whatever is sent vanishes and nobody is told.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

READY = "--ready="
CHUNK = 64 * 1024
CONNECT_TIMEOUT_S = 3
LOOK_S = 0.5
"""Between two looks at whether a node is still the primary."""
LOOK_TIMEOUT_S = 1.0
PEEK_S = 0.1
"""Between two looks at whether somebody listens at the other end."""
BACKLOG = 256
LOOKS_TO_SHUT = 2
"""One lost answer is not a lost primary."""

# Source: Linux's Documentation/networking/proc_net_tcp.rst
LISTENERS, STATE_FIELD, LISTENING = Path("/proc/self/net/tcp"), 3, "0A"
# Source: Linux's include/uapi/linux/sockios.h and if.h
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


@dataclass
class Route:
    """One way through."""

    source: str
    target: str
    primary_port: int | None = None
    open: bool = True
    inside: set[asyncio.StreamWriter] = field(default_factory=set)

    @classmethod
    def read(cls, text: str) -> Route:
        source, _, target = text.partition(">")
        target, _, port = target.partition("@")
        return cls(source, target, int(port) if port else None, open=not port)


def raise_loopback() -> None:
    """A new network namespace has a loopback interface that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    kind, _, where = address.partition(":")
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        if kind == "unix":
            return await asyncio.open_unix_connection(where)
        return await asyncio.open_connection("127.0.0.1", int(where))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction to its end, then tell the other side that it is over."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _carry(route: Route, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if not route.open:
        writer.transport.abort()
        return
    try:
        far_reader, far_writer = await _connect(route.target)
    except (OSError, TimeoutError):
        writer.transport.abort()  # as a port answers where nobody listens
        return
    both = {writer, far_writer}
    route.inside |= both
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, far_writer))
            group.create_task(_pump(far_reader, writer))
    except* OSError:
        pass  # one side is gone, so the other is let go below
    finally:
        route.inside -= both
        for end in both:
            end.transport.abort() if not route.open else end.close()


async def _is_primary(port: int) -> bool:
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"OPTIONS /primary HTTP/1.0\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _watch(route: Route, port: int) -> None:
    """Open and shut one door."""
    missed = 0
    while True:
        missed = 0 if await _is_primary(port) else missed + 1
        route.open = missed == 0 or (route.open and missed < LOOKS_TO_SHUT)
        if not route.open:
            for writer in tuple(route.inside):
                writer.transport.abort()
        await asyncio.sleep(LOOK_S)


def _target_is_there(target: str) -> bool:
    """
    Whether somebody listens at the other end, found out without calling: a caller would be counted.
    """
    kind, _, where = target.partition(":")
    if kind == "unix":
        return Path(where).exists()
    if not LISTENERS.exists():  # no Linux: doors only, which look for themselves
        return True
    wanted = f":{int(where):04X}"
    with LISTENERS.open() as table:
        return any(
            fields[1].endswith(wanted) and fields[3] == LISTENING
            for line in table
            if len(fields := line.split()) > STATE_FIELD
        )


async def _serve(route: Route) -> None:
    """
    Listen while somebody listens at the other end: a port of a dead server refuses, as it would
    without us in between. It stays bound, so that nobody else gets it meanwhile.
    """
    listener = _bound(route.source) if route.source.startswith("tcp:") else None
    callers: asyncio.Task[None] | None = None
    while True:
        there = _target_is_there(route.target)
        if there and callers is None:
            listener = listener or _bound(route.source)
            listener.listen(BACKLOG)
            callers = asyncio.create_task(_accept(route, listener))
        elif callers is not None and listener is not None and (not there or callers.done()):
            callers.cancel()
            callers = None
            listener = _deaf(listener, route.source)
        await asyncio.sleep(PEEK_S)


def _deaf(listener: socket.socket, source: str) -> socket.socket | None:
    """Stop listening; a port stays ours, bound and refusing."""
    listener.close()
    if source.startswith("tcp:"):
        return _bound(source)
    Path(source.removeprefix("unix:")).unlink(missing_ok=True)
    return None


def _bound(source: str) -> socket.socket:
    kind, _, where = source.partition(":")
    listener = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    listener.setblocking(False)
    if kind == "unix":
        Path(where).unlink(missing_ok=True)
        listener.bind(where)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(where)))
    return listener


async def _accept(route: Route, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        caller, _ = await loop.sock_accept(listener)
        reader, writer = await asyncio.open_connection(sock=caller)
        # Sessions outlive their listener: a dead postmaster's backends go on talking.
        session = asyncio.create_task(_carry(route, reader, writer))
        sessions.add(session)
        session.add_done_callback(sessions.discard)


sessions: set[asyncio.Task[None]] = set()


async def _be_ready(path: str) -> None:
    """Tells whoever started us that we are where we should be: in our own network."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_unix_server(greet, path)
    await server.serve_forever()


async def relay(routes: list[Route], ready: list[str]) -> None:
    """Carry until the process is told to stop."""
    async with asyncio.TaskGroup() as group:
        for path in ready:
            group.create_task(_be_ready(path))
        for route in routes:
            group.create_task(_serve(route))
            if route.primary_port is not None:
                group.create_task(_watch(route, route.primary_port))


def main(arguments: list[str]) -> None:
    os.umask(0o077)
    if "--own-network" in arguments:
        raise_loopback()
    routes = [Route.read(text) for text in arguments if ">" in text]
    ready = [text.removeprefix(READY) for text in arguments if text.startswith(READY)]
    asyncio.run(relay(routes, ready))


if __name__ == "__main__":
    main(sys.argv[1:])
