"""
Show more than a pipe holds.
"""

import typer

from padelops.cli.output import show

app = typer.Typer()


@app.command()
def many(ctx: typer.Context) -> None:
    lines = [f"line {number}" for number in range(30_000)]
    show(ctx, {"lines": lines}, lambda shown: "\n".join(shown["lines"]))
