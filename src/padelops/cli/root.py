"""
The command line's root: lists every command, imports only the one that is asked for.

A command is a module in `commands/`; there is no list to add it to. `padelops --help` reads the
first line of each module's docstring from its source: importing all of them, with what they need,
would take longer than most commands do.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from padelops.cli import commands
from padelops.cli.options import NoColour, Version, common_options
from padelops.cli.output import Terminal
from padelops.errors import ExitCode, Interrupted, Usage, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typer._click.core import Command, Context
    from typer._click.formatting import HelpFormatter

PROGRAM = "padelops"
COMPLETION = "_PADELOPS_COMPLETE"
"""Set by the shell while it completes a line."""

VERBATIM = "\\b\n"
"""Before a paragraph whose lines stay as they are: spelt out, as the docstring is a raw one."""

MAIN_JOB = (
    "book", "cancel", "price", "availability", "search", "show", "club", "import", "demo",
)  # fmt: skip
"""What the help lists first, in this order; every other command is one of the operations."""


class Unloaded(TyperCommand):
    """A command that is only listed: its module has not been imported."""

    def __init__(self, name: str, module: str, folder: str | None) -> None:
        super().__init__(name)
        self.module = module
        self.folder = folder

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first line of the module's docstring, whole: the formatter wraps it."""
        del limit
        return first_line(self._docstring_in_source() or self._imported().__doc__)

    def load(self) -> Command:
        """
        The command itself, or the group of commands, that the module's `app` defines.

        A single command named like its module is the command; anything else makes a group, also
        when there is just one in it: `audit.py` with only `verify` is `padelops audit verify`.
        """
        module = self._imported()
        app: typer.Typer = module.app
        app.rich_markup_mode = None
        group = get_group(app)
        own = group.commands.get(str(self.name))
        command = own if own and len(group.commands) == 1 else group
        command.name = self.name
        _furnish(command, module.__doc__)
        return command

    def _imported(self) -> Any:
        return importlib.import_module(f"{commands.__name__}.{self.module}")

    def _docstring_in_source(self) -> str:
        """Empty where there is no source to read, as in a zip file."""
        try:
            with open(f"{self.folder}/{self.module}.py", encoding="utf-8") as source:  # noqa: PTH123 - pathlib is not loaded for this
                head = source.read(1000)
        except OSError:
            return ""
        return head.partition('"""')[2].partition('"""')[0]


class Root(TyperGroup):
    """`padelops` itself."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        listed = [
            Unloaded(module.name.rstrip("_").replace("_", "-"), module.name, folder)
            for module in pkgutil.iter_modules(commands.__path__)
            if not module.name.startswith("_")
            for folder in [getattr(module.module_finder, "path", None)]
        ]
        order = {name: position for position, name in enumerate(MAIN_JOB)}
        listed.sort(key=lambda command: (order.get(str(command.name), len(order)), command.name))
        self.commands = {str(command.name): command for command in listed}

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if isinstance(command, Unloaded):
            terminal = ctx.find_object(Terminal)
            if terminal and not terminal.debug:
                _hush_libraries()
            command = command.load()
        return name, command, rest

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        del ctx
        width = max((len(name) for name in self.commands), default=0)
        rows = {
            name: (name.ljust(width), command.get_short_help_str())
            for name, command in self.commands.items()
        }
        for title, main_job in (("Main job", True), ("Operations", False)):
            section = [row for name, row in rows.items() if (name in MAIN_JOB) is main_job]
            if section:
                with formatter.section(title):
                    formatter.write_dl(section)


app = typer.Typer(cls=Root, rich_markup_mode=None)
"""Rich's help is not used: it takes more than twice as long, and reads badly in 60 columns."""


@app.callback(invoke_without_command=True)
def padelops(ctx: typer.Context, version: Version = False, no_color: NoColour = False) -> None:
    """
    Keeps padel courts sold exactly once, and helps those on call to prove it.
    """
    del version, no_color  # their callbacks have done it
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(ExitCode.USAGE)


def run(terminal: Terminal, arguments: Sequence[str]) -> int:
    """
    Parse one command line and run its command.

    Typer's own `main` is used for shell completion only: it turns a broken database socket, which
    is an `OSError` like a closed pipe, into a silent exit.

    Returns:
        The exit code the command asked for, 0 if it asked for none.

    Raises:
        PadelopsError: whatever the command raised, and `Usage` for a command line that is wrong.
    """
    root = get_command(app)
    if os.environ.get(COMPLETION):
        root.main(list(arguments), prog_name=PROGRAM, obj=terminal)
    try:
        with root.make_context(PROGRAM, list(arguments), obj=terminal) as ctx:
            root.invoke(ctx)
    except typer.Exit as exc:
        return exc.exit_code
    except typer.Abort as exc:
        raise Interrupted from exc
    except typer.TyperException as exc:
        raise _usage(exc) from exc
    terminal.answered = True
    return ExitCode.DONE


def every_command() -> Iterator[tuple[str, Command]]:
    """
    All commands and groups, loaded, by what is typed: `("cache purge", …)`.
    """

    def walk(path: str, command: Command) -> Iterator[tuple[str, Command]]:
        yield path, command
        if isinstance(command, TyperGroup):
            for name, inner in command.commands.items():
                yield from walk(f"{path} {name}", inner)

    root = get_command(app)
    assert isinstance(root, Root)  # noqa: S101 - for the type checker: `app` says cls=Root
    for name, listed in root.commands.items():
        assert isinstance(listed, Unloaded)  # noqa: S101 - nothing else is put in there
        yield from walk(name, listed.load())


def _furnish(command: Command, description: str | None) -> None:
    """Give a command, and all below it, what no author should have to repeat."""
    command.help = (command.help or description or "").replace(VERBATIM, "\b\n") or None
    command.short_help = command.short_help or first_line(command.help)
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            _furnish(inner, None)
        return
    own = {name for param in command.params for name in param.opts}
    command.params += [option for option in common_options() if not own.intersection(option.opts)]


def _hush_libraries() -> None:
    """
    What libraries log or warn goes nowhere: what matters to a caller is a result or an error.

    Python would print it on standard error otherwise: a connection pool logs whole tracebacks
    about a lost connection that the command has already put into one line.
    """
    import logging
    import warnings

    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _usage(exc: typer.TyperException) -> Usage:
    """Typer's refusal of a command line as one of ours: one line, with what was probably meant."""
    ctx: Context | None = getattr(exc, "ctx", None)
    fix = f"Try '{ctx.command_path if ctx else PROGRAM} --help'."
    message = " ".join(exc.format_message().split())
    if hasattr(exc, "possibilities"):  # an unknown option
        message = exc.message
        unknown: str = getattr(exc, "option_name", "")
        if any(unknown in option.opts for option in common_options()):
            fix = f"Put {unknown} after the command."
        elif exc.possibilities:
            message += f". Did you mean {' or '.join(sorted(exc.possibilities))}?"
    return Usage(message if message.endswith((".", "?")) else f"{message}.", fix=fix)
