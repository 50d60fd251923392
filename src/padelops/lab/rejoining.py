"""
How a former primary of a pair comes back as a standby: `PADELOPS_REJOIN_COMMAND` of `lab env`.

It is rewound or copied as everywhere, but by programs that run as the lab's do, which for root is a
user namespace; and it is the lab that starts it again, so that `lab status` and `down` know of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from padelops.adapters.postgres_account import account_for
from padelops.adapters.postgres_cluster import ADMIN
from padelops.adapters.postgres_programs import Programs
from padelops.adapters.rejoining import made_standby
from padelops.errors import PadelopsError
from padelops.lab import pair, processes, servers
from padelops.lab.cluster import data_folder
from padelops.lab.laboratory import START_TIMEOUT_S, Lab
from padelops.lab.processes import NotStarted
from padelops.lab.runner import PROGRAM_TIMEOUT_S, Runner
from padelops.settings import Settings

INSIDE = "--inside"


def rejoin(lab: Lab, *, node_port: int, primary_port: int, slot: str, bindir: Path | None) -> None:
    """
    Make the node at one port a standby of the one at the other, and start it.

    Raises:
        NotStarted: with what went wrong last.
    """
    with lab.folder.alone():
        state = lab.state()
        at = {node.postgres_port: node for node in state.nodes}
        old, new = at[node_port], at[primary_port]
        runner = Runner.of(lab.folder.path, bindir=bindir)
        data = data_folder(lab.folder, old)
        processes.end([state.processes[old.name]])
        servers.end([data])
        (data / "standby.signal").unlink(missing_ok=True)  # a fence's; pg_rewind could not recover
        runner.give(pair.own_passwords(lab.folder, old))
        done = subprocess.run(  # noqa: S603 - no shell; the lab's own commands
            runner.command(
                sys.executable, "-m", __spec__.name, INSIDE, data, runner.programs.bindir, slot,
                pair.to_follow(lab.folder, old, new, role=ADMIN),
                pair.to_follow(lab.folder, old, new),
            ),
            capture_output=True, text=True, check=False, cwd="/", timeout=PROGRAM_TIMEOUT_S,
            env=processes.environment(lab.folder.path),
        )  # fmt: skip
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise NotStarted(f"{old.name} did not become a standby: {said[-1]}")
        state = lab.launched(state, old.name)
        processes.wait_until_ready(state.processes[old.name], timeout_s=START_TIMEOUT_S)
        processes.let_go()


def main(arguments: list[str]) -> int:
    """Told by the environment which node is meant; see `adapters.operator_commands`."""
    try:
        if arguments[0] == INSIDE:
            data, bindir, slot, primary, follow = arguments[1:]
            made_standby(
                Path(data), Programs.at(Path(bindir)), account_for(Path(data)),
                primary=primary, follow=follow, slot=slot or None,
            )  # fmt: skip
            return 0
        node_port, primary_port = (
            int(os.environ[name].rpartition(":")[2])
            for name in ("PADELOPS_NODE_ADDRESS", "PADELOPS_PRIMARY_ADDRESS")
        )
        rejoin(
            Lab(Path(arguments[0])),
            node_port=node_port,
            primary_port=primary_port,
            slot=os.environ.get("PADELOPS_SLOT", ""),
            bindir=Settings.from_environment().postgres_bindir,
        )
    except PadelopsError as exc:
        sys.stderr.write(f"{exc}\n")
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
