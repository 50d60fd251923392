"""
Real things put together into a `Desk`.

A desk is what scripts, cron jobs, the terminal and the HTTP door work through. It holds no rules of
its own: each method hands what it was given to the room that knows, with the clock and the origin.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from padelops.booking import audit, club_changes, search, surveys
from padelops.booking.availability import Availability, AvailabilityDesk
from padelops.booking.bookings import Booking, BookingRequest
from padelops.booking.cancellation import Cancellation, CancellationDesk, Reason
from padelops.booking.club_file import read_club_files
from padelops.booking.club_price import price_of
from padelops.booking.club_time import local, parse_start
from padelops.booking.clubs import Catalogue, split_address
from padelops.booking.counts import Counts
from padelops.booking.creation import Creation
from padelops.booking.payments import DeskPayment, settle_at_desk
from padelops.booking.players import Player
from padelops.errors import InvalidInput, NotFound
from padelops.model import EVERYTHING, Origin, PaymentMethod, Scope, Slot
from padelops.store import clubs as club_rows
from padelops.store import reservations
from padelops.wiring.databases import open_database
from padelops.wiring.flushing import Flusher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal
    from pathlib import Path

    from padelops.booking.cache import Cache
    from padelops.booking.card_payments import CardPayment
    from padelops.booking.payment_office import PaymentOffice
    from padelops.booking.payments import PaymentPath
    from padelops.booking.pricing import Quote
    from padelops.booking.search import Page, SearchRequest
    from padelops.ops.cache_care import Warmed
    from padelops.ops.erasure import Erased
    from padelops.ops.incidents import Incidents
    from padelops.ops.indicators import Rhythm
    from padelops.ops.integrity import IntegrityValidator
    from padelops.ops.integrity_repair import IntegrityRepair
    from padelops.ops.metrics import Readings
    from padelops.ops.paging import Paging
    from padelops.ops.tokens import TokenOffice
    from padelops.ops.worker import Worker
    from padelops.settings import Settings
    from padelops.store.engine import Database
    from padelops.store.replica import Readers
    from padelops.store.reservations import Reservation
    from padelops.wiring.breakers import SharedBreakers
    from padelops.wiring.metrics import MetricsText


class Desk:
    """Books, cancels, prices and finds reservations; close it, or use it as a context manager."""

    def __init__(
        self, settings: Settings, database: Database, origin: Origin, clock: Callable[[], datetime]
    ) -> None:
        self.settings = settings
        self.database = database
        self.origin = origin
        self.now = clock
        self.catalogue = Catalogue(database)
        self.counts = Counts(clock)
        self.flusher = Flusher(self.counts, database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the counts down and close every connection."""
        self.flusher.close()
        for name in ("breakers", "cache", "bulk", "readers", "_sandbox_books"):
            if name in self.__dict__:
                getattr(self, name).close()
        self.database.close()

    def acting_as(self, origin: Origin) -> Desk:
        """The same desk for another actor: one per request of a server."""
        twin = object.__new__(Desk)
        # Shared, so they must exist before the copy: a pool of each request's own would leak.
        _ = self.cache, self.breakers, self.bulk, self.readers, self.card, self._availability
        twin.__dict__.update(self.__dict__, origin=origin)
        return twin

    @cached_property
    def cache(self) -> Cache:
        if self.settings.cache_url is not None:
            from padelops.adapters.redis_cache import RedisCache  # noqa: PLC0415

            return RedisCache(self.settings.cache_url)
        from padelops.adapters.database_cache import DatabaseCache  # noqa: PLC0415

        return DatabaseCache(self.database)

    @cached_property
    def breakers(self) -> SharedBreakers:
        """The circuit breakers; nothing is connected before one is used."""
        from padelops.wiring.breakers import SharedBreakers  # noqa: PLC0415 - 10 ms

        return SharedBreakers(self.database, self.origin.door)

    @cached_property
    def readers(self) -> Readers:
        """For reads that may be a little old: the replica while it is fresh, else the primary."""
        from padelops.wiring.databases import open_readers  # noqa: PLC0415

        return open_readers(self.settings, self.database)

    @cached_property
    def bulk(self) -> Database:
        """Connections without the level-1 time limit: imports, seals, validation."""
        return open_database(self.settings, budget_ms=None, pool_size=2)

    @cached_property
    def _availability(self) -> AvailabilityDesk:
        return AvailabilityDesk(
            self.database,
            self.catalogue,
            self.cache,
            self.counts,
            self.breakers["availability_check"].guard,
            self.breakers["price_calculation"].lets_everything_through,
        )

    # --- the main job ----------------------------------------------------------------------

    def book(
        self,
        court: str | tuple[str, ...],
        starts: str,
        *,
        player: str | Player,
        minutes: int | None = None,
        email: str | None = None,
        phone: str | None = None,
        member: str | None = None,
        pay: PaymentMethod | str = PaymentMethod.DESK,
        card: str | None = None,
        key: str | None = None,
        expect_total: Decimal | None = None,
        dry_run: bool = False,
    ) -> Booking:
        """
        Book one court, or several courts of one club all or none. See `Creation.book`.

        Args:
            court: `centro/2`, or a tuple of such addresses.
            starts: ISO 8601 in club time, or with an offset.
        """
        request = BookingRequest(
            courts=(court,) if isinstance(court, str) else tuple(court),
            starts=starts,
            minutes=minutes,
            player=Player(name=player, email=email, phone=phone)
            if isinstance(player, str)
            else player,
            member_tier=member,
            key=key,
            expected_total=expect_total,
            card=card,
        )
        desk = Creation(
            database=self.database,
            catalogue=self.catalogue,
            payment=self.payment_of(_method(pay)),
            counts=self.counts,
            budget_s=self.settings.level1_budget_ms / 1000,
            alternatives=self._availability.alternatives,
            guard=self.breakers["reservation_creation"].guard,
            price_guard=self.breakers["price_calculation"].guard,
        )
        with nullcontext() if dry_run else self.counts.timed("creation"):
            return desk.book(request, origin=self.origin, now=self.now(), dry_run=dry_run)

    def cancel(
        self,
        reservation_id: int,
        *,
        reason: Reason | str = Reason.USER_REQUESTED,
        dry_run: bool = False,
        scope: Scope = EVERYTHING,
    ) -> Cancellation:
        """
        Cancel one reservation and free its slot. See `CancellationDesk.cancel`.

        Args:
            scope: outside it there is no reservation; what binds one to a club and an address
                never changes, so it is looked at before anything is locked.
        """
        if scope is not EVERYTHING:
            self._within(reservation_id, scope)
        desk = self._cancellations
        counted = nullcontext() if dry_run else self.counts.timed("cancellation")
        with counted, self.breakers["cancellation"].guard():
            return desk.cancel(
                _as_id(reservation_id),
                reason=_reason(reason),
                origin=self.origin,
                now=self.now(),
                dry_run=dry_run,
            )

    def price(
        self, court: str, starts: str, *, minutes: int | None = None, member: str | None = None
    ) -> Quote:
        """What a slot costs, line by line, whether or not it is free."""
        slug, name = split_address(court)
        club = self.catalogue.current(slug)
        length = club.rules.default_minutes if minutes is None else minutes
        slot = Slot.starting(parse_start(starts, club.zone), length)
        return price_of(
            club,
            club.court(name),
            slot,
            member_tier=member,
            counts=self.counts,
            guard=self.breakers["price_calculation"].guard,
        )

    def availability(
        self,
        club: str,
        day: date | None = None,
        *,
        minutes: int | None = None,
        court: str | None = None,
    ) -> Availability:
        """The bookable starts of a club's local day, or of one of its courts."""
        now = self.now()
        with self.counts.timed("availability") as timed:
            if day is None:
                day = local(now, self.catalogue.club(club).zone).date()
            found = self._availability.of_day(club, day, now=now, minutes=minutes, court=court)
            if not found.certain:
                timed.degraded("uncertain")
        return found

    def warm_cache(self, days: Sequence[date], club: str, *, minutes: int | None = None) -> Warmed:
        """Have a club's coming days in the cache before somebody asks. See `ops.cache_care`."""
        from padelops.ops.cache_care import warm  # noqa: PLC0415

        # With counts of its own: what is asked in advance is no hit and no miss of anybody's.
        desk = replace(self._availability, counts=Counts(self.now))
        return warm(desk, club, days, minutes=minutes, now=self.now())

    def search(self, request: SearchRequest) -> Page:
        """One page of reservations. See `booking.search`."""
        with self.counts.timed("search"):
            return search.search(self.readers, self.catalogue, request)

    def show(self, reservation_id: int, *, scope: Scope = EVERYTHING) -> Reservation:
        """
        Raises:
            NotFound: no such reservation, or none within the scope.
        """
        with self.counts.timed("search"):
            return self._within(reservation_id, scope)

    def _within(self, reservation_id: int, scope: Scope) -> Reservation:
        with self.database.reading() as tx:
            found = reservations.by_id_within(tx, _as_id(reservation_id), scope)
        if found is None:
            raise NotFound(f"There is no reservation {reservation_id}.")
        return found

    def settle_at_desk(self, reservation_id: int) -> Reservation:
        """Record that the price, or a refund, changed hands at the club's desk."""
        return settle_at_desk(self.database, _as_id(reservation_id), origin=self.origin)

    # --- clubs and the trail ---------------------------------------------------------------

    def apply_club_file(self, path: Path, *, dry_run: bool = False) -> list[club_changes.Applied]:
        """Make every club in a YAML file what the file says."""
        return [
            club_changes.apply_club(
                self.bulk, file, origin=self.origin, now=self.now(), dry_run=dry_run
            )
            for file in read_club_files(path)
        ]

    def clubs(self) -> list[club_rows.ClubSummary]:
        """Every club in one line, by slug."""
        with self.database.reading() as tx:
            return club_rows.summaries(tx)

    def history(self, subject_id: int, *, subject: str = "reservation") -> list[Any]:
        """The audit entries of one thing, first to last."""
        with self.counts.timed("audit"):
            return audit.history(self.database, subject, _as_id(subject_id))

    def erase_player(self, email: str, *, dry_run: bool = False) -> Erased:
        """Erase a person's data. See `ops.erasure`."""
        from padelops.ops.erasure import erase_player  # noqa: PLC0415 - hardly ever

        return erase_player(self.bulk, email, origin=self.origin, now=self.now(), dry_run=dry_run)

    def seal_audit(self) -> list[Any]:
        """Seal the audit entries of all finished transactions."""
        with self.counts.timed("audit"):
            return audit.seal(self.bulk, origin=self.origin)

    def verify_audit(self, *, anchor: str | None = None) -> audit.Verification:
        """Check the whole audit trail."""
        return audit.verify(self.bulk, anchor=anchor)

    def export_audit(
        self, *, since: date | None = None, until: date | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every audit entry of these UTC days, oldest first; `until` is not included."""
        bounds = [
            None if day is None else datetime.combine(day, time(), UTC) for day in (since, until)
        ]
        return audit.export(self.bulk, since=bounds[0], until=bounds[1])

    def metrics(self, *names: str, rhythm: Rhythm | None = None) -> Readings:
        """What indicators say, by name or alias, or those of a rhythm. See `read_metrics`."""
        from padelops.wiring.metrics import read_metrics  # noqa: PLC0415

        return read_metrics(self.settings, names, rhythm=rhythm, counts=self.counts, clock=self.now)

    def metrics_text(self) -> MetricsText:
        """What a door calls for each `/metrics`; make one and keep it."""
        from padelops.wiring.metrics import MetricsText  # noqa: PLC0415

        return MetricsText(self.settings, counts=self.counts, clock=self.now)

    def survey(self, reservation_id: int, score: int) -> None:
        """Record how a player liked it, from 1 to 5. See `booking.surveys`."""
        surveys.answer(self.database, _as_id(reservation_id), score, now=self.now())

    def validator(self, **more: Any) -> IntegrityValidator:
        """Asks every invariant of this desk's database. See `ops.integrity`."""
        from padelops.wiring.validation import validator_of  # noqa: PLC0415

        return validator_of(self, **more)

    def repairer(self) -> IntegrityRepair:
        """Mends what is safe to mend, by name. See `ops.integrity_repair`."""
        from padelops.wiring.validation import repairer_of  # noqa: PLC0415

        return repairer_of(self)

    # --- money --------------------------------------------------------------------------------

    def payment_of(self, method: PaymentMethod) -> PaymentPath:
        """The way to pay: at the desk, or by card through the configured gateway."""
        return DeskPayment() if method is PaymentMethod.DESK else self.card

    @cached_property
    def card(self) -> CardPayment:
        """Card payments over the configured gateway, behind the breaker `payment_processing`."""
        from padelops.wiring.gateways import gateway_of  # noqa: PLC0415
        from padelops.wiring.money import card_payment  # noqa: PLC0415

        return card_payment(
            self.database,
            gateway_of(self.settings, self.now, lambda: self._sandbox_books),
            self.breakers["payment_processing"].guard,
            self.settings,
            self.counts.timed,
        )

    @cached_property
    def _sandbox_books(self) -> Database:
        from padelops.wiring.gateways import sandbox_books  # noqa: PLC0415

        return sandbox_books(self.settings)

    @cached_property
    def office(self) -> PaymentOffice:
        """What a person does about card payments."""
        from padelops.booking.payment_office import PaymentOffice  # noqa: PLC0415

        return PaymentOffice(self.database, self.card, self._cancellations)

    def reconcile_payment(self, reservation_id: int) -> Reservation:
        """Ask the gateway what became of a payment. See `PaymentOffice.reconcile`."""
        return self.office.reconcile(_as_id(reservation_id), origin=self.origin, now=self.now())

    def retry_payment(self, reservation_id: int, *, reason: str) -> Reservation:
        """Go on with a payment that waits for a person. See `PaymentOffice.retry`."""
        return self.office.retry(
            _as_id(reservation_id), reason=reason, origin=self.origin, now=self.now()
        )

    def release_payment(self, reservation_id: int, *, reason: str) -> Cancellation:
        """Give up a held reservation. See `PaymentOffice.release`."""
        return self.office.release(
            _as_id(reservation_id), reason=reason, origin=self.origin, now=self.now()
        )

    def receive_webhook(self, body: bytes, signature: str) -> bool:
        """Take in one signed event of the gateway. See `PaymentOffice.webhook`."""
        return self.office.webhook(body, signature, origin=self.origin, now=self.now())

    def worker(self) -> Worker:
        """Does what happens later; see `ops.worker`."""
        from padelops.wiring.money import worker_of  # noqa: PLC0415

        return worker_of(self)

    # --- trouble ------------------------------------------------------------------------------

    @property
    def incidents(self) -> Incidents:
        """Trouble that people are called about. See `ops.incidents`."""
        from padelops.wiring.incidents import incidents_of  # noqa: PLC0415

        return incidents_of(self)

    @property
    def paging(self) -> Paging:
        """Calls people; for one thread. See `ops.paging`."""
        from padelops.wiring.incidents import paging_of  # noqa: PLC0415

        return paging_of(self)

    # --- the HTTP door ------------------------------------------------------------------------

    @property
    def tokens(self) -> TokenOffice:
        """Who may come in through the HTTP door. See `ops.tokens`."""
        from padelops.ops.tokens import TokenOffice  # noqa: PLC0415

        return TokenOffice(self.database)

    @property
    def _cancellations(self) -> CancellationDesk:
        return CancellationDesk(
            self.database, self.payment_of, self.counts, self.settings.level1_budget_ms / 1000
        )


def _method(name: PaymentMethod | str) -> PaymentMethod:
    try:
        return PaymentMethod(name)
    except ValueError:
        raise InvalidInput(f"Pay by one of: {', '.join(PaymentMethod)}.") from None


def _reason(name: Reason | str) -> Reason:
    try:
        return Reason(name)
    except ValueError:
        raise InvalidInput(f"A reason is one of: {', '.join(Reason)}.") from None


def _as_id(number: int) -> int:
    if not 0 < number < 2**63:
        raise InvalidInput("An id is a whole number greater than 0.")
    return number
