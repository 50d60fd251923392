"""
Where clients come in: one door per node, shut while the node is no primary.

A primary whose Patroni was stopped, or that was cut off, goes on taking writes that its cluster
will never know of. A watchdog would end the machine; where there is none, the clients are fenced
instead: HAProxy asks each Patroni whether it leads, and throws out whoever is inside when it does
not. Where there is no HAProxy our own relay does the same.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from padelops.lab import parts
from padelops.lab.processes import environment
from padelops.lab.state import Process, State

if TYPE_CHECKING:
    from padelops.lab.folder import Folder

DOORS = "doors"

HEAD = """\
global
    maxconn 2000
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 1s
"""

DOOR = """\
listen {name}
    bind 127.0.0.1:{door}
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
    server {name} 127.0.0.1:{postgres} check port {rest}
"""


def process(folder: Folder, state: State) -> Process:
    """HAProxy where there is one, else our own check of who is primary."""
    haproxy = parts.haproxy()
    command: tuple[str, ...]
    if haproxy:
        blocks = [
            DOOR.format(
                name=node.name,
                door=node.door_port,
                postgres=node.postgres_port,
                rest=node.rest_port,
            )
            for node in state.nodes
        ]
        file = folder.keep("haproxy.cfg", "".join([HEAD, *blocks]))
        command = (str(haproxy), "-db", "-f", str(file))
    else:
        routes = (
            f"tcp:{node.door_port}>tcp:{node.postgres_port}@{node.rest_port}"
            for node in state.nodes
        )
        command = (sys.executable, "-m", "padelops.lab.relay", *routes)
    return Process(
        name=DOORS,
        command=command,
        environment=environment(folder.path),
        log=folder.log(DOORS),
        ready=f"tcp:{state.nodes[0].door_port}" if haproxy else "alive",
    )
