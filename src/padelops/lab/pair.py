"""
A plain primary and its standby, without anybody who would promote it.

What `padelops failover` does on its own, with SQL and signals, is tried here. The standby is a copy
(`pg_basebackup`) that follows through a replication slot of its own name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.adapters.postgres_cluster import ADMIN, initdb_options
from padelops.lab.cluster import ACCESS, LOCAL_PARAMETERS, PARAMETERS, REPLICATION, data_folder
from padelops.lab.processes import NotStarted, environment
from padelops.lab.state import Process

if TYPE_CHECKING:
    from pathlib import Path

    from padelops.lab.folder import Folder
    from padelops.lab.runner import Runner
    from padelops.lab.state import Node, State


def process(folder: Folder, node: Node, runner: Runner) -> Process:
    """A PostgreSQL that nobody watches."""
    data = data_folder(folder, node)
    return Process(
        name=node.name,
        command=runner.command(
            runner.programs.bindir / "postgres",
            "-D",
            data,
            "-p",
            str(node.postgres_port),
            "-c",
            f"cluster_name={node.name}",
        ),
        environment=environment(folder.path),
        log=folder.log(node.name),
        ready=f"tcp:{node.postgres_port}",
        stop="INT",
    )


def make_primary(folder: Folder, state: State, node: Node, runner: Runner) -> None:
    """An empty cluster in the node's folder, unless it is there already."""
    data = data_folder(folder, node)
    if (data / "PG_VERSION").exists():
        return
    home = folder.node(node.name)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = next(line for line in _passwords(folder) if f":{ADMIN}:" in line).rpartition(":")[2]
    secret = folder.keep(f"nodes/{node.name}/admin", password)
    runner.give(home)
    options = [option for option in initdb_options(runner.programs.major) if "auth" not in option]
    _run(runner, "initdb", "-D", str(data), f"--pwfile={secret}", "--auth=scram-sha-256", *options)
    secret.unlink()
    parameters = {
        **PARAMETERS,
        **LOCAL_PARAMETERS,
        "listen_addresses": "127.0.0.1",
        # Whoever is promoted waits for a standby too, until there is one: strict, as in Patroni.
        "synchronous_standby_names": "*" if state.synchronous else "",
    }
    lines = "".join(f"{name} = '{value}'\n" for name, value in parameters.items())
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"\n# --- padelops lab ---\n{lines}")
    (data / "pg_hba.conf").write_text("".join(f"{line}\n" for line in ACCESS))
    runner.give(data)


def make_standby(folder: Folder, node: Node, primary: Node, runner: Runner) -> None:
    """A copy of the primary that follows it, unless it is there already."""
    data = data_folder(folder, node)
    if (data / "PG_VERSION").exists():
        return
    runner.give(own_passwords(folder, node).parent)
    source = to_follow(folder, node, primary)
    _run(
        runner, "pg_basebackup", "-D", str(data), "-d", source, "-R", "-C", "-S", node.name,
        "-X", "stream", "-c", "fast", "--no-sync",
    )  # fmt: skip


def own_passwords(folder: Folder, node: Node) -> Path:
    """The passwords in a file of the node's own: its settings keep the path."""
    return folder.keep(f"nodes/{node.name}/pgpass", folder.pgpass.read_text())


def to_follow(folder: Folder, node: Node, primary: Node, *, role: str = REPLICATION) -> str:
    """Where a node finds its primary."""
    return (
        f"host=127.0.0.1 port={primary.postgres_port} user={role} dbname=postgres "
        f"passfile={folder.node(node.name) / 'pgpass'} application_name={node.name}"
    )


def _passwords(folder: Folder) -> list[str]:
    return folder.pgpass.read_text().splitlines()


def _run(runner: Runner, program: str, *arguments: str) -> None:
    done = runner.run(program, *arguments)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise NotStarted(f"{program} failed: {said[-1]}")
