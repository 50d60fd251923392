"""Open, follow and end incidents: people are called by the escalation matrix until one answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.output import say, show, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from padelops.cli.tables import Piece
    from padelops.ops.paging import Tried

app = typer.Typer(help="Incidents: who is called when, what was done, and what is told of it.")

Number = Annotated[int, typer.Argument(help="The incident's number, without INC-.")]
Level = Annotated[int, typer.Option(min=1, max=3, help="1 revenue or system, 2 users, 3 minor.")]


@app.command("open")
def open_(
    ctx: typer.Context,
    title: Annotated[str, typer.Argument(help="What is wrong, in one line.")],
    level: Level = 1,
    impact: Annotated[str, typer.Option(help="Revenue or users affected.")] = "not known yet",
    eta: Annotated[str, typer.Option(help="Expected resolution time.")] = "unknown",
    key: Annotated[
        str | None, typer.Option(help="One open incident for each key (default: the title).")
    ] = None,
) -> None:
    """
    Open an incident and call the first on call at once; one that is open under the key is kept.

    While the database is away a level-1 page goes out all the same, and the incident is recorded
    later. Exit status: 0 open and somebody has been reached, 6 open, but nobody was reached yet.
    """
    from padelops.ops import incident_messages
    from padelops.wiring.emergency import page_if_away
    from padelops.wiring.incidents import open_incident

    if level == 1 and (told := page_if_away(key or title, title=title, impact=impact)):
        show(ctx, {"incident": None, "told": told}, lambda _: told)
        return
    with opened() as desk:
        number, new, tried = open_incident(
            desk, key or title, title=title, level=level, impact=impact, eta=eta
        )
        story = desk.incidents.story(number)
    message = incident_messages.critical(story.incident)
    show(
        ctx,
        {
            "incident": number,
            "name": incident_messages.name_of(number),
            "new": new,
            "message": message,
            "pages": [each.as_json() for each in tried],
        },
        lambda _: [
            message.rstrip(),
            f"{incident_messages.name_of(number)} is open.{'' if new else ' It was already.'}",
        ],
    )
    _tell(ctx, tried)
    _require_reached(bool(story.unreached))


@app.command()
def ack(
    ctx: typer.Context,
    number: Annotated[
        int | None,
        typer.Argument(
            help="Which; without, the one kept on this machine while the database is away."
        ),
    ] = None,
    who: Annotated[str | None, typer.Option(help="Who is at it (default: you).")] = None,
) -> None:
    """Say that somebody is at it; nobody else is called."""
    if number is None:
        from padelops.errors import NotFound
        from padelops.settings import Settings
        from padelops.wiring.emergency import spool_of
        from padelops.wiring.opening import login

        if not spool_of(Settings.from_environment()).acknowledge(who or login()):
            raise NotFound(
                "No incident waits on this machine for the database.", fix="Say its number."
            )
        show(ctx, {"acknowledged": True}, lambda _: "Acknowledged. Nobody else is called.")
        return
    with opened() as desk:
        desk.incidents.acknowledge(number, who=who)
        tried = desk.paging.send_due(incident_id=number)
        story = desk.incidents.story(number)
    by = story.incident.acknowledged_by
    show(ctx, story, lambda _: f"INC-{number} is acknowledged by {by}. Nobody else is called.")
    _tell(ctx, tried)


@app.command()
def update(
    ctx: typer.Context,
    number: Number,
    brief: Annotated[str, typer.Argument(help="How it stands, in a few words.")],
    progress: Annotated[str, typer.Option(help="What has been done.")],
    next_steps: Annotated[str, typer.Option("--next", help="What will be done next.")],
    status: Annotated[str | None, typer.Option(help="investigating or mitigating.")] = None,
    eta: Annotated[str | None, typer.Option(help="The updated resolution time.")] = None,
    impact: Annotated[str | None, typer.Option(help="Revenue or users affected.")] = None,
) -> None:
    """Tell how it goes, in the words of the status update; whoever was called gets it by mail."""
    with opened() as desk:
        message = desk.incidents.update(
            number,
            brief=brief,
            progress=progress,
            next_steps=next_steps,
            status=status,
            eta=eta,
            impact=impact,
        )
        tried = desk.paging.send_due(incident_id=number)
    show(ctx, {"incident": number, "message": message}, lambda _: message.rstrip())
    _tell(ctx, tried)


@app.command()
def escalate(
    ctx: typer.Context,
    number: Annotated[
        int | None, typer.Argument(help="Call this one's next now; without: all that are due.")
    ] = None,
    level: Annotated[
        int | None, typer.Option(min=1, max=3, help="Raise it to this graver level.")
    ] = None,
) -> None:
    """
    Call who is due by the escalation matrix, as the worker does; or one incident's next at once.

    Exit status: 0 done, 6 somebody was to be called and could not be reached.
    """
    from padelops.errors import Usage

    if number is None and level is not None:
        raise Usage("Say which incident: its number.")
    with opened() as desk:
        called = desk.incidents.climb_due() if number is None else 1
        role = None if number is None else desk.incidents.escalate(number, level=level)
        tried = desk.paging.send_due(incident_id=number)
    show(
        ctx,
        {"called": called, "role": role, "pages": [each.as_json() for each in tried]},
        lambda _: f"{role or called} called." if called else "Nobody is due to be called.",
    )
    _tell(ctx, tried)
    _require_reached(any(not each.reached and not each.over for each in tried))


@app.command()
def resolve(
    ctx: typer.Context,
    number: Number,
    told: Annotated[str, typer.Argument(metavar="TEXT", help="What ended it.")],
) -> None:
    """End an incident: pagers fall silent, who was called hears of it, breakers are released."""
    from padelops.wiring.emergency import release_breakers

    with opened() as desk:
        message = desk.incidents.resolve(number, told=told)
        released = release_breakers(desk, number)
        tried = desk.paging.send_due(incident_id=number)
    show(
        ctx,
        {"incident": number, "message": message, "breakers_released": released},
        lambda _: message.rstrip(),
    )
    for line in released:
        say(ctx, line)
    _tell(ctx, tried)


@app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="The resolved ones as well.")] = False,
    limit: Annotated[int, typer.Option(help="Incidents at the most, up to 1000.")] = 50,
) -> None:
    """List open incidents, the gravest first."""
    with opened() as desk:
        rows = desk.incidents.listing(everything=everything, limit=limit)
    show(ctx, {"incidents": [row.as_json() for row in rows]}, _list)


@app.command("show")
def show_(ctx: typer.Context, number: Number) -> None:
    """Show an incident: who is called next, every page and what became of it, the timeline."""
    with opened() as desk:
        story = desk.incidents.story(number)
    show(ctx, story, lambda found: list(_story(found.as_json())))
    if story.unreached:
        warn(ctx, f"Nobody has got {len(story.unreached)} of its pages; call by hand.")


@app.command()
def export(
    ctx: typer.Context,
    number: Number,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write it to this file instead of the terminal.")
    ] = None,
) -> None:
    """Export the post-mortem in Markdown: timeline, pages, the numbers around the time."""
    from padelops.wiring.post_mortem import post_mortem

    with opened() as desk:
        text = post_mortem(desk, number)
    if to is not None:
        to.write_text(text, encoding="utf-8")
    show(
        ctx,
        {"incident": number, "file": to, "markdown": None if to else text},
        lambda _: f"Written to {to}." if to else text,
    )


def _tell(ctx: typer.Context, tried: Iterable[Tried]) -> None:
    for each in tried:
        for entry in each.sent:
            say(ctx, f"{each.role}: {entry.replace(':', ' reached ', 1)}")
        for problem in each.problems:
            warn(ctx, f"NOT REACHED {each.role}: {problem}")


def _require_reached(unreached: bool) -> None:
    """
    Raises:
        PartlyDone: the pages wait for the worker; call by hand meanwhile.
    """
    from padelops.errors import PartlyDone

    if unreached:
        raise PartlyDone(
            "Nobody has been reached yet; the worker goes on trying.",
            fix="Call by hand; see: padelops incident show",
        )


def _list(document: Mapping[str, Any]) -> Piece:
    from padelops.cli.tables import Table

    return Table(
        ["incident", "level", "status", "what", "impact", "ETA", "opened (UTC)", "acknowledged by"],
        [
            [
                f"INC-{row['id']}",
                row["level"],
                row["status"],
                row["title"],
                row["impact"],
                row["eta"],
                f"{row['opened_at']:%Y-%m-%d %H:%M:%S}",
                row["acknowledged_by"],
            ]
            for row in document["incidents"]
        ],
        nothing="No open incident.",
    )


def _story(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Record, Table

    row, following = document["incident"], document["next_call"]
    yield Record(
        {
            "level": row["level"],
            "status": row["status"],
            "impact": row["impact"],
            "ETA": row["eta"],
            "opened": f"{row['opened_at']:%Y-%m-%d %H:%M:%S} UTC",
            "due": row["due_at"] and f"{row['due_at']:%Y-%m-%d %H:%M} UTC",
            "acknowledged": row["acknowledged_by"],
            "next call": following and f"{following['role']} in {following['in_s']} s",
        },
        title=f"{row['name']}: {row['title']}",
    )
    yield Table(
        ["page", "to", "about", "state", "reached", "tries", "problem"],
        [
            [
                page["id"], page["role"], page["action"], page["state"], page["sent"],
                page["attempts"], page["problem"],
            ]
            for page in document["pages"]
        ],
        title="Pages",
    )  # fmt: skip
    yield Table(
        ["when (UTC)", "kind", "by", "what"],
        [
            [f"{event['at']:%Y-%m-%d %H:%M:%S}", event["kind"], event["actor"], event["told"]]
            for event in document["timeline"]
        ],
        title="Timeline",
    )
