"""
The words that every room shares: slots, statuses and their allowed moves, levels, origins.

Frozen values only; nothing here reads a clock, a file or a database.
Times are aware UTC, intervals half-open `[start, end)`, money is `Decimal` plus ISO currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import IntEnum, StrEnum

from padelops.errors import InvalidInput

LONGEST_CLAIM = timedelta(hours=24)
"""No claim on a court lasts longer, so an overlap search never has to look further back.
The database checks it (`claims_at_most_a_day`); longer blocks are claimed in pieces."""

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Court time outside these years is a typing mistake, and is refused."""


class Level(IntEnum):
    """How bad it is when a path fails. Source: CRITICAL_PATHS.md, "Criticality levels"."""

    ABSOLUTE = 1
    BUSINESS = 2
    OPERATIONAL = 3


class ReservationStatus(StrEnum):
    """Where a reservation stands. `pending` is a hold: the court is kept until its deadline."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    COMPLETED = "completed"
    NO_SHOW = "no_show"


LIVE = frozenset({ReservationStatus.PENDING, ReservationStatus.CONFIRMED})
"""The statuses that keep a court. The exclusion constraint's WHERE says the same."""

ALLOWED_MOVES: dict[ReservationStatus, frozenset[ReservationStatus]] = {
    ReservationStatus.PENDING: frozenset(
        {ReservationStatus.CONFIRMED, ReservationStatus.CANCELLED, ReservationStatus.EXPIRED}
    ),
    ReservationStatus.CONFIRMED: frozenset(
        {ReservationStatus.CANCELLED, ReservationStatus.COMPLETED, ReservationStatus.NO_SHOW}
    ),
    # Late money: the payment came through after the hold ran out and the court is still free.
    # The move goes back under the exclusion constraint, which refuses it if the court was resold.
    ReservationStatus.EXPIRED: frozenset({ReservationStatus.CONFIRMED}),
    ReservationStatus.CANCELLED: frozenset(),
    ReservationStatus.COMPLETED: frozenset(),
    ReservationStatus.NO_SHOW: frozenset(),
}
"""Which status may follow which; the trigger `claims_keep_their_history` enforces the same."""


class PaymentMethod(StrEnum):
    """How a booking is paid: at the club's desk, or by card through a gateway."""

    DESK = "desk"
    CARD = "card"


class Door(StrEnum):
    """Through which door a change came in; recorded with every audit entry."""

    LIBRARY = "library"
    CLI = "cli"
    API = "api"
    WORKER = "worker"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks, through which door, in which request: what the audit trail records."""

    actor: str
    door: Door = Door.LIBRARY
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which reservations somebody may see: those of one club, of one player, or (None) of all."""

    club: str | None = None
    email: str | None = None


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """
    A half-open stretch of court time, `[starts_at, ends_at)`, aware UTC, whole minutes.

    Raises:
        InvalidInput: naive times, seconds, an end not after the start, more than 24 hours,
            or a year outside 2000-2099.
    """

    starts_at: datetime
    ends_at: datetime

    def __post_init__(self) -> None:
        for name, moment in (("start", self.starts_at), ("end", self.ends_at)):
            if moment.tzinfo is not UTC:
                raise InvalidInput(f"The {name} must be an aware UTC time.")
            if moment.second or moment.microsecond:
                raise InvalidInput(f"The {name} must fall on a whole minute.")
        if not self.starts_at < self.ends_at:
            raise InvalidInput("The end must come after the start.")
        if self.ends_at - self.starts_at > LONGEST_CLAIM:
            raise InvalidInput("A court is claimed for 24 hours at the most.")
        if self.starts_at < EARLIEST or self.ends_at > LATEST:
            raise InvalidInput("The date must lie between the years 2000 and 2099.")

    @classmethod
    def starting(cls, starts_at: datetime, minutes: int) -> Slot:
        """A slot of so many elapsed minutes."""
        if not 0 < minutes <= LONGEST_CLAIM.total_seconds() / 60:
            raise InvalidInput("Minutes must lie between 1 and 1440.")
        starts_at = starts_at.astimezone(UTC)
        if starts_at > LATEST:
            raise InvalidInput("The date must lie between the years 2000 and 2099.")
        return cls(starts_at, starts_at + timedelta(minutes=minutes))

    @property
    def minutes(self) -> int:
        """Elapsed minutes: what was played, whatever the clock on the wall did."""
        return int((self.ends_at - self.starts_at).total_seconds()) // 60

    def overlaps(self, other: Slot) -> bool:
        """Whether the two share any moment; back-to-back slots do not."""
        return self.starts_at < other.ends_at and other.starts_at < self.ends_at


MINOR_UNITS = {
    "EUR": 2, "USD": 2, "MXN": 2, "GBP": 2, "ARS": 2, "BRL": 2, "CHF": 2, "SEK": 2, "NOK": 2,
    "DKK": 2, "PLN": 2, "CZK": 2, "COP": 2, "PEN": 2, "UYU": 2, "AED": 2, "SAR": 2, "QAR": 2,
    "CAD": 2, "AUD": 2, "NZD": 2, "MAD": 2, "INR": 2, "CNY": 2, "THB": 2, "ZAR": 2, "TRY": 2,
    "JPY": 0, "CLP": 0, "PYG": 0, "KRW": 0, "VND": 0, "ISK": 0,
    "KWD": 3, "BHD": 3, "TND": 3, "JOD": 3, "OMR": 3, "IQD": 3, "LYD": 3,
}  # fmt: skip
"""Digits after the point, by ISO 4217 currency code. Source: ISO 4217 list one."""


def minor_unit(currency: str) -> Decimal:
    """
    The smallest amount of a currency: `0.01` for EUR, `1` for JPY, `0.001` for KWD.

    Raises:
        InvalidInput: the currency is not in `MINOR_UNITS`.
    """
    try:
        return Decimal(1).scaleb(-MINOR_UNITS[currency])
    except KeyError:
        raise InvalidInput(
            f"Unknown currency {currency[:8]!r}.", fix="Use an ISO 4217 code such as EUR."
        ) from None


def round_to_currency(amount: Decimal, currency: str) -> Decimal:
    """Round half up to the currency's minor unit; `2.345` EUR is `2.35`."""
    return amount.quantize(minor_unit(currency), rounding=ROUND_HALF_UP)
