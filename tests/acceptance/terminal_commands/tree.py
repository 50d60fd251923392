"""
A group with one command in it.
"""

import typer

from padelops.cli.output import show

app = typer.Typer()


@app.command()
def leaf(ctx: typer.Context) -> None:
    """The only leaf."""
    show(ctx, {"leaf": True})
