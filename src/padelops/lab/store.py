"""
The cluster's store, where its nodes agree on who leads: etcd, or Patroni's own raft inside them.

One etcd is enough for a lab: the nodes run in failsafe mode, so losing it interrupts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from padelops.lab import parts
from padelops.lab.processes import environment
from padelops.lab.state import Node, Process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padelops.lab.folder import Folder

ETCD = "etcd"


def etcd(folder: Folder, *, port: int, peer_port: int) -> Process:
    """The one member of the store, on this machine alone."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return Process(
        name=ETCD,
        command=(
            str(parts.etcd()),
            "--name=lab",
            f"--data-dir={folder.path / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=lab={peer}",
            "--unsafe-no-fsync",
            "--logger=zap",
        ),
        environment=environment(folder.path),
        log=folder.log(ETCD),
        ready=f"http:{port}/health",
    )


def section(
    kind: str, port: int, node: Node, nodes: Sequence[Node], folder: Folder
) -> dict[str, Any]:
    """The part of a node's Patroni configuration that says where the store is."""
    if kind == "etcd":
        return {"etcd3": {"hosts": f"127.0.0.1:{port}", "protocol": "http"}}
    return {
        "raft": {
            "data_dir": str(folder.node(node.name) / "raft"),
            "self_addr": f"127.0.0.1:{node.raft_port}",
            "partner_addrs": [
                f"127.0.0.1:{other.raft_port}" for other in nodes if other.name != node.name
            ],
        }
    }
