"""Look at the cache, clear part of it, fill it in advance; it can only ever cost or save time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.options import DryRun, Yes
from padelops.cli.output import confirm, progress, say, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.cli.tables import Piece
    from padelops.ops.cache_care import CacheStats

app = typer.Typer(help="The cache of what is free: its hit rate, and what it keeps.")


@app.command()
def stats(
    ctx: typer.Context,
    hours: Annotated[
        int, typer.Option(min=1, max=35 * 24, help="Over how long the hit rate is told.")
    ] = 24,
) -> None:
    """
    Show the hit rate against its goal, and what is kept: how much, how old.

    Exit status: 0 the goal is reached or nobody asked, 1 it is missed, 3 the counts are not known.
    """
    from padelops.ops.verdict import Verdict
    from padelops.settings import Settings
    from padelops.wiring import utc_now
    from padelops.wiring.caches import cache_stats

    found = cache_stats(Settings.from_environment(), window_h=hours, now=utc_now())
    show(ctx, found, _stats)
    if found.counted is None:
        raise typer.Exit(Verdict.UNKNOWN)
    raise typer.Exit(Verdict.WARNING if found.reaches_goal is False else Verdict.OK)


@app.command()
def purge(
    ctx: typer.Context,
    pattern: Annotated[str, typer.Argument(help="Keys; only * is special: 'reservation_*'.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """
    Delete what matches, in batches; counts first. May be broken off and run again.

    Never everything: an empty pattern and * are refused.
    """
    from padelops.ops.cache_care import BATCH, checked_pattern
    from padelops.settings import Settings
    from padelops.wiring.caches import opened_cache

    checked_pattern(pattern)
    with opened_cache(Settings.from_environment()) as cache:
        matched = cache.count(pattern)
        document = {"pattern": pattern, "matched": matched, "deleted": 0, "dry_run": dry_run}
        if dry_run or not matched:
            show(ctx, document, _purged)
            return
        confirm(ctx, f"Delete {matched} keys that match {pattern}?", yes=yes)
        deleted = 0
        try:
            with progress(ctx, "Deleting", matched) as advance:
                for batch in cache.purge(pattern, batch=BATCH):
                    deleted += batch
                    advance(batch)
        except BaseException:
            say(ctx, f"{deleted} of {matched} keys were deleted; run it again for the rest.")
            raise
    show(ctx, {**document, "deleted": deleted}, _purged)


@app.command()
def warm(
    ctx: typer.Context,
    clubs: Annotated[
        list[str] | None, typer.Argument(help="Clubs; every club when left out.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=31, help="How many days, from today.")] = 7,
    minutes: Annotated[
        int | None, typer.Option(help="For which length; each club's usual one when left out.")
    ] = None,
) -> None:
    """Compute the coming days' availability, so that the first who asks need not wait."""
    from datetime import timedelta

    from padelops.booking.club_time import local
    from padelops.cli.desk import opened
    from padelops.errors import PartlyDone
    from padelops.ops.cache_care import ANSWERS

    with opened() as desk:
        slugs = clubs or [club.slug for club in desk.clubs()]
        before = desk.cache.count(ANSWERS)  # says so where the cache is away
        warmed = []
        with progress(ctx, "Warming", len(slugs)) as advance:
            for slug in slugs:
                today = local(desk.now(), desk.catalogue.club(slug).zone).date()
                coming = [today + timedelta(days=day) for day in range(days)]
                warmed.append(desk.warm_cache(coming, slug, minutes=minutes))
                advance()
        added = desk.cache.count(ANSWERS) - before
    show(ctx, {"clubs": [one.as_json() for one in warmed], "entries_added": added}, _warmed)
    if uncertain := [one.club for one in warmed if one.uncertain]:
        raise PartlyDone(
            f"The database did not answer about every day of {', '.join(uncertain)}.",
            fix="Run it again.",
        )


def _stats(found: CacheStats) -> Iterator[Piece]:
    from padelops.cli.tables import Record, Table

    facts = found.as_json()
    rate = "nobody asked"
    if found.counted is None:
        rate = "not known: the database is away"
    elif found.hit_percent is not None:
        goal = f"goal: over {facts['goal_percent']}%{'' if found.reaches_goal else ', missed'}"
        rate = f"{found.hit_percent:.1f}% of {found.asked} ({goal})"
    more = "" if found.contents.complete else " or more"
    yield Record(
        {
            "cache": facts["where"],
            f"hit rate, {found.window_h} h": rate,
            "errors": facts["errors"],
            "entries": f"{facts['entries']}{more}",
            "size": f"{facts['size_bytes'] / 1024:.1f} KiB",
            "oldest": _span(facts["oldest_s"]),
            "newest": _span(facts["newest_s"]),
        }
    )
    if facts["kinds"]:
        rows = [[row["kind"], row["entries"]] for row in facts["kinds"]]
        yield Table(["kind", "entries"], rows)


def _span(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.0f} s"


def _purged(document: Mapping[str, Any]) -> str:
    if document["dry_run"] or not document["matched"]:
        would = "; nothing was deleted" if document["dry_run"] else ""
        return f"{document['matched']} keys match {document['pattern']}{would}."
    return f"{document['deleted']} keys deleted."


def _warmed(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        ["club", "computed", "kept already", "not answered"],
        [
            [row["club"], row["computed"], row["kept"], row["uncertain"]]
            for row in document["clubs"]
        ],
    )
