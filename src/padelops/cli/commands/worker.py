"""Do what happens later: captures, refunds, expired holds, messages, reminders."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.output import say, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padelops.cli.tables import Table

app = typer.Typer()

PAUSE_S = 1.0
"""Between two rounds that found nothing to do."""


@app.command()
def worker(
    ctx: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Do all that is due, then end: for cron.")
    ] = False,
) -> None:
    """
    Work off what is due until told to stop; any number may run side by side.

    SIGTERM and Ctrl-C finish the row in hand. Exit status: 0 also when stopped so.
    """
    with opened() as desk, _asked_to_stop() as asked, desk.worker() as worker:
        if once:
            done = worker.until_idle(asked.is_set)
        else:
            say(ctx, f"{worker.name} at work; Ctrl-C ends it after the row in hand.")
            done = {}
            while not asked.is_set():
                rows = worker.round(asked.is_set)
                for name, count in rows.items():
                    done[name] = done.get(name, 0) + count
                if not any(rows.values()):
                    asked.wait(PAUSE_S)
    show(ctx, {"worker": worker.name, "done": done}, _done)


@contextmanager
def _asked_to_stop() -> Iterator[Event]:
    """An event that SIGTERM and SIGINT set, instead of interrupting what is being done."""
    asked = Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _done(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    return Table(["chore", "rows"], list(document["done"].items()), nothing="Nothing was due.")
