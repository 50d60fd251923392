"""Do what is due daily, weekly, monthly and quarterly, and tell what is late."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened, unknown_unless_checked
from padelops.cli.output import progress, say, show, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from padelops.cli.tables import Piece, Table
    from padelops.ops.maintenance_plan import Standing
    from padelops.ops.maintenance_report import KeptReport
    from padelops.ops.maintenance_results import Due
    from padelops.wiring.maintenance import Maintained

app = typer.Typer(help="Maintenance: what is due is done and kept, what needs a person is named.")

ScheduleName = Annotated[str, typer.Argument(help="daily, weekly, monthly or quarterly.")]


@app.command()
def run(
    ctx: typer.Context,
    schedule: ScheduleName,
    task: Annotated[
        list[str] | None, typer.Option(help="Only this task, as `list` names it; may be repeated.")
    ] = None,
) -> None:
    """
    Do what a machine can do of a schedule; name what is due from a person.

    Exit status: 0 all well, 1 a warning or something waits for a person, 2 critical, 3 a task could
    not be done; 7 it runs already, 8 the database is away and nothing was done.
    """
    from padelops.ops.maintenance_plan import the_plan
    from padelops.settings import Settings
    from padelops.wiring.maintenance import run_maintenance

    total = len(task or the_plan().of(schedule))
    with progress(ctx, f"Maintenance, {schedule}", total) as advance:
        done = run_maintenance(
            Settings.from_environment(), schedule, only=tuple(task or ()), told=lambda _: advance()
        )
    show(ctx, done, _run)
    for trouble in done.troubles:
        warn(ctx, trouble)
    raise typer.Exit(done.verdict)


@app.command()
def due(ctx: typer.Context) -> None:
    """
    Tell what is due and what is late.

    Exit status: 0 nothing is late, 1 something is, 2 a machine's task missed two turns, 3 unknown.
    """
    from padelops.wiring.maintenance import maintenance_of, write_metrics

    with unknown_unless_checked(), opened() as desk:
        maintenance = maintenance_of(desk)
        found = maintenance.due()
        trouble = write_metrics(desk.settings, maintenance)
    show(ctx, found, _due)
    if trouble:
        warn(ctx, trouble)
    raise typer.Exit(found.verdict)


@app.command()
def done(
    ctx: typer.Context,
    task: Annotated[str, typer.Argument(help="The task, such as weekly/security_audit.")],
    note: Annotated[str, typer.Option(help="What was looked at, and what came of it.")],
) -> None:
    """Sign off a person's task; the audit trail keeps who did."""
    from padelops.wiring.maintenance import maintenance_of, write_metrics

    with opened() as desk:
        maintenance = maintenance_of(desk)
        standing = maintenance.sign_off(task, note)
        trouble = write_metrics(desk.settings, maintenance)
    show(ctx, standing, lambda _: f"{task} is signed; due again {_clock(standing.due_at)} UTC.")
    if trouble:
        warn(ctx, trouble)


@app.command("list")
def list_tasks(ctx: typer.Context) -> None:
    """List every task: who does it, when it was last done, what there is to look at."""
    from padelops.wiring.maintenance import maintenance_of

    with opened() as desk:
        found = maintenance_of(desk).due()
    show(ctx, found, lambda _: _standings(found.standings))


@app.command()
def report(
    ctx: typer.Context,
    run_id: Annotated[str | None, typer.Argument(help="The run; the newest when left out.")] = None,
    every: Annotated[bool, typer.Option("--list", help="List the kept runs instead.")] = False,
    schedule: Annotated[str | None, typer.Option(help="Only runs of this schedule.")] = None,
    form: Annotated[
        str, typer.Option("--format", help="text, markdown or html; --json has everything.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option(help="Write it into this file, whole or not at all.")
    ] = None,
) -> None:
    """Show a kept run with what it found, or list the kept runs."""
    from padelops.errors import Usage
    from padelops.ops.maintenance_report import brief
    from padelops.ops.whole_files import write_whole
    from padelops.wiring.maintenance import maintenance_of

    if form not in FORMS:
        raise Usage(f"There is no format '{form}'.", fix=f"One of: {', '.join(FORMS)}.")
    if output is not None and form == "text":
        raise Usage("A file is written as markdown or html.", fix="Add --format html")
    with opened() as desk:
        maintenance = maintenance_of(desk)
        if schedule is not None:
            maintenance.plan.of(schedule)
        if every:
            reports = [brief(whole) for whole in maintenance.reports(schedule)]
            show(ctx, {"reports": reports}, _reports)
            return
        kept = maintenance.report(run_id, schedule=schedule)
    if form == "text":
        show(ctx, kept, _report)
        return
    text = kept.markdown() if form == "markdown" else kept.html()
    if output is None:
        show(ctx, kept, lambda _: text)
        return
    write_whole(output, text, mode=0o640)
    show(ctx, {"written": output, "run_id": kept.whole.run_id})


FORMS = ("text", "markdown", "html")


@app.command()
def export(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="cron or systemd.")],
    user: Annotated[
        str | None,
        typer.Option(help="The account it runs as: lines for /etc/cron.d, User= in a unit."),
    ] = None,
    program: Annotated[
        str | None, typer.Option(help="The program's path. [default: this one's]")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="systemd: write the units into this folder.")
    ] = None,
) -> None:
    """Print cron lines or systemd units that run all of this."""
    from padelops.errors import Usage
    from padelops.ops import maintenance_export
    from padelops.ops.maintenance_plan import the_plan
    from padelops.ops.whole_files import write_whole

    path = program or _this_program()
    if kind == "cron" and into is None:
        text = maintenance_export.cron(the_plan(), path, user=user)
        show(ctx, {"cron": text}, lambda _: text)
    elif kind == "systemd":
        units = maintenance_export.systemd(the_plan(), path, user=user)
        if into is not None:
            for name, unit in units.items():
                write_whole(into / name, unit)
        show(ctx, {"units": units, "written_into": into}, _units)
        if into is not None:
            timers = " ".join(name for name in units if name.endswith(".timer"))
            say(ctx, f"Then: systemctl daemon-reload && systemctl enable --now {timers}")
    else:
        raise Usage(
            "Export cron, or systemd [--into FOLDER].", fix="padelops maintenance export systemd"
        )


def _this_program() -> str:
    import shutil
    import sys

    beside = Path(sys.executable).with_name("padelops")
    return str(beside) if beside.exists() else shutil.which("padelops") or str(beside)


def _run(done: Maintained) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    report = done.report
    yield Table(
        ["task", "verdict", "found"],
        [
            [result.task, result.finding.verdict.word, result.finding.summary]
            for result in report.results
        ],
        title=f"{report.schedule.capitalize()} maintenance, run {report.run_id}",
        nothing="No task was run.",
    )
    if report.abandoned:
        yield f"{report.abandoned} tasks of a run that died in the middle were closed."
    if report.not_run:
        yield f"Not run: {', '.join(report.not_run)}. {report.stopped or ''}".rstrip()
    if report.waiting:
        yield Table(
            ["task", "last signed (UTC)", "due (UTC)", "look at"],
            [
                [
                    standing.name,
                    _clock(standing.last),
                    _clock(standing.due_at),
                    "; ".join(standing.task.look_at),
                ]
                for standing in report.waiting
            ],
            title="Waits for a person",
        )
        yield "Sign each when it is done: padelops maintenance done TASK --note WHAT"
    yield f"Maintenance, {report.schedule}: {report.verdict.word}."
    if report.verdict:
        yield f"The evidence: padelops maintenance report {report.run_id}"


def _due(found: Due) -> Iterator[Piece]:
    open_ = found.in_state("late", "due")
    if open_:
        yield _standings(open_)
    late = len(found.in_state("late"))
    yield f"{late} late, {len(open_) - late} due, {len(found.standings) - len(open_)} fresh."


def _standings(standings: Iterable[Standing]) -> Table:
    from padelops.cli.tables import Table

    return Table(
        ["task", "who", "state", "last done (UTC)", "due (UTC)", "look at"],
        [
            [
                standing.name,
                standing.task.who,
                standing.state,
                _clock(standing.last),
                _clock(standing.due_at),
                "; ".join(standing.task.look_at),
            ]
            for standing in standings
        ],
    )


def _reports(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    return Table(
        ["run", "schedule", "outcome", "started (UTC)", "by", "summary"],
        [
            [
                kept["run_id"],
                kept["schedule"],
                kept["outcome"],
                kept["started_at"][:19].replace("T", " "),
                kept["actor"],
                kept["summary"],
            ]
            for kept in document["reports"]
        ],
        nothing="No maintenance was run here yet.",
    )


def _report(kept: KeptReport) -> Iterator[Piece]:
    from padelops.cli.tables import Record, Table

    whole = kept.whole
    yield Table(
        ["task", "outcome", "found"],
        [[run.task, run.outcome or "never ended", run.summary] for run in kept.runs],
        title=f"{kept.schedule.capitalize()} maintenance, {whole.started_at:%Y-%m-%d %H:%M} UTC,"
        f" run {whole.run_id}",
    )
    for run in kept.runs:
        if run.outcome != "ok":
            yield Record(run.evidence, title=run.task)
    if kept.waiting:
        yield f"Waited for a person: {', '.join(kept.waiting)}."
    yield f"By {whole.actor} on {whole.host}: {kept.outcome}."


def _units(document: Mapping[str, Any]) -> str:
    units: dict[str, str] = document["units"]
    if document["written_into"] is not None:
        return "\n".join(f"{document['written_into']}/{name}" for name in units)
    return "\n".join(f"# /etc/systemd/system/{name}\n{text}" for name, text in units.items())


def _clock(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"
