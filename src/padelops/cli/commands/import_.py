"""Import what a club runs today, and look after the rows that could not go in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.options import DryRun
from padelops.cli.output import progress, show
from padelops.errors import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.cli.tables import Piece
    from padelops.ops.import_report import ImportReport
    from padelops.ops.import_run import Watch

app = typer.Typer()

MOST_LISTED = 1000


@app.command("import")
def import_files(
    ctx: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Dumps and CSV files that belong together, in any order."),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            "--timezone",
            help="Zone of local times, where the club is not here yet."
            " [default: America/Mexico_City]",
        ),
    ] = None,
    currency: Annotated[
        str | None,
        typer.Option(help="Currency of clubs that are not here yet. [default: MXN]"),
    ] = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="List the rows that could not go in, and why.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try every row in quarantine again.")
    ] = False,
    limit: Annotated[
        int, typer.Option(help="Rows that --quarantine lists.", min=1, max=100_000)
    ] = MOST_LISTED,
    dry_run: DryRun = False,
) -> None:
    r"""
    Import Django dumps of the Padelyzer backend, and CSV files.

    Nothing goes in twice: run it again after a change, or after it was interrupted. A row that
    would break an invariant goes to quarantine, with the reason and what it clashes with; the rest
    goes in. Of two rows that overlap the one created first wins, then the lower key; what is live
    here already stays. A row that changed since its import is reported and not overwritten, and so
    is a club: only courts that are missing are added.

    \b
    A dump is what `manage.py dumpdata clubs reservations`
    writes. Models read:
      clubs.club, clubs.court, clubs.schedule,
      reservations.reservation, reservations.blockedslot

    \b
    The header of a CSV file (UTF-8), in any order, divided
    by , or ; (* must be there):
      club *          slug of a club that is here
      court *         the court's name
      start *         2026-12-05T18:00, or with an offset
      minutes, end *  one of them; end like start, or 19:30
      player_name *
      total *         300.00 or 300,00
      currency        must be the club's
      player_email, player_phone, player_count, notes
      status          pending [confirmed] completed
                      cancelled no_show
      payment_status  [pending] partial paid refunded failed
      ref             the row's own key; else its content
      created_at      who was first; like start

    \b
    Exit status: 0 everything is in, 6 something is in
    quarantine, 2 a file cannot be used (nothing was imported
    then).
    """
    from padelops.ops.importing import Importer

    if files and (quarantine or retry):
        raise Usage("Import files, or look after the quarantine: not both at once.")
    if not (files or quarantine or retry):
        raise Usage("Name a file to import.", fix="Or list what could not go in: --quarantine")

    with opened() as desk:
        importer = Importer(desk.bulk, origin=desk.origin, clock=desk.now)
        if quarantine and not retry:
            rows, total = importer.quarantined(limit=limit)
            waiting = {"total": total, "rows": [row.as_json() for row in rows]}
            show(ctx, waiting, _waiting)
            return
        watch = _watch(ctx)
        report = (
            importer.retry(dry_run=dry_run, watch=watch)
            if retry
            else importer.run(
                files or [], time_zone=time_zone, currency=currency, dry_run=dry_run, watch=watch
            )
        )
    show(ctx, report, _report)
    raise typer.Exit(report.exit_code)


def _watch(ctx: typer.Context) -> Watch:
    return lambda title, total: progress(ctx, title, total)


def _report(report: ImportReport) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    told = report.as_json()
    yield _headline(told)
    if told["models"]:
        every = ("already_there", "differs", "quarantined", "skipped")
        outcomes = ["imported", *(outcome for outcome in every if told[outcome])]
        all_rows = {**told["models"], "all": told | {"read": told["rows_read"]}}
        yield Table(
            ["model", "read", *(outcome.replace("_", " ") for outcome in outcomes)],
            [
                [model, rows["read"], *(rows[outcome] for outcome in outcomes)]
                for model, rows in all_rows.items()
            ],
        )
    if told["clubs"]:
        yield Table(
            ["club", "is", "new courts"],
            [
                [club["club"], "new" if club["created"] else "here", ", ".join(club["courts"])]
                for club in told["clubs"]
            ],
        )
    if told["quarantined_by_reason"]:
        yield Table(["quarantined because", "rows"], list(told["quarantined_by_reason"].items()))
    if told["notes"]:
        yield Table(["noted while reading", "rows"], list(told["notes"].items()))
    if told["differing"]:
        yield Table(
            ["model", "ref", "differs in"],
            [[one["model"], one["ref"], one["detail"]] for one in told["differing"]],
            title="Here, but changed there since; not overwritten",
        )
        if told["differs"] > len(told["differing"]):
            yield f"{told['differs'] - len(told['differing'])} more differ."
    if told["skipped_models"]:
        names = (f"{model} ({rows})" for model, rows in told["skipped_models"].items())
        yield f"Skipped, padelops has no place for them: {', '.join(names)}."
    if told["ignored_fields"]:
        yield f"Fields without a place here, left out: {_by_model(told['ignored_fields'])}."
    if told["quarantined"] and not report.dry_run:
        yield "See them: padelops import --quarantine   Try again: padelops import --retry"


def _headline(told: Mapping[str, Any]) -> str:
    verb = "Would import" if told["dry_run"] else "Imported"
    files = len(told["files"])
    of = f" of {files} file{'s' * (files != 1)}" if files else " from quarantine"
    line = f"{verb} {told['imported']} of {told['rows_read']} rows{of}"
    if told["already_there"]:
        line += f", {told['already_there']} were there"
    if told["quarantined"]:
        verb = "would be" if told["dry_run"] else "are" if files else "are still"
        line += f", {told['quarantined']} {verb} in quarantine"
    others = told["open_in_quarantine"] - told["quarantined"]
    if others > 0:
        line += f" (and {others} of earlier imports)"
    return f"{line}."


def _by_model(fields: Mapping[str, int]) -> str:
    """`clubs.club: email, phone; clubs.court: notes`."""
    grouped: dict[str, list[str]] = {}
    for name in fields:
        model, _, column = name.rpartition(".")
        grouped.setdefault(model, []).append(column)
    return "; ".join(f"{model}: {', '.join(names)}" for model, names in grouped.items())


def _waiting(waiting: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        ["id", "from", "ref", "reason", "detail", "clashes with"],
        [
            [
                row["id"],
                row["source"],
                _own(row["ref"]),
                row["reason"],
                row["detail"],
                ", ".join(_rival(rival) for rival in row["clashes_with"]) or None,
            ]
            for row in waiting["rows"]
        ],
        nothing="Nothing is in quarantine.",
    )
    if waiting["total"] > len(waiting["rows"]):
        yield f"{waiting['total'] - len(waiting['rows'])} more; --limit shows more of them."
    if any(row["clashes_with"] for row in waiting["rows"]):
        yield "Once what they clash with is settled: padelops import --retry"
    if not all(row["clashes_with"] for row in waiting["rows"]):
        yield "What clashes with nothing is wrong: mend it where it comes from, import it again."


def _rival(rival: Mapping[str, Any]) -> str:
    ref = _own(rival["external_ref"])
    return f"{rival['kind']} {rival['id']}" + (f" ({ref})" if ref else "")


def _own(ref: str | None) -> str | None:
    """The key that a row brought along; the digest that stands for a missing one helps nobody."""
    from padelops.ops.import_csv import BY_CONTENT

    return None if ref is None or BY_CONTENT in ref else ref
