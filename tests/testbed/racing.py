"""Races: threads that wait at a barrier and then all go at once."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

LONGEST_RACE_S = 60
LONGEST_WAIT_S = 20


@dataclass(frozen=True)
class Finish:
    """What one racer came to: a value, or the error it met."""

    value: Any = None
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


def race(*calls: Callable[[], Any]) -> list[Finish]:
    """Run every call in a thread of its own, all at once; their finishes in the order given."""
    barrier = threading.Barrier(len(calls))
    finishes: list[Finish] = [Finish(error=TimeoutError("it never finished"))] * len(calls)

    def run(index: int, call: Callable[[], Any]) -> None:
        try:
            barrier.wait(LONGEST_WAIT_S)
            finishes[index] = Finish(call())
        except BaseException as exc:  # noqa: BLE001 - the test looks at it
            finishes[index] = Finish(error=exc)

    threads = [
        threading.Thread(target=run, args=(index, call), daemon=True)
        for index, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + LONGEST_RACE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return finishes


class Running:
    """One call under way in a thread; `finish` waits for it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._finish = Finish(error=TimeoutError("it never finished"))
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._finish = Finish(self._call())
        except BaseException as exc:  # noqa: BLE001 - the test looks at it
            self._finish = Finish(error=exc)

    @property
    def going(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> Finish:
        self._thread.join(LONGEST_RACE_S)
        return self._finish


def waiting_on_a_lock(psql: psycopg.Connection[Any], many: int = 1) -> list[int]:
    """Wait until so many padelops backends of this database wait for a lock; their process ids."""
    deadline = time.monotonic() + LONGEST_WAIT_S
    while time.monotonic() < deadline:
        rows = psql.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'padelops' AND wait_event_type = 'Lock' AND state = 'active'"
        ).fetchall()
        if len(rows) >= many:
            return [row[0] for row in rows]
        time.sleep(0.005)
    raise TimeoutError("nobody came to wait for a lock")
