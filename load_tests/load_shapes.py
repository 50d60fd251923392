"""The shapes of a club's day, as numbers of users over time."""

from __future__ import annotations

import os
from dataclasses import dataclass

RATED_USERS = 300
"""
What two cores bear within every threshold, the load generator and the database beside the server
on the same cores: users who think for 1 to 3 seconds, 120 requests a second, and no error. Beyond
about 220 a second the server says 503 to what it cannot serve in time.
"""

SCALE = float(os.environ.get("PADELOPS_LOAD_TIME", "1"))
"""Stretches or shortens every shape: 0.2 is a fifth of the time."""


@dataclass(frozen=True)
class Shape:
    """
    Attributes:
        steps: until which second, how many users, arriving how many a second.
        who: `players`, or `buyers` of a flash sale.
    """

    name: str
    explained: str
    steps: tuple[tuple[float, int, float], ...]
    who: str = "players"

    @property
    def most(self) -> int:
        """Users at its height."""
        return max(users for _, users, _ in self.steps)


def _steady(name: str, users: int, explained: str, *, seconds: float, rate: float) -> Shape:
    return Shape(name, f"{users} users, {explained}", ((seconds * SCALE, users, rate),))


SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        _steady("normal", 100, "a normal day", seconds=180, rate=20),
        _steady("morning", 300, "the morning rush", seconds=180, rate=30),
        _steady("evening", 500, "the evening peak", seconds=180, rate=50),
        _steady("tournament", 800, "registration for a tournament", seconds=180, rate=50),
        _steady("stress", 1000, "stress", seconds=180, rate=50),
        Shape(
            "spike",
            "100 users, and 1000 within 30 seconds",
            (
                (40 * SCALE, 100, 50),
                (70 * SCALE, 1000, 30 / SCALE),
                (110 * SCALE, 1000, 30),
                (150 * SCALE, 100, 100),
            ),
        ),
        Shape(
            "flash-sale",
            "500 users who want the same evening on the same four courts",
            ((60 * SCALE, 500, 250),),
            who="buyers",
        ),
        Shape("endurance", "300 users for two hours", ((7200 * SCALE, 300, 20),)),
    )
}
