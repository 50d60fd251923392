"""
End with a verdict, as checks do.
"""

import typer

from padelops.cli.output import say, show

app = typer.Typer()


@app.command()
def verdict(ctx: typer.Context, code: int = 0) -> None:
    say(ctx, "evidence in talk")
    show(ctx, {"verdict": code})
    raise typer.Exit(code)
