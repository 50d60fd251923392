"""A real cluster on this machine, to be broken: started, looked at, ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from padelops.cli.output import say, show
from padelops.errors import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padelops.cli.tables import Piece
    from padelops.lab.laboratory import Lab
    from padelops.lab.observing import LabView

app = typer.Typer(help="A real cluster on this machine, to be broken.")


Name = Annotated[str, typer.Option(help="Several labs side by side: one name each.")]
Where = Annotated[
    Path | None, typer.Option(help="Where it lives (default: PADELOPS_HOME/lab/NAME).")
]


@app.command()
def up(
    ctx: typer.Context,
    name: Name = "lab",
    folder: Where = None,
    nodes: Annotated[int, typer.Option(min=1, max=9, help="PostgreSQL servers.")] = 3,
    asynchronous: Annotated[
        bool, typer.Option("--async", help="Standbys do not confirm commits: writes can be lost.")
    ] = False,
    dcs: Annotated[
        Literal["etcd", "raft"],
        typer.Option(help="Where the nodes agree who leads; raft is Patroni's own."),
    ] = "etcd",
    pair: Annotated[
        bool, typer.Option("--pair", help="A plain primary and its standby, without Patroni.")
    ] = False,
    bare: Annotated[
        bool, typer.Option("--bare", help="The database alone, without the services around it.")
    ] = False,
) -> None:
    """Start it, or bring back what died; safe to run twice."""
    from padelops.lab.planning import Wish
    from padelops.settings import Settings

    if nodes == 1 and not (asynchronous or pair):
        raise Usage("A single node has nobody who confirms its commits.", fix="Add --async.")
    lab = _lab(name, folder)
    wish = Wish(
        nodes=2 if pair else nodes,
        synchronous=not asynchronous,
        store="none" if pair else dcs,
        kind="pair" if pair else "patroni",
        bare=bare,
        bindir=Settings.from_environment().postgres_bindir,
    )
    lab.up(wish, tell=lambda text: say(ctx, text))
    found = lab.look()
    show(ctx, found, _view)
    raise typer.Exit(found.exit_code)


@app.command()
def status(ctx: typer.Context, name: Name = "lab", folder: Where = None) -> None:
    """Ask each node, look at each process. 0: all there, 1: something away, 2: no one primary."""
    found = _lab(name, folder).look()
    show(ctx, found, _view)
    raise typer.Exit(found.exit_code)


@app.command()
def down(
    ctx: typer.Context,
    name: Name = "lab",
    folder: Where = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep its data and its logs.")] = False,
) -> None:
    """End every process of it and delete its folder; also what a killed `up` left."""
    lab = _lab(name, folder)
    count = lab.down(keep=keep, tell=lambda text: say(ctx, text))
    show(ctx, {"lab": name, "ended": count, "kept": keep}, _ended)


@app.command()
def env(ctx: typer.Context, name: Name = "lab", folder: Where = None) -> None:
    """Print what points padelops at it: eval "$(padelops lab env)"."""
    show(ctx, _lab(name, folder).state().variables, _exports)


def _lab(name: str, folder: Path | None) -> Lab:
    from padelops.lab.laboratory import Lab
    from padelops.settings import Settings

    place = folder or Settings.from_environment().home / "lab" / name
    return Lab(place.expanduser().absolute(), name=name)


def _view(found: LabView) -> Iterator[Piece]:
    from padelops.cli.tables import Record, Table

    yield Record(
        {
            "lab": found.name,
            "leader": " and ".join(found.leaders) or "none",
            "confirms": " and ".join(found.confirming) or "nobody",
            "folder": found.folder,
        }
    )
    yield Table(
        ["node", "port", "role", "state", "timeline", "lag", "writes"],
        [
            [
                node.name,
                node.address.rpartition(":")[2],
                node.role,
                node.state,
                node.timeline,
                node.lag_bytes,
                node.writable,
            ]
            for node in found.nodes
        ],
    )
    yield Table(
        ["process", "pid", "state"],
        [[process.name, process.pid, process.state] for process in found.processes],
    )
    if found.absent:
        yield "\n".join(f"Without {part}: {why}." for part, why in found.absent.items())
    if found.problems:
        yield "\n".join(found.problems)


def _ended(document: Mapping[str, Any]) -> str:
    kept = "; its folder is kept" if document["kept"] else " and its folder is gone"
    return f"{document['ended']} processes ended{kept}."


def _exports(variables: Mapping[str, Any]) -> str:
    from shlex import quote

    return "\n".join(f"export {name}={quote(value)}" for name, value in variables.items())
