"""
The files of an import: which of the two formats each is, and its text as it comes from the disk.

A file is told by its first character, not by its name: `[` or `{` begins a Django dump, anything
else a CSV file. UTF-8 with or without a mark; UTF-16 where its mark says so, as PowerShell writes.
"""

from __future__ import annotations

import codecs
import csv
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHUNK = 1 << 20
KIB = 1024

PADELYZER = "padelyzer"
CSV = "csv"

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file that can be read, and what it is."""

    path: Path
    format: str
    encoding: str
    kib: int

    @property
    def name(self) -> str:
        return self.path.name


def recognise(path: Path) -> ImportFile:
    """
    Look at a file's beginning.

    Raises:
        InvalidInput: it cannot be read, is empty, or is no text.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4 * KIB)
        size = path.stat().st_size
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be read: {exc.strerror}.") from exc
    encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")
    try:
        # A character may be cut in two at the end of the head, so it is not final.
        text = codecs.getincrementaldecoder(encoding)().decode(head).lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError as exc:
        raise not_text(path.name) from exc
    if not text:
        raise InvalidInput(f"{path} is empty.")
    return ImportFile(path, PADELYZER if text[0] in "[{" else CSV, encoding, size // KIB)


def chunks(file: ImportFile, advance: Callable[[int], object]) -> Iterator[str]:
    """
    The file's text in pieces; `advance` is told KiB as they are read.

    Raises:
        InvalidInput: it cannot be read any further, or is no text there.
    """
    decoder = codecs.getincrementaldecoder(file.encoding)()
    with _opened(file) as binary:
        while raw := binary.read(CHUNK):
            advance(len(raw) // KIB)
            yield decoder.decode(raw)
        yield decoder.decode(b"", final=True)


def csv_lines(
    file: ImportFile, advance: Callable[[int], object], *, delimiters: str
) -> Iterator[tuple[int, list[str]]]:
    """
    The file's rows with the line that each begins on, the header first; the delimiter is the one
    that the header has more of.

    Raises:
        InvalidInput: it cannot be read, or is no CSV.
    """

    def lines() -> Iterator[str]:
        rest = ""
        for text in chunks(file, advance):
            *whole, rest = (rest + text).split("\n")
            if len(rest) > LONGEST_LINE:
                raise InvalidInput(
                    f"{file.name} has a line of more than {LONGEST_LINE} characters."
                )
            yield from (f"{line}\n" for line in whole)
        if rest:
            yield rest

    source = lines()
    header = next(source, "")
    delimiter = max(delimiters, key=header.count)

    def from_header() -> Iterator[str]:
        yield header
        yield from source

    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(from_header(), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as exc:
            raise InvalidInput(f"{file.name}, line {reader.line_num}: {exc}.") from exc
        if row is None:
            return
        yield line, row


LONGEST_LINE = 16 << 20
"""Characters: of a line of CSV, and of one object of a dump."""


@contextmanager
def _opened(file: ImportFile) -> Iterator[BinaryIO]:
    try:
        with file.path.open("rb") as binary:
            yield binary
    except OSError as exc:
        raise InvalidInput(f"{file.path} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise not_text(file.name) from exc


def not_text(name: str) -> InvalidInput:
    return InvalidInput(
        f"{name} is neither JSON nor CSV: it is not UTF-8 text.",
        fix="Save it as UTF-8.",
    )


def plain(value: Any) -> Any:
    """For JSON: numbers that JSON's own types cannot hold, as text."""
    return str(value)
