"""
Refuse, before or after a result was shown.
"""

import typer

from padelops.cli.output import say, show
from padelops.errors import CourtTaken

app = typer.Typer()


@app.command()
def refuse(ctx: typer.Context, after: bool = False) -> None:
    say(ctx, "talk")
    if after:
        show(ctx, {"steps": ["one"]})
    raise CourtTaken(fix="Free nearby: 19:30.", free=["2026-12-05T19:30:00+01:00"])
