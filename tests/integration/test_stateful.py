"""
Hypothesis drives the desk and a model in memory side by side, and compares every answer.

The model is a list of claims and a handful of rules, written without a look at the product's code;
after each step the tables are asked for every invariant by SQL of their own. Deadlines and starts
are compared with one simulated clock. PADELOPS_TEST_STATEFUL sets how many runs (default 30).
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr

from padelops import SearchRequest, Settings, open_desk
from padelops.booking.club_changes import apply_club
from padelops.booking.club_file import parse_club_files
from padelops.errors import (
    CannotCancel,
    CourtOutOfService,
    CourtTaken,
    KeyReused,
    NotFound,
    OutsideHours,
    PadelopsError,
    PriceChanged,
    Refused,
    RuleBroken,
)
from padelops.model import Origin
from testbed.clock import Clock
from testbed.invariants import broken
from testbed.rows import insert_hold

if TYPE_CHECKING:
    from conftest import Databases
    from padelops.adapters.embedded_postgres import EmbeddedPostgres

EVERYDAY = 30
RUNS = int(os.environ.get("PADELOPS_TEST_STATEFUL", str(EVERYDAY)))
STEPS = 40

# Long past, so that holds run out by the database's own clock as soon as the simulated one says so.
BEGIN = datetime(2020, 6, 1, 0, 0, tzinfo=UTC)
DAYS = 2
COURTS = ("1", "2", "3")
OPENS, CLOSES = 8, 12
STEP = timedelta(minutes=30)


@dataclass
class Terms:
    """What the club sells by: an hourly price, a buffer, and which courts are in service."""

    hourly: Decimal = Decimal("20.00")
    buffer: int = 0
    closed: frozenset[str] = frozenset()
    refund_percent: int = 50

    def file(self, blocks: dict[str, tuple[str, datetime, datetime]]) -> str:
        courts = "".join(
            f"\n  - {{name: '{name}', in_service: {str(name not in self.closed).lower()}}}"
            for name in COURTS
        )
        laid = "".join(
            f"\n  - {{ref: {ref}, courts: ['{court}'], from: '{start:%Y-%m-%dT%H:%M}',"
            f" to: '{end:%Y-%m-%dT%H:%M}', reason: works}}"
            for ref, (court, start, end) in blocks.items()
        )
        return f"""
slug: model
name: Model
time_zone: UTC
currency: EUR
default_hourly_price: "{self.hourly}"
hours: {{weekly: {{mon-sun: "{OPENS:02d}:00-{CLOSES:02d}:00"}}}}
rules: {{min_minutes: 60, max_minutes: 120, default_minutes: 60, advance_days: 30,
         buffer_minutes: {self.buffer}}}
cancellation: {{tiers: [{{hours_before: 24, refund_percent: "100"}},
                        {{hours_before: 2, refund_percent: "{self.refund_percent}"}}], fee: "1.00"}}
courts:{courts}
{"blocks:" if blocks else ""}{laid}
"""


@dataclass
class Claim:
    """A claim as the model remembers it."""

    court: str
    start: datetime
    end: datetime
    free: datetime
    status: str = "confirmed"
    until: datetime | None = None
    key: str | None = None
    total: Decimal = Decimal(0)
    paid: bool = False
    refund: Decimal = Decimal(0)
    given_back: bool = False
    terms: Terms = field(default_factory=Terms)
    is_block: bool = False

    def live(self, now: datetime) -> bool:
        """Whether it keeps its court now."""
        if self.status == "pending":
            return self.until is None or self.until > now
        return self.status == "confirmed"

    def meets(self, court: str, start: datetime, free: datetime) -> bool:
        return self.court == court and self.start < free and start < self.free


class Model:
    """The whole of padelops, without a database: who has which court, and what it costs."""

    def __init__(self) -> None:
        self.claims: dict[int, Claim] = {}
        self.terms = Terms()
        self.blocks: dict[str, tuple[str, datetime, datetime]] = {}

    def in_the_way(self, court: str, start: datetime, free: datetime, now: datetime) -> bool:
        return any(c.live(now) and c.meets(court, start, free) for c in self.claims.values())

    def retire(self, court: str, start: datetime, free: datetime, now: datetime) -> None:
        for claim in self.claims.values():
            if (
                claim.status == "pending"
                and not claim.live(now)
                and claim.meets(court, start, free)
            ):
                claim.status = "expired"

    def price(self, minutes: int) -> Decimal:
        return (self.terms.hourly * minutes / 60).quantize(Decimal("0.01"))

    def refusal(
        self, court: str, start: datetime, minutes: int, now: datetime
    ) -> type[Refused] | None:
        """Why a booking of one court would be refused; None when it would not."""
        end = start + timedelta(minutes=minutes)
        opens = start.replace(hour=OPENS, minute=0)
        closes = start.replace(hour=CLOSES, minute=0)
        if court in self.terms.closed:
            return CourtOutOfService
        if start < now or not 60 <= minutes <= 120 or minutes % 30:
            return RuleBroken
        if start < opens or end > closes:
            return OutsideHours
        if (start - opens) % STEP:
            return RuleBroken
        free = end + timedelta(minutes=self.terms.buffer)
        return CourtTaken if self.in_the_way(court, start, free, now) else None


courts = st.sampled_from(COURTS)
days = st.integers(0, DAYS - 1)
starts = st.builds(
    lambda day, half: BEGIN + timedelta(days=day) + OPENS * 2 * STEP + half * STEP,
    days,
    st.integers(0, 2 * (CLOSES - OPENS) - 1),
)
lengths = st.sampled_from((60, 60, 90, 120))
keys = st.sampled_from((None, "k1", "k2"))


class DeskAndModel(RuleBasedStateMachine):
    """One run: a database of its own, two desks on it, and the model."""

    databases: Databases
    server: EmbeddedPostgres
    template: str

    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.clock = Clock(BEGIN)
        self.asked: dict[str, tuple[Any, ...]] = {}
        self.stack = ExitStack()
        name = self.databases.create(self.template)
        self.stack.callback(self.databases.done_with, name)
        self.psql = self.stack.enter_context(
            psycopg.connect(self.server.admin_url(name), autocommit=True, options="-c timezone=UTC")
        )
        sold = Settings(
            database_url=SecretStr(self.server.url(name)),
            home=self.server.home,
            level1_budget_ms=10_000,
        )
        # Two desks take turns, so that whatever one remembers may be out of date.
        self.desks = [
            self.stack.enter_context(open_desk(sold, actor=f"desk {n}", clock=self.clock))
            for n in range(2)
        ]
        self.turn = 0

    def teardown(self) -> None:
        self.stack.close()

    @property
    def now(self) -> datetime:
        return self.clock.at

    @property
    def desk(self) -> Any:
        self.turn += 1
        return self.desks[self.turn % 2]

    def apply(self, terms: Terms, blocks: dict[str, tuple[str, datetime, datetime]]) -> Any:
        (file,) = parse_club_files(terms.file(blocks), name="model")
        return apply_club(self.desk.bulk, file, origin=Origin("owner"), now=self.now)

    @initialize(buffer=st.sampled_from((0, 30)))
    def open_the_club(self, buffer: int) -> None:
        self.model.terms = Terms(buffer=buffer)
        assert self.apply(self.model.terms, {}).created

    # --- what people do ----------------------------------------------------------------------

    def attempt(self, call: Any) -> Any:
        """A value, or the class of the refusal that came instead."""
        try:
            return call()
        except PadelopsError as exc:
            return type(exc)

    @rule(target=made, court=courts, start=starts, minutes=lengths, key=keys, dry_run=st.booleans(),
          expect=st.booleans())  # fmt: skip
    def book(
        self, court: str, start: datetime, minutes: int, key: str | None, dry_run: bool,
        expect: bool,
    ) -> Any:  # fmt: skip
        price = self.model.price(minutes)
        answer = self.attempt(
            lambda: self.desk.book(
                f"model/{court}", f"{start:%Y-%m-%dT%H:%M}", minutes=minutes, player="Ana",
                key=key, dry_run=dry_run, expect_total=price if expect else None,
            )
        )  # fmt: skip

        request = (court, start, minutes)
        holder = next((i for i, c in self.model.claims.items() if key and c.key == key), None)
        if holder is not None:
            if self.asked[key or ""] == request:
                assert (True, holder) == (answer.replayed, answer.reservation.id)
                assert self.model.claims[holder].status == answer.reservation.status
            else:
                # Another request; what else is wrong with it may be said first.
                reason = self.model.refusal(court, start, minutes, self.now)
                assert answer is KeyReused or (answer is reason and reason is not CourtTaken)
            return multiple()
        reason = self.model.refusal(court, start, minutes, self.now)
        if reason is not None:
            assert reason is answer
            return multiple()
        assert (False, dry_run) == (answer.replayed, answer.dry_run)
        assert ("confirmed", price) == (answer.reservation.status, answer.reservation.total)
        if dry_run:
            return multiple()
        end = start + timedelta(minutes=minutes)
        free = end + timedelta(minutes=self.model.terms.buffer)
        self.model.retire(court, start, free, self.now)
        if key:
            self.asked[key] = request
        self.model.claims[answer.reservation.id] = Claim(
            court, start, end, free, key=key, total=price, terms=self.model.terms
        )
        return answer.reservation.id

    @rule(target=made, start=starts, minutes=lengths)
    def book_two_courts(self, start: datetime, minutes: int) -> Any:
        pair = ("model/2", "model/1")
        answer = self.attempt(
            lambda: self.desk.book(pair, f"{start:%Y-%m-%dT%H:%M}", minutes=minutes, player="Two")
        )

        reasons = [self.model.refusal(court, start, minutes, self.now) for court in "12"]
        found = [reason for reason in reasons if reason]
        if found:
            # Rules are checked before courts are claimed.
            expected = next((reason for reason in found if reason is not CourtTaken), CourtTaken)
            assert expected is answer
            return multiple()
        end = start + timedelta(minutes=minutes)
        free = end + timedelta(minutes=self.model.terms.buffer)
        party = [answer.reservation, *answer.others]
        assert ["1", "2"] == [one.court for one in party]
        for one in party:
            self.model.retire(one.court, start, free, self.now)
            self.model.claims[one.id] = Claim(
                one.court, start, end, free, total=self.model.price(minutes),
                terms=self.model.terms,
            )  # fmt: skip
        return multiple(*(one.id for one in party))

    @rule(court=courts, start=starts, minutes=lengths)
    def expect_another_price(self, court: str, start: datetime, minutes: int) -> None:
        wrong = self.model.price(minutes) + 1
        answer = self.attempt(
            lambda: self.desk.book(
                f"model/{court}", f"{start:%Y-%m-%dT%H:%M}", minutes=minutes, player="Ana",
                expect_total=wrong,
            )
        )  # fmt: skip

        reason = self.model.refusal(court, start, minutes, self.now)
        assert answer is (reason if reason not in (None, CourtTaken) else PriceChanged)

    @rule(reservation=made, dry_run=st.booleans(), rain=st.booleans())
    def cancel(self, reservation: int, dry_run: bool, rain: bool) -> None:
        claim = self.model.claims[reservation]
        answer = self.attempt(
            lambda: self.desk.cancel(
                reservation, reason="weather" if rain else "user_requested", dry_run=dry_run
            )
        )

        if claim.status == "cancelled":
            assert (True, claim.refund) == (answer.replayed, answer.refund)
            return
        if claim.start <= self.now:
            assert CannotCancel is answer
            return
        paid = claim.total if claim.paid else Decimal(0)
        ahead = claim.start - self.now
        share = 100 if ahead >= timedelta(hours=24) else 0
        if not share and ahead >= timedelta(hours=2):
            share = claim.terms.refund_percent
        part = (paid * share / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
        refund = paid if rain else max(Decimal(0), part - Decimal("1.00"))
        assert (False, refund) == (answer.replayed, answer.refund)
        assert paid == answer.refund + answer.kept
        if not dry_run:
            claim.status, claim.refund = "cancelled", refund

    @rule(reservation=made)
    def pay_at_the_desk(self, reservation: int) -> None:
        claim = self.model.claims[reservation]
        answer = self.attempt(lambda: self.desk.settle_at_desk(reservation))

        if claim.status == "confirmed" and not claim.paid:
            claim.paid = True
            assert ("paid", claim.total) == (answer.payment_status, answer.captured)
        elif claim.status == "cancelled" and claim.refund and not claim.given_back:
            claim.given_back = True
            assert ("refunded", claim.refund) == (answer.payment_status, answer.refunded)
        else:
            assert isinstance(answer, type)
            assert issubclass(answer, Refused)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """
        The same request with the same key once more, by the other desk, whatever happened since.
        """
        key = data.draw(st.sampled_from(sorted(self.asked)))
        court, start, minutes = self.asked[key]
        holder = next(number for number, c in self.model.claims.items() if c.key == key)
        answer = self.desk.book(
            f"model/{court}", f"{start:%Y-%m-%dT%H:%M}", minutes=minutes, player="Ana", key=key
        )

        assert (True, holder) == (answer.replayed, answer.reservation.id)

    @rule(reservation=made, hours=st.sampled_from((24, 2)), late=st.booleans())
    def come_to_a_deadline(self, reservation: int, hours: int, late: bool) -> None:
        """
        Exactly on a deadline of the policy, or a moment after it, the dry run and the act agree.
        """
        at = self.model.claims[reservation].start - timedelta(hours=hours)
        if at < self.now:
            return
        self.clock.at = at + timedelta(minutes=int(late))
        self.pay_at_the_desk(reservation)
        self.cancel(reservation, dry_run=True, rain=False)
        self.cancel(reservation, dry_run=False, rain=False)

    @rule(number=st.integers(10_000, 2**62))
    def touch_what_is_not_there(self, number: int) -> None:
        assert NotFound is self.attempt(lambda: self.desk.cancel(number))

    # --- what the club does ------------------------------------------------------------------

    @rule(
        hourly=st.sampled_from(("20.00", "24.00", "17.50")),
        buffer=st.sampled_from((0, 0, 30)),
        closed=st.sampled_from((frozenset(), frozenset(), frozenset("3"), frozenset("12"))),
        percent=st.sampled_from((50, 0, 80)),
    )
    def change_the_terms(
        self, hourly: str, buffer: int, closed: frozenset[str], percent: int
    ) -> None:
        before, after = self.model.terms, Terms(Decimal(hourly), buffer, closed, percent)
        applied = self.apply(after, self.model.blocks)

        assert (before != after) == bool(applied.changes)
        assert sorted(applied.stranded) == sorted(
            number for number, c in self.model.claims.items()
            if c.court in closed and c.status in ("pending", "confirmed") and c.end > self.now
            and not c.is_block
        )  # fmt: skip
        self.model.terms = after

    @rule(ref=st.sampled_from(("b1", "b2")), court=courts, start=starts, hours=st.integers(1, 30))
    def lay_a_block(self, ref: str, court: str, start: datetime, hours: int) -> None:
        wanted = self.model.blocks | {ref: (court, start, start + timedelta(hours=hours))}
        others = [
            claim for number, claim in self.model.claims.items()
            if not (claim.is_block and claim.key == ref)
        ]  # fmt: skip
        end = start + timedelta(hours=hours)
        answer = self.attempt(lambda: self.apply(self.model.terms, wanted))

        same = self.model.blocks.get(ref) == wanted[ref]
        clash = any(
            c.live(self.now) and c.meets(court, *piece)
            for c in others for piece in self.pieces(start, end)
        )  # fmt: skip
        if clash and not same:
            assert CourtTaken is answer
            return
        assert not isinstance(answer, type), answer
        if not same:
            # Holds that ran out give way to blocks as well, where a piece is still to come.
            for piece in self.pieces(start, end):
                self.model.retire(court, *piece, self.now)
        self.remember_blocks(wanted)

    def pieces(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Blocks are laid in pieces of a day; a piece that is over is not laid any more."""
        cuts = [start + timedelta(hours=24 * n) for n in range((end - start).days + 1)]
        stretches = zip(cuts, [*cuts[1:], end], strict=True)
        return [(a, b) for a, b in stretches if a < b and b > self.now]

    @precondition(lambda self: self.model.blocks)
    @rule()
    def lift_the_blocks(self) -> None:
        self.apply(self.model.terms, {})
        self.remember_blocks({})

    def remember_blocks(self, wanted: dict[str, tuple[str, datetime, datetime]]) -> None:
        """Take the blocks' pieces over from the table: the bookings are what the model is about."""
        self.model.blocks = wanted
        for number, claim in self.model.claims.copy().items():
            if claim.is_block:
                del self.model.claims[number]
        rows = self.psql.execute(
            "SELECT id, court, starts_at, ends_at, external_ref FROM blocks"
            " WHERE club = 'model' AND status = 'confirmed'"
        ).fetchall()
        for number, court, start, end, ref in rows:
            self.model.claims[number] = Claim(
                court, start, end, end, key=ref.split(":")[1], is_block=True
            )
        for ref, (court, start, end) in wanted.items():
            kept = sorted(
                (c.start, c.end)
                for c in self.model.claims.values()
                if c.is_block and c.key == ref and c.court == court
            )
            future = [(s, e) for s, e in kept if e > self.now]
            if end > self.now:
                assert end == future[-1][1]
                assert max(start, self.now) >= future[0][0]
                assert all(earlier[1] == later[0] for earlier, later in pairwise(future))

    @rule(court=courts, start=starts, minutes=lengths, lasts=st.integers(1, 600))
    def somebody_begins_to_pay(self, court: str, start: datetime, minutes: int, lasts: int) -> None:
        """
        A hold laid past the library; it runs out by the clock alone.
        """
        end = start + timedelta(minutes=minutes)
        live = [c for c in self.model.claims.values() if c.status in ("pending", "confirmed")]
        if any(c.meets(court, start, end) for c in live):
            return
        until = self.now + timedelta(minutes=lasts)
        number = insert_hold(self.psql, f"model/{court}", start, until, ends_at=end, free_at=end)
        self.model.claims[number] = Claim(court, start, end, end, "pending", until)

    @rule(minutes=st.sampled_from((1, 30, 60, 60, 300)))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)

    # --- what readers are told ---------------------------------------------------------------

    @rule(day=days, minutes=st.sampled_from((60, 90, 120)), court=st.sampled_from((None, *COURTS)))
    def ask_what_is_free(self, day: int, minutes: int, court: str | None) -> None:
        when = (BEGIN + timedelta(days=day)).date()
        answer = self.desk.availability("model", when, minutes=minutes, court=court)

        assert answer.certain
        for told in answer.courts:
            free = []
            for half in range(2 * (CLOSES - OPENS)):
                start = datetime(when.year, when.month, when.day, OPENS, tzinfo=UTC) + half * STEP
                if self.model.refusal(told.court, start, minutes, self.now) is None:
                    free.append((start, self.model.price(minutes)))
            assert free == [(found.starts_at, found.total) for found in told.starts]

    @rule(status=st.sampled_from(("confirmed", "cancelled", "expired", "pending")),
          limit=st.integers(1, 3))  # fmt: skip
    def search(self, status: str, limit: int) -> None:
        found: list[int] = []
        cursor = None
        while True:
            page = self.desk.search(
                SearchRequest(
                    club="model", status=(status,), limit=limit, cursor=cursor,
                    since=date(2020, 6, 1), until=date(2020, 6, 1) + timedelta(days=DAYS),
                )
            )  # fmt: skip
            found += [reservation.id for reservation in page.reservations]
            cursor = page.next_cursor
            if cursor is None:
                break

        wanted = sorted(
            (claim.start, number) for number, claim in self.model.claims.items()
            if claim.status == status and not claim.is_block
        )  # fmt: skip
        assert [number for _, number in wanted] == found

    @rule(reservation=consumes(made))
    def show(self, reservation: int) -> None:
        claim, shown = self.model.claims[reservation], self.desk.show(reservation)

        assert (claim.court, claim.start, claim.end, claim.status, claim.total) == (
            shown.court, shown.starts_at, shown.ends_at, shown.status, shown.total,
        )  # fmt: skip
        assert shown.version == len(self.desk.history(reservation))

    # --- what always holds -------------------------------------------------------------------

    @invariant()
    def every_invariant_holds(self) -> None:
        assert [] == broken(self.psql)

    @invariant()
    def the_tables_say_what_the_model_says(self) -> None:
        rows = self.psql.execute(
            "SELECT claims.id, status FROM claims JOIN clubs ON clubs.id = club_id"
            " WHERE slug = 'model' AND kind = 'reservation' ORDER BY claims.id"
        ).fetchall()

        known = [(n, c.status) for n, c in sorted(self.model.claims.items()) if not c.is_block]
        assert known == rows


@pytest.mark.timeout(3600)
def test_the_desk_does_what_the_model_does(
    databases: Databases, postgres_server: EmbeddedPostgres, template: str
) -> None:
    """
    Whatever is done in whatever order, every answer is the model's, and every invariant holds.
    """

    class Machine(DeskAndModel):
        pass

    Machine.databases, Machine.server, Machine.template = databases, postgres_server, template
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=RUNS <= EVERYDAY,  # the same every day; longer profiles look elsewhere
            phases=[Phase.generate] if RUNS <= EVERYDAY else [Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            database=None,
            print_blob=False,
        ),
    )
