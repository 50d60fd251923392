"""
The application's own way to its database, walked once: the mark is the failover's audit entry.

It is written like a booking, through the configured address and with the level-1 deadline, and read
back over another new connection. So "service restored" means what a player would see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.errors import Unavailable
from padelops.model import Door, Origin
from padelops.ops.integrity import IntegrityValidator
from padelops.ops.verdict import Verdict
from padelops.store import audit

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from padelops.ops.failover_record import Record
    from padelops.store.engine import Database


class BookingsWay:
    """
    Args:
        bookings: a pool as bookings use it; its connections are new, since it begins empty.
        bulk: a pool without a time limit, for the invariants.
    """

    def __init__(
        self, bookings: Database, bulk: Database, *, door: Door, clock: Callable[[], datetime]
    ) -> None:
        self._bookings = bookings
        self._bulk = bulk
        self._door = door
        self._clock = clock

    def leave_mark(self, record: Record) -> str:
        """
        Write the failover into the audit trail and read it back; says where it stands.

        Raises:
            PadelopsError: why bookings would fail now.
        """
        self._bookings.close()
        with self._bookings.transaction(Origin(record.actor, self._door, record.id)) as tx:
            entry = audit.note(
                tx,
                f"failover.{record.kind}",
                {
                    "from": record.old,
                    "to": record.new,
                    "driver": record.driver,
                    "timeline_before": record.timeline,
                    "data_loss_allowed": record.data_loss_allowed,
                    "reason": record.reason,
                },
            )
        self._bookings.close()
        with self._bookings.reading() as tx:
            if not audit.is_there(tx, entry):
                raise Unavailable("What was written cannot be read back.")
        return f"written and read back, audit entry {entry}"

    def invariants(self) -> list[str]:
        """What is broken in the data, in one line each; a check that could not run is one too."""
        validator = IntegrityValidator(self._bulk, clock=self._clock)
        found = validator.validate_all_reservations()
        return [
            f"{outcome.check}: {outcome.failure or f'{outcome.found} violations'}."
            for outcome in found.outcomes
            if outcome.verdict in {Verdict.CRITICAL, Verdict.UNKNOWN}
        ]
