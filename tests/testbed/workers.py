"""What other processes do in tests; importable there, so that they can be spawned."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from padelops.booking.creation import Creation
from padelops.errors import PadelopsError
from padelops.settings import Settings
from padelops.wiring import open_desk
from testbed.clock import Clock

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

    from padelops import Desk

Wish = tuple[Any, ...]
"""A court (or several), a start, minutes, and perhaps a key."""


def desk_on(database_url: str, cache_url: str | None = None, *, budget_ms: int = 5000) -> Desk:
    """A desk in a process of its own, with the tests' clock."""
    settings = Settings(
        database_url=SecretStr(database_url),
        cache_url=None if cache_url is None else SecretStr(cache_url),
        level1_budget_ms=budget_ms,
    )
    return open_desk(settings, actor=f"process {os.getpid()}", clock=Clock())


def book_and_die(database_url: str, cache_url: str | None, court: str, starts: str) -> None:
    """Book, and be killed the moment the database has committed."""

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    Creation._settled = die  # type: ignore[method-assign, assignment]
    desk_on(database_url, cache_url).book(court, starts, minutes=60, player="Doomed")


barriers: dict[int, Barrier] = {}
"""For so many processes each; handed to a worker when it starts."""


def take_barriers(given: dict[int, Barrier]) -> None:
    barriers.update(given)


def book_in_turn(database_url: str, processes: int, wishes: list[Wish]) -> list[tuple[int, str]]:
    """Book one wish after the other, everybody at once; an id or an error code for each."""
    answers = []
    with desk_on(database_url) as desk:
        desk.clubs()
        for court, starts, minutes, *key in wishes:
            barriers[processes].wait(60)
            try:
                made = desk.book(
                    court, starts, minutes=minutes, player="Ana", key=key[0] if key else None
                )
                answers.append((made.reservation.id, "booked"))
            except PadelopsError as exc:
                answers.append((0, exc.code))
    return answers
