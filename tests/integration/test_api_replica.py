"""Reads that may be a little old come from a replica, and say so; all else is the primary's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from padelops.api.app import App
from padelops.api.rate_limits import RateLimits
from padelops.ops.tokens import Role
from padelops.wiring import open_desk
from testbed.api_client import Answer, ApiClient
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.clock import Clock
    from testbed.pair import Pair

DAY = "2026-12-04"
START = f"{DAY}T17:30:00+01:00"


@pytest.fixture
def api(pair: Pair, clock: Clock, tmp_path: Path) -> Iterator[ApiClient]:
    """An operator at a primary with a replica."""
    settings = pair.settings(
        replica_url=SecretStr(pair.b.url()), replica_staleness_s=600, level1_budget_ms=5000
    )
    with open_desk(settings, clock=clock) as desk:
        token = desk.tokens.create("boss", Role.OPERATOR, origin=desk.origin, now=desk.now()).text
    app = App(settings, RateLimits(tmp_path / "rates"), clock=clock)
    yield ApiClient(app, token)
    app.close()


def asked(api: ApiClient, path: str, stale: str | None, **query: Any) -> Answer:
    headers = {} if stale is None else {"cache-control": stale}
    return api("GET", path, headers=headers, **query)


def free_starts(answer: Answer) -> list[str]:
    return [free["starts_at"] for free in answer.document["courts"][0]["free"]]


def test_only_who_accepts_it_gets_an_old_answer(api: ApiClient, pair: Pair) -> None:
    """
    With replay paused the replica still shows the slot as free; who asked for the truth gets it.
    """
    court = "/v1/clubs/centro/courts/2/availability"
    first = api.book(starts_at=f"{DAY}T10:00")
    path = first.headers["location"]
    until(lambda: asked(api, path, "max-stale=600").headers["padelops-source"] == "replica")
    with pair.admin(pair.b, "postgres") as standby:
        standby.execute("SELECT pg_wal_replay_pause()")
    second = api.book()
    old = asked(api, court, "max-stale=600", date=DAY, minutes=90)
    true = asked(api, court, None, date=DAY, minutes=90)
    strict = asked(api, court, "max-stale=0", date=DAY, minutes=90)
    found = asked(api, "/v1/reservations", None, club="centro")
    precise = asked(api, "/v1/reservations", "max-stale=0", club="centro")
    newer = asked(api, second.headers["location"], "max-stale=600")
    other = asked(api, court, "no-cache", date=DAY, minutes=90)

    assert "replica" == old.headers["padelops-source"]
    assert old.headers["age"].isdigit()
    assert START in free_starts(old)
    assert START not in free_starts(true)
    assert "padelops-source" not in true.headers
    assert ("primary", True) == (
        strict.headers["padelops-source"], START not in free_starts(strict)
    )  # fmt: skip
    assert [first.document["id"]] == [one["id"] for one in found.document["reservations"]]
    assert "replica" == found.headers["padelops-source"]
    assert 2 == len(precise.document["reservations"])
    assert (200, "primary") == (newer.status, newer.headers["padelops-source"])
    assert "padelops-source" not in other.headers


def test_a_replica_that_is_away_costs_nobody_an_answer(api: ApiClient, pair: Pair) -> None:
    """
    The primary answers instead, and says that it did.
    """
    first = api.book(starts_at=f"{DAY}T10:00")
    pair.set(pair.a, synchronous_standby_names="")
    pair.kill(pair.b)
    answers = [
        asked(api, path, "max-stale=600", **query)
        for path, query in (
            (first.headers["location"], {}),
            ("/v1/reservations", {"club": "centro"}),
            ("/v1/clubs/centro/availability", {"date": DAY}),
        )
    ]

    assert [(200, "primary")] * 3 == [
        (one.status, one.headers["padelops-source"]) for one in answers
    ]
