"""
The terminal door's frame: how commands are found, listed and documented, and how results read.
"""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_command

from padelops.cli import commands, documents, root, streams, tables
from padelops.cli.output import Terminal, show
from padelops.model import ReservationStatus

SAMPLES = Path(__file__).parents[1] / "acceptance" / "terminal_commands"

HEAVY = {"sqlalchemy", "psycopg", "pydantic", "alembic", "yaml", "rich", "httpx", "json", "logging"}

STARTUP = """
import sys
import padelops.cli.commands
padelops.cli.commands.__path__[:] = sys.argv.pop(1).split(":")
from padelops.cli.main import main
code = main()
print(code, *sys.modules, file=sys.stderr)
"""


def undocumented(path: str, command: Any) -> list[str]:
    """What a reader of this command's help would have to guess."""
    gaps = [] if command.help else [path]
    return gaps + [
        f"{path}: {param.name}"
        for param in command.params
        if isinstance(param, TyperOption | TyperArgument) and not (param.help or param.hidden)
    ]


FITS = 58
"""Characters of a line of help at 60 columns, less its indent."""


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make padelops find its commands in this folder only."""

    def only(folder: Path) -> None:
        monkeypatch.setattr(commands, "__path__", [str(folder)])
        for name in [name for name in sys.modules if name.startswith(f"{commands.__name__}.")]:
            monkeypatch.delitem(sys.modules, name)

    return only


def listed() -> list[str]:
    group = get_command(root.app)
    assert isinstance(group, TyperGroup)
    return list(group.commands)


@pytest.fixture
def ctx() -> typer.Context:
    command = get_command(root.app)
    return typer.Context(command, obj=Terminal(environ={"COLUMNS": "60"}))


def test_every_command_and_every_option_has_help() -> None:
    """Nobody has to read the source to know what a flag does."""
    gaps = [gap for path, command in root.every_command() for gap in undocumented(path, command)]

    assert [] == gaps


def test_missing_help_would_be_noticed(only: Callable[[Path], None]) -> None:
    """The test above finds an option without help, also inside a group's command."""
    only(SAMPLES)
    found = dict(root.every_command())

    assert ["refuse: after"] == undocumented("refuse", found["refuse"])
    assert [] == undocumented("wipe", found["wipe"])
    assert "tree leaf" in found


def test_every_help_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of each command and group prints its usage and ends with 0."""
    for path, _ in root.every_command():
        code = root.run(Terminal(), [*path.split(), "--help"])

        assert 0 == code
        assert capsys.readouterr().out.startswith(f"Usage: padelops {path} ")


def test_every_command_takes_the_common_options(only: Callable[[Path], None]) -> None:
    """`--json`, `--quiet` and `--no-color` are there without the author's doing; not on groups."""
    only(SAMPLES)

    for path, command in root.every_command():
        names = {name for param in command.params for name in param.opts}
        common = {"--json", "--quiet", "--no-color"}
        assert (set() if path == "tree" else common) == common & names


def test_help_imports_no_command_and_nothing_heavy(tmp_path: Path) -> None:
    """The list of commands comes from their sources; what they import is not needed for it."""
    (tmp_path / "heavy_test.py").write_text(
        '"""\nHeavy to load.\n"""\nimport sqlalchemy, psycopg\n'
    )
    real = ":".join(commands.__path__)

    done = subprocess.run(
        [sys.executable, "-c", STARTUP, f"{real}:{tmp_path}", "--help"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    code, *modules = done.stderr.split()
    assert "0" == code
    assert "Heavy to load." in done.stdout
    assert set() == HEAVY & set(modules)
    assert [] == [name for name in modules if name.startswith("padelops.cli.commands.")]


def test_commands_are_listed_with_the_main_job_first(
    tmp_path: Path, only: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Main job in its own order, then the operations by name; names are made for typing."""
    for name in ("slo", "alerts_check", "import_", "cancel", "book", "_shared"):
        (tmp_path / f"{name}.py").write_text(f'"""\nPromise of {name}.\n\nMore.\n"""\n')
    only(tmp_path)

    assert ["book", "cancel", "import", "alerts-check", "slo"] == listed()
    assert 0 == root.run(Terminal(), ["--help"])
    help_text = capsys.readouterr().out
    assert (
        "Main job:\n"
        "  book          Promise of book.\n"
        "  cancel        Promise of cancel.\n"
        "  import        Promise of import_.\n"
        "\n"
        "Operations:\n"
        "  alerts-check  Promise of alerts_check.\n"
        "  slo           Promise of slo.\n"
    ) in help_text


def test_commands_without_source_are_listed_too(
    tmp_path: Path, only: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """In a zip file there is no source to peek at: the module is imported instead."""
    with zipfile.ZipFile(tmp_path / "commands.zip", "w") as archive:
        archive.writestr("zipped.py", '"""\nFrom a zip file.\n"""\n')
    only(tmp_path / "commands.zip")

    assert ["zipped"] == listed()
    assert 0 == root.run(Terminal(), ["--help"])
    assert "From a zip file." in capsys.readouterr().out


def test_module_docstring_is_the_help_of_a_command_without_one(
    only: Callable[[Path], None],
) -> None:
    """A command's own docstring goes first, its module's stands in."""
    only(SAMPLES)
    found = dict(root.every_command())

    assert "Erase three rows." == (found["wipe"].help or "").strip()
    assert "List slots, in a table." == found["list-slots"].help


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (Decimal("7.50"), "7.50"),
        (ReservationStatus.NO_SHOW, "no_show"),
        (datetime(2026, 12, 5, 18, tzinfo=UTC), "2026-12-05T18:00+00:00"),
        (datetime(2026, 12, 5, 18, 0, 7, tzinfo=UTC), "2026-12-05T18:00:07+00:00"),
        (["1", None], "1, -"),
        ({"hours": 24}, "hours=24"),
        ("a\nb\x1b[2J\u202e", "a b\\x1b[2J\\u202e"),
    ],
)
def test_cells_read_well(value: object, text: str) -> None:
    """Values read as a person would write them, and cannot move the cursor."""
    assert text == tables.cell(value)


@pytest.mark.parametrize(
    ("width", "widths"),
    [
        (None, [4, 20]),  # a pipe
        (26, [4, 20]),  # just fits
        (25, [4, 19]),
        (16, [4, 10]),  # the longest word
        (15, None),  # would cut it: records instead
    ],
)
def test_columns_shrink_to_their_longest_word_and_no_further(
    width: int | None, widths: list[int] | None
) -> None:
    """Between "fits" and "does not fit" only spaces give way."""
    rows = [["id", "note"], ["1234", "abcdefghij klm nopqr"]]

    assert widths == tables.column_widths(rows, width)


def test_column_widths_count_wide_letters_twice() -> None:
    """A terminal draws CJK letters two cells wide."""
    assert [4] == tables.column_widths([["name"], ["本田"]], None)


def test_document_becomes_facts_and_tables() -> None:
    """Without a view, plain members are a record and lists of objects are tables."""
    pieces = tables.pieces_of(
        {"total": Decimal(3), "by_club": {"slug": "centro"}, "free_slots": [{"at": 1}, {"to": 2}]}
    )

    assert [
        tables.Record({"total": Decimal(3)}),
        tables.Record({"slug": "centro"}, title="by club"),
        tables.Table(["at", "to"], [[1, None], [None, 2]], title="free slots"),
    ] == pieces


def test_empty_table_says_so(ctx: typer.Context, capsys: pytest.CaptureFixture[str]) -> None:
    """No rows are an answer, not an empty screen."""
    show(ctx, {}, lambda _: tables.Table(["id"], [], title="Free slots"))

    assert "Free slots\nnone\n" == capsys.readouterr().out


def test_document_starts_with_its_version_and_loses_nothing() -> None:
    """Decimals keep their digits, times their offset, objects say for themselves."""

    class Slot:
        def as_json(self) -> dict[str, Any]:
            return {"on": date(2026, 12, 5)}

    text = documents.written(
        {
            "total": Decimal("10.00"),
            "at": datetime(2026, 12, 5, tzinfo=UTC),
            "slot": Slot(),
            "name": "Muñoz\u202e",
        },
        encoding="utf-8",
    )

    assert (
        '{"schema_version": 1, "total": "10.00", "at": "2026-12-05T00:00:00+00:00", '
        '"slot": {"on": "2026-12-05"}, "name": "Muñoz\\u202e"}\n'
    ) == text


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_document_fits_its_stream(encoding: str) -> None:
    """Half a character (from a broken argument) is escaped on any stream."""
    text = documents.written({"name": "ñ\udcff"}, encoding=encoding)

    assert text.encode(encoding)
    assert '{"schema_version": 1, "name": "\\u00f1\\udcff"}\n' == text


@pytest.mark.parametrize("value", [datetime(2026, 12, 5), float("nan"), object()])  # noqa: DTZ001 - a time without a zone is the point
def test_document_refuses_to_guess(value: object) -> None:
    """A time without an offset, not-a-number and unknown types are errors, not strings."""
    with pytest.raises((TypeError, ValueError)):
        documents.written({"value": value}, encoding="utf-8")


@pytest.mark.parametrize(
    ("encoding", "environ", "drawn"),
    [
        ("utf-8", {"LANG": "es_ES.UTF-8"}, True),
        ("utf-8", {"LANG": "es_ES.UTF-8", "LC_ALL": "C"}, False),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ("utf-8", {}, False),
        ("iso8859-15", {"LANG": "es_ES@euro"}, False),
    ],
)
def test_boxes_are_drawn_where_they_can_be_seen(
    encoding: str, environ: dict[str, str], drawn: bool
) -> None:
    """The C locale gets ASCII, although Python writes UTF-8 there."""
    assert drawn == streams.draws_boxes(encoding, environ)


def test_a_command_has_one_result(ctx: typer.Context) -> None:
    """A second result would be a second JSON document: refused in every mode, not only in JSON."""
    show(ctx, {"first": 1})

    with pytest.raises(RuntimeError, match="one result"):
        show(ctx, {"second": 2})


def test_lines_that_an_author_laid_out_stay_so_and_fit() -> None:
    """A table in a help stays a table, with no mark of the formatter's left, at 60 columns too."""
    laid_out = 0
    for _, command in root.every_command():
        assert "\\b" not in (command.help or "")
        for part in (command.help or "").split("\b\n")[1:]:
            laid_out += 1
            longest = max(len(line) for line in part.split("\n\n")[0].splitlines())
            assert longest <= FITS, command.name

    assert laid_out
