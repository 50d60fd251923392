"""
Circuit breakers open when they should, let exactly their probes through, and never get in the way.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import SimpleQueue
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from padelops.circuit_breakers import (
    BREAKERS,
    Breaker,
    BreakerRecord,
    Breakers,
    BreakerSpec,
    Fallback,
    Lease,
    Limits,
    LocalMemory,
    Report,
    Shared,
    State,
    StateChange,
    Tally,
)
from padelops.circuit_breakers.record import lease, trip
from padelops.circuit_breakers.window import SlidingWindow
from padelops.errors import (
    BreakerOpen,
    CacheUnavailable,
    Corrupt,
    CourtBusy,
    CourtTaken,
    DatabaseUnavailable,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    Refused,
    TariffUnusable,
    Unavailable,
)
from padelops.model import Level

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 30
"""Only ever waited out by a test that fails."""

LIMITS = Limits(
    slow_s=2,
    failure_rate=0.5,
    slow_rate=0.8,
    minimum_calls=4,
    window_s=30,
    open_s=10,
    probes=3,
    lease_s=20,
)


class Clock:
    """Both clocks of one machine; they move when told to."""

    def __init__(self) -> None:
        self.elapsed = 1000.0
        self.wall = datetime(2026, 12, 5, 18, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.elapsed

    def now(self) -> datetime:
        return self.wall

    def advance(self, seconds: float) -> None:
        self.elapsed += seconds
        self.wall += timedelta(seconds=seconds)


class FlakyMemory(LocalMemory):
    """A memory that can be taken away, cut off in the middle of a swap, or emptied."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.loses_answers = False
        self.asked: Counter[str] = Counter()

    def exchange(self, report: Report, *, since: datetime) -> Shared:
        self.asked["exchange"] += 1
        if self.away:
            raise CacheUnavailable
        return super().exchange(report, since=since)

    def swap(self, record: BreakerRecord, *, expected: str) -> BreakerRecord:
        self.asked["swap"] += 1
        if self.away:
            raise TimeoutError
        stands = super().swap(record, expected=expected)
        if self.loses_answers:
            self.away = True
            raise TimeoutError
        return stands

    def forget(self) -> None:
        self._records.clear()
        self._reports.clear()

    def standing(self) -> BreakerRecord:
        return self._records["gateway"]


def spec(limits: Limits = LIMITS, **changes: Any) -> BreakerSpec:
    return replace(
        BreakerSpec(
            name="gateway",
            path=2,
            level=Level.ABSOLUTE,
            limits=limits,
            fallback=Fallback.QUEUE_FOR_MANUAL_PROCESSING,
            source="a test",
        ),
        **changes,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory() -> FlakyMemory:
    return FlakyMemory()


@pytest.fixture
def make(clock: Clock, memory: FlakyMemory) -> Callable[..., Breaker]:
    """Make breakers that stand for one process each, over one memory."""

    def make_one(of: BreakerSpec | None = None, **options: Any) -> Breaker:
        options.setdefault("memory", memory)
        return Breaker(of or spec(), now=clock.now, monotonic=clock.monotonic, **options)

    return make_one


@pytest.fixture
def breaker(make: Callable[..., Breaker]) -> Breaker:
    return make()


def succeed() -> str:
    return "done"


def fail(error: type[BaseException] = DatabaseUnavailable) -> None:
    raise error


def failing(breaker: Breaker, times: int = 1, error: type[BaseException] = Unavailable) -> None:
    for _ in range(times):
        with pytest.raises(error):
            breaker.call(fail, error)


def succeeding(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        assert "done" == breaker.call(succeed)


def opened(breaker: Breaker) -> Breaker:
    failing(breaker, times=LIMITS.minimum_calls)
    assert State.OPEN is breaker.state
    return breaker


def half_opened(breaker: Breaker, clock: Clock) -> Breaker:
    """Open, and due for its probes; the first call makes it half-open."""
    opened(breaker)
    clock.advance(LIMITS.open_s)
    return breaker


def begin(breaker: Breaker) -> Any:
    """A guarded call that has begun and not ended."""
    guard = breaker.guard()
    guard.__enter__()
    return guard


def end(guard: Any, error: BaseException | None = None) -> None:
    guard.__exit__(type(error) if error else None, error, None)


def storm(work: Callable[[], object], threads: int) -> tuple[SimpleQueue[object], list[Thread]]:
    """Start threads at the same moment; their results or errors come through the queue."""
    start = Barrier(threads)
    results: SimpleQueue[object] = SimpleQueue()

    def run() -> None:
        start.wait(PATIENCE_S)
        try:
            results.put(work())
        except Unavailable as exc:
            results.put(exc)

    crew = [Thread(target=run, daemon=True) for _ in range(threads)]
    for each in crew:
        each.start()
    return results, crew


def finish(crew: list[Thread]) -> None:
    for each in crew:
        each.join(PATIENCE_S)
    assert not any(each.is_alive() for each in crew)


# --- opening --------------------------------------------------------------------------------


def test_opens_at_the_rate_and_not_before_the_minimum(breaker: Breaker) -> None:
    """
    Three failures of three calls prove nothing yet; the fourth call opens it.
    """
    failing(breaker, times=3)
    before = breaker.state
    failing(breaker)

    assert State.CLOSED is before
    assert State.OPEN is breaker.state


def test_opens_exactly_at_the_failure_rate(breaker: Breaker) -> None:
    """
    Below half it stays closed however many calls fail; with half it opens.
    """
    succeeding(breaker, times=10)
    failing(breaker, times=9)
    before = breaker.state
    failing(breaker)

    assert State.CLOSED is before
    assert State.OPEN is breaker.state
    assert "10 of 20 calls failed in 30 s" == breaker.snapshot().reason


def test_a_success_may_be_the_call_that_completes_the_minimum(breaker: Breaker) -> None:
    """
    Whether the deciding call went well does not matter, the rate does.
    """
    failing(breaker, times=3)
    succeeding(breaker)

    assert State.OPEN is breaker.state


def test_failures_older_than_the_window_are_forgotten(breaker: Breaker, clock: Clock) -> None:
    """
    Three failures now and three half a minute later are never six.
    """
    failing(breaker, times=3)
    clock.advance(LIMITS.window_s)
    failing(breaker, times=3)

    assert State.CLOSED is breaker.state
    assert Tally(calls=3, failures=3) == breaker.snapshot().tally


def test_the_window_slides_in_tenths(breaker: Breaker, clock: Clock) -> None:
    """
    What was counted is still there after nine tenths of the window.
    """
    failing(breaker, times=3)
    clock.advance(0.9 * LIMITS.window_s)
    failing(breaker)

    assert State.OPEN is breaker.state


def test_slow_calls_open_it(breaker: Breaker, clock: Clock) -> None:
    """
    Calls that succeed after the time limit are as good as none.
    """
    for _ in range(LIMITS.minimum_calls):
        breaker.call(clock.advance, 2)

    assert State.OPEN is breaker.state
    assert "4 of 4 calls took 2 s or longer in 30 s" == breaker.snapshot().reason


def test_slow_calls_older_than_the_window_are_forgotten(breaker: Breaker, clock: Clock) -> None:
    """
    Three slow ones of long ago and three of now are never six.
    """
    for _ in range(3):
        breaker.call(clock.advance, 2)
    clock.advance(LIMITS.window_s)
    for _ in range(3):
        breaker.call(clock.advance, 2)

    assert Tally(calls=3, slow=3) == breaker.snapshot().tally


def test_a_call_that_read_its_clock_long_ago_is_counted_all_the_same() -> None:
    """
    A thread may be held up between reading the clock and counting, even for a whole window.
    """
    window = SlidingWindow(30)
    window.add(100, False, False)
    window.tally(200)

    assert (1, 1, 0) == window.add(101, True, False)


def test_calls_within_the_time_limit_are_not_slow(breaker: Breaker, clock: Clock) -> None:
    """
    The limit is the first duration that is too long.
    """
    for _ in range(10):
        breaker.call(clock.advance, 1.999)

    assert State.CLOSED is breaker.state


@pytest.mark.parametrize(
    "error",
    [Unavailable, CourtBusy, OutcomeUnknown, Corrupt, TimeoutError, OSError, ZeroDivisionError],
)
def test_what_went_wrong_counts(breaker: Breaker, error: type[Exception]) -> None:
    """
    By default every exception counts that is not a refusal, the unexpected too.
    """
    failing(breaker, times=4, error=error)

    assert State.OPEN is breaker.state


@pytest.mark.parametrize("error", [Refused, CourtTaken, NotFound])
def test_refusals_never_open(breaker: Breaker, clock: Clock, error: type[Exception]) -> None:
    """
    Somebody who says no is alive: any number of refusals, slow ones too, leave it closed.
    """

    def refuse_late() -> None:
        clock.advance(2)
        raise error

    for _ in range(20):
        with pytest.raises(error):
            breaker.call(refuse_late)

    assert State.CLOSED is breaker.state
    assert Tally(calls=15) == breaker.snapshot().tally  # those of the last 30 s


def test_no_predicate_makes_a_refusal_a_failure(make: Callable[..., Breaker]) -> None:
    """
    What else counts is the breaker's choice; this is not.
    """
    breaker = make(spec(counts=lambda _: True))
    failing(breaker, times=20, error=CourtTaken)

    assert State.CLOSED is breaker.state


@pytest.mark.parametrize("error", [InvalidInput, BreakerOpen, KeyboardInterrupt, SystemExit])
def test_what_never_reached_it_is_not_counted(breaker: Breaker, error: type[BaseException]) -> None:
    """
    Bad input, an open breaker further inside and a person at the keyboard prove nothing.
    """
    failing(breaker, times=20, error=error)

    assert Tally() == breaker.snapshot().tally


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("reservation_creation", CourtBusy),
        ("cancellation", CourtBusy),
        ("price_calculation", TariffUnusable),
    ],
)
def test_trouble_of_one_court_or_club_opens_nothing_for_all(
    make: Callable[..., Breaker], name: str, error: type[Exception]
) -> None:
    """
    A rush for one court, or one club's broken tariff, is no outage for the other clubs.
    """
    breaker = make(BREAKERS[name])
    failing(breaker, times=100, error=error)

    assert State.CLOSED is breaker.state


# --- open -----------------------------------------------------------------------------------


def test_an_open_breaker_refuses_without_calling(breaker: Breaker, clock: Clock) -> None:
    """
    The refusal is retryable, and says for how long and what to do instead.
    """
    opened(breaker)
    clock.advance(3)
    calls: list[str] = []
    with pytest.raises(BreakerOpen) as caught:
        breaker.call(calls.append, "called")

    assert [] == calls
    assert {
        "code": "breaker_open",
        "message": "gateway is switched off for now; try again in 7 s.",
        "retryable": True,
        "breaker": "gateway",
        "state": "open",
        "retry_after_s": 7.0,
        "fallback": "queue_for_manual_processing",
    } == caught.value.as_json()


def test_all_three_ways_of_guarding_refuse(breaker: Breaker) -> None:
    """
    Call, context manager and decorator are one thing.
    """
    opened(breaker)
    ran: list[str] = []

    with pytest.raises(BreakerOpen):
        breaker.call(ran.append, "call")
    with pytest.raises(BreakerOpen), breaker.guard():
        ran.append("guard")
    with pytest.raises(BreakerOpen):
        breaker.guarded(ran.append)("decorator")

    assert [] == ran


def test_all_three_ways_of_guarding_count(breaker: Breaker) -> None:
    """
    Results and errors pass through unchanged, and are counted.
    """
    error = TimeoutError("as it was raised")

    def raise_it() -> None:
        raise error

    with pytest.raises(TimeoutError) as called:
        breaker.call(raise_it)
    with pytest.raises(TimeoutError) as decorated:
        breaker.guarded(raise_it)()
    with pytest.raises(TimeoutError) as guarded, breaker.guard():
        raise_it()

    assert [error] * 3 == [each.value for each in (called, decorated, guarded)]
    assert Tally(calls=3, failures=3) == breaker.snapshot().tally
    assert "done" == breaker.guarded(succeed)()
    assert "raise_it" == getattr(breaker.guarded(raise_it), "__name__", None)


async def a_coroutine() -> None: ...


def a_generator() -> Any:
    yield


@pytest.mark.parametrize("late", [a_coroutine, a_generator])
def test_functions_that_return_before_they_ran_cannot_be_guarded(
    breaker: Breaker, late: Callable[..., object]
) -> None:
    """
    A breaker around them would see only successes.
    """
    with pytest.raises(InvalidInput):
        breaker.guarded(late)


# --- half-open ------------------------------------------------------------------------------


def test_half_open_lets_exactly_its_probes_through_a_storm(breaker: Breaker, clock: Clock) -> None:
    """
    Sixteen threads at once: three call, thirteen are refused while the three are under way.
    """
    half_opened(breaker, clock)
    answer = Event()
    inside: SimpleQueue[str] = SimpleQueue()

    def probe() -> str:
        inside.put("in")
        answer.wait(PATIENCE_S)
        return "probed"

    results, crew = storm(lambda: breaker.call(probe), threads=16)
    early = [results.get(timeout=PATIENCE_S) for _ in range(13)]
    under_way = breaker.snapshot().probes_under_way
    answer.set()
    finish(crew)

    assert {BreakerOpen} == {type(each) for each in early}
    assert 3 == under_way
    assert 3 == inside.qsize()
    assert ["probed"] * 3 == [results.get_nowait() for _ in range(3)]
    assert State.CLOSED is breaker.state


def test_no_probe_before_its_time(breaker: Breaker, clock: Clock) -> None:
    """
    It stays open to the last moment, and tries again from the next.
    """
    opened(breaker)
    clock.advance(9.999)
    with pytest.raises(BreakerOpen):
        breaker.call(succeed)
    clock.advance(0.001)
    succeeding(breaker)

    assert State.HALF_OPEN is breaker.state


def test_enough_good_probes_close_it_with_clean_counts(breaker: Breaker, clock: Clock) -> None:
    """
    The last of them closes it, and the failures from before are forgotten.
    """
    half_opened(breaker, clock)
    succeeding(breaker, times=2)
    before = breaker.state
    succeeding(breaker)
    failing(breaker, times=3)

    assert State.HALF_OPEN is before
    assert State.CLOSED is breaker.state
    assert Tally(calls=3, failures=3) == breaker.snapshot().tally


def test_one_bad_probe_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    """
    Two good ones do not outvote it, and the wait begins anew.
    """
    half_opened(breaker, clock)
    succeeding(breaker, times=2)
    failing(breaker)

    assert State.OPEN is breaker.state
    assert LIMITS.open_s == breaker.snapshot().retry_after_s


def test_a_slow_probe_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    """
    What was opened by slow calls must not be closed by one.
    """
    half_opened(breaker, clock)
    breaker.call(clock.advance, 2)

    assert State.OPEN is breaker.state
    assert "a probe was slow" == breaker.snapshot().reason


def test_a_refused_probe_went_well(breaker: Breaker, clock: Clock) -> None:
    """
    A declined card proves that the gateway answers.
    """
    half_opened(breaker, clock)
    failing(breaker, times=3, error=Refused)

    assert State.CLOSED is breaker.state


def test_closed_while_it_waited_a_call_passes(breaker: Breaker, clock: Clock) -> None:
    """
    A thread that came for a lease needs none if the breaker has closed in the meantime.
    """
    half_opened(breaker, clock)
    replica = breaker._replica
    with replica.changing:
        results, crew = storm(lambda: breaker.call(succeed), threads=1)
        replica.move(lambda record: record.moved(State.CLOSED, now=clock.now(), reason="a test"))
    finish(crew)

    assert "done" == results.get_nowait()


@pytest.mark.parametrize("error", [KeyboardInterrupt, InvalidInput, BreakerOpen])
def test_a_probe_that_proves_nothing_frees_its_lease(
    breaker: Breaker, clock: Clock, error: type[BaseException]
) -> None:
    """
    It neither closes nor opens, and its place is free at once.
    """
    half_opened(breaker, clock)
    failing(breaker, times=10, error=error)
    after = breaker.snapshot()
    succeeding(breaker, times=3)

    assert (State.HALF_OPEN, 0, 0) == (
        after.state,
        after.probes_under_way,
        after.probes_succeeded,
    )
    assert State.CLOSED is breaker.state


def test_a_dead_probers_lease_lapses(breaker: Breaker, clock: Clock) -> None:
    """
    Three probers that die block the others until their leases run out, and no longer.
    """
    half_opened(breaker, clock)
    for _ in range(3):
        begin(breaker)
    clock.advance(LIMITS.lease_s - 1)
    with pytest.raises(BreakerOpen) as caught:
        breaker.call(succeed)
    clock.advance(1)
    succeeding(breaker, times=3)

    assert 1.0 == caught.value.facts["retry_after_s"]
    assert State.CLOSED is breaker.state


def test_a_prober_given_up_for_dead_no_longer_counts(breaker: Breaker, clock: Clock) -> None:
    """
    Its place went to another, so its late failure opens nothing.
    """
    half_opened(breaker, clock)
    late = begin(breaker)
    clock.advance(LIMITS.lease_s)
    current = begin(breaker)
    end(late, DatabaseUnavailable())

    assert State.HALF_OPEN is breaker.state
    end(current)
    assert 1 == breaker.snapshot().probes_succeeded


def test_a_clock_set_back_does_not_keep_it_open(breaker: Breaker, clock: Clock) -> None:
    """
    An hour more than the wait ever was is no wait but a wrong clock.
    """
    opened(breaker)
    clock.wall -= timedelta(hours=1)
    succeeding(breaker)

    assert State.HALF_OPEN is breaker.state


def test_moves_are_made_from_the_state_they_were_meant_for(clock: Clock) -> None:
    """
    Rivals may have moved on before a move gets its turn: then there is nothing to do.
    """
    closed = BreakerRecord(name="gateway")
    half_open = closed.moved(State.HALF_OPEN, now=clock.now(), reason="a test")
    reset = half_open.moved(State.CLOSED, now=clock.now(), reason="a test")
    ask = partial(lease, limits=LIMITS, lease_id="l", holder="h", now=clock.now())

    assert trip(closed, LIMITS, era=closed.era, reason="r", now=clock.now()) is not None
    assert trip(reset, LIMITS, era=closed.era, reason="r", now=clock.now()) is None
    assert trip(half_open, LIMITS, era=half_open.era, reason="r", now=clock.now()) is None
    assert ask(half_open) is not None
    assert ask(reset) is None


# --- generations ----------------------------------------------------------------------------


def test_a_late_success_from_before_the_opening_does_not_close(
    breaker: Breaker, clock: Clock
) -> None:
    """
    Calls admitted while it was closed count as no probes when they come back half-open.
    """
    late = [begin(breaker) for _ in range(5)]
    half_opened(breaker, clock)
    probe = begin(breaker)
    for each in late:
        end(each)

    assert State.HALF_OPEN is breaker.state
    assert 0 == breaker.snapshot().probes_succeeded
    end(probe)
    assert 1 == breaker.snapshot().probes_succeeded


def test_late_failures_from_before_do_not_open_again(breaker: Breaker, clock: Clock) -> None:
    """
    What was under way when the trouble began says nothing about the time after it.
    """
    late = [begin(breaker) for _ in range(10)]
    half_opened(breaker, clock)
    succeeding(breaker, times=3)
    for each in late:
        end(each, DatabaseUnavailable())

    assert State.CLOSED is breaker.state
    assert Tally() == breaker.snapshot().tally


def test_a_probe_from_the_last_half_open_does_not_count_in_this_one(
    breaker: Breaker, clock: Clock
) -> None:
    """
    Reopened meanwhile, its success is of yesterday.
    """
    half_opened(breaker, clock)
    late = begin(breaker)
    failing(breaker)
    clock.advance(LIMITS.open_s)
    probe = begin(breaker)
    end(late)

    assert 0 == breaker.snapshot().probes_succeeded
    end(probe)
    assert 1 == breaker.snapshot().probes_succeeded


# --- no lock during the call ----------------------------------------------------------------


def test_guarded_calls_run_side_by_side(breaker: Breaker) -> None:
    """
    Two calls meet inside the breaker, which they could not if one waited for the other.
    """
    meeting = Barrier(2)
    results, crew = storm(lambda: breaker.call(meeting.wait, PATIENCE_S), threads=2)
    finish(crew)

    assert {0, 1} == {results.get_nowait(), results.get_nowait()}


def test_probes_run_side_by_side(breaker: Breaker, clock: Clock) -> None:
    """
    The same in half-open.
    """
    half_opened(breaker, clock)
    meeting = Barrier(3)
    results, crew = storm(lambda: breaker.call(meeting.wait, PATIENCE_S), threads=3)
    finish(crew)

    assert {0, 1, 2} == {results.get_nowait() for _ in range(3)}


def test_calls_do_not_wait_for_a_memory_that_hangs(
    make: Callable[..., Breaker], clock: Clock
) -> None:
    """
    While one thread asks the memory, the others go on with what is known.
    """
    asked, answer = Event(), Event()

    class HangingMemory(LocalMemory):
        def exchange(self, report: Report, *, since: datetime) -> Shared:
            asked.set()
            assert answer.wait(PATIENCE_S)
            return super().exchange(report, since=since)

    breaker = make(memory=HangingMemory())
    _, crew = storm(lambda: breaker.call(succeed), threads=1)
    asked.wait(PATIENCE_S)
    clock.advance(60)
    succeeding(breaker, times=5)

    assert not answer.is_set()
    answer.set()
    finish(crew)


def test_calls_do_not_wait_for_the_one_that_opens(make: Callable[..., Breaker]) -> None:
    """
    While one thread stores the opening, failures of others come straight back.
    """
    asked, answer = Event(), Event()

    class HangingMemory(LocalMemory):
        def swap(self, record: BreakerRecord, *, expected: str) -> BreakerRecord:
            asked.set()
            assert answer.wait(PATIENCE_S)
            return super().swap(record, expected=expected)

    breaker = make(memory=HangingMemory())
    failing(breaker, times=3)
    _, crew = storm(lambda: breaker.call(fail), threads=1)
    asked.wait(PATIENCE_S)
    failing(breaker, times=3)

    assert not answer.is_set()
    answer.set()
    finish(crew)
    assert State.OPEN is breaker.state


def test_a_refusal_waits_for_nobody(breaker: Breaker) -> None:
    """
    An open breaker answers at once, whatever another thread is doing to its state.
    """
    opened(breaker)

    with breaker._replica.changing, pytest.raises(BreakerOpen):
        breaker.call(succeed)


def test_a_storm_of_failures_opens_once(make: Callable[..., Breaker]) -> None:
    """
    Sixteen threads see the rate reached; the change is made and told once.
    """
    changes: list[StateChange] = []
    breaker = make(hooks=[changes.append])
    meeting = Barrier(16)

    def fail_together() -> None:
        meeting.wait(PATIENCE_S)
        raise DatabaseUnavailable

    _, crew = storm(lambda: breaker.call(fail_together), threads=16)
    finish(crew)

    assert [State.OPEN] == [each.after for each in changes]


# --- operators ------------------------------------------------------------------------------


def test_forced_open_survives_time(breaker: Breaker, clock: Clock) -> None:
    """
    Nothing but a person opens the way again.
    """
    shown = breaker.force_open(actor="ana", reason="gateway migration")
    clock.advance(86_400)
    with pytest.raises(BreakerOpen) as caught:
        breaker.call(succeed)

    assert (State.FORCED_OPEN, "ana", "gateway migration") == (
        shown.state,
        shown.actor,
        shown.reason,
    )
    assert "forced_open" == caught.value.facts["state"]
    assert LIMITS.open_s == caught.value.facts["retry_after_s"]


def test_forced_closed_survives_failures(breaker: Breaker) -> None:
    """
    Every call passes, whatever comes of it; it is still counted.
    """
    breaker.force_closed(actor="ana", reason="false alarm")
    failing(breaker, times=50)

    assert State.FORCED_CLOSED is breaker.state
    assert Tally(calls=50, failures=50) == breaker.snapshot().tally


def test_released_from_open_it_sends_probes_first(breaker: Breaker) -> None:
    """
    Nobody knows how the thing is doing after a forced stop, so it is asked with care.
    """
    breaker.force_open(actor="ana", reason="gateway migration")
    breaker.release(actor="ana", reason="migrated")
    probes = [begin(breaker) for _ in range(3)]
    with pytest.raises(BreakerOpen):
        breaker.call(succeed)
    for each in probes:
        end(each)

    assert State.CLOSED is breaker.state


def test_released_from_closed_it_may_open_again(breaker: Breaker) -> None:
    """
    It starts with clean counts and works by itself.
    """
    breaker.force_closed(actor="ana", reason="false alarm")
    failing(breaker, times=50)
    shown = breaker.release(actor="ana", reason="over")
    failing(breaker, times=4)

    assert (State.CLOSED, Tally()) == (shown.state, shown.tally)
    assert State.OPEN is breaker.state


def test_only_a_forced_breaker_can_be_released(breaker: Breaker) -> None:
    """
    Releasing an open one would be a way around its wait.
    """
    opened(breaker)
    with pytest.raises(Refused):
        breaker.release(actor="ana", reason="hurry")

    assert State.OPEN is breaker.state


def test_reset_closes_it_and_leaves_it_automatic(breaker: Breaker) -> None:
    """
    From open or forced, with clean counts, and it may open again.
    """
    opened(breaker)
    shown = breaker.reset(actor="ana", reason="gateway is back")
    opened(breaker)

    assert (State.CLOSED, Tally(), "ana") == (shown.state, shown.tally, shown.actor)


@pytest.mark.parametrize(
    "said",
    [
        {"actor": "", "reason": "because"},
        {"actor": "ana", "reason": " "},
        {"actor": "ana", "reason": "two\nlines"},
        {"actor": "ana", "reason": "x" * 501},
    ],
)
def test_forcing_needs_an_actor_and_a_reason(breaker: Breaker, said: dict[str, str]) -> None:
    """
    Whoever finds it forced at night must be able to read why.
    """
    with pytest.raises(InvalidInput):
        breaker.force_open(**said)

    assert State.CLOSED is breaker.snapshot().state


def test_forcing_without_the_memory_is_refused(breaker: Breaker, memory: FlakyMemory) -> None:
    """
    An operator's word that nobody hears must not look like success.
    """
    memory.away = True
    with pytest.raises(Unavailable) as caught:
        breaker.force_open(actor="ana", reason="gateway migration")

    assert isinstance(caught.value.__cause__, CacheUnavailable)
    assert State.CLOSED is breaker.state


def test_forcing_cut_off_in_the_middle_is_unknown(breaker: Breaker, memory: FlakyMemory) -> None:
    """
    The answer got lost, not the change: the next look at the memory shows which.
    """
    memory.loses_answers = True
    with pytest.raises(OutcomeUnknown):
        breaker.force_open(actor="ana", reason="gateway migration")
    memory.away = memory.loses_answers = False

    assert State.FORCED_OPEN is breaker.snapshot().state


# --- several processes ----------------------------------------------------------------------


def test_an_open_is_seen_by_others_within_the_refresh_interval(
    make: Callable[..., Breaker], clock: Clock
) -> None:
    """
    One process opens; half a second later the other refuses, without a failure of its own.
    """
    mine, other = make(refresh_s=0.5), make(refresh_s=0.5)
    succeeding(other)
    opened(mine)
    clock.advance(0.499)
    succeeding(other)
    clock.advance(0.001)

    with pytest.raises(BreakerOpen):
        other.call(succeed)


def test_calls_between_refreshes_do_not_ask_the_memory(
    breaker: Breaker, memory: FlakyMemory
) -> None:
    """
    A thousand calls in one interval, one round trip.
    """
    succeeding(breaker, times=500)
    failing(breaker, times=1)
    succeeding(breaker, times=499)

    assert {"exchange": 1} == memory.asked


def test_failures_of_several_processes_add_up(make: Callable[..., Breaker], clock: Clock) -> None:
    """
    Two failures here and two there are four.
    """
    mine, other = make(), make()
    failing(mine, times=2)
    clock.advance(1)
    succeeding(mine)  # leaves its report
    failing(other, times=2)

    assert State.OPEN is other.state
    assert "4 of 4 calls failed in 30 s" == other.snapshot().reason


def test_the_others_failures_count_where_all_goes_well(
    make: Callable[..., Breaker], clock: Clock
) -> None:
    """
    Two failures of another process and two successes here are half of four calls.
    """
    mine, other = make(), make()
    succeeding(other)
    failing(mine, times=2)
    mine.snapshot()
    clock.advance(1)
    succeeding(other)

    assert State.OPEN is other.state


def test_a_silent_processs_report_lapses(make: Callable[..., Breaker], clock: Clock) -> None:
    """
    What a process that stopped calling once reported is not counted for ever.
    """
    mine, other = make(), make()
    failing(mine, times=3)
    mine.snapshot()
    clock.advance(LIMITS.window_s + 1)
    failing(other, times=3)

    assert State.CLOSED is other.state


def test_probes_are_shared_out_between_processes(
    make: Callable[..., Breaker], clock: Clock
) -> None:
    """
    Three in all, not three each; each process's success counts for all.
    """
    mine, other, third = make(), make(), make()
    half_opened(mine, clock)
    probes = [begin(mine), begin(other), begin(other)]
    refused = []
    for each in (mine, other, third):
        with pytest.raises(BreakerOpen) as caught:
            begin(each)
        refused.append(caught.value.facts["state"])
    for each in probes:
        end(each)

    assert ["half_open"] * 3 == refused
    assert [State.CLOSED] * 3 == [each.snapshot().state for each in (mine, other, third)]


def test_a_storm_over_several_processes_lets_exactly_its_probes_through(
    make: Callable[..., Breaker], clock: Clock
) -> None:
    """
    Four processes with four threads each race by compare-and-swap: three calls in all.
    """
    processes = [make() for _ in range(4)]
    half_opened(processes[0], clock)
    answer = Event()
    turns: SimpleQueue[Breaker] = SimpleQueue()
    for each in processes * 4:
        turns.put(each)

    def probe() -> str:
        answer.wait(PATIENCE_S)
        return "probed"

    results, crew = storm(lambda: turns.get().call(probe), threads=16)
    early = [results.get(timeout=PATIENCE_S) for _ in range(13)]
    answer.set()
    finish(crew)

    assert {BreakerOpen} == {type(each) for each in early}
    assert ["probed"] * 3 == [results.get_nowait() for _ in range(3)]
    assert {State.CLOSED} == {each.snapshot().state for each in processes}


def test_a_forced_state_reaches_every_process(make: Callable[..., Breaker], clock: Clock) -> None:
    """
    An operator in one process stops calls in another, and lets them go again.
    """
    operator, server = make(), make()
    succeeding(server)
    operator.force_open(actor="ana", reason="gateway migration")
    clock.advance(0.5)
    with pytest.raises(BreakerOpen):
        server.call(succeed)
    operator.reset(actor="ana", reason="migrated")
    clock.advance(0.5)
    succeeding(server)

    assert ("ana", "migrated") == (server.snapshot().actor, server.snapshot().reason)


# --- the memory away ------------------------------------------------------------------------


def test_without_its_memory_a_breaker_goes_on_alone(
    breaker: Breaker, memory: FlakyMemory, clock: Clock
) -> None:
    """
    It opens, tries again and closes by itself, and says that nobody else knows.
    """
    memory.away = True
    half_opened(breaker, clock)
    alone = breaker.snapshot()
    succeeding(breaker, times=3)

    assert (State.OPEN, True, "The cache cannot be reached.") == (
        alone.state,
        alone.degraded,
        alone.memory_error,
    )
    assert State.CLOSED is breaker.state


def test_a_memory_lost_in_the_middle_of_opening_does_not_stop_it(
    breaker: Breaker, memory: FlakyMemory
) -> None:
    """
    The error of the guarded call comes out, not the memory's, and the breaker is open.
    """
    failing(breaker, times=3)
    memory.away = True
    failing(breaker, error=DatabaseUnavailable)

    assert State.OPEN is breaker.state
    assert breaker.snapshot().degraded


def test_a_memory_that_is_away_is_asked_rarely(
    make: Callable[..., Breaker], memory: FlakyMemory, clock: Clock
) -> None:
    """
    Each question may cost its deadline: one in five seconds, not one in each call.
    """
    breaker = make(refresh_s=0.5, memory_retry_s=5)
    memory.away = True
    for _ in range(100):
        succeeding(breaker)
        clock.advance(0.1)

    assert {"exchange": 2} == memory.asked


def test_alone_it_counts_only_its_own(
    make: Callable[..., Breaker], memory: FlakyMemory, clock: Clock
) -> None:
    """
    What others reported before the memory went away grows old, and is dropped.
    """
    mine, other = make(), make()
    failing(other, times=2)
    other.snapshot()
    succeeding(mine)
    memory.away = True
    clock.advance(1)
    succeeding(mine)

    assert Tally(calls=2) == mine.snapshot().tally


def test_an_open_made_alone_is_offered_when_the_memory_is_back(
    make: Callable[..., Breaker], memory: FlakyMemory, clock: Clock
) -> None:
    """
    What one process learnt while cut off holds for all, if nobody else has moved on.
    """
    mine, other = make(), make()
    mine.reset(actor="ana", reason="so that something stands in the memory")
    succeeding(mine)
    succeeding(other)
    memory.away = True
    opened(mine)
    memory.away = False
    clock.advance(5)
    with pytest.raises(BreakerOpen):
        mine.call(succeed)

    assert not mine.snapshot().degraded
    with pytest.raises(BreakerOpen):
        other.call(succeed)


def test_what_others_did_meanwhile_beats_what_was_made_alone(
    make: Callable[..., Breaker], memory: FlakyMemory, clock: Clock
) -> None:
    """
    An operator's word in the memory is not overwritten by a process that was cut off.
    """
    mine, operator = make(), make()
    succeeding(mine)
    memory.away = True
    opened(mine)
    memory.away = False
    operator.force_closed(actor="ana", reason="false alarm")
    clock.advance(5)
    succeeding(mine)

    assert State.FORCED_CLOSED is mine.state


def test_two_processes_cut_off_agree_afterwards(
    make: Callable[..., Breaker], memory: FlakyMemory, clock: Clock
) -> None:
    """
    Both opened alone, as the same generation; late answers of the one that lost count nowhere.
    """
    mine, other = make(), make()
    succeeding(mine)
    succeeding(other)
    memory.away = True
    opened(mine)
    clock.advance(1)
    opened(other)
    clock.advance(LIMITS.open_s)
    lost = begin(other)
    memory.away = False
    begin(mine)
    clock.advance(5)
    other.snapshot()
    end(lost)

    assert mine.snapshot().since == other.snapshot().since
    assert (1, 0) == (mine.snapshot().probes_under_way, mine.snapshot().probes_succeeded)


def test_a_memory_that_forgot_everything_gets_it_back(
    make: Callable[..., Breaker], memory: FlakyMemory, clock: Clock
) -> None:
    """
    A crash empties an unlogged table: whoever still knows puts the forced state back.
    """
    mine = make()
    mine.force_open(actor="ana", reason="gateway migration")
    memory.forget()
    clock.advance(1)
    with pytest.raises(BreakerOpen):
        mine.call(succeed)

    assert State.FORCED_OPEN is make().snapshot().state


def test_a_memory_that_forgot_everything_still_takes_moves(
    breaker: Breaker, memory: FlakyMemory, clock: Clock
) -> None:
    """
    The compare-and-swap finds nothing to compare with, and starts over.
    """
    half_opened(breaker, clock)
    probes = [begin(breaker) for _ in range(3)]
    memory.forget()
    for each in probes:
        end(each)

    assert State.CLOSED is breaker.state
    assert State.CLOSED is memory.standing().state


def test_a_move_whose_answer_got_lost_is_not_made_twice(
    make: Callable[..., Breaker], memory: FlakyMemory, clock: Clock
) -> None:
    """
    It stands in the memory under the same stamp, and is told once.
    """
    changes: list[StateChange] = []
    breaker = make(hooks=[changes.append])
    failing(breaker, times=3)
    memory.loses_answers = True
    failing(breaker)
    memory.away = memory.loses_answers = False
    clock.advance(5)
    breaker.snapshot()

    assert [State.OPEN] == [each.after for each in changes]
    assert 1 == memory.standing().generation


# --- hooks ----------------------------------------------------------------------------------


def test_hooks_hear_each_change_with_its_facts(make: Callable[..., Breaker], clock: Clock) -> None:
    """
    Opening, trying again and closing, with the counts that led there.
    """
    changes: list[StateChange] = []
    breaker = make(hooks=[changes.append])
    started = clock.now()
    half_opened(breaker, clock)
    succeeding(breaker, times=3)

    assert [State.OPEN, State.HALF_OPEN, State.CLOSED] == [each.after for each in changes]
    assert [1, 2, 3] == [each.generation for each in changes]
    assert (
        StateChange(
            breaker="gateway",
            path=2,
            level=Level.ABSOLUTE,
            before=State.CLOSED,
            after=State.OPEN,
            generation=1,
            at=started,
            actor="breaker",
            reason="4 of 4 calls failed in 30 s",
            retry_after_s=10.0,
            tally=Tally(calls=4, failures=4),
            made_here=True,
            degraded=False,
        )
        == changes[0]
    )


def test_exactly_one_process_says_that_it_made_a_change(make: Callable[..., Breaker]) -> None:
    """
    So that the audit trail has one entry, and every process's metrics the state.
    """
    changes: list[StateChange] = []
    mine, other = make(hooks=[changes.append]), make(hooks=[changes.append])
    opened(mine)
    other.snapshot()

    assert [(State.OPEN, True), (State.OPEN, False)] == [
        (each.after, each.made_here) for each in changes
    ]


def test_a_hook_that_fails_changes_nothing_for_the_call(make: Callable[..., Breaker]) -> None:
    """
    The call's own error comes out, the other hooks are called, the failure is counted.
    """
    changes: list[StateChange] = []

    def broken(_: StateChange) -> None:
        raise DatabaseUnavailable

    breaker = make(hooks=[broken, changes.append])
    failing(breaker, times=4, error=OutcomeUnknown)

    assert [State.OPEN] == [each.after for each in changes]
    assert 1 == breaker.snapshot().hook_failures


def test_a_hook_may_use_the_breaker(make: Callable[..., Breaker]) -> None:
    """
    No lock is held while it runs.
    """
    seen: list[State] = []
    mine: Breaker = make(hooks=[lambda _: seen.append(mine.snapshot().state)])
    opened(mine)

    assert [State.OPEN] == seen


# --- the memory itself ----------------------------------------------------------------------


def a_record(generation: int = 1) -> BreakerRecord:
    return BreakerRecord(name="gateway", stamp=f"stamp-{generation}", generation=generation)


def a_report(process: str, calls: int, at: datetime, generation: int = 1) -> Report:
    return Report(name="gateway", process=process, generation=generation, at=at, tally=Tally(calls))


def test_of_racing_swaps_one_wins() -> None:
    """
    Each gets back what stands, so exactly one finds its own stamp.
    """
    memory = LocalMemory()
    rivals: SimpleQueue[BreakerRecord] = SimpleQueue()
    for number in range(1, 9):
        rivals.put(a_record(number))

    def swap() -> bool:
        mine = rivals.get()
        return mine == memory.swap(mine, expected="")

    results, crew = storm(swap, threads=8)
    finish(crew)

    assert 1 == sum(results.get_nowait() is True for _ in range(8))


def test_reports_replace_and_are_summed_for_the_others(clock: Clock) -> None:
    """
    Sent twice counts once; one's own, an empty, a stale and another generation's do not count.
    """
    memory = LocalMemory()
    memory.swap(a_record(1), expected="")
    now = clock.now()
    since = now - timedelta(seconds=30)
    for report in (
        a_report("mine", 1000, now),
        a_report("other", 5, now),
        a_report("other", 7, now),
        a_report("third", 20, since),
        a_report("gone", 300, now),
        a_report("gone", 0, now),
        a_report("past", 4000, now, generation=0),
    ):
        memory.exchange(report, since=since)
    memory.exchange(a_report("stale", 50_000, since - timedelta(seconds=1)), since=since)
    shared = memory.exchange(a_report("mine", 1001, now), since=since)

    assert Shared(a_record(1), Tally(calls=27)) == shared
    assert {"mine", "other", "third", "past"} == set(memory._reports["gateway"])


def test_a_record_survives_its_storage(clock: Clock) -> None:
    """
    Through JSON and back it is the same, and members of a newer padelops are passed over.
    """
    record = BreakerRecord(
        name="gateway",
        stamp="s",
        state=State.HALF_OPEN,
        generation=7,
        changed_at=clock.now(),
        retry_at=clock.now(),
        actor="ana",
        reason="«migración»",
        leases=(Lease("l", "42-abc", clock.now()),),
        successes=2,
    )
    newer = record.to_json().replace("{", '{"mood": "fine", ', 1)

    assert record == BreakerRecord.from_json(record.to_json())
    assert record == BreakerRecord.from_json(newer)
    assert BreakerRecord(name="gateway") == BreakerRecord.from_json(
        BreakerRecord(name="gateway").to_json()
    )


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"name": "x", "state": "ajar"}'])
def test_a_record_that_cannot_be_read_is_corrupt(text: str) -> None:
    """
    Garbage in the memory is an error of the tree, so breakers go on alone.
    """
    with pytest.raises(Corrupt):
        BreakerRecord.from_json(text)


# --- the named breakers ---------------------------------------------------------------------


def test_the_named_breakers_have_their_paths_limits_and_fallbacks() -> None:
    """
    Numbers and fallbacks as CRITICAL_PATHS.md has them.
    """
    assert [
        ("payment_processing", 2, 1, 30, "queue_for_manual_processing"),
        ("reservation_creation", 3, 1, 2, "refuse_with_retry_after"),
        ("availability_check", 4, 2, 1, "conservative_blocking"),
        ("cancellation", 5, 2, 5, "refuse_with_retry_after"),
        ("price_calculation", 6, 2, 0.1, "default_hourly_price"),
        ("notification", 7, 3, 5, "queue_for_retry"),
    ] == [
        (each.name, each.path, each.level, each.limits.slow_s, each.fallback)
        for each in BREAKERS.values()
    ]
    assert all(each.source and each.fallback.explained for each in BREAKERS.values())


def test_a_breaker_tries_again_within_its_levels_recovery_time() -> None:
    """
    A dependency that is back must be found to be back in 30 seconds, 2 and 5 minutes.
    """
    recovery_s = {Level.ABSOLUTE: 30, Level.BUSINESS: 120, Level.OPERATIONAL: 300}

    assert [] == [
        each.name for each in BREAKERS.values() if each.limits.open_s > recovery_s[each.level] / 3
    ]


def test_breakers_are_found_by_name() -> None:
    """
    An unknown one is answered with the names there are.
    """
    breakers = Breakers()

    assert list(BREAKERS) == [each.name for each in breakers.all()]
    assert "cancellation" == breakers["cancellation"].name
    with pytest.raises(NotFound, match="payment_processing"):
        breakers["payments"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"slow_s": 0},
        {"failure_rate": 0},
        {"slow_rate": 1.1},
        {"minimum_calls": 0},
        {"probes": 0},
        {"window_s": 0},
        {"lease_s": 2},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """
    A breaker that could never open, or never close, is a mistake.
    """
    with pytest.raises(InvalidInput):
        replace(LIMITS, **wrong)
