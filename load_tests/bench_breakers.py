"""
What a closed circuit breaker costs: microseconds a call, and as a share of what it guards.

    python load_tests/bench_breakers.py [--calls 200000] [--threads 16] [--rounds 5] [--seconds 5]

First around a function that does nothing, with the state in this process; then around real bookings
and availability answers on a PostgreSQL of its own, with the state that all processes share.

At the desk every thread does the same work bare, guarded and bare again, call by call in an order
that changes, so that what else the machine does hits all three alike: medians, and how far the two
bare ones differ is the noise. `cpu` is what the calling thread computes more, on average: the
exchanges are in it. Each breaker asks the database twice a second however many calls it guards:
`asked` counts that.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from threading import Barrier, Lock, Thread
from typing import TYPE_CHECKING

from booking_stage import CLUB, COURTS, FIRST_START, HOUR, club_file, raised

from padelops.circuit_breakers import BREAKERS, Breaker, LocalMemory
from padelops.errors import BreakerOpen, DatabaseUnavailable
from padelops.model import Door
from padelops.wiring.breakers import SharedBreakers

if TYPE_CHECKING:
    from padelops import Desk

SPEC = BREAKERS["reservation_creation"]

Work = Callable[[int], None]


def nothing() -> int:
    """The bare call."""
    return 1


def bare(calls: int) -> None:
    """Call it as it is."""
    for _ in range(calls):
        nothing()


def through_call(breaker: Breaker) -> Work:
    """`breaker.call(fn)`."""

    def work(calls: int) -> None:
        call = breaker.call
        for _ in range(calls):
            call(nothing)

    return work


def through_guard(breaker: Breaker) -> Work:
    """`with breaker.guard():`."""

    def work(calls: int) -> None:
        for _ in range(calls):
            with breaker.guard():
                nothing()

    return work


def through_decorator(breaker: Breaker) -> Work:
    """`@breaker.guarded`."""
    guarded = breaker.guarded(nothing)

    def work(calls: int) -> None:
        for _ in range(calls):
            guarded()

    return work


def refused(breaker: Breaker) -> Work:
    """What a caller pays for hearing no."""

    def work(calls: int) -> None:
        for _ in range(calls):
            try:
                breaker.call(nothing)
            except BreakerOpen:
                continue

    return work


def troubled() -> Breaker:
    """A closed breaker that has seen failures, so that it looks at its rates after each call."""
    breaker = Breaker(SPEC)
    breaker.call(nothing)
    for _ in range(5):
        try:
            breaker.call(fail)
        except DatabaseUnavailable:
            continue
    return breaker


def fail() -> None:
    raise DatabaseUnavailable


def seconds(work: Work, calls: int, threads: int) -> float:
    """Wall time for `calls` calls, spread over threads that start together."""
    start = Barrier(threads + 1)

    def run() -> None:
        start.wait()
        work(calls // threads)

    crew = [Thread(target=run) for _ in range(threads)]
    for each in crew:
        each.start()
    start.wait()
    began = time.perf_counter()
    for each in crew:
        each.join()
    return time.perf_counter() - began


def waiting(breaker: Breaker, threads: int) -> float:
    """How many times longer `threads` waits take than one, all inside the same breaker."""

    def wait(calls: int) -> None:
        for _ in range(calls):
            breaker.call(time.sleep, 0.02)

    alone = seconds(wait, 10, 1)
    return seconds(wait, 10 * threads, threads) / alone


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="for each measurement at the desk"
    )
    options = parser.parse_args()
    in_this_process(options.calls, options.threads, options.rounds)
    at_the_desk(options.threads, options.seconds)


def in_this_process(calls: int, threads: int, rounds: int) -> None:
    """Around nothing: what the breaker itself takes."""
    forced_open = Breaker(SPEC, LocalMemory())
    forced_open.force_open(actor="bench", reason="measuring refusals")
    ways: dict[str, Work] = {
        "bare call": bare,
        "breaker.call": through_call(Breaker(SPEC)),
        "with breaker.guard()": through_guard(Breaker(SPEC)),
        "@breaker.guarded": through_decorator(Breaker(SPEC)),
        "call, after failures": through_call(troubled()),
        "refused by an open one": refused(forced_open),
    }
    for crew in (1, threads):
        timings: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, work in ways.items():
                timings[way].append(seconds(work, calls, crew))
        print(f"{crew:>3} thread(s)              us/call   x bare")
        one_bare = statistics.median(timings["bare call"])
        for way, times in timings.items():
            median = statistics.median(times)
            print(f"    {way:<22}{median / calls * 1e6:8.2f} {median / one_bare:8.1f}")
    ratio = waiting(Breaker(SPEC), threads)
    print(f"{threads} threads waiting inside one breaker: {ratio:.2f} x one thread")


# --- at the desk ------------------------------------------------------------------------------


class Unguarded:
    """Breakers that are none."""

    def __getitem__(self, name: str) -> Unguarded:
        return self

    guard = nullcontext


class Counter:
    """How often the breakers asked the database."""

    def __init__(self, breakers: SharedBreakers) -> None:
        self.asked = 0
        for breaker in breakers.all():
            memory = breaker._replica._memory  # noqa: SLF001 - only its exchanges are counted
            breaker._replica._memory = self  # type: ignore[assignment]  # noqa: SLF001
            self._memory = memory

    def exchange(self, *args: object, **kwargs: object) -> object:
        """Count, and ask."""
        self.asked += 1
        return self._memory.exchange(*args, **kwargs)  # type: ignore[arg-type]

    def swap(self, *args: object, **kwargs: object) -> object:
        """Pass on."""
        return self._memory.swap(*args, **kwargs)  # type: ignore[arg-type]


def at_the_desk(threads: int, length_s: float) -> None:
    """Around real work on a real database, with the state that processes share."""
    with raised() as stage, stage.database("padelops", [club_file()]) as desk:
        first_use(desk)
        counter = Counter(desk.breakers)
        desks = [unguarded(desk), desk, unguarded(desk)]
        titles = ("us a call", "bare", "guarded", "adds", "", "noise", "cpu", "asked")
        print("\n{:<32}{:>8}{:>9}{:>8}{:>8}{:>7}{:>8}   {}".format(*titles))
        for name, works in {
            "desk.availability": [availability(each) for each in desks],
            "desk.book": booking(desks),
        }.items():
            for crew in (1, threads):
                before = counter.asked
                (first, guarded, again), cpu = pace(works, crew, length_s)
                computes = cpu[1] / len(guarded) - (cpu[0] + cpu[2]) / len(first + again)
                bare_us = statistics.median(first + again)
                guarded_us = statistics.median(guarded)
                noise = statistics.median(first) - statistics.median(again)
                adds = guarded_us - bare_us
                print(
                    f"{f'{name}, {crew} thread(s)':<32}{bare_us:8.0f}{guarded_us:9.0f}{adds:+8.1f}"
                    f"{adds / bare_us:+8.2%}{abs(noise):7.1f}{computes:+8.1f}"
                    f"   {counter.asked - before} times in {len(guarded)} calls"
                )


def unguarded(desk: Desk) -> Desk:
    """The same desk without breakers."""
    twin = desk.acting_as(desk.origin)
    twin.__dict__["breakers"] = Unguarded()
    twin.__dict__.pop("_availability", None)
    return twin


def availability(desk: Desk) -> Callable[[], object]:
    """The day of one court, from the cache as it usually is."""
    day = FIRST_START.date()
    return lambda: desk.availability(CLUB, day, court="1")


def booking(desks: list[Desk]) -> list[Callable[[], object]]:
    """One booking after another, each on a slot of its own."""
    numbers = itertools.count()

    def with_desk(desk: Desk) -> Callable[[], object]:
        def book() -> None:
            hour, court = divmod(next(numbers), COURTS)
            start = FIRST_START + hour * HOUR
            desk.book(f"{CLUB}/{court + 1}", start.isoformat(), player="Ana Ruiz", minutes=60)

        return book

    return [with_desk(desk) for desk in desks]


def pace(
    works: list[Callable[[], object]], threads: int, length_s: float
) -> tuple[list[list[float]], list[float]]:
    """What each call of each work took, and what each work computed in all; in microseconds."""
    taken: list[list[float]] = [[] for _ in works]
    computed = [0.0] * len(works)
    lock = Lock()
    until = time.perf_counter() + length_s

    def run() -> None:
        mine = [0.0] * len(works)
        while time.perf_counter() < until:
            for at in random.sample(range(len(works)), len(works)):
                began, computing = time.perf_counter(), time.thread_time()
                works[at]()
                mine[at] += (time.thread_time() - computing) * 1e6
                taken[at].append((time.perf_counter() - began) * 1e6)
        with lock:
            for at, one in enumerate(mine):
                computed[at] += one

    crew = [Thread(target=run) for _ in range(threads)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    return taken, computed


def first_use(desk: Desk) -> None:
    """What the first guarded call of a process pays, and each exchange after that."""
    own, borrowed, exchanges = [], [], []
    for _ in range(20):
        for age_s, taken in ((1, own), (0, borrowed)):
            breakers = SharedBreakers(desk.database, Door.LIBRARY)
            breakers._line._born -= age_s  # noqa: SLF001 - a process that has just begun borrows
            breaker = breakers["reservation_creation"]
            began = time.perf_counter()
            breaker.call(nothing)
            taken.append((time.perf_counter() - began) * 1e3)
            for _ in range(20):
                breaker._replica.refresh_at = 0  # noqa: SLF001 - so that the next call asks
                began = time.perf_counter()
                breaker.call(nothing)
                exchanges.append((time.perf_counter() - began) * 1e3)
            breakers.close()
    print("\nmilliseconds, medians")
    for what, times in {
        "a connection of its own, once in a process": own,
        "first call of a command, over the connection it has": borrowed,
        "a call that asks the database, twice a second": exchanges,
    }.items():
        print(f"    {what:<54}{statistics.median(times):8.2f}")


if __name__ == "__main__":
    main()
