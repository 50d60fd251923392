"""Look at who is primary, and change it: planned, or after a failure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.options import DryRun, Yes
from padelops.cli.output import confirm, confirm_early, say, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.cli.tables import Piece
    from padelops.ops.failover_gates import Kind
    from padelops.ops.failover_lint import Lint

app = typer.Typer(help="The primary database: who it is, and how another one takes over.")

To = Annotated[
    str | None, typer.Option(help="The server that takes over (default: the one with the most).")
]
AllowLoss = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Go on although acknowledged bookings may be lost; takes the cluster's name.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why, in one line; it is kept in the audit trail.")]
Anew = Annotated[bool, typer.Option("--anew", help="Forget a failover that did not end.")]


@app.command()
def status(ctx: typer.Context) -> None:
    """
    Show every server: its role, timeline and lag, and a failover that has not ended.

    Exit status: 0 one primary and its standby in step, 1 a warning, 2 none or two primaries,
    3 unknown. Have cron run it every minute: what it saw last is what `promote` knows of a dead
    primary: its name, its data folder, and for whom its commits waited.
    """
    from padelops.ops.failover_status import judge
    from padelops.settings import Settings
    from padelops.wiring.failover import opened_failover

    with opened_failover(Settings.from_environment()) as failover:
        found = judge(failover.observe(), failover.unfinished())
    show(ctx, found, _status)
    raise typer.Exit(found.verdict)


@app.command()
def switchover(
    ctx: typer.Context,
    to: To = None,
    reason: Reason = "",
    allow_data_loss: AllowLoss = None,
    anew: Anew = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """
    Hand the primary's place to a standby, planned: nothing is lost, seconds without bookings.

    It fences, promotes, writes and reads through the application's own address, brings the old
    primary back as a standby, and checks the invariants. Interrupted, it goes on when run again.
    """
    _change(ctx, "switchover", to, reason, allow_data_loss, anew, dry_run, yes)


@app.command()
def promote(
    ctx: typer.Context,
    to: To = None,
    reason: Reason = "",
    allow_data_loss: AllowLoss = None,
    anew: Anew = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """
    Make a standby the primary because the old one is dead or does not answer.

    The old primary is fenced first: by PADELOPS_FENCE_COMMAND (it gets PADELOPS_NODE and
    PADELOPS_NODE_ADDRESS), by ending it where its data is on this machine, or over SQL.
    """
    _change(ctx, "promote", to, reason, allow_data_loss, anew, dry_run, yes)


@app.command()
def lint(ctx: typer.Context) -> None:
    """
    Compute from the settings in force how long an outage can last, and what it could lose.

    Exit status: 0 level 1's promise holds, 1 a warning, 2 a setting breaks it, 3 unknown.
    """
    from padelops.settings import Settings
    from padelops.wiring.failover import lint_of

    found = lint_of(Settings.from_environment())
    show(ctx, found, _lint)
    raise typer.Exit(found.verdict)


@app.command()
def rejoin(
    ctx: typer.Context,
    data: Annotated[
        Path, typer.Argument(help="The former primary's data folder, on this machine.")
    ],
    primary: Annotated[str, typer.Option(help="The new primary: 'host=… port=… user=…'.")],
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy all anew; do not try to rewind.")
    ] = False,
    yes: Yes = False,
) -> None:
    """
    Make a former primary on this machine a standby of the new one, with its own settings kept.

    It is rewound; where that is not possible it is copied anew, and its old data put aside.
    """
    from padelops.settings import Settings
    from padelops.wiring.failover import rejoin_here

    confirm(ctx, f"Stop the server in {data} and make it a standby?", yes=yes)
    done = rejoin_here(Settings.from_environment(), data, primary, copy=copy)
    show(ctx, done)


def _change(
    ctx: typer.Context,
    name: str,
    to: str | None,
    reason: str,
    allow_data_loss: str | None,
    anew: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    from padelops.model import Door
    from padelops.ops.failover_gates import Kind
    from padelops.settings import Settings
    from padelops.wiring.failover import opened_failover

    if not dry_run:
        confirm_early(ctx, f"A {name} changes who is primary.", yes=yes)
    kind: Kind = Kind(name)
    with opened_failover(Settings.from_environment(), door=Door.CLI) as failover:
        asked: dict[str, Any] = {
            "to": to, "reason": reason, "allow_data_loss": allow_data_loss, "anew": anew,
        }  # fmt: skip
        if dry_run:
            plan = failover.plan(kind, remember=False, **asked)
            show(ctx, {"dry_run": True, **plan.as_json()}, _plan)
            if plan.refused is not None:
                raise plan.refused
            return
        with failover.alone(kind):
            plan = failover.plan(kind, **asked)
            if plan.refused is not None:
                show(ctx, {"dry_run": False, **plan.as_json()}, _plan)
                raise plan.refused
            document = plan.as_json()
            confirm(
                ctx,
                f"Make {document['to']} the primary of {document['cluster']}"
                f" in place of {document['from'] or 'nobody'}?",
                yes=yes,
            )
            outcome = failover.carry_out(plan, told=lambda line: say(ctx, line))
    show(ctx, outcome.as_json(), _outcome)
    if outcome.failed is not None:
        raise outcome.failed


def _status(found: Any) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield from _servers(found.as_json())
    if found.remarks:
        yield Table(
            ["verdict", "what"], [[row.verdict.name.lower(), row.text] for row in found.remarks]
        )
    else:
        yield "One primary, and its standby in step."


def _lint(found: Lint) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        ["failure", "at most", "sum"],
        [
            [
                outage.event,
                "no end" if outage.seconds is None else f"{outage.seconds:g} s",
                outage.sum,
            ]
            for outage in found.outages
        ],
        title="Without bookings",
    )
    yield f"Lost: {found.loss}"
    if not found.findings:
        yield "Every setting keeps level 1's promise."
        return
    yield Table(
        ["setting", "value", "verdict", "why", "set"],
        [
            [row.setting, row.value, row.verdict.name.lower(), row.reason, row.fix]
            for row in found.findings
        ],
    )


def _servers(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        ["server", "role", "timeline", "sync", "behind B", "behind s", "state"],
        [
            [
                node["name"],
                node["role"],
                node["timeline"],
                node["sync"],
                node["behind_bytes"],
                None if node["behind_s"] is None else round(node["behind_s"], 1),
                node["problem"] or node["state"],
            ]
            for node in document["nodes"]
        ],
        title=f"{document['cluster']} ({document['driver']})",
    )


def _plan(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield from _servers(document)
    yield Table(
        ["gate", "answer", "reason"],
        [
            [
                gate["gate"],
                _answer(gate),
                gate["reason"],
            ]
            for gate in document["gates"]
        ],
        title=f"{document['kind']} from {document['from'] or '-'} to {document['to'] or '-'}",
    )
    if document["dry_run"]:
        yield "A dry run: nothing was changed."


def _answer(gate: Mapping[str, Any]) -> str:
    if gate["passed"]:
        return "warning" if gate["warns"] else "ok"
    return "loss accepted" if gate["overridden"] else "no"


def _outcome(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        ["step", "outcome", "s", "at s", "told"],
        [
            [step["name"], step["outcome"], step["seconds"], step["at_s"], step["told"]]
            for step in document["steps"]
        ],
        title=f"{document['kind']} from {document['old'] or '-'} to {document['new']}",
    )
    for thing in document["remaining"]:
        yield f"Remains: {thing}"
    served, whole = document["service_restored_s"], document["whole_s"]
    if served is not None:
        late = "" if document["within_30_s"] else ", LATER than level 1's 30 s"
        yield f"Bookings were taken again after {served:.1f} s{late}; all of it took {whole:.1f} s."
