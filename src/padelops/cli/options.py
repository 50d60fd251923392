"""
The options that mean the same wherever they appear, so that they are spelled and explained once.

`--json`, `--quiet` and `--no-color` need nothing from a command: the frame adds them to each one.
`Yes` and `DryRun` change what a command does, so a command that has them declares them.
"""

from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

from padelops.cli import streams
from padelops.cli.output import Terminal

Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask; needed where nobody is there to ask.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]


def _as_json(ctx: typer.Context, value: bool) -> None:
    Terminal.of(ctx).json = value


def _quietly(ctx: typer.Context, value: bool) -> None:
    Terminal.of(ctx).quiet = value


def _without_colour(ctx: typer.Context, value: bool) -> None:
    if value:
        Terminal.of(ctx).colour = False


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        streams.write_result(f"padelops {version('padelops')}\n")
        raise typer.Exit


def _switch(name: str, callback: Any, text: str) -> Any:
    # Eager: how to answer must be known before another option's value is refused.
    return typer.Option(name, callback=callback, help=text, is_eager=True, expose_value=False)


Json = Annotated[bool, _switch("--json", _as_json, "One JSON document on standard output.")]
Quiet = Annotated[
    bool, _switch("--quiet", _quietly, "Silent on success; on failure all there is to say.")
]
NoColour = Annotated[
    bool, _switch("--no-color", _without_colour, "No colour or animation, as with NO_COLOR.")
]
Version = Annotated[bool, _switch("--version", _version, "Show the version.")]


@cache
def common_options() -> tuple[Any, ...]:
    """What the frame adds to each command, in the parser's own form."""
    shared = typer.Typer(add_completion=False)

    @shared.command()
    def every_command(json: Json = False, quiet: Quiet = False, no_color: NoColour = False) -> None:
        del json, quiet, no_color  # their callbacks have told the terminal

    return tuple(get_command(shared).params)
