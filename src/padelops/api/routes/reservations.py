"""Reservations: booked, shown, searched, cancelled; by members their own, by staff their club's."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from padelops.api import access, staleness
from padelops.api.documents import (
    BookingIn,
    BookingOut,
    CancellationIn,
    CancellationOut,
    PageOut,
    PaymentQueuedOut,
    ReservationOut,
    SearchAsked,
)
from padelops.api.exchange import answer, header
from padelops.api.routing import route
from padelops.booking.club_time import parse_date
from padelops.booking.players import Player
from padelops.booking.search import SearchRequest

if TYPE_CHECKING:
    from padelops.api.call import Call
    from padelops.api.exchange import Response

LONGEST_KEY = 180


@route(
    "POST",
    "/v1/reservations",
    takes=BookingIn,
    answers={201: BookingOut, 200: BookingOut, 202: PaymentQueuedOut},
    refusals=(402, 404, 409, 422, 429),
    books=True,
)
def book(call: Call) -> Response:
    """
    Book a court, or several of one club all or none.

    With an `Idempotency-Key` the same request gives the same reservation however often it is sent:
    201 when it was made now, 200 when it is a replay or a dry run.
    """
    body: BookingIn = call.body
    token = call.token
    courts = (body.court, *body.also)
    access.may_work_at(token, [court.partition("/")[0] for court in courts])
    wish = body.player
    booking = call.desk.book(
        courts,
        body.starts_at,
        minutes=body.minutes,
        player=Player(
            name=wish.name,
            email=access.own_email(token, wish.email),
            phone=wish.phone,
            count=wish.count,
            notes=wish.notes,
        ),
        member=access.own_tier(token, body.member_tier),
        pay=body.pay,
        card=body.card,
        key=access.own_key(token, header(call.request, "idempotency-key", longest=LONGEST_KEY)),
        expect_total=None if body.expect_total is None else Decimal(body.expect_total),
        dry_run=body.dry_run,
    )
    if booking.replayed or booking.dry_run:
        return answer(booking.as_json())
    return answer(
        booking.as_json(), 201, {"location": f"/v1/reservations/{booking.reservation.id}"}
    )


@route("GET", "/v1/reservations/{reservation_id}", answers={200: ReservationOut}, refusals=(404,))
def show(call: Call) -> Response:
    """Show one reservation as it stands now."""
    number, scope = int(call.places["reservation_id"]), call.token.scope
    if stale := staleness.accepted(call):
        replica, stale_s = stale
        read = replica.show(call.desk, number, scope=scope, stale_s=stale_s)
        return answer(read.value.as_json(), headers=staleness.told(read))
    return answer(call.desk.show(number, scope=scope).as_json())


@route(
    "GET",
    "/v1/reservations",
    asks=SearchAsked,
    answers={200: PageOut},
    refusals=(404,),
)
def search(call: Call) -> Response:
    """
    Find reservations, oldest start first, page by page.

    Members find their own, staff those of their club. A cursor is good for the token and the search
    that it was given for.
    """
    asked: SearchAsked = call.query
    token = call.token
    if asked.club is not None:
        access.may_work_at(token, [asked.club])
    request = SearchRequest(
        club=asked.club or token.club,
        court=asked.court,
        status=tuple(asked.status),
        payment_status=asked.payment_status,
        since=None if asked.since is None else parse_date(asked.since),
        until=None if asked.until is None else parse_date(asked.until),
        email=access.own_email(token, asked.email),
        phone=asked.phone,
        name=asked.name,
        limit=asked.limit,
        cursor=access.opened_cursor(call.holder, asked.cursor),
    )
    fields: dict[str, str] = {}
    if stale := staleness.accepted(call, unasked=True):
        replica, stale_s = stale
        read = replica.search(call.desk, request, stale_s=stale_s)
        page, fields = read.value, staleness.told(read)
    else:
        page = call.desk.search(request)
    document = page.as_json()
    document["next_cursor"] = access.signed_cursor(call.holder, page.next_cursor)
    return answer(document, headers=fields)


@route(
    "POST",
    "/v1/reservations/{reservation_id}/cancel",
    takes=CancellationIn,
    answers={200: CancellationOut},
    refusals=(404, 409, 422),
)
def cancel(call: Call) -> Response:
    """
    Cancel one reservation: its slot is free at once, the refund follows its policy.

    A second time gives the same answer, marked as `replayed`.
    """
    body: CancellationIn = call.body
    access.may_give(call.token, body.reason)
    done = call.desk.cancel(
        int(call.places["reservation_id"]),
        reason=body.reason,
        dry_run=body.dry_run,
        scope=call.token.scope,
    )
    return answer(done.as_json())
