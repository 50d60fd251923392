"""Command lines that stand in a text, parsed as the program would, without running anything."""

from __future__ import annotations

import shlex

from typer.core import TyperGroup
from typer.main import get_command

from padelops.cli.output import Terminal
from padelops.cli.root import PROGRAM, app


def parsed(line: str) -> str:
    """
    The command that a line of padelops calls, such as `cache purge`.

    Raises:
        typer.TyperException: the program would refuse it.
    """
    words = shlex.split(line)
    assert words[0] == PROGRAM, line
    command = get_command(app)
    ctx = command.make_context(PROGRAM, words[1:], obj=Terminal(environ={}))
    path = []
    while isinstance(command, TyperGroup):
        name, found, rest = command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
        assert found is not None, line
        path.append(str(name))
        ctx = found.make_context(name, rest, parent=ctx)
        command = found
    return " ".join(path)
