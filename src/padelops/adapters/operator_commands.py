"""
What an operator has us run at a machine we cannot reach: cutting a server off, bringing it back.

Without a shell, without input, bounded in time. Its environment tells which server is meant:
`PADELOPS_NODE`, `PADELOPS_NODE_ADDRESS`, `PADELOPS_PRIMARY_ADDRESS` for the new primary's, and
`PADELOPS_SLOT` for the replication slot that was made for it there, if there is one.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

from padelops.errors import Unavailable

if TYPE_CHECKING:
    from padelops.store.nodes import Node

FENCE, REJOIN = "PADELOPS_FENCE_COMMAND", "PADELOPS_REJOIN_COMMAND"
TIMEOUT_S = 60
LONGEST_WORD = 300


def run_command(
    command: str, variable: str, node: Node, new: Node | None = None, *, slot: str | None = None
) -> None:
    """
    Run the command that a setting holds, about this node.

    Raises:
        Unavailable: it could not be run, took too long, or did not end with 0; with its last words.
    """
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the operator's own command
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            env={
                **os.environ,
                "PADELOPS_NODE": node.name,
                "PADELOPS_NODE_ADDRESS": str(node.address),
                "PADELOPS_PRIMARY_ADDRESS": str(new.address) if new else "",
                "PADELOPS_SLOT": slot or "",
            },
        )
    except (OSError, ValueError) as exc:
        raise Unavailable(f"{variable} could not be run: {exc}.") from exc
    except subprocess.TimeoutExpired as exc:
        raise Unavailable(f"{variable} did not end within {TIMEOUT_S} s.") from exc
    if done.returncode != 0:
        said = next(iter(reversed(done.stderr.strip().splitlines())), "it said nothing")
        raise Unavailable(f"{variable} ended with {done.returncode}: {said[:LONGEST_WORD]}.")
