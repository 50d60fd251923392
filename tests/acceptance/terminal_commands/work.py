"""
Work with a progress bar, on data that tries to paint the terminal.
"""

import typer

from padelops.cli.output import progress, show

app = typer.Typer()


@app.command()
def work(ctx: typer.Context) -> None:
    with progress(ctx, "Working", total=3) as advance:
        for _ in range(3):
            advance()
    show(ctx, {"done": 3, "by": "a\x1b[31mb"})
