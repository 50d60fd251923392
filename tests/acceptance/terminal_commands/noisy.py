"""
Use a library that logs and warns.
"""

import logging
import warnings

import typer

from padelops.cli.output import show

app = typer.Typer()


@app.command()
def noisy(ctx: typer.Context) -> None:
    warnings.warn("beware", stacklevel=1)
    logging.getLogger("library").error("lost", exc_info=OSError("pool"))
    show(ctx, {"noisy": False})
