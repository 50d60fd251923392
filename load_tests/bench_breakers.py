"""
What a closed circuit breaker costs: microseconds a call, and as a ratio to a bare call.

    python load_tests/bench_breakers.py [--calls 200000] [--threads 16] [--rounds 5]

Medians over the rounds, bare and guarded measured in turn. The last line shows that guarded calls
run side by side: threads that wait inside a breaker take as long as one of them does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from threading import Barrier, Thread

from padelops.circuit_breakers import BREAKERS, Breaker, LocalMemory
from padelops.errors import BreakerOpen, DatabaseUnavailable

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
    options = parser.parse_args()

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
    for threads in (1, options.threads):
        timings: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, work in ways.items():
                timings[way].append(seconds(work, options.calls, threads))
        print(f"{threads:>3} thread(s)              us/call   x bare")
        one_bare = statistics.median(timings["bare call"])
        for way, times in timings.items():
            median = statistics.median(times)
            print(f"    {way:<22}{median / options.calls * 1e6:8.2f} {median / one_bare:8.1f}")
    ratio = waiting(Breaker(SPEC), options.threads)
    print(f"{options.threads} threads waiting inside one breaker: {ratio:.2f} x one thread")


if __name__ == "__main__":
    main()
