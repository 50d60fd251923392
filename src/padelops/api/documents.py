"""What goes in and comes out as JSON: the requests are checked by these, the answers described."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from padelops.booking.cancellation import Reason
from padelops.model import ReservationStatus

LARGEST_PAGE = 100
"""Reservations on a page over HTTP; the library and the terminal give more."""

Address = Annotated[str, Field(max_length=100, examples=["centro/2"])]
Start = Annotated[
    str,
    Field(
        max_length=40,
        description="ISO 8601: club time, or with an offset.",
        examples=["2026-12-05T18:00"],
    ),
]
Day = Annotated[str, Field(max_length=10, examples=["2026-12-05"])]
Minutes = Annotated[int, Field(ge=1, le=1440)]
Money = Annotated[str, Field(description="An exact amount, as text.", examples=["36.72"])]
Tier = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Given(BaseModel):
    """Something a client sends: nothing unknown, nothing guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Asked(BaseModel):
    """A query string: its numbers are read from text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- requests --------------------------------------------------------------------------------


class PlayerIn(Given):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    email: Annotated[str, Field(max_length=254)] | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None
    count: Annotated[int, Field(ge=1, le=100)] | None = None
    notes: Annotated[str, Field(max_length=2000)] | None = None


class BookingIn(Given):
    """A booking; send an `Idempotency-Key` so that repeating it never books twice."""

    court: Address
    also: Annotated[tuple[Address, ...], Field(max_length=19, strict=False)] = ()
    starts_at: Start
    minutes: Minutes | None = None
    player: PlayerIn
    member_tier: Tier | None = None
    pay: Literal["desk", "card"] = "desk"
    card: Annotated[str, Field(max_length=255, description="The gateway's token.")] | None = None
    expect_total: (
        Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?$")] | None
    ) = None
    dry_run: bool = False


class CancellationIn(Given):
    reason: Annotated[Reason, Field(strict=False)] = Reason.USER_REQUESTED
    dry_run: bool = False


class QuoteAsked(Asked):
    court: Address
    starts_at: Start
    minutes: Minutes | None = None
    member_tier: Tier | None = None


class AvailabilityAsked(Asked):
    date: Day | None = None
    minutes: Minutes | None = None


class SearchAsked(Asked):
    club: Annotated[str, Field(max_length=63)] | None = None
    court: Annotated[str, Field(max_length=32)] | None = None
    status: tuple[ReservationStatus, ...] = ()
    payment_status: tuple[Annotated[str, Field(max_length=40)], ...] = ()
    since: Day | None = None
    until: Day | None = None
    email: Annotated[str, Field(max_length=254)] | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None
    name: Annotated[str, Field(max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 50
    cursor: Annotated[str, Field(max_length=300)] | None = None


# --- answers ---------------------------------------------------------------------------------


class PlayerOut(BaseModel):
    name: str
    email: str | None
    phone: str | None
    count: int | None


class LineOut(BaseModel):
    kind: str
    label: str
    amount: Money
    minutes: int | None = None
    per_hour: str | None = None
    percent: str | None = None
    starts_at: str | None = None


class ReservationOut(BaseModel):
    id: int
    status: ReservationStatus
    club: str
    court: str
    starts_at: str
    ends_at: str
    time_zone: str
    minutes: int
    player: PlayerOut
    notes: str | None
    member_tier: str | None
    total: Money
    currency: str
    lines: list[LineOut]
    fallback: bool
    price_source: str
    payment_method: str
    payment_status: str
    captured: Money
    refund_due: Money
    refunded: Money
    hold_until: str | None
    reason: str | None
    party_id: int | None
    external_ref: str | None
    created_at: str | None
    ended_at: str | None


class BookingOut(ReservationOut):
    key: str | None
    others: list[ReservationOut] = []
    replayed: bool
    dry_run: bool


class CancellationOut(ReservationOut):
    refund: Money
    kept: Money
    replayed: bool
    dry_run: bool


class PageOut(BaseModel):
    reservations: list[ReservationOut]
    next_cursor: str | None


class QuoteOut(BaseModel):
    total: Money
    currency: str
    lines: list[LineOut]
    tax_amount: str | None
    tax_mode: str | None
    source: str
    fallback: bool


class FreeOut(BaseModel):
    starts_at: str
    total: Money


class CourtDayOut(BaseModel):
    court: str
    in_service: bool
    free: list[FreeOut]


class AvailabilityOut(BaseModel):
    club: str
    date: str
    time_zone: str
    minutes: int
    currency: str
    certain: bool
    doubt: str | None
    from_cache: bool
    open: list[list[str]]
    courts: list[CourtDayOut]


class ClubOut(BaseModel):
    model_config = ConfigDict(extra="allow")

    club: str
    name: str
    time_zone: str
    currency: str
    courts: int
    in_service: int


class ClubsOut(BaseModel):
    clubs: list[ClubOut]


class LiveOut(BaseModel):
    status: Literal["ok"]


class ReadyOut(BaseModel):
    status: Literal["ok"]
    checks: dict[str, str]


class WebhookOut(BaseModel):
    new: bool


class PaymentQueuedOut(BaseModel):
    """The court is held; the gateway is away and the payment waits for a person."""

    code: str
    detail: str
    key: str | None = None


class ProblemOut(BaseModel):
    """RFC 9457, with the codes that the terminal has."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    request_id: str
