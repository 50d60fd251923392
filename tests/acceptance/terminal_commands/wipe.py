"""
Erase three rows.
"""

import typer

from padelops.cli.options import DryRun, Yes
from padelops.cli.output import confirm, show

app = typer.Typer()


@app.command()
def wipe(ctx: typer.Context, yes: Yes = False, dry_run: DryRun = False) -> None:
    if not dry_run:
        confirm(ctx, "Erase 3 rows?", yes=yes)
    show(ctx, {"erased": 0 if dry_run else 3})
