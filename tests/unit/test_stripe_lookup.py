"""A look-up at Stripe: "never seen" is said only when everything that could hold it was read."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from padelops.adapters.stripe_lookup import (
    INDEX_LAG,
    LONGEST_LOOK_S,
    MOST_PAGES,
    query_for,
    with_reference,
)
from padelops.booking.gateway import GatewayUnavailable

PAGE = 3
NUMBERS = itertools.count(1000)
NOW = 1_780_000_000
LAG = int(INDEX_LAG.total_seconds())


def intent(number: int, *, age_s: int = 0, ours: str = "", status: str = "succeeded") -> Any:
    metadata = {"padelops_payment": ours} if ours else {}
    return {
        "id": f"pi_{number}",
        "created": NOW - age_s,
        "metadata": metadata,
        "status": status,
    }


@dataclass
class FakeStripe:
    """Intents newest first, and an index that may lag behind or not exist."""

    intents: list[Any]
    indexed: list[Any] | None = field(default_factory=list)
    read: list[str] = field(default_factory=list)

    def page(self, after: str | None) -> tuple[list[Any], bool]:
        self.read.append("page")
        ids = [one["id"] for one in self.intents]
        begin = 0 if after is None else ids.index(after) + 1
        return self.intents[begin : begin + PAGE], len(self.intents) > begin + PAGE

    def search(self, query: str) -> list[Any] | None:
        self.read.append("search")
        assert query == query_for("r")
        return self.indexed


def found(stripe: FakeStripe) -> list[str]:
    return [one["id"] for one in with_reference(stripe, "r")]


def others(many: int, *, age_s: int = 0) -> list[Any]:
    return [intent(next(NUMBERS), age_s=age_s) for _ in range(many)]


def test_what_is_fresh_takes_one_request() -> None:
    """It stands among the newest, so nothing else is asked."""
    stripe = FakeStripe([*others(2), intent(1, ours="r"), *others(9)])

    assert ["pi_1"] == found(stripe)
    assert ["page"] == stripe.read


def test_what_is_old_is_found_by_the_index() -> None:
    """A month of payments is not read through for it."""
    old = intent(1, age_s=30 * 86400, ours="r")
    stripe = FakeStripe([*others(3), *others(60, age_s=LAG * 2), old], indexed=[old])

    assert ["pi_1"] == found(stripe)
    assert ["page", "search"] == stripe.read


def test_what_the_index_has_not_seen_yet_is_found_in_the_list() -> None:
    """A busy hour: it is behind the first page, and the index lags."""
    ours = intent(1, age_s=LAG - 1, ours="r")
    stripe = FakeStripe([*others(3), *others(4, age_s=60), ours, *others(50, age_s=LAG * 2)])

    assert ["pi_1"] == found(stripe)
    assert ["page", "search", "page", "page"] == stripe.read


def test_never_seen_is_said_once_the_list_is_older_than_the_index_can_lag() -> None:
    """What is older would be in the index."""
    stripe = FakeStripe([*others(4), *others(2, age_s=LAG + 1), *others(90, age_s=LAG * 2)])

    assert [] == found(stripe)
    assert ["page", "search", "page"] == stripe.read


def test_the_window_hangs_on_the_newest_intent_not_on_a_clock() -> None:
    """Nothing was charged for a year; the last ones are read all the same."""
    year = 365 * 86400
    ours = intent(1, age_s=year + LAG - 60, ours="r")

    assert ["pi_1"] == found(FakeStripe([*others(4, age_s=year), ours]))


def test_without_an_index_the_list_is_read_to_its_end() -> None:
    """Not offered to merchants in India, nor by peers: then age is no excuse to stop."""
    old = intent(1, age_s=LAG * 100, ours="r")
    stripe = FakeStripe([*others(3), *others(20, age_s=LAG * 50), old], indexed=None)

    assert ["pi_1"] == found(stripe)
    assert [] == with_reference(FakeStripe(others(8), indexed=None), "r")


def test_an_empty_account_has_seen_nothing() -> None:
    """Nothing to read is an answer, with an index and without."""
    assert [] == found(FakeStripe([]))
    assert [] == found(FakeStripe([], indexed=None))


def test_a_look_that_is_cut_short_does_not_say_never_seen() -> None:
    """More pages than are read at the most, or more time than a payment may take."""
    endless = FakeStripe(others(PAGE * (MOST_PAGES + 1)), indexed=None)
    ticks = iter([0.0, LONGEST_LOOK_S + 1])

    with pytest.raises(GatewayUnavailable):
        with_reference(endless, "r", clock=lambda: 0.0)
    with pytest.raises(GatewayUnavailable):
        with_reference(FakeStripe(others(20), indexed=None), "r", clock=lambda: next(ticks))


def test_a_failed_attempt_does_not_hide_an_older_payment() -> None:
    """A declined one among the newest: the index is asked whether there is one with money."""
    older = intent(1, age_s=LAG * 5, ours="r")
    failed = intent(2, ours="r", status="requires_payment_method")
    stripe = FakeStripe([failed, *others(9), older], indexed=[older])

    assert ["pi_2", "pi_1"] == found(stripe)


def test_the_index_matches_loosely_and_is_compared() -> None:
    """Stripe's search ignores letter case; `R` is not `r`."""
    stripe = FakeStripe(others(2), indexed=[intent(1, ours="R"), intent(2, ours="r")])

    assert ["pi_2"] == found(stripe)


def test_a_quote_in_a_reference_stays_in_it() -> None:
    """It neither ends the query nor adds to it."""
    assert r"metadata['padelops_payment']:'a\' OR \\'" == query_for("a' OR \\")
