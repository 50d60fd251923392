"""
padelops keeps padel courts sold exactly once, and gives the people on call the tools to prove it.

    from padelops import open_desk

    with open_desk() as desk:
        booking = desk.book("centro/2", "2026-12-05T18:00", minutes=90, player="Ana Ruiz")

Names are loaded when they are first used, so `import padelops` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from padelops.booking.bookings import Booking
    from padelops.booking.cancellation import Cancellation, Reason
    from padelops.booking.players import Player
    from padelops.booking.search import Page, SearchRequest
    from padelops.errors import (
        Corrupt,
        CourtBusy,
        CourtTaken,
        InvalidInput,
        KeyReused,
        NotFound,
        OutcomeUnknown,
        PadelopsError,
        PriceChanged,
        Refused,
        Unavailable,
    )
    from padelops.settings import Settings
    from padelops.wiring import Desk, open_desk
    from padelops.wiring.emergency import trigger_emergency_response
    from padelops.wiring.health import check_health, critical_health_check
    from padelops.wiring.validation import ReservationIntegrityValidator

__all__ = [
    "Booking",
    "Cancellation",
    "Corrupt",
    "CourtBusy",
    "CourtTaken",
    "Desk",
    "InvalidInput",
    "KeyReused",
    "NotFound",
    "OutcomeUnknown",
    "PadelopsError",
    "Page",
    "Player",
    "PriceChanged",
    "Reason",
    "Refused",
    "ReservationIntegrityValidator",
    "SearchRequest",
    "Settings",
    "Unavailable",
    "check_health",
    "critical_health_check",
    "open_desk",
    "trigger_emergency_response",
]

_HOMES = {
    "Booking": "booking.bookings",
    "Cancellation": "booking.cancellation",
    "Desk": "wiring",
    "Page": "booking.search",
    "Player": "booking.players",
    "Reason": "booking.cancellation",
    "ReservationIntegrityValidator": "wiring.validation",
    "SearchRequest": "booking.search",
    "Settings": "settings",
    "check_health": "wiring.health",
    "critical_health_check": "wiring.health",
    "open_desk": "wiring",
    "trigger_emergency_response": "wiring.emergency",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'padelops' has no attribute {name!r}")
    return getattr(import_module(f"padelops.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
