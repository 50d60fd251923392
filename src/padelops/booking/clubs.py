"""
Clubs as the booking core sees them: courts, hours, rules and terms, read once and kept while true.

A `Club` is everything a booking needs to know, in one frozen value. The `Catalogue` keeps it per
process; the claim itself checks the revision in the database, so a club that changed meanwhile is
noticed there and read again. Nothing is decided on an old copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from padelops.booking.club_file import BookingRules, ClubFile
from padelops.booking.club_time import shown, zone
from padelops.booking.tariff import Tariff
from padelops.booking.terms import explain
from padelops.errors import Corrupt, CourtOutOfService, InvalidInput, NotFound, TariffUnusable
from padelops.store import clubs as club_rows

if TYPE_CHECKING:
    from decimal import Decimal
    from zoneinfo import ZoneInfo

    from padelops.booking.cancellation_policy import CancellationPolicy
    from padelops.booking.opening_hours import OpeningHours
    from padelops.store.engine import Database


@dataclass(frozen=True, slots=True)
class Court:
    """A court of a club; `address` is how people name it, as in `centro/2`."""

    id: int
    club: str
    name: str
    in_service: bool

    @property
    def address(self) -> str:
        return f"{self.club}/{self.name}"


@dataclass(frozen=True, eq=False)
class Club:
    """
    A club at one revision of its terms; `state` also changes with a court's service.

    Read again it is another value: what is worked out from one is kept under it, and goes with it.
    """

    id: int
    slug: str
    name: str
    revision: int
    state: str
    currency: str
    zone: ZoneInfo
    language: str
    hours: OpeningHours
    rules: BookingRules
    cancellation: CancellationPolicy
    default_hourly_price: Decimal
    tariff_id: int | None
    policy_id: int | None
    tariff_terms: dict[str, Any] | None
    courts: dict[str, Court]

    def court(self, name: str) -> Court:
        """
        Raises:
            NotFound: names the courts there are.
        """
        try:
            return self.courts[name]
        except KeyError:
            known = ", ".join(list(self.courts)[:12]) or "none"
            raise NotFound(
                f"{self.slug} has no court {shown(name)}.", fix=f"Courts: {known}."
            ) from None

    def bookable_court(self, name: str) -> Court:
        """
        Raises:
            NotFound: no such court. CourtOutOfService: it is closed for bookings.
        """
        court = self.court(name)
        if not court.in_service:
            raise CourtOutOfService(f"Court {court.address} is out of service.")
        return court

    def tariff(self) -> Tariff:
        """
        The tariff in force.

        Raises:
            TariffUnusable: there is none. ValidationError: its stored document is damaged.
        """
        return self._tariff

    @cached_property
    def _tariff(self) -> Tariff:
        if self.tariff_terms is None:
            raise TariffUnusable("The club has no tariff.")
        return Tariff.model_validate(self.tariff_terms)


LONGEST_ADDRESS = 100


def split_address(address: str) -> tuple[str, str]:
    """
    `centro/2` as its club's slug and its court's name.

    Raises:
        InvalidInput: it has no such shape.
    """
    slug, slash, court = address.partition("/")
    if not (slug and slash and court) or "/" in court or len(address) > LONGEST_ADDRESS:
        raise InvalidInput(
            f"{shown(address)} does not name a court.", fix="Write CLUB/COURT, such as centro/2."
        )
    return slug, court


class Catalogue:
    """
    The clubs of a database, kept per process and checked by revision.

    Thread-safe: a slot of the dictionary is replaced whole, never changed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Club] = {}

    def club(self, slug: str) -> Club:
        """The club as this process last saw it; good enough where the claim checks the revision."""
        return self._known.get(slug) or self.read(slug)

    def current(self, slug: str) -> Club:
        """The club at the revision that is in force now: one cheap query when it is known."""
        known = self._known.get(slug)
        if known is not None:
            with self._database.reading() as tx:
                if club_rows.state_of(tx, slug) == known.state:
                    return known
        return self.read(slug)

    def known(self, slug: str) -> Club | None:
        """The club if this process has seen it; asks nobody."""
        return self._known.get(slug)

    def outdated(self, slug: str) -> bool:
        """Whether the club had changed since this process read it; then it is read afresh."""
        known = self._known.get(slug)
        return known is not None and self.current(slug) is not known

    def read(self, slug: str) -> Club:
        """
        Read a club afresh.

        Raises:
            NotFound: names some clubs that exist. Corrupt: its stored document is damaged.
        """
        with self._database.reading() as tx:
            # A NUL byte or half a character pair cannot even be asked for.
            row = club_rows.by_slug(tx, slug) if slug.isascii() and slug.isprintable() else None
            if row is None:
                self._known.pop(slug, None)
                some = ", ".join(club_rows.slugs(tx))
                fix = f"Clubs: {some}." if some else "Make one: padelops club apply FILE.yaml"
                raise NotFound(f"There is no club {shown(slug)}.", fix=fix)
        club = club_of(row)
        self._known[slug] = club
        return club


def club_of(row: club_rows.ClubRow) -> Club:
    """
    The club that a stored row describes.

    Raises:
        Corrupt: the document does not validate. A damaged *tariff* is not corrupt here: its prices
            fall back to the default, marked.
    """
    try:
        document = ClubFile.model_validate(row.config)
    except ValidationError as exc:
        raise Corrupt(
            f"The stored document of club {row.slug} is damaged: {explain(exc)}",
            fix="Apply its file again: padelops club apply FILE.yaml",
        ) from exc
    return Club(
        id=row.id,
        slug=row.slug,
        name=row.name,
        revision=row.revision,
        state=row.state,
        currency=row.currency,
        zone=zone(row.time_zone),
        language=document.language,
        hours=document.hours,
        rules=document.rules,
        cancellation=document.cancellation,
        default_hourly_price=document.default_hourly_price,
        tariff_id=row.tariff_id,
        policy_id=row.policy_id,
        tariff_terms=row.tariff,
        courts={
            court["name"]: Court(court["id"], row.slug, court["name"], court["in_service"])
            for court in row.courts
        },
    )
