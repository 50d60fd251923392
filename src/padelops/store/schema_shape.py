"""
Schema drift: what the migrations make, beside what a database has.

The expectation is `schema_shape.tsv`, written by `make schema-shape` from a freshly migrated
database; a test proves that it is what the migrations make. Nobody keeps a list by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from padelops.store.engine import Tx

_SQL = statements("schema_shape")

SHAPE_FILE = "schema_shape.tsv"

PARTS: dict[str, str] = {
    "columns": "column",
    "constraints": "constraint",
    "indexes": "index",
    "triggers": "trigger",
    "functions": "function",
}
"""Each statement of schema_shape.sql, and what its objects are called."""

HARMLESS_EXTRAS = frozenset({"function", "table", "column", "index"})
"""What a club may add for itself. An additional trigger or constraint changes what is written."""

Shape = dict[tuple[str, str], str]
"""Definitions by (kind, name)."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One object that is not what the migrations make; None where it is missing on that side."""

    kind: str
    name: str
    expected: str | None
    found: str | None

    @property
    def problem(self) -> str:
        if self.found is None:
            return "it is missing"
        if self.expected is None:
            return "it was added by hand"
        for suffix, problem in (
            (" DISABLED", "it is switched off"),
            (" NOT VALID", "it is not validated: old rows may break it"),
            (" INVALID", "it is invalid: nothing uses it"),
            (" ROW SECURITY", "it hides rows from some roles"),
        ):
            if suffix in self.found and suffix not in self.expected:
                return problem
        return "it is defined otherwise"


def shape_of(tx: Tx, parts: Iterable[str] = tuple(PARTS)) -> Shape:
    """What the database's schema consists of."""
    return {
        (kind, name): definition
        for part in parts
        for kind, name, definition in tx.execute(_SQL[part])
    }


@cache
def expected_shape() -> Mapping[tuple[str, str], str]:
    """What the migrations make, from the file."""
    text = resources.files("padelops.store").joinpath(SHAPE_FILE).read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines())
    return {(kind, name): definition for kind, name, definition in rows}


def written(shape: Shape) -> str:
    """The shape as lines in order: two branches that add objects merge without a conflict."""
    return "".join(
        f"{kind}\t{name}\t{definition}\n" for (kind, name), definition in sorted(shape.items())
    )


def drift(found: Shape, part: str) -> Iterator[Drift]:
    """
    Where one part of a database is not what the migrations make.

    Objects on tables that are not ours are nobody's business here.
    """
    kinds = {"column", "table"} if part == "columns" else {PARTS[part]}
    expected = {key: text for key, text in expected_shape().items() if key[0] in kinds}
    ours = {name for kind, name in expected_shape() if kind == "table"}
    for key in sorted(expected.keys() | found.keys()):
        kind, name = key
        before, now = expected.get(key), found.get(key)
        if before == now or (
            now is not None and before is None and _harmless(kind, name, now, ours)
        ):
            continue
        yield Drift(kind, name, before, now)


def _harmless(kind: str, name: str, definition: str, ours: set[str]) -> bool:
    if name.partition(".")[0] not in ours:
        return True
    return kind in HARMLESS_EXTRAS and not definition.endswith(" INVALID")


def relations() -> list[str]:
    """The tables that validation reads; the sandbox's are another company's books."""
    return sorted(
        name
        for (kind, name), definition in expected_shape().items()
        if kind == "table" and definition.startswith("table") and not name.startswith("sandbox_")
    )
