"""
Counts on their way to the database: every few seconds, when a desk closes, when the program ends.
"""

from __future__ import annotations

import atexit
import os
import weakref
from contextlib import suppress
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING

from padelops.errors import Corrupt, OutcomeUnknown, Refused, Unavailable

if TYPE_CHECKING:
    from padelops.booking.counts import Counts
    from padelops.store.engine import Database

FLUSH_EVERY = timedelta(seconds=10)
"""What a process that is killed loses, and how old an indicator may be; primary ones are looked at
every 30 s."""

HARMLESS = (Unavailable, OutcomeUnknown, Refused, Corrupt)
"""Counts are worth less than the work that is counted: what could not be written waits."""


class Flusher:
    """
    Flushes one process's counts.

    Nothing runs before `start`: a command that ends in a moment flushes when it closes its desk.
    """

    def __init__(self, counts: Counts, database: Database) -> None:
        self.counts = counts
        self._database = database
        self._ended = Event()
        _EVERY.add(self)

    def start(self) -> None:
        """Flush every few seconds from now on, in a thread that ends with the last desk."""
        self._started_in = os.getpid()
        name = "padelops-counts"
        Thread(target=_run, args=(weakref.ref(self), self._ended), name=name, daemon=True).start()

    def flush(self) -> None:
        """
        Raises:
            Unavailable: the database is away; what was counted is kept.
        """
        self.counts.flush(self._database)

    def flush_if_connected(self) -> None:
        """Write down what can be, without waiting for a database that is away."""
        if self._database.connected:
            with suppress(*HARMLESS):
                self.flush()

    def close(self) -> None:
        """The last flush."""
        self._ended.set()
        _EVERY.discard(self)
        self.flush_if_connected()

    def start_again(self) -> None:
        """In a forked child, which has inherited everything but the thread."""
        if "_started_in" in self.__dict__ and not self._ended.is_set():
            self._ended = Event()
            self.start()


def _run(flusher: weakref.ref[Flusher], ended: Event) -> None:
    while not ended.wait(FLUSH_EVERY.total_seconds()):
        if (alive := flusher()) is None:
            return
        with suppress(*HARMLESS):
            alive.flush()
        del alive  # a desk that nobody has any more must be able to go


_EVERY: weakref.WeakSet[Flusher] = weakref.WeakSet()


@atexit.register
def _last_flushes() -> None:
    for flusher in list(_EVERY):
        flusher.flush_if_connected()


def _start_again() -> None:
    for flusher in list(_EVERY):
        flusher.start_again()


os.register_at_fork(after_in_child=_start_again)
