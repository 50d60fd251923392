"""
The one connection of an import: its temporary tables, and its batches, each committed by itself.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from padelops.errors import CourtBusy, OutcomeUnknown
from padelops.store.engine import explained
from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.model import Origin
    from padelops.store.engine import Database, Tx

_SQL = statements("imports")

MOST_ATTEMPTS = 5
"""How often a batch is tried again that lost against a rival (deadlock, serialization)."""


class ImportSession:
    """
    One import's connection with its temporary tables; use it as a context manager.

    Args:
        preview: nothing is written: see the statement `preview`.
    """

    def __init__(self, database: Database, origin: Origin, *, preview: bool = False) -> None:
        self._database = database
        self._origin = origin
        self.preview = preview
        self.committed = False
        """Whether anything of this import is in the database for good."""

    def __enter__(self) -> Self:
        self._tx = self._database.connect()
        # A plan made while claims is empty would be kept, and is ruinous once it is full.
        self._tx.prepare_threshold = None
        try:
            with explained():
                self._tx.execute(_SQL["create_staging"])
        except BaseException:
            self._tx.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._tx.close()

    @contextmanager
    def batch(self) -> Iterator[Tx]:
        """
        One transaction under the import's turn, recorded in the audit trail as its origin's.

        Raises:
            OutcomeUnknown: lost, or not confirmed by the standby, while committing.
        """
        with explained():
            with self._tx.transaction():
                self._tx.execute(
                    "SELECT set_config('padelops.actor', %s, true),"
                    " set_config('padelops.door', %s, true),"
                    " set_config('padelops.request_id', %s, true)",
                    (self._origin.actor, self._origin.door, self._origin.request_id),
                )
                if not self.preview:
                    self._tx.execute(_SQL["import_lock"])
                yield self._tx
            self.committed = self.committed or not self.preview
        if self._tx.unreplicated:
            raise OutcomeUnknown("The commit was cut short before the standby confirmed it.")

    @property
    def tx(self) -> Tx:
        """The connection, for reading what is staged."""
        return self._tx


def again_when_beaten(attempt: Callable[[], None]) -> None:
    """Run a batch, again if a rival won; a batch that is rolled back has left nothing."""
    for left in reversed(range(MOST_ATTEMPTS)):
        try:
            attempt()
        except CourtBusy:
            if not left:
                raise
        else:
            return
