"""A row of the benchmark's table: two sides, the median of their ratios, and what it had to be."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """What DESIGN.md section 9 asks for."""

    at_least: float
    aim: float


@dataclass(frozen=True)
class Row:
    """
    One line of the table.

    Attributes:
        ours, peers: one number for each round, in `unit`.
        smaller_is_better: the goal is the most that may be reached.
    """

    what: str
    ours: list[float]
    peers: list[float]
    unit: str
    goal: Goal | None = None
    smaller_is_better: bool = False

    @property
    def reached(self) -> float:
        """The median of the rounds' ratios, ours by the peer's."""
        return statistics.median(
            ours / peer for ours, peer in zip(self.ours, self.peers, strict=True)
        )

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        sign = -1 if self.smaller_is_better else 1
        if sign * self.reached < sign * self.goal.at_least:
            return "MISSED"
        return "aim" if sign * self.reached >= sign * self.goal.aim else "yes"

    def cells(self) -> tuple[str, ...]:
        """As shown."""
        goal = ("", "") if self.goal is None else (f"{self.goal.at_least}", f"{self.goal.aim}")
        numbers = [f"{statistics.median(side):.0f}" for side in (self.ours, self.peers)]
        if self.unit == "ms":
            numbers = [f"{statistics.median(side):.1f}" for side in (self.ours, self.peers)]
        return (self.what, f"{self.reached:.2f}", *goal, self.verdict, *numbers, self.unit)

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "reached": round(self.reached, 3),
            "at_least": self.goal and self.goal.at_least,
            "aim": self.goal and self.goal.aim,
            "verdict": self.verdict,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peers,
        }
