"""What any holder of a token may know: clubs, what is free, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.api import staleness
from padelops.api.documents import (
    AvailabilityAsked,
    AvailabilityOut,
    ClubsOut,
    QuoteAsked,
    QuoteOut,
)
from padelops.api.exchange import NOT_KEPT, answer
from padelops.api.routing import route
from padelops.booking.club_time import parse_date
from padelops.errors import Unavailable

if TYPE_CHECKING:
    from padelops.api.call import Call
    from padelops.api.exchange import Response


@route("GET", "/v1/clubs", answers={200: ClubsOut})
def clubs(call: Call) -> Response:
    """List the clubs."""
    return answer({"clubs": [club.as_json() for club in call.desk.clubs()]})


@route("GET", "/v1/quotes", asks=QuoteAsked, answers={200: QuoteOut}, refusals=(404, 422))
def quote(call: Call) -> Response:
    """Price a slot, line by line, whether or not it is free."""
    asked: QuoteAsked = call.query
    found = call.desk.price(
        asked.court, asked.starts_at, minutes=asked.minutes, member=asked.member_tier
    )
    return answer(found.as_json())


@route(
    "GET",
    "/v1/clubs/{club}/availability",
    asks=AvailabilityAsked,
    answers={200: AvailabilityOut},
    refusals=(404, 422),
)
def availability_of_club(call: Call) -> Response:
    """The bookable starts of a club's local day; today when no date is given."""
    return _availability(call, None)


@route(
    "GET",
    "/v1/clubs/{club}/courts/{court}/availability",
    asks=AvailabilityAsked,
    answers={200: AvailabilityOut},
    refusals=(404, 422),
)
def availability_of_court(call: Call) -> Response:
    """The bookable starts of one court on a local day."""
    return _availability(call, call.places["court"])


def _availability(call: Call, court: str | None) -> Response:
    asked: AvailabilityAsked = call.query
    club, day = call.places["club"], None if asked.date is None else parse_date(asked.date)
    fields: dict[str, str] = {}
    stale = staleness.accepted(call)
    if stale and day is not None:
        replica, stale_s = stale
        read = replica.availability(
            call.desk, club, day, minutes=asked.minutes, court=court, stale_s=stale_s
        )
        found, fields = read.value, staleness.told(read)
    else:
        found = call.desk.availability(club, day, minutes=asked.minutes, court=court)
    if not found.certain:
        # An empty day that is only a doubt must not be kept, or read, as "everything is taken".
        raise Unavailable(certain=False)
    return answer(found.as_json(), headers=NOT_KEPT | fields)
