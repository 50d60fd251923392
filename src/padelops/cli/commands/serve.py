"""Serve the HTTP API: book, show, cancel, search, prices, availability, probes."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from padelops.cli.output import say

app = typer.Typer()


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes (default: one for each core).")
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, max=128, help="Requests that each process works on at once.")
    ] = 8,
    queue: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, help="Requests that may wait for them; more are refused with 503."
        ),
    ] = 64,
    drain_seconds: Annotated[
        int, typer.Option(min=1, max=600, help="To finish what was accepted, once told to stop.")
    ] = 30,
) -> None:
    """
    Serve the HTTP API until told to stop; prints its address once it answers.

    SIGTERM and Ctrl-C stop it: it accepts nothing new, answers what it has accepted, and ends with
    exit status 0. Its log goes to standard error, one JSON object a line.
    """
    from padelops.api.server import Serving
    from padelops.api.server import serve as run
    from padelops.cli.documents import written
    from padelops.cli.output import Terminal
    from padelops.cli.streams import write_result
    from padelops.settings import Settings

    as_json = Terminal.of(ctx).json

    def started(url: str) -> None:
        # At once and not at the end: whoever started it waits for the address.
        write_result(written({"url": url}, encoding="utf-8") if as_json else f"{url}\n")
        say(ctx, "The API answers. Stop it with Ctrl-C.")

    serving = Serving(
        settings=Settings.from_environment(),
        host=host,
        port=port,
        workers=workers or len(os.sched_getaffinity(0)),
        threads=threads,
        line=queue,
        drain_s=drain_seconds,
    )
    run(serving, started=started)
