"""
The one way out: results go to standard output, talk to standard error, and neither ever lies.

A command calls `show` once with its result, and `say`, `progress` and `confirm` as it needs.
Whether that ends up as a table, as one JSON document, or (`--quiet`) nowhere, is decided here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from padelops.cli import streams
from padelops.cli.streams import STDERR, STDOUT, harmless
from padelops.errors import PadelopsError, SafetyGate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import typer
    from rich.console import Console

    from padelops.cli.tables import Piece


class Shown(Protocol):
    """A result: knows what it looks like as JSON."""

    def as_json(self) -> Mapping[str, Any]: ...


Result = TypeVar("Result", bound=Shown)


CLEAR = "\x1b[H\x1b[2J"
"""Empties a terminal and goes to its upper left corner."""


class Advance(Protocol):
    """Tells a progress bar that so many more steps are done."""

    def __call__(self, steps: int = 1) -> None: ...


class Terminal:
    """
    What one invocation knows about whoever reads it. The root context carries it as its object.
    """

    def __init__(self, *, json: bool = False, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.json = json
        self.quiet = False
        self.colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        """Neither colour nor anything else that moves a cursor, unless this is set."""

        self.debug = environ.get("PADELOPS_DEBUG", "0") not in {"", "0"}
        """Whether tracebacks and what libraries log are wanted."""

        self.is_terminal = os.isatty(STDOUT)
        self.talks_to_terminal = os.isatty(STDERR)
        self.unicode = streams.draws_boxes(sys.stdout.encoding, environ)
        bounded = self.is_terminal or environ.get("COLUMNS")
        self.width = max(get_terminal_size((80, 24)).columns, 20) if bounded else None
        """In cells; None where nothing bounds a line, as in a pipe."""

        self.answered = False
        """Whether a result was handed over: from here on a failing output loses an answer."""

        self._document: dict[str, Any] = {}
        self._held: list[tuple[Callable[[str], None], str]] = []

    @staticmethod
    def of(ctx: typer.Context) -> Terminal:
        """The terminal of this invocation."""
        terminal = ctx.find_object(Terminal)
        if terminal is None:
            raise LookupError("The command was not started by padelops.cli.main.")
        return terminal

    def console(self, *, talk: bool = False, whole_screen: bool = False) -> Console:
        """
        A Rich console on standard output (or error) that keeps this terminal's rules.

        Args:
            whole_screen: for what takes the screen over: asked for, so it moves the cursor without
                colour too, and follows the window's size.
        """
        from rich.console import Console

        on_terminal = self.talks_to_terminal if talk else self.is_terminal
        return Console(
            file=sys.stderr if talk else sys.stdout,
            # None, unlike "auto", is not overruled by FORCE_COLOR.
            color_system="auto" if on_terminal and self.colour else None,
            force_terminal=on_terminal and (self.colour or whole_screen),
            width=None if whole_screen else self.width,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def show(self, document: Mapping[str, Any], pieces: Callable[[], Iterable[Piece]]) -> None:
        """Keep the document for the end (`--json`), or draw the pieces now."""
        if self.answered:
            raise RuntimeError("A command shows one result; give `show` a view with many pieces.")
        self.answered = True
        self._document = dict(document)
        if self.json:
            return

        from padelops.cli.tables import draw

        lines = draw(
            pieces(),
            width=self.width,
            unicode=self.unicode,
            colour=self.colour and self.is_terminal,
        )
        self._write(streams.write_result, "".join(f"{line}\n" for line in lines))

    def show_again(
        self, document: Mapping[str, Any], pieces: Callable[[], Iterable[Piece]]
    ) -> None:
        """
        One of many results: over the last one on a terminal, else one after the other (`--json`:
        a document a line).
        """
        if self.json:
            from padelops.cli.documents import written

            streams.write_result(written(document, encoding=sys.stdout.encoding))
            return

        from padelops.cli.tables import draw

        moves = self.colour and self.is_terminal
        lines = draw(pieces(), width=self.width, unicode=self.unicode, colour=moves)
        begin = CLEAR if moves else ""
        streams.write_result(begin + "".join(f"{line}\n" for line in lines))

    def say(self, text: str) -> None:
        """One line of talk."""
        self._write(streams.write_talk, harmless(text) + "\n")

    def finish(self, code: int, error: PadelopsError | None) -> None:
        """
        End the invocation: the JSON document, what `--quiet` held back, the error's line.

        Silence is for success only: with any other exit code everything is told.

        Raises:
            OutputFailed: standard output did not take it.
            ReaderGone: nobody reads any more.
        """
        try:
            self._hand_over(code, error)
        finally:
            # On a terminal the document has just said it; in a pipe, a log must not be mute.
            if error and not (self.json and self.is_terminal):
                self.complain(error)

    def complain(self, error: PadelopsError) -> None:
        """The one line about an error: its code, its message, what to do next."""
        name = "padelops"
        if self.talks_to_terminal and self.colour:
            name = f"\x1b[31m{name}\x1b[0m"
        line = harmless(" ".join(f"{error.code}: {error}".split()))
        streams.write_talk(f"{name}: {line}\n")

    def _hand_over(self, code: int, error: PadelopsError | None) -> None:
        if self.json and (self.answered or error):
            from padelops.cli.documents import written

            failed = {"error": error.as_json()} if error else {}
            text = written(
                {**self._document, **failed},
                encoding=sys.stdout.encoding,
                indent=2 if self.is_terminal else None,
            )
            self._write(streams.write_result, text)
        if code:
            self.quiet = False
            held, self._held = self._held, []
            for write, text in held:
                write(text)

    def _write(self, write: Callable[[str], None], text: str) -> None:
        if self.quiet:
            self._held.append((write, text))
        else:
            write(text)


@overload
def show(
    ctx: typer.Context,
    result: Mapping[str, Any],
    view: Callable[[Mapping[str, Any]], Piece | Iterable[Piece]] | None = None,
) -> None: ...
@overload
def show(
    ctx: typer.Context,
    result: Result,
    view: Callable[[Result], Piece | Iterable[Piece]] | None = None,
) -> None: ...
def show(
    ctx: typer.Context,
    result: Any,
    view: Callable[[Any], Piece | Iterable[Piece]] | None = None,
) -> None:
    """
    Give a command's result to whoever asked: for people as `view` lays it out, or as JSON.

    Args:
        ctx: the command's context.
        result: has `as_json()`, or is a mapping. Decimals, datetimes, enums, dates, paths and
            nested values with `as_json()` are written for it.
        view: turns the result into text, a `Table`, a `Record` or several of them. Left out, the
            document is shown as it is: its facts as a record, its lists as tables.
    """
    document: Mapping[str, Any] = result if isinstance(result, Mapping) else result.as_json()

    def pieces() -> Iterable[Piece]:
        from padelops.cli.tables import Record, Table, pieces_of

        if view is None:
            return pieces_of(document)
        shown = view(result)
        return [shown] if isinstance(shown, str | Table | Record) else shown

    Terminal.of(ctx).show(document, pieces)


def say(ctx: typer.Context, text: str) -> None:
    """One line of talk on standard error, held back by `--quiet` until something fails."""
    Terminal.of(ctx).say(text)


def warn(ctx: typer.Context, text: str) -> None:
    """One line on standard error, also with `--quiet`: all went well, but somebody must know."""
    del ctx
    streams.write_talk(harmless(text) + "\n")


@contextmanager
def progress(ctx: typer.Context, title: str, total: int | None = None) -> Iterator[Advance]:
    """
    A progress bar on standard error; nothing without a terminal, with `--quiet`, or in plain mode.

    Args:
        ctx: the command's context.
        title: what is being done, such as "Checking reservations".
        total: how many steps there are, where that is known.

    Yields:
        A function to call with the number of steps just done.
    """
    terminal = Terminal.of(ctx)
    if terminal.quiet or not (terminal.talks_to_terminal and terminal.colour):
        yield _nowhere
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # Results may be shown while the bar moves: standard output stays what it is.
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=terminal.console(talk=True),
        transient=True,
        redirect_stdout=False,
    ) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps=1: bar.advance(task, steps)


def _nowhere(steps: int = 1) -> None:
    """Progress nobody watches."""
    del steps


def confirm(ctx: typer.Context, question: str, *, yes: bool) -> None:
    """
    Go on only when a person agrees: asks on a terminal; elsewhere `--yes` must have been given.

    Raises:
        SafetyGate: not agreed, or nobody there to ask.
    """
    if yes:
        return
    confirm_early(ctx, question, yes=yes)
    # Past `--quiet`: a question nobody sees would wait for ever.
    streams.write_talk(f"{harmless(question)} [y/N] ")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        streams.write_talk("\n")
    if answer.strip().lower() not in {"y", "yes"}:
        raise SafetyGate("Not confirmed. Nothing was changed.")


def confirm_early(ctx: typer.Context, question: str, *, yes: bool) -> None:
    """
    Be sure that `confirm` will find somebody to ask, before time is spent on what it is about.

    Raises:
        SafetyGate: nobody is there, and `--yes` was not given.
    """
    if yes or (os.isatty(streams.STDIN) and Terminal.of(ctx).talks_to_terminal):
        return
    raise SafetyGate(
        f"{question} Nobody is there to ask.", fix="Pass --yes to go on without a terminal."
    )
