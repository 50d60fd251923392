"""Ask whether all is there that bookings need: database, gateway, cache, breakers, workers."""

from __future__ import annotations

import time
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from padelops.cli.output import Terminal, say, show
from padelops.errors import PadelopsError
from padelops.ops.health import DEADLINE_S
from padelops.ops.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from padelops.cli.tables import Piece
    from padelops.ops.health import EmergencyResponse, HealthReport
    from padelops.settings import Settings

app = typer.Typer()

RHYTHM_S = 30
"""Source: CRITICAL_PATHS.md, "Health Checks": every 30 seconds."""


INCIDENT = "incident"
"""The response that is built in, by name in place of a command."""


class Format(StrEnum):
    """How the report is written."""

    TABLE = "table"
    NAGIOS = "nagios"


@app.command()
def health(
    ctx: typer.Context,
    only: Annotated[
        list[str] | None, typer.Option("--check", help="Ask this one only; may be repeated.")
    ] = None,
    style: Annotated[
        Format, typer.Option("--format", help="A table, or a line with perfdata for Nagios.")
    ] = Format.TABLE,
    deadline: Annotated[
        float, typer.Option(min=0.5, max=60, help="Seconds after which a check counts as silent.")
    ] = DEADLINE_S,
    watch: Annotated[
        bool, typer.Option("--watch", help="Ask again and again until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds between two reports of --watch.")
    ] = RHYTHM_S,
    on_critical: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Where the report is critical: `incident` opens one, pages on-call people and"
            " lets payments queue; anything else is run, with the report as JSON on its input.",
        ),
    ] = None,
) -> None:
    """
    Ask whether all is there that bookings need; everything at once, within the deadline.

    Exit status: 0 all well, 1 a warning, 2 critical, 3 a check could not run. With --watch a
    command of --on-critical runs each time that the report turns critical, not for each report.
    """
    from padelops.settings import Settings
    from padelops.wiring.health import CHECKS, check_health

    settings = Settings.from_environment()
    respond = _response(on_critical, settings)

    def ask() -> HealthReport:
        return check_health(settings, deadline_s=deadline, only=only or CHECKS)

    if watch:
        _watch(ctx, ask, respond, style, every)
    report = ask()
    show(ctx, report, _view(style))
    _respond(ctx, respond, report)
    raise typer.Exit(report.verdict)


def _response(command: str | None, settings: Settings) -> EmergencyResponse | None:
    if command is None:
        return None
    if command == INCIDENT:
        from padelops.wiring.emergency import Response

        return Response(settings)
    from padelops.ops.emergency_command import EmergencyCommand

    return EmergencyCommand(command)


def _respond(ctx: typer.Context, respond: EmergencyResponse | None, report: HealthReport) -> None:
    """Whatever becomes of the response, the report's verdict stays what it is."""
    if respond is None or report.verdict is not Verdict.CRITICAL:
        return
    try:
        say(ctx, respond(report))
    except PadelopsError as exc:
        Terminal.of(ctx).complain(exc)


def _watch(
    ctx: typer.Context,
    ask: Callable[[], HealthReport],
    respond: EmergencyResponse | None,
    style: Format,
    every_s: float,
) -> NoReturn:
    terminal = Terminal.of(ctx)
    was = Verdict.OK
    again = getattr(respond, "again", False)
    while True:
        began = time.monotonic()
        report = ask()
        if report.verdict or not terminal.quiet:
            terminal.show_again(report.as_json(), partial(_view(style), report))
        # The built-in one is safe to call again and again, and goes on calling who is due.
        if report.verdict is not was or again:
            _respond(ctx, respond, report)
        was = report.verdict
        time.sleep(max(0.0, began + every_s - time.monotonic()))


def _view(style: Format) -> Callable[[HealthReport], list[Piece]]:
    return _nagios if style is Format.NAGIOS else _table


def _table(report: HealthReport) -> list[Piece]:
    from padelops.cli.tables import Table

    rows = [
        [finding.check, finding.verdict.word, finding.answer.message] for finding in report.findings
    ]
    pieces: list[Piece] = [Table(["check", "verdict", "what"], rows)]
    fixes = [
        [finding.check, finding.answer.fix]
        for finding in report.findings
        if finding.verdict and finding.answer.fix
    ]
    if fixes:
        pieces.append(Table(["check", "what to do"], fixes))
    when = f"{report.at:%Y-%m-%d %H:%M:%S} UTC"
    pieces.append(f"{report.verdict.word}, {when}, {report.seconds:.2f} s.")
    return pieces


def _nagios(report: HealthReport) -> list[Piece]:
    from padelops.cli.nagios import lines

    return ["\n".join(lines(report))]
