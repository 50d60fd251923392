"""
In which zone and currency an import is read: the club's own where it is here, else what was said.

A club that is here keeps its zone and currency whatever the command line says; a command line that
says something else is refused, because a wrong zone would move every reservation by hours. So is
one that says nothing where a club made by hand is to be taken for one of the dump: its rows may
stand before it in the files, so they are read before it is known which club it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from padelops.booking.club_time import zone
from padelops.errors import InvalidInput
from padelops.model import minor_unit
from padelops.ops.import_fields import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from padelops.store.imports import KnownClub

DEFAULT_TIME_ZONE = "America/Mexico_City"
DEFAULT_CURRENCY = "MXN"


class ImportTerms:
    """
    Args:
        time_zone, currency: as given on the command line; None where nothing was said.
        retry: the command line was another day's; a contradiction is then one row's trouble.

    Raises:
        InvalidInput: no such zone or currency.
    """

    def __init__(
        self,
        known: Iterable[KnownClub],
        *,
        time_zone: str | None,
        currency: str | None,
        retry: bool = False,
    ) -> None:
        self._retry = retry
        self.said_zone = time_zone
        self.said_currency = currency
        self.time_zone = time_zone or DEFAULT_TIME_ZONE
        self.currency = currency or DEFAULT_CURRENCY
        self._zone = zone(self.time_zone)
        minor_unit(self.currency)
        self._contexts: dict[str, str] = {}
        self._by_slug: dict[str, KnownClub] = {}
        self._by_ref: dict[str, KnownClub] = {}
        self._by_court_ref: dict[str, KnownClub] = {}
        self.learn(known)

    def learn(self, known: Iterable[KnownClub]) -> None:
        """Take in which clubs are here."""
        for club in known:
            self._by_slug[club.slug] = club
            if club.external_ref is not None:
                self._by_ref[club.external_ref] = club
            self._by_court_ref |= dict.fromkeys(club.court_refs, club)

    def context(self, system: str) -> str:
        """What is kept with a bad row, so that it is read the same way again."""
        if system not in self._contexts:
            said = {"timezone": self.said_zone, "currency": self.said_currency}
            self._contexts[system] = json.dumps({"format": system, **said})
        return self._contexts[system]

    def of_dump(self, club_key: str | None, court_key: str | None) -> tuple[ZoneInfo, str]:
        """
        The zone and the currency of a row of a dump.

        Raises:
            InvalidInput, BadRow: as `require_same`.
        """
        club = self._by_ref.get(club_key or "") or self._by_court_ref.get(court_key or "")
        if club is None:
            return self._zone, self.currency
        self.require_same(club)
        return zone(club.time_zone), club.currency

    def of_csv(self, slug: str | None) -> tuple[ZoneInfo, str]:
        """The zone and currency of a row of a CSV file: here the command line may say a zone."""
        club = self._by_slug.get(slug or "")
        if club is None:
            return self._zone, self.currency
        return (self._zone if self.said_zone else zone(club.time_zone)), club.currency

    def require_same(self, club: KnownClub, *, known_before: bool = True) -> None:
        """
        Args:
            known_before: its rows were read in its own zone, unless the command line said one.

        Raises:
            InvalidInput: the command line says another zone or currency than the club has.
            BadRow: the same, in a retry.
        """
        read_in = (self.said_zone, self.said_currency)
        if not known_before:
            read_in = (self.time_zone, self.currency)
        if read_in[0] in (None, club.time_zone) and read_in[1] in (None, club.currency):
            return
        if self._retry:
            raise BadRow(
                "other_terms", f"{club.slug} is in {club.time_zone} and charges {club.currency}"
            )
        raise InvalidInput(
            f"Club {club.slug} is here, in {club.time_zone} and charging {club.currency},"
            f" not in {self.time_zone} and {self.currency}.",
            fix=f"Pass --timezone {club.time_zone} --currency {club.currency}",
        )

    def club_with_slug(self, slug: str) -> KnownClub | None:
        return self._by_slug.get(slug)
