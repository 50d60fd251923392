"""
The dashboard in lines that fit: readable at 80x24 and at 60x20, and without colour too.

A line begins with a mark (`!` warning, `X` critical) and so does each number that made it so; "-"
is a number that nobody knows. Where the terminal is narrow, what is nice to have is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from padelops.cli.streams import harmless
from padelops.cli.tables import cells
from padelops.ops.board import GROUPS
from padelops.ops.indicators import Unit
from padelops.ops.verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from padelops.ops.board import Board, PathRow, Value
    from padelops.ops.metrics import Readings

ROOMY = 78
"""Cells from which everything is shown."""

MINUTES_FROM_S = 120
LABEL = 12
MARKS = {Verdict.OK: " ", Verdict.WARNING: "!", Verdict.CRITICAL: "X", Verdict.UNKNOWN: " "}
STYLES = {
    Verdict.OK: "",
    Verdict.WARNING: "yellow",
    Verdict.CRITICAL: "bold red",
    Verdict.UNKNOWN: "dim",
}

Piece = tuple[str, str]
"""Text and its style."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known beside the board: the time, and what the watcher is doing."""

    now: datetime
    live: bool = False
    paused: bool = False
    reading: bool = False


@dataclass(slots=True)
class Line:
    """Pieces that never go past the terminal's edge."""

    width: int
    pieces: list[Piece] = field(default_factory=list)
    used: int = 0

    def add(self, text: str, style: str = "") -> bool:
        """Add what fits as a whole; False where it does not."""
        text = harmless(text)
        if self.used + cells(text) > self.width:
            return False
        self.pieces.append((text, style))
        self.used += cells(text)
        return True

    def add_cut(self, text: str, style: str = "") -> None:
        """Add as much as there is room for."""
        text = harmless(text)
        room = self.width - self.used
        if cells(text) > room:
            while text and cells(text) > room - 1:
                text = text[:-1]
            text += "~"
        self.add(text, style)

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.pieces).rstrip()


def lines(board: Board, moment: Moment, *, width: int, height: int | None = None) -> list[Line]:
    """
    The screen from top to bottom.

    Args:
        height: lines at the most; what is most urgent is at the top, so the bottom is left out.
    """
    whole = [_header(board, moment, width), _state(board, moment, width)]
    if board.primary is not None or board.secondary is not None:
        whole += [_group(board, name, width) for name in ("bookings", "payments")]
        whole += _paths(board, width)
        whole += [_group(board, name, width) for name in GROUPS if name not in FIRST]
    if moment.live:
        keys = Line(width)
        keys.add_cut(" p pause   r read now   q quit", "dim")
        if height is not None:
            whole = whole[: height - 1]
        whole.append(keys)
    return whole


FIRST = ("bookings", "payments")


def _header(board: Board, moment: Moment, width: int) -> Line:
    line = Line(width)
    line.add("padelops ", "bold")
    line.add(f"{moment.now:%Y-%m-%d %H:%M:%S} UTC" if width >= ROOMY else f"{moment.now:%H:%M:%S}Z")
    if moment.paused:
        line.add("  PAUSED", "bold yellow")
    elif moment.reading:
        line.add("  reading", "dim")
    for name, found in (("30 s", board.primary), ("5 min", board.secondary)):
        line.add(f"  {name}: {_old(found, moment)}", "dim")
    return line


def _old(found: Readings | None, moment: Moment) -> str:
    if found is None:
        return "not yet"
    seconds = max(int((moment.now - found.at).total_seconds()), 0)
    return f"{seconds} s ago" if seconds < MINUTES_FROM_S else f"{seconds // 60} min ago"


def _state(board: Board, moment: Moment, width: int) -> Line:
    line = Line(width)
    if board.primary is None and board.secondary is None:
        line.add(" Reading for the first time.", "dim")
    elif board.away is not None:
        again = ", trying again" if moment.live else ""
        line.add_cut(f"X DATABASE AWAY{again}. {board.away.message}", STYLES[Verdict.CRITICAL])
    elif troubles := board.troubles():
        verdict = troubles[0][0]
        named = ", ".join(what for _, what in troubles)
        line.add_cut(f"{MARKS[verdict]} {len(troubles)} to look at: {named}", STYLES[verdict])
    else:
        line.add("  Nothing to look at.", "green")
    return line


def _group(board: Board, name: str, width: int) -> Line:
    values = [v for v in board.group(name) if width >= ROOMY or not v.fact.roomy]
    verdict = worst([v.verdict for v in values if v.verdict is not Verdict.UNKNOWN] or [Verdict.OK])
    line = Line(width)
    line.add(f"{MARKS[verdict]} {name}".ljust(LABEL), STYLES[verdict] or "bold")
    for piece, style in _facts(name, values):
        line.add(f" {piece} ", style)
    return line


def _facts(name: str, values: list[Value]) -> Iterator[Piece]:
    if name == "breakers":
        yield from _breakers(values[0])
        return
    for value in values:
        mark = MARKS[value.verdict].strip()
        yield f"{value.fact.label} {mark}{_shown(value)}", STYLES[value.verdict]


def _breakers(value: Value) -> Iterator[Piece]:
    """Only those that are not simply closed are named."""
    states = value.states
    if value.value is None:
        yield "-", STYLES[Verdict.UNKNOWN]
        return
    for breaker, state in states.items():
        if state != "closed":
            shut = state in {"open", "forced_open", "half_open"}
            yield f"{breaker} {state.replace('_', ' ')}", "yellow" if shut else "cyan"
    closed = sum(state == "closed" for state in states.values())
    yield f"{closed} of {len(states)} closed", ""


def _paths(board: Board, width: int) -> Iterator[Line]:
    columns = [column for column in COLUMNS if width >= ROOMY or not column.roomy]
    head = Line(width)
    head.add("  path            ", "bold")
    for column in columns:
        head.add(column.name.rjust(column.width), "bold")
    yield head
    for row in board.paths():
        line = Line(width)
        line.add(f"{MARKS[row.verdict]} {row.path.module:<15} ", STYLES[row.verdict])
        for column in columns:
            text = column.cell(row)
            style = STYLES[row.verdict] if column.judged else "dim" if text == "-" else ""
            line.add(text.rjust(column.width), style)
        yield line


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the paths; `roomy` ones are left out where it is narrow."""

    name: str
    width: int
    cell: Callable[[PathRow], str]
    roomy: bool = False
    judged: bool = False


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.3g} s"


def _ratio(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.3g}%"


def _rate(per_second: float | None) -> str:
    return "-" if per_second is None else f"{per_second:.3g}"


COLUMNS = (
    Column("level", 5, lambda row: str(row.path.level.value), roomy=True),
    Column("per s", 8, lambda row: _rate(row.rate)),
    Column("p50", 9, lambda row: _time(row.p50_s), roomy=True),
    Column("p95", 9, lambda row: _time(row.p95_s), judged=True),
    Column("p99", 9, lambda row: _time(row.p99_s), roomy=True),
    Column("limit", 9, lambda row: _time(row.limit_s)),
    Column("errors", 8, lambda row: _ratio(row.errors), judged=True),
)


def _shown(value: Value) -> str:
    if value.value is None or value.reading is None:
        return "-"
    indicator = value.reading.indicator
    word = indicator.words.get(int(value.value))
    if word is not None:
        return word
    match indicator.unit:
        case Unit.SECONDS:
            return _time(value.value)
        case Unit.RATIO:
            return _ratio(value.value)
        case Unit.BYTES:
            return f"{value.value / 2**20:.3g} MiB"
    return f"{value.value:,.6g}" if value.value >= 1000 else f"{value.value:.6g}"  # noqa: PLR2004
