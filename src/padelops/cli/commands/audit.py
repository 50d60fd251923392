"""Tell a reservation's story, seal the audit trail, and prove that nobody touched it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.output import show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.cli.tables import Piece, Table

app = typer.Typer(help="The audit trail: every change, once, in a sealed chain.")


@app.command()
def history(
    ctx: typer.Context,
    subject_id: Annotated[int, typer.Argument(help="The reservation's number.")],
    subject: Annotated[
        str, typer.Option(help="What the number is of: reservation, block, club, court, breaker.")
    ] = "reservation",
) -> None:
    """Tell the story of one reservation: who changed what, when, through which door."""
    with opened() as desk:
        entries = desk.history(subject_id, subject=subject)
    show(
        ctx,
        {
            "subject": subject,
            "subject_id": subject_id,
            "entries": [entry.as_json() for entry in entries],
        },
        story_table,
    )


@app.command()
def seal(ctx: typer.Context) -> None:
    """Seal every finished change into the chain; keep the head it prints elsewhere."""
    with opened() as desk:
        seals = desk.seal_audit()
    show(ctx, {"seals": [made.as_json() for made in seals]}, _sealed)


@app.command()
def verify(
    ctx: typer.Context,
    head: Annotated[
        str | None, typer.Option(help="A head digest noted earlier; it must still be in the chain.")
    ] = None,
) -> None:
    """Check the trail: 0 intact, 2 tampered with; names each entry that is not what it was."""
    with opened() as desk:
        verification = desk.verify_audit(anchor=head)
    show(ctx, verification, lambda _: _verdict(verification.as_json()))
    raise typer.Exit(0 if verification.intact else 2)


@app.command()
def export(
    ctx: typer.Context,
    since: Annotated[str | None, typer.Option(help="From this day on, UTC, 2026-12-01.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this day, UTC.")] = None,
) -> None:
    """Write the entries as JSON lines, oldest first, for an archive."""
    from padelops.booking.club_time import parse_date
    from padelops.cli.documents import written
    from padelops.cli.streams import write_result

    del ctx
    bounds = [None if day is None else parse_date(day) for day in (since, until)]
    with opened() as desk:
        for entry in desk.export_audit(since=bounds[0], until=bounds[1]):
            write_result(written(entry, encoding="utf-8", indent=None))


def story_table(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    return Table(
        ["entry", "when (UTC)", "what", "who", "door", "changed"],
        [
            [
                entry["id"],
                entry["at"][:19].replace("T", " "),
                entry["action"],
                entry["actor"],
                entry["door"],
                _changed(entry),
            ]
            for entry in document["entries"]
        ],
    )


def _changed(entry: Mapping[str, Any]) -> str:
    if entry["action"] == "created":
        return ""
    return ", ".join(
        f"{name} {_told(change[0])} -> {_told(change[1])}"
        if isinstance(change, list)
        else f"{name} {_told(change)}"
        for name, change in entry["changes"].items()
        if name != "ended_at"
    )


def _told(value: object) -> object:
    return "-" if value is None else value


def _sealed(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    seals = document["seals"]
    yield Table(
        ["seal", "entries", "head"],
        [[made["id"], made["entries"], made["digest"]] for made in seals],
        nothing="Nothing to seal: every finished change is covered.",
    )
    if seals:
        yield "Keep the last head elsewhere and check it: padelops audit verify --head HEAD"


def _verdict(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    if document["findings"]:
        yield Table(
            ["where", "problem"],
            [[finding["where"], finding["problem"]] for finding in document["findings"]],
            title="The trail was tampered with",
        )
    else:
        yield (
            f"Intact: {document['sealed_entries']} entries under {document['seals']} seals,"
            f" {document['unsealed']} not sealed yet."
        )
    if document["head"]:
        yield f"Head: {document['head']}"
    if document["unsealed"]:
        yield "Seal the rest: padelops audit seal"
