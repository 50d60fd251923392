"""Look at the alert rules and what they have come to, test them, silence one, export them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.options import DryRun
from padelops.cli.output import say, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from padelops.cli.tables import Piece, Table
    from padelops.ops.alert_files import RuleSet
    from padelops.ops.alerts import Board, RuleStatus

app = typer.Typer(help="Alerts: what is wrong when, whom it concerns, and what to do.")


@app.command("list")
def list_rules(
    ctx: typer.Context,
    firing: Annotated[bool, typer.Option("--firing", help="Only those that fire now.")] = False,
) -> None:
    """List every rule: its state at the last look, when it last fired, its runbook, its proof."""
    from dataclasses import replace

    from padelops.wiring.alerts import alerts_of

    with opened() as desk:
        board = alerts_of(desk).board()
    if firing:
        board = replace(board, rules=board.in_state("firing"))
    show(ctx, board, _board)


@app.command()
def check(ctx: typer.Context, dry_run: DryRun = False) -> None:
    """
    Judge every rule now, keep what changed, and tell whoever must know.

    `padelops worker` does the same every 30 seconds. Exit status: 0 nothing fires, 1 a warning
    does, 2 something critical does, 3 a rule could not be judged; what is silenced fails no check.
    """
    from padelops.wiring.alerts import looked

    board = looked(dry_run=dry_run)
    show(ctx, board, _checked)
    raise typer.Exit(board.verdict)


@app.command("test")
def try_samples(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="Where the rules are. [default: those in use]")
    ] = None,
) -> None:
    """
    Check every rule, and play it the samples on which it fires and stays quiet. Needs no database.

    Exit status: 0 all is well, 1 a rule is refused or does not do what its samples say.
    """
    from padelops.errors import ExitCode
    from padelops.settings import Settings
    from padelops.wiring.alerts import rules_in

    found = rules_in(folder or Settings.from_environment().alerts)
    failed = [
        {"file": found.files[name], "rule": name, "message": message}
        for name, rule in found.rules.items()
        for message in rule.failed_samples()
    ]
    document = {
        "folder": found.folder,
        "rules": len(found.rules),
        "problems": [problem.as_json() for problem in found.problems] + failed,
    }
    show(ctx, document, lambda told: _tested(told, found))
    if document["problems"]:
        raise typer.Exit(ExitCode.REFUSED)


class Kind(StrEnum):
    """For whom."""

    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    SCHEMA = "schema"


@app.command()
def export(
    ctx: typer.Context,
    kind: Annotated[
        Kind, typer.Argument(help="Rules and their unit tests, routing, or a schema for editors.")
    ],
    into: Annotated[Path | None, typer.Option(help="Write the files into this folder.")] = None,
    runbooks: Annotated[
        str, typer.Option(help="prometheus: where runbooks can be read.")
    ] = "https://runbooks.example.com/padelops",
    email_to: Annotated[str, typer.Option(help="alertmanager: whom mail goes to.")] = (
        "oncall@example.com"
    ),
    email_from: Annotated[str, typer.Option(help="alertmanager: whom it comes from.")] = (
        "padelops@example.com"
    ),
    smarthost: Annotated[str, typer.Option(help="alertmanager: the mail server.")] = "localhost:25",
    sms_webhook: Annotated[str, typer.Option(help="alertmanager: what sends text messages.")] = (
        "http://127.0.0.1:9095/sms"
    ),
    pager_key_file: Annotated[
        str, typer.Option(help="alertmanager: the file with PagerDuty's routing key.")
    ] = "/etc/alertmanager/pagerduty.key",
) -> None:
    """Write the rules for Prometheus, the routing for Alertmanager, or the schema for editors."""
    import json

    from padelops.ops import alert_export
    from padelops.ops.alert_files import SCHEMA, json_schema
    from padelops.ops.whole_files import write_whole
    from padelops.settings import Settings
    from padelops.wiring.alerts import rules_of

    if kind is Kind.SCHEMA:
        files = {SCHEMA: json.dumps(json_schema(), indent=2) + "\n"}
    elif kind is Kind.PROMETHEUS:
        files = alert_export.prometheus_files(
            rules_of(Settings.from_environment().alerts), runbooks=runbooks
        )
    else:
        files = alert_export.alertmanager_files(
            pager_key_file=pager_key_file,
            sms_webhook=sms_webhook,
            email={"to": email_to, "from": email_from, "smarthost": smarthost},
        )
    for name, text in files.items():
        if into is not None:
            write_whole(into / name, text)
    show(ctx, {"files": files, "written_into": into}, _files)


@app.command()
def silence(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="The rule; all silences when left out.")
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", help="How long, such as 2h; 30 days at the most.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; the audit trail keeps it.")] = None,
    end: Annotated[int | None, typer.Option(help="End the silence of this number now.")] = None,
) -> None:
    """Tell nobody of a rule for a while, end that, or list the silences."""
    from datetime import timedelta

    from padelops.errors import Usage
    from padelops.ops.alert_conditions import parse_length
    from padelops.wiring.alerts import alerts_of

    if end is not None and (name or lasting or reason):
        raise Usage("--end takes the number of a silence, and nothing else.")
    if name is not None and (lasting is None or reason is None):
        raise Usage(
            "A silence has an end and a reason.",
            fix=f'padelops alerts silence {name} --for 2h --reason "…"',
        )
    with opened() as desk:
        alerts = alerts_of(desk)
        if end is not None:
            ended = alerts.end_silence(end)
            show(ctx, ended, lambda _: f"Silence {end} has ended: people are told of {ended.rule}.")
        elif name is not None:
            assert lasting is not None  # noqa: S101 - for the type checker: looked at above
            made = alerts.silence(
                name, lasting=timedelta(seconds=parse_length(lasting)), reason=reason or ""
            )
            show(
                ctx,
                made,
                lambda _: (
                    f"Silence {made.id}: nobody is told of {name} until {_clock(made.ends_at)} UTC."
                ),
            )
            say(ctx, f"To end it sooner: padelops alerts silence --end {made.id}")
        else:
            show(ctx, {"silences": [one.as_json() for one in alerts.silences()]}, _silences)


def _board(board: Board) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        ["rule", "level", "state", "since (UTC)", "last fired (UTC)", "runbook", "last proved"],
        [
            [
                status.name,
                status.rule.level.value,
                _state(status),
                _clock(status.since),
                _clock(status.record.fired_at) or "never",
                status.rule.runbook,
                _clock(status.record.proved_at) or "never",
            ]
            for status in board.rules
        ],
        nothing="No alert fires.",
    )
    if any(status.state == "unchecked" for status in board.rules):
        yield "Unchecked: nobody has looked yet. Run: padelops alerts check, or padelops worker"


def _checked(board: Board) -> Iterator[Piece]:
    from padelops.cli.tables import Table
    from padelops.ops.alert_states import State
    from padelops.ops.alerts import named

    if board.away:
        yield "The database is away: nothing of this is kept; what it would tell is unknown."
    pressing = [
        status
        for state in ("firing", "unknown", "pending")
        for status in board.in_state(state)
        if status.rule.severity != "none" and not (board.away and state == "unknown")
    ]
    yield Table(
        ["rule", "level", "severity", "state", "since (UTC)", "what", "runbook"],
        [
            [
                status.name,
                status.rule.level.value,
                status.rule.severity,
                _state(status),
                _clock(status.since),
                "; ".join(
                    one.problem or named(one, status.rule.indicators[0].unit) or status.rule.summary
                    for one in status.in_state(State(status.state))[:5]
                ),
                status.rule.runbook,
            ]
            for status in pressing
        ],
        nothing="Nothing is wrong.",
    )
    tense = "would be" if board.dry_run else "are"
    for notice in board.paged:
        by = " + ".join(notice.channels)
        yield f"People {tense} told of {notice.rule} by {by}: {notice.summary}."
    for notice in board.resolved:
        yield f"People {tense} told that {notice.rule} is over."
    quiet = len(board.in_state("quiet"))
    yield f"{len(board.rules)} rules judged, {quiet} quiet. Alerts: {board.verdict.word}."


def _state(status: RuleStatus) -> str:
    if status.state != "firing":
        return status.state
    if status.silence is not None:
        return "firing, silenced"
    return "firing, muted" if status.muted_by else "firing"


def _tested(document: Mapping[str, Any], found: RuleSet) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    if document["problems"]:
        yield Table(
            ["file", "rule", "problem"],
            [[one["file"], one["rule"], one["message"]] for one in document["problems"]],
            title=f"Alert rules in {found.folder}",
        )
        yield f"{len(document['problems'])} problems; {len(found.rules)} rules can be used."
    else:
        samples = sum(
            len(rule.samples.fires) + len(rule.samples.quiet) for rule in found.rules.values()
        )
        yield f"{len(found.rules)} rules are well, on {samples} samples. ({found.folder})"


def _files(document: Mapping[str, Any]) -> str:
    files: dict[str, str] = document["files"]
    if document["written_into"] is not None:
        return "\n".join(f"{document['written_into']}/{name}" for name in files)
    # Whatever reads it from a pipe wants one file: the unit tests come with --into.
    return next(iter(files.values())).rstrip("\n")


def _silences(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    return Table(
        ["number", "rule", "until (UTC)", "ended (UTC)", "by", "reason"],
        [
            [
                one["id"],
                one["rule"],
                one["ends_at"][:16].replace("T", " "),
                (one["ended_at"] or "")[:16].replace("T", " "),
                one["actor"],
                one["reason"],
            ]
            for one in document["silences"]
        ],
        nothing="Nothing is silenced.",
    )


def _clock(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"
