"""
Critical path 8 (level 3): find reservations fast, page by page, none twice and none skipped.

    criteria -> checked -> keyset page -> cursor bound to the criteria

Pages go by (starts_at, id) and continue behind the last row seen, so their cost does not grow with
the page number and rows inserted meanwhile disturb nothing. A cursor carries a digest of its
criteria; used with others it is refused.

Source: CRITICAL_PATHS.md, path 8; DESIGN.md section 4.8.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from padelops.booking.club_time import checked_day, day_bounds, shown
from padelops.booking.players import checked_text
from padelops.errors import CursorMismatch, InvalidInput
from padelops.model import ReservationStatus
from padelops.store import reservations
from padelops.store.reservations import Criteria

if TYPE_CHECKING:
    from padelops.booking.clubs import Catalogue
    from padelops.store.engine import Database
    from padelops.store.replica import Readers
    from padelops.store.reservations import Reservation

LARGEST_PAGE = 500
USUAL_PAGE = 50
LONGEST_CURSOR = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """
    What to look for; whatever is None does not narrow.

    Args:
        since, until: local dates of the club, both included; UTC dates without a club.
        name: any part of the player's name, taken literally.
    """

    club: str | None = None
    court: str | None = None
    status: tuple[str, ...] = ()
    payment_status: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    email: str | None = None
    phone: str | None = None
    name: str | None = None
    limit: int = USUAL_PAGE
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Reservations in (starts_at, id) order; `next_cursor` is None on the last page."""

    reservations: tuple[Reservation, ...]
    next_cursor: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "reservations": [reservation.as_json() for reservation in self.reservations],
            "next_cursor": self.next_cursor,
        }


def search(database: Database | Readers, catalogue: Catalogue, request: SearchRequest) -> Page:
    """
    One page of reservations.

    Raises:
        InvalidInput: a criterion makes no sense. CursorMismatch: not this search's cursor.
        NotFound: no such club.
    """
    criteria = _criteria(catalogue, request)
    if not 1 <= request.limit <= LARGEST_PAGE:
        raise InvalidInput(f"A page has 1 to {LARGEST_PAGE} reservations.")
    fingerprint = _fingerprint(criteria)
    after = None if request.cursor is None else _opened(request.cursor, fingerprint)
    with database.reading() as tx:
        # One more than asked for tells whether there is another page.
        rows = reservations.page(
            tx, database.dialect, criteria, after=after, limit=request.limit + 1
        )
    found = rows[: request.limit]
    more = len(rows) > request.limit
    return Page(tuple(found), _cursor(found[-1], fingerprint) if more else None)


def _criteria(catalogue: Catalogue, request: SearchRequest) -> Criteria:
    for status in request.status:
        if status not in set(ReservationStatus):
            raise InvalidInput(
                f"There is no status {shown(status)}.", fix=f"Use: {', '.join(ReservationStatus)}."
            )
    for what, text in (
        ("court", request.court),
        ("email", request.email),
        ("phone", request.phone),
        ("name", request.name),
        *(("payment status", status) for status in request.payment_status),
    ):
        if text is not None:
            checked_text(what, text, longest=254)
    if request.court is not None and request.club is None:
        raise InvalidInput("A court is searched within its club.", fix="Add --club SLUG.")
    for day in (request.since, request.until):
        if day is not None:
            checked_day(day)
    if request.since and request.until and request.since > request.until:
        raise InvalidInput("The first day comes after the last.")

    club = None if request.club is None else catalogue.club(request.club)
    if club is not None and request.court is not None:
        club.court(request.court)
    zone = UTC if club is None else club.zone
    return Criteria(
        club_id=None if club is None else club.id,
        court=request.court,
        statuses=tuple(sorted(set(request.status))),
        payment_statuses=tuple(sorted(set(request.payment_status))),
        starts_from=None if request.since is None else _bounds(request.since, zone)[0],
        starts_before=None if request.until is None else _bounds(request.until, zone)[1],
        email=request.email,
        phone=request.phone,
        name_contains=request.name,
    )


def _bounds(day: date, zone: Any) -> tuple[datetime, datetime]:
    if zone is UTC:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return start, start.replace(hour=23, minute=59, second=59, microsecond=999999)
    return day_bounds(day, zone)


def _fingerprint(criteria: Criteria) -> str:
    text = json.dumps(asdict(criteria), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cursor(last: Reservation, fingerprint: str) -> str:
    text = f"{fingerprint}.{int(last.starts_at.timestamp())}.{last.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _opened(cursor: str, fingerprint: str) -> tuple[datetime, int]:
    try:
        padded = cursor[:LONGEST_CURSOR] + "==="
        made_for, start, last_id = (
            base64.urlsafe_b64decode(padded.encode("ascii")).decode("ascii").split(".")
        )
        after = datetime.fromtimestamp(int(start), UTC), int(last_id)
    except (ValueError, OverflowError, OSError) as exc:  # binascii.Error is a ValueError
        raise CursorMismatch(
            "That is no cursor of padelops.", fix="Search again without it."
        ) from exc
    if made_for != fingerprint or not 0 < after[1] < 2**63:
        raise CursorMismatch(fix="Search again without it.")
    return after
