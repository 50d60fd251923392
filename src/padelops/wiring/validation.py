"""Data integrity verification on the configured database: what CRITICAL_PATHS.md calls for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from padelops.booking.availability import AvailabilityDesk
from padelops.booking.counts import Counts
from padelops.ops.integrity import PIECE_ROWS, IntegrityValidator
from padelops.ops.integrity_cache import CachedDays, OnlyRead
from padelops.ops.integrity_repair import IntegrityRepair
from padelops.wiring.opening import open_desk

if TYPE_CHECKING:
    from padelops.ops.integrity_report import Report
    from padelops.settings import Settings
    from padelops.wiring.desk import Desk


class ReservationIntegrityValidator:
    """
    The validator of CRITICAL_PATHS.md, "Data integrity verification"; opens the desk by itself.

        validator = ReservationIntegrityValidator()
        results = validator.validate_all_reservations()

    Args:
        settings: read from `PADELOPS_*` when left out.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def validate_all_reservations(self, **options: Any) -> Report:
        """
        Ask every invariant of the configured database. See `IntegrityValidator`.

        Raises:
            DatabaseUnavailable: it cannot be reached. SchemaBehind, SchemaAhead: it is not ours.
        """
        with open_desk(self._settings) as desk:
            return desk.validator().validate_all_reservations(**options)


def validator_of(
    desk: Desk, *, resumable: bool = True, piece_rows: int = PIECE_ROWS
) -> IntegrityValidator:
    """A validator on a desk's database and cache."""
    availability = AvailabilityDesk(
        desk.database, desk.catalogue, OnlyRead(desk.cache), Counts(desk.now)
    )
    return IntegrityValidator(
        desk.bulk,
        clock=desk.now,
        cached_days=CachedDays(availability),
        notes=desk.settings.home if resumable else None,
        piece_rows=piece_rows,
    )


def repairer_of(desk: Desk) -> IntegrityRepair:
    """What mends a desk's database and cache, as whoever opened the desk."""
    return IntegrityRepair(
        desk.bulk, validator_of(desk, resumable=False), desk.cache, desk.origin, desk.now
    )
