"""
Wait for a signal, then clean up until the end of the input.
"""

import sys

import typer

from padelops.cli.output import say
from padelops.cli.stopping import StopRequested
from padelops.errors import OutcomeUnknown

app = typer.Typer()


@app.command()
def wait(ctx: typer.Context, commit: bool = False) -> None:
    try:
        say(ctx, "ready")
        sys.stdin.readline()
    except (KeyboardInterrupt, StopRequested) as exc:
        if commit:
            raise OutcomeUnknown(fix="Look for the key.") from exc
        raise
    finally:
        say(ctx, "cleaning up")
        sys.stdin.readline()
        say(ctx, "cleaned up")
