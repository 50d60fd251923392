"""Look at the circuit breakers, and open, close or release one for every process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.output import say, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.circuit_breakers import Snapshot
    from padelops.cli.tables import Piece, Record

app = typer.Typer(help="Circuit breakers: what is down is left alone, and something else happens.")

FOLLOWED = "Every process follows within a second."

Name = Annotated[str, typer.Argument(help="The breaker, as `padelops breakers list` names it.")]
Reason = Annotated[
    str, typer.Option(help="Why, in one line; whoever finds it at night reads this.")
]


@app.command("list")
def list_breakers(ctx: typer.Context) -> None:
    """Show every breaker: its state and rates, who changed it and why, and what happens instead."""
    with opened() as desk:
        snapshots = [breaker.snapshot() for breaker in desk.breakers.all()]
    show(ctx, {"breakers": [snapshot.as_json() for snapshot in snapshots]}, _list)
    for snapshot in snapshots:
        if snapshot.away is not None:  # a list of what nobody knows must not look like an answer
            raise snapshot.away


@app.command("open")
def open_breaker(ctx: typer.Context, name: Name, reason: Reason) -> None:
    """Refuse every call until the breaker is closed or released; its fallback takes over."""
    with opened() as desk:
        snapshot = desk.breakers[name].force_open(actor=desk.origin.actor, reason=reason)
    show(ctx, snapshot, _record)
    say(ctx, f"{FOLLOWED} To end it: padelops breakers release {name} --reason …")


@app.command("close")
def close_breaker(
    ctx: typer.Context,
    name: Name,
    reason: Reason,
    hold: Annotated[
        bool,
        typer.Option("--hold", help="Keep it closed whatever fails, until it is released."),
    ] = False,
) -> None:
    """Let calls pass again at once, with clean counts; it may open again by itself."""
    with opened() as desk:
        breaker = desk.breakers[name]
        close = breaker.force_closed if hold else breaker.reset
        snapshot = close(actor=desk.origin.actor, reason=reason)
    show(ctx, snapshot, _record)
    say(ctx, FOLLOWED)


@app.command()
def release(ctx: typer.Context, name: Name, reason: Reason) -> None:
    """End what a person forced: from open it sends a few probes first, from closed it watches."""
    with opened() as desk:
        snapshot = desk.breakers[name].release(actor=desk.origin.actor, reason=reason)
    show(ctx, snapshot, _record)
    say(ctx, FOLLOWED)


def _list(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    breakers = document["breakers"]
    yield Table(
        [
            "breaker", "state", "failed", "slow", "calls", "since (UTC)", "retry after",
            "by", "why", "instead", "degraded",
        ],
        [
            [
                breaker["breaker"],
                breaker["state"],
                f"{breaker['failure_rate']:.0%}",
                f"{breaker['slow_rate']:.0%}",
                breaker["calls"],
                _moment(breaker["since"]),
                f"{breaker['retry_after_s']:g} s" if breaker["retry_after_s"] else None,
                breaker["actor"],
                breaker["reason"],
                breaker["fallback"],
                breaker["degraded"],
            ]
            for breaker in breakers
        ],
    )  # fmt: skip


def _record(snapshot: Snapshot) -> Record:
    from padelops.cli.tables import Record

    facts = snapshot.as_json()
    return Record(
        {
            "state": facts["state"],
            "since": f"{_moment(facts['since'])} UTC",
            "by": facts["actor"],
            "why": facts["reason"],
            "instead": snapshot.fallback.explained,
        },
        title=snapshot.name,
    )


def _moment(iso: str | None) -> str | None:
    return iso and iso[:19].replace("T", " ")
