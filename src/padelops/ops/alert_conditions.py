"""
The language of alert conditions: `payment_success_rate < 99%`, read into one tree.

    condition  = conjunction { "or" conjunction }
    conjunction = comparison { "and" comparison }
    comparison = METRIC [ "{" LABEL "=" TEXT { "," LABEL "=" TEXT } "}" ] [ "in" WINDOW ]
                 ( ">" | ">=" | "<" | "<=" | "==" | "!=" ) NUMBER [ UNIT ]

Nothing is ever executed: whoever judges a condition here, and whoever writes it as PromQL, walk the
same tree. Values are in base units in it (seconds, bytes, shares), whatever they were written in.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from padelops.errors import InvalidInput
from padelops.ops.indicators import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_CONDITION = 500
MOST_COMPARISONS = 10

COMPARATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}

UNITS: dict[str, tuple[float, Unit]] = {
    "ms": (0.001, Unit.SECONDS),
    "s": (1, Unit.SECONDS),
    "m": (60, Unit.SECONDS),
    "min": (60, Unit.SECONDS),
    "h": (3600, Unit.SECONDS),
    "d": (86_400, Unit.SECONDS),
    "%": (0.01, Unit.RATIO),
    "B": (1, Unit.BYTES),
    "KiB": (2**10, Unit.BYTES),
    "MiB": (2**20, Unit.BYTES),
    "GiB": (2**30, Unit.BYTES),
}
"""What a number may be followed by: how many of which base unit."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>\d+(?:\.\d+)?)(?P<unit>[A-Za-z]+|%)?
      | (?P<text>"[^"\\\n]{0,200}")
      | (?P<sign>>=|<=|==|!=|[><={},])
    )""",
    re.VERBOSE,
)
_LENGTH = re.compile(r"(\d+)(ms|s|m|h|d)")


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    One metric beside one value.

    Attributes:
        metric: as it was written: an indicator's name or an alias.
        labels: only its samples with these labels.
        window_s: over how long, where the metric is kept for more than one window.
        value: in the metric's base unit.
        unit: which that is; None where none was written.
    """

    metric: str
    labels: tuple[tuple[str, str], ...]
    window_s: int | None
    comparator: str
    value: float
    unit: Unit | None

    def holds(self, measured: float) -> bool:
        return COMPARATORS[self.comparator](measured, self.value)


@dataclass(frozen=True, slots=True)
class Both:
    """All parts hold, where they are about the same thing."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Any part holds."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = Comparison | Both | Either


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """Every comparison in it, from left to right."""
    if isinstance(condition, Comparison):
        yield condition
    else:
        for part in condition.parts:
            yield from comparisons(part)


def parse(text: str) -> Condition:
    """
    Read a condition.

    Raises:
        InvalidInput: it is none; says where it stops making sense, and what was expected there.
    """
    if len(text) > LONGEST_CONDITION:
        raise InvalidInput(f"A condition has at most {LONGEST_CONDITION} characters.")
    found = _Reader(text).condition()
    if sum(1 for _ in comparisons(found)) > MOST_COMPARISONS:
        raise InvalidInput(f"A condition compares at most {MOST_COMPARISONS} times.")
    return found


def parse_value(number: str, unit: str | None) -> tuple[float, Unit | None]:
    """
    A number and what follows it, in base units.

    Raises:
        InvalidInput: there is no such unit.
    """
    if not unit:
        return float(number), None
    if unit not in UNITS:
        raise InvalidInput(f"There is no unit '{unit}'.", fix=f"One of: {', '.join(UNITS)}.")
    factor, base = UNITS[unit]
    # 1000 ms are 1 s, and not 1.0000000000000002.
    return round(float(number) * factor, 12), base


def parse_length(text: str) -> int:
    """
    A length of time such as `90s`, `5m` or `1h30m`, in whole seconds.

    Raises:
        InvalidInput: it is none.
    """
    pieces = _LENGTH.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise InvalidInput(f"'{text[:40]}' is no length of time.", fix="Write 90s, 5m or 1h30m.")
    seconds = sum(int(number) * UNITS[unit][0] for number, unit in pieces)
    if seconds != int(seconds):
        raise InvalidInput(f"'{text[:40]}' is no whole number of seconds.", fix="Write 90s or 5m.")
    return int(seconds)


def length(seconds: float) -> str:
    """A length of time as Prometheus writes it: `1h30m`."""
    left, parts = int(seconds), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int
    unit: str | None = None


class _Reader:
    """Reads from left to right and never back; each rule of the grammar is a method."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._place = 0

    def condition(self) -> Condition:
        found = self._chain("or", self._conjunction, Either)
        if (token := self._look()) is not None:
            raise self._lost("the end, `and` or `or`", token)
        return found

    def _conjunction(self) -> Condition:
        return self._chain("and", self._comparison, Both)

    def _chain(
        self, word: str, part: Callable[[], Condition], joined: type[Both | Either]
    ) -> Condition:
        parts = [part()]
        while self._skip("name", word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else joined(tuple(parts))

    def _comparison(self) -> Condition:
        metric = self._take("name", "a metric's name").text
        labels = self._labels() if self._skip("sign", "{") else ()
        window_s = None
        if self._skip("name", "in"):
            token = self._take("number", "a window such as 5m")
            window_s = parse_length(token.text + (token.unit or ""))
        sign = self._take("sign", "one of > >= < <= == !=")
        if sign.text not in COMPARATORS:
            raise self._lost("one of > >= < <= == !=", sign)
        number = self._take("number", "a number")
        value, unit = parse_value(number.text, number.unit)
        return Comparison(metric, labels, window_s, sign.text, value, unit)

    def _labels(self) -> tuple[tuple[str, str], ...]:
        found = {}
        while True:
            name = self._take("name", "a label's name").text
            if not self._skip("sign", "="):
                raise self._lost("= after the label", self._look())
            found[name] = self._take("text", 'a text in "quotes"').text[1:-1]
            if self._skip("sign", "}"):
                return tuple(sorted(found.items()))
            if not self._skip("sign", ","):
                raise self._lost("} or a comma", self._look())

    def _look(self) -> _Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _skip(self, kind: str, text: str) -> bool:
        token = self._look()
        if token is None or (token.kind, token.text) != (kind, text):
            return False
        self._place += 1
        return True

    def _take(self, kind: str, wanted: str) -> _Token:
        token = self._look()
        if token is None or token.kind != kind:
            raise self._lost(wanted, token)
        self._place += 1
        return token

    def _lost(self, wanted: str, token: _Token | None) -> InvalidInput:
        return _lost(self._text, wanted, None if token is None else token.at)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise _lost(text, "a metric, a comparison or a number", at)
        kind = next(name for name in ("name", "number", "text", "sign") if match[name])
        yield _Token(kind, match[kind], match.start(kind), match["unit"])
        at = match.end()


def _lost(text: str, wanted: str, at: int | None) -> InvalidInput:
    found = "the condition ends" if at is None else f"there is '{text[at:].strip()[:20]}'"
    return InvalidInput(
        f"The condition '{text[:80]}' makes no sense: {wanted} is expected where {found}.",
        fix="Write such as: payment_success_rate < 99%",
    )
