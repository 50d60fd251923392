"""
Tables and records for people: never a shortened id, never a line broken inside a word.

A table that does not fit the terminal is wrapped between words; where even that is too wide, each
row becomes a record, one fact per line. Without a terminal (a pipe, a log) nothing is wrapped, so
that one row stays one line for `grep`.

Rich's tables are not used: they take 1.7 ms for a row, and cut words where columns get narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from padelops.cli.streams import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

GAP = 2
"""Spaces between two columns."""

BOLD, DIM = "1", "2"
STYLES = {
    **dict.fromkeys(("ok", "confirmed", "delivered"), "32"),  # green
    **dict.fromkeys(("warning", "unknown", "pending"), "33"),  # yellow
    **dict.fromkeys(("critical", "failed"), "1;31"),  # bold red
    **dict.fromkeys(("cancelled", "expired"), DIM),
}
"""How a cell that says exactly this is painted, on a terminal with colour."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column names; cells are plain values, `cell` decides how they read."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    nothing: str = "none"
    """What stands in place of the rows when there are none."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing, a fact per line."""

    facts: Mapping[str, Any]
    title: str = ""


Piece: TypeAlias = "str | Table | Record"


def cell(value: Any) -> str:
    """
    How a value reads: `-` for none, yes and no, times in the form the commands accept.
    """
    match value:
        case None | "":
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case Enum():
            text = cell(value.value)
        case datetime():
            whole = not (value.second or value.microsecond)
            text = value.isoformat(timespec="minutes" if whole else "seconds")
        case dict():
            text = ", ".join(f"{name}={cell(inner)}" for name, inner in value.items())
        case list() | tuple():
            text = ", ".join(cell(inner) for inner in value)
        case _:
            text = str(value)
    return harmless(text.replace("\n", " "))


def pieces_of(document: Mapping[str, Any], title: str = "") -> list[Table | Record]:
    """
    What a JSON document looks like to a person: its plain facts first, then a table per list.
    """
    facts: dict[str, Any] = {}
    tables: list[Table | Record] = []
    for name, value in document.items():
        label = name.replace("_", " ")
        if isinstance(value, dict) and value:
            tables += pieces_of(value, label)
        elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            columns = list(dict.fromkeys(column for row in value for column in row))
            tables.append(
                Table(
                    [column.replace("_", " ") for column in columns],
                    [[row.get(column) for column in columns] for row in value],
                    title=label,
                )
            )
        else:
            facts[label] = value
    return [Record(facts, title), *tables] if facts else tables


def draw(
    pieces: Iterable[Piece], *, width: int | None, unicode: bool = False, colour: bool = False
) -> Iterator[str]:
    """
    The lines that show these pieces, an empty one between two of them.

    Args:
        pieces: text is shown as it is, tables and records as they fit.
        width: of the terminal in cells; None where nothing bounds it.
        unicode: whether rules are drawn with Unicode.
        colour: whether styles are applied.
    """
    for position, piece in enumerate(pieces):
        if position:
            yield ""
        if isinstance(piece, str):
            yield from harmless(piece).splitlines()
            continue
        if piece.title:
            yield _paint(piece.title, BOLD, colour)
        if isinstance(piece, Record):
            yield from _record(piece.facts, width, colour)
        else:
            yield from _table(piece, width, "─" if unicode else "-", colour)


def _table(table: Table, width: int | None, rule: str, colour: bool) -> Iterator[str]:
    if not table.rows:
        yield _paint(table.nothing, DIM, colour)
        return
    rows = [[cell(value) for value in row] for row in table.rows]
    widths = column_widths([list(table.columns), *rows], width)
    if widths is None:
        for position, row in enumerate(table.rows):
            if position:
                yield ""
            yield from _record(dict(zip(table.columns, row, strict=True)), width, colour)
        return

    numeric = [_is_numeric(column) for column in zip(*table.rows, strict=True)]
    yield from _row(table.columns, widths, numeric, BOLD if colour else "")
    yield rule * (sum(widths) + GAP * (len(widths) - 1))
    for row in rows:
        yield from _row(row, widths, numeric, None if colour else "")


def _row(
    row: Sequence[str], widths: list[int], numeric: list[bool], style: str | None
) -> Iterator[str]:
    """The lines of one row; a style of None leaves it to what each cell says."""
    columns = [wrapped(text, room) for text, room in zip(row, widths, strict=True)]
    for line in range(max(map(len, columns))):
        parts = []
        for text, column, room, right in zip(row, columns, widths, numeric, strict=True):
            part = column[line] if line < len(column) else ""
            space = " " * (room - cells(part))
            part = _paint(part, STYLES.get(text, "") if style is None else style)
            parts.append(space + part if right else part + space)
        yield (" " * GAP).join(parts).rstrip()


def _record(facts: Mapping[str, Any], width: int | None, colour: bool) -> Iterator[str]:
    """`name  value` lines; a long value goes on under itself, an unbreakable one stays whole."""
    margin = max((cells(name) for name in facts), default=0) + GAP
    room = None if width is None else max(width - margin, 20)
    for name, value in facts.items():
        shown = cell(value)
        label = _paint(name, BOLD, colour) + " " * (margin - cells(name))
        for part in wrapped(shown, room):
            yield (label + _paint(part, STYLES.get(shown, ""), colour)).rstrip()
            label = " " * margin


def column_widths(rows: list[list[str]], width: int | None) -> list[int] | None:
    """
    How wide each column is drawn; None where not even the longest words fit side by side.
    """
    columns = list(zip(*rows, strict=True))
    natural = [max(map(cells, column)) for column in columns]
    if width is None or sum(natural) + GAP * (len(columns) - 1) <= width:
        return natural

    narrow = [
        max(cells(word) for text in column for word in text.split() or [""]) for column in columns
    ]
    spare = width - sum(narrow) - GAP * (len(columns) - 1)
    if spare < 0:
        return None
    # What is left over goes to the columns in proportion to what they lack.
    lack = sum(natural) - sum(narrow)
    return [
        least + spare * (most - least) // lack for least, most in zip(narrow, natural, strict=True)
    ]


def wrapped(text: str, width: int | None) -> list[str]:
    """The text in lines of at most so many cells, broken between words only."""
    if width is None or cells(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cells(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def cells(text: str) -> int:
    """How many cells of a terminal the text takes: two for a wide letter, none for an accent."""
    if text.isascii():
        return len(text)

    from rich.cells import cell_len

    return cell_len(text)


def _is_numeric(column: Sequence[Any]) -> bool:
    known = [value for value in column if value is not None]
    return bool(known) and all(
        isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in known
    )


def _paint(text: str, style: str, colour: bool = True) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if text and style and colour else text
