"""List, retry and report on the messages to players."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.output import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.booking.delivery_report import DeliveryReport, KindReport
    from padelops.booking.outbox import Listing, Retried
    from padelops.cli.tables import Piece, Table

app = typer.Typer(help="Messages to players: what waits, what failed, and how many arrive.")


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[
        str | None, typer.Option(help="Only queued, delivered, failed or skipped ones.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only this kind: confirmation, cancellation, reminder, …")
    ] = None,
    reservation: Annotated[
        int | None, typer.Option(help="Only what this reservation's player was told.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Messages at the most, up to 1000.")] = 50,
) -> None:
    """List messages, newest first; addresses are masked."""
    from padelops.booking.outbox import listing

    with opened() as desk:
        found = listing(desk.bulk, state=state, kind=kind, reservation=reservation, limit=limit)
    show(ctx, found, _listing)


@app.command()
def retry(
    ctx: typer.Context,
    ids: Annotated[
        list[int] | None, typer.Argument(help="Messages' numbers, as `list` shows them.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every message that failed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which; change nothing.")] = False,
) -> None:
    """
    Make messages due again now, with all their tries; the worker sends them.

    What is no longer true by then is skipped, not sent. Exit status: 0 done, 1 refused.
    """
    from padelops.booking.outbox import retry as again
    from padelops.errors import Usage

    if bool(ids) is failed:
        raise Usage("Say which messages: their numbers, or --failed for all that failed.")
    with opened() as desk:
        retried = again(desk.bulk, ids or None, origin=desk.origin, now=desk.now(), dry_run=dry_run)
    show(ctx, retried, _retried)


@app.command()
def report(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(help="How many days back, of 24 hours.")] = 1,
) -> None:
    """
    Report how many messages arrived, against the goals (critical path 7).

    Exit status: 0 all goals met, 1 one is missed, 2 a kind is below 90%, 3 nothing to judge.
    """
    from padelops.booking.delivery_report import report as delivery_report

    with opened() as desk:
        found = delivery_report(desk.bulk, now=desk.now(), days=days)
    show(ctx, found, _report)
    raise typer.Exit(found.verdict)


def _listing(found: Listing) -> Table:
    from padelops.cli.tables import Table

    columns = (
        "id", "club", "reservation", "kind", "state", "tries", "due (UTC)", "next try (UTC)",
        "to", "reason", "detail",
    )  # fmt: skip
    return Table(
        columns,
        [
            [
                message["id"],
                message["club"],
                message["reservation"],
                message["kind"],
                message["state"],
                message["attempts"],
                _clock(message["due_at"]),
                _clock(message["next_attempt_at"]) if message["state"] == "queued" else None,
                message["address"],
                message["reason"],
                message["detail"],
            ]
            for message in found.as_json()["messages"]
        ],
        nothing="No such messages.",
    )


def _retried(retried: Retried) -> str:
    done = "would be due again" if retried.dry_run else "are due again; the worker sends them"
    return f"{len(retried.ids)} messages {done}."


def _report(found: DeliveryReport) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        [
            "kind", "verdict", "arrived", "goal", "delivered", "failed", "late", "waiting",
            "skipped", "average", "95% within",
        ],
        [_row(kind) for kind in found.kinds],
        title=f"Messages due from {_clock(found.since)} to {_clock(found.until)} UTC",
    )  # fmt: skip
    if found.reasons:
        yield Table(
            ["kind", "state", "reason", "messages", "such as"],
            [[row.kind, row.state, row.reason, row.n, row.example] for row in found.reasons],
            title="Why not",
        )
    yield f"Delivery: {found.verdict.name.lower()}."


def _row(kind: KindReport) -> list[Any]:
    facts = kind.as_json()
    return [
        kind.kind,
        facts["verdict"],
        _percent(facts["rate"]),
        _percent(facts["goal"]),
        *(facts[name] for name in ("delivered", "failed", "late", "waiting", "skipped")),
        *(None if facts[name] is None else f"{facts[name]} s" for name in ("average_s", "p95_s")),
    ]


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share * 100:.4g}%"


def _clock(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
