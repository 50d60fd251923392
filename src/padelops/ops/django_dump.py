"""
A Django `dumpdata` file, object by object: a file of any size takes the memory of its largest row.

Both of Django's forms are read: one JSON list (`--format json`), and one object per line (`jsonl`).
A file that turns out to be neither is refused as a whole; what stands in an object's fields is
not this reader's business.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from padelops.booking.club_time import shown
from padelops.errors import InvalidInput
from padelops.ops.import_files import LONGEST_LINE, chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.ops.import_files import ImportFile

MOST_NESTING = 400
"""Brackets in brackets. Rows are kept as PostgreSQL json, whose parser has a limit of its own."""

_LONGEST_NUMBER = 30
_LONGEST_MODEL = 100
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Record:
    """
    One object of a dump.

    Attributes:
        fields: floats as `Decimal`, and numbers too large for a column as their text.
        text: the object's own JSON, letter by letter.
    """

    source: str
    model: str
    pk: Any
    fields: dict[str, Any]
    text: str


def read(file: ImportFile, advance: Callable[[int], object]) -> Iterator[Record]:
    """
    The file's objects, in its order.

    Raises:
        InvalidInput: this is no dump; names the object or the line.
    """
    for number, (value, text) in enumerate(_Objects(file, advance), start=1):
        yield _record(value, text, source=file.name, which=f"object {number} of {file.name}")


def parse_one(text: str, *, source: str) -> Record:
    """An object that was kept as its JSON text."""
    return _record(_DECODER.decode(text), text, source=source, which=f"a row of {source}")


def _record(value: Any, text: str, *, source: str, which: str) -> Record:
    if not isinstance(value, dict) or not isinstance(value.get("model"), str):
        raise InvalidInput(
            f"This is not a Django dump: {which} has no model.",
            fix="Make one with: python manage.py dumpdata clubs reservations",
        )
    fields = value.get("fields")
    return Record(
        source=source,
        model=_name(value["model"]),
        pk=value.get("pk"),
        fields=fields if isinstance(fields, dict) else {},
        text=text,
    )


def _name(model: str) -> str:
    """The model's label, in one spelling and fit for one line."""
    model = model.strip().lower()
    return model if model.isprintable() and len(model) <= _LONGEST_MODEL else shown(model)


def _number(text: str) -> Any:
    if len(text) > _LONGEST_NUMBER:
        return text
    try:
        return Decimal(text)
    except ArithmeticError:
        return text


def _whole(text: str) -> Any:
    return int(text) if len(text) <= _LONGEST_NUMBER else text


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(
    parse_float=_number, parse_int=_whole, parse_constant=_no_constant, strict=True
)


class _Objects:
    """The top-level objects of a file as they come, each with its text."""

    def __init__(self, file: ImportFile, advance: Callable[[int], object]) -> None:
        self._name = file.name
        self._chunks = chunks(file, advance)
        self._buffer = ""
        self._at = 0
        self._lines_before = 0

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        in_list = self._next_character() == "["
        if in_list:
            self._at += 1
        expected = True
        while character := self._next_character():
            if in_list and character == "]":
                self._at += 1
                if self._next_character():
                    raise self._broken("there is more after the end of the list")
                return
            if not expected:
                if character != ",":
                    raise self._broken("a comma or the end of the list is missing")
                self._at += 1
                self._next_character()
            yield self._object()
            expected = not in_list
        if in_list:
            raise self._broken("the list is cut off")

    def _next_character(self) -> str:
        """What comes next that is no white space; an empty string at the end."""
        while True:
            while self._at < len(self._buffer):
                character = self._buffer[self._at]
                if character not in _SPACE and character != "\ufeff":
                    return character
                self._at += 1
            if not self._read_on():
                return ""

    def _object(self) -> tuple[Any, str]:
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as exc:
                # Either this is broken, or only the rest of it has not been read yet.
                if len(self._buffer) - self._at > LONGEST_LINE:
                    raise self._broken(
                        f"an object has more than {LONGEST_LINE} characters"
                    ) from exc
                if not self._read_on():
                    raise self._broken(exc.msg, at=exc.pos) from exc
            except RecursionError as exc:
                raise self._broken("it is nested too deeply") from exc
            except ValueError as exc:
                raise self._broken(str(exc)) from exc
            else:
                text = self._buffer[self._at : end]
                if text.count("{") + text.count("[") > MOST_NESTING and _depth(text) > MOST_NESTING:
                    raise self._broken("it is nested too deeply")
                self._at = end
                return value, text

    def _read_on(self) -> bool:
        """
        Append what comes next, about as much as is waiting: then the work grows with the length.
        """
        waiting = self._buffer[self._at :]
        pieces = [waiting]
        wanted = len(waiting)
        got = 0
        for text in self._chunks:
            pieces.append(text)
            got += len(text)
            if got >= wanted and got:
                break
        self._lines_before += self._buffer.count("\n", 0, self._at)
        self._buffer, self._at = "".join(pieces), 0
        return got > 0

    def _broken(self, why: str, *, at: int | None = None) -> InvalidInput:
        place = self._buffer.count("\n", 0, self._at if at is None else at)
        line = self._lines_before + place + 1
        return InvalidInput(
            f"{self._name}, line {line}: this is not JSON as Django writes it: {why}."
        )


def _depth(text: str) -> int:
    """How deep brackets stand in brackets; those in strings are rare, and only make it deeper."""
    deepest = depth = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
