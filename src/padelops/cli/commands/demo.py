"""Tell the main job on a real database: clubs, prices, a race, a refund, the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from padelops.cli.desk import opened
from padelops.cli.options import Yes
from padelops.cli.output import Terminal, confirm, progress, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.cli.demo_story import Chapter
    from padelops.cli.tables import Piece

app = typer.Typer()

NEXT = """What to try next:
  padelops availability shibuya          another zone, another currency
  padelops search --club centro          who plays when
  padelops audit verify                  prove that nobody touched the trail
  padelops import FILE                   bring the clubs you run today
  padelops db stop                       stop the embedded database"""


@app.command()
def demo(
    ctx: typer.Context,
    yes: Yes = False,
) -> None:
    """Book, race, cancel and validate at three demo clubs; takes seconds, can be repeated."""
    from padelops.cli.demo_story import RACERS, chapters
    from padelops.settings import Settings

    settings = Settings.from_environment()
    if settings.database_url is not None:
        confirm(ctx, "The demo makes clubs and bookings in PADELOPS_DATABASE_URL. Go on?", yes=yes)
    # A race on a busy laptop must end by the constraint, not by the clock.
    # Cards are charged in the sandbox, whatever gateway is configured.
    settings = settings.model_copy(
        update={
            "pool_size": RACERS,
            "level1_budget_ms": 10_000,
            "gateway": "sandbox",
            "sandbox_url": None,
        }
    )
    told: list[Chapter] = []
    with opened(settings) as desk, progress(ctx, "Telling the story") as advance:
        for chapter in chapters(desk, width=Terminal.of(ctx).width):
            told.append(chapter)
            advance()
    document = {
        "chapters": [
            {"title": chapter.title, "command": chapter.command, "facts": chapter.facts}
            for chapter in told
        ]
    }
    show(ctx, document, lambda _: _pieces(told))
    raise typer.Exit(0 if told[-1].facts["verdict"] == "ok" else 2)


def _pieces(told: list[Chapter]) -> Iterator[Piece]:
    for number, chapter in enumerate(told, start=1):
        yield f"{number}. {chapter.title}\n   $ {chapter.command}"
        yield from chapter.pieces
    yield NEXT
