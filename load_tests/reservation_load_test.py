r"""
Load test of the critical endpoints, with Locust.

    locust -f load_tests/reservation_load_test.py --users 1000 --spawn-rate 50 \
        --host https://api.padelyzer.com --run-time 10m

works as it stands in CRITICAL_PATHS.md (add --headless to go without the web page).
`--shape evening` runs a day's shape instead of a number of users, `--tags book` a part of what
users do. `make load` starts a database and a server, and runs it all.

Whoever runs it needs an operator's token in PADELOPS_LOAD_TOKEN; on the server's own machine one is
made, and revoked at the end. A court that somebody else was quicker to book is no failure. The run
ends by comparing what was acknowledged with what is there, and by `padelops validate`. Exit code:

    0 all kept    1 a threshold missed    2 an invariant violated    3 it could not be checked
"""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from load_ledger import LEDGER
from load_shapes import SHAPES, Shape
from load_verdict import judge, make_token, revoke_token, say
from locust import FastHttpUser, LoadTestShape, between, events, tag, task

if TYPE_CHECKING:
    from locust.env import Environment

EVENING = ("18:00", "18:30", "19:00", "19:30", "20:00", "20:30", "21:00")
HOT_SHARE = 0.7
"""Of those who book, so many want an evening."""

REPEATS = 3
"""How often a booking whose outcome is unknown is asked for again, with its key."""


def chosen_shape() -> Shape | None:
    """What `--shape` names; read before Locust reads its options, because it wants to know now."""
    given = os.environ.get("PADELOPS_LOAD_SHAPE", "")
    for at, argument in enumerate(sys.argv):
        if argument.startswith("--shape="):
            given = argument.partition("=")[2]
        elif argument == "--shape" and at + 1 < len(sys.argv):
            given = sys.argv[at + 1]
    if given and given not in SHAPES:
        raise SystemExit(f"there is no shape {given!r}; there are: {', '.join(SHAPES)}")
    return SHAPES.get(given)


SHAPE = chosen_shape()


@events.init_command_line_parser.add_listener
def options(parser: Any) -> None:
    """What this test takes beyond what Locust takes."""
    parser.add_argument(
        "--shape", choices=sorted(SHAPES), env_var="PADELOPS_LOAD_SHAPE", help="a day's shape"
    )
    parser.add_argument(
        "--judge-as-rated",
        action="store_true",
        help="hold every threshold, however many users there are",
    )


@events.test_start.add_listener
def start(environment: Environment, **_: Any) -> None:
    """A token, and the clubs there are."""
    LEDGER.begin(environment.host or "", make_token(environment.host or ""))


@events.test_stop.add_listener
def stop(environment: Environment, **_: Any) -> None:
    """Compare, validate, judge; the exit code tells."""
    options = environment.parsed_options
    users = SHAPE.most if SHAPE else (options.num_users or 1 if options else 1)
    try:
        environment.process_exit_code = judge(
            environment.stats,
            LEDGER,
            users=users,
            strictly=bool(options and options.judge_as_rated),
        )
    finally:
        revoke_token()


class Asking(FastHttpUser):
    """What every kind of user can do."""

    abstract = True
    network_timeout = 20.0
    connection_timeout = 10.0

    def on_start(self) -> None:
        """Nobody starts with anything."""
        self.mine: list[int] = []
        self.seen: list[tuple[str, str]] = []
        self.headers = {"authorization": f"Bearer {LEDGER.token}"}

    def read(self, path: str, name: str) -> Any:
        """A GET whose answer must be 200; its document."""
        with self.client.get(path, name=name, headers=self.headers, catch_response=True) as got:
            if got.status_code == 200:
                got.success()
                return got.json()
            got.failure(_why(got))
            return None

    def look(self) -> None:
        """A club's day, most often one of the next few."""
        club, day = random.choice(LEDGER.clubs), LEDGER.some_day()
        found = self.read(
            f"/v1/clubs/{club}/availability?date={day}", "/v1/clubs/{club}/availability"
        )
        if found:
            self.seen = [
                (court["court"], free["starts_at"])
                for court in found["courts"]
                for free in court["free"]
            ]

    def book(self, court: str, start: str, *, key: str) -> None:
        """Try for a slot; whoever was quicker is no failure of ours."""
        wish = {
            "court": court,
            "starts_at": start,
            "player": {"name": f"Load {id(self) % 10_000}", "email": LEDGER.email},
        }
        for _ in range(REPEATS):
            with self.client.post(
                "/v1/reservations",
                json=wish,
                headers=self.headers | {"idempotency-key": key},
                name="/v1/reservations",
                catch_response=True,
            ) as got:
                if got.status_code in {200, 201}:
                    got.success()
                    number = got.json()["id"]
                    LEDGER.booked(number)
                    if number not in self.mine:
                        self.mine.append(number)
                    return
                if got.status_code == 409 and got.json()["code"] == "court_taken":
                    got.success()
                    LEDGER.conflicts += 1
                    return
                got.failure(_why(got))
                if got.status_code not in {0, 504}:
                    return
                LEDGER.unknown(key)


def _why(got: Any) -> str:
    try:
        return f"{got.status_code} {got.json()['code']}"
    except (ValueError, KeyError, TypeError):
        return f"{got.status_code} {got.error or ''}"[:80]


class Player(Asking):
    """Somebody who looks far more often than they book, and books when everybody does."""

    wait_time = between(1, 3)

    @tag("browse")
    @task(40)
    def look_at_a_day(self) -> None:
        self.look()

    @tag("browse")
    @task(15)
    def look_at_a_court(self) -> None:
        club, court = random.choice(LEDGER.courts).split("/")
        self.read(
            f"/v1/clubs/{club}/courts/{court}/availability?date={LEDGER.some_day()}",
            "/v1/clubs/{club}/courts/{court}/availability",
        )

    @tag("browse")
    @task(10)
    def ask_for_a_price(self) -> None:
        court = random.choice(LEDGER.courts)
        self.read(
            f"/v1/quotes?court={court}&starts_at={LEDGER.some_day()}T{random.choice(EVENING)}",
            "/v1/quotes",
        )

    @tag("browse")
    @task(12)
    def search_a_day(self) -> None:
        club, day = random.choice(LEDGER.clubs), LEDGER.some_day()
        self.read(
            f"/v1/reservations?club={club}&since={day}&until={day}&limit=50", "/v1/reservations"
        )

    @tag("browse")
    @task(8)
    def show_one(self) -> None:
        if self.mine:
            self.read(f"/v1/reservations/{random.choice(self.mine)}", "/v1/reservations/{id}")

    @tag("book")
    @task(9)
    def book_what_was_seen(self) -> None:
        wish = self._wish()
        if wish:
            self.book(*wish, key=f"load-{uuid4()}")

    @tag("book")
    @task(2)
    def click_twice(self) -> None:
        wish = self._wish()
        if wish:
            key = f"load-{uuid4()}"
            self.book(*wish, key=key)
            self.book(*wish, key=key)

    @tag("cancel")
    @task(4)
    def cancel_one(self) -> None:
        if not self.mine:
            return
        number = self.mine.pop(random.randrange(len(self.mine)))
        LEDGER.cancelling(number)
        with self.client.post(
            f"/v1/reservations/{number}/cancel",
            json={},
            headers=self.headers,
            name="/v1/reservations/{id}/cancel",
            catch_response=True,
        ) as got:
            if got.status_code == 200:
                got.success()
                LEDGER.cancelled(number)
            else:
                got.failure(_why(got))

    def _wish(self) -> tuple[str, str] | None:
        if not self.seen:
            self.look()
        hot = [one for one in self.seen if one[1][11:16] in EVENING]
        choices = hot if hot and random.random() < HOT_SHARE else self.seen
        return random.choice(choices) if choices else None


class Buyer(Asking):
    """Somebody in a flash sale: everybody wants the same evening on the same courts at once."""

    wait_time = between(0.5, 1.5)

    @tag("flash")
    @task
    def want_the_same(self) -> None:
        court = random.choice(LEDGER.courts[:4])
        self.book(court, f"{LEDGER.days[2]}T{random.choice(EVENING)}", key=f"load-{uuid4()}")


if SHAPE is None or SHAPE.who == "players":
    del Buyer  # Locust starts every class that it finds here
else:
    del Player

if SHAPE is not None:
    say(f"shape {SHAPE.name}: {SHAPE.explained}")

    class DayShape(LoadTestShape):
        """The shape that was asked for, second by second."""

        steps: ClassVar = SHAPE.steps

        def tick(self) -> tuple[int, float] | None:
            """So many users now, arriving so fast; None at the end."""
            at = self.get_run_time()
            for until, users, rate in self.steps:
                if at < until:
                    return users, rate
            return None
