"""What the server acknowledged during a load test, to be compared with what is there afterwards."""

from __future__ import annotations

import json
import random
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

DAYS = 14
PAGE = 100


@dataclass
class Ledger:
    """
    One run's acknowledgements. Locust's users are greenlets of one thread, so nothing is locked.

    Attributes:
        email: the address of every booking of this run, by which they are found again.
        conflicts: how often somebody else was quicker.
    """

    host: str = ""
    token: str = ""
    email: str = ""
    clubs: list[str] = field(default_factory=list)
    courts: list[str] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    conflicts: int = 0
    acknowledged: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    going: set[int] = field(default_factory=set)
    in_doubt: set[str] = field(default_factory=set)

    def begin(self, host: str, token: str) -> None:
        """Find out which clubs and courts there are."""
        self.host, self.token = host.rstrip("/"), token
        self.email = f"load-{uuid4().hex[:12]}@example.com"
        today = datetime.now(UTC).date()
        self.days = [f"{today + timedelta(days=ahead)}" for ahead in range(1, DAYS + 1)]
        self.clubs = [club["club"] for club in self.get("/v1/clubs")["clubs"]]
        self.courts = [
            court["court"]
            for club in self.clubs
            for court in self.get(f"/v1/clubs/{club}/availability")["courts"]
            if court["in_service"]
        ]
        if not self.courts:
            raise SystemExit(
                "there is no court to book; make a club: padelops club apply FILE.yaml"
            )

    def some_day(self) -> str:
        """Near days more often than far ones."""
        return self.days[min(int(random.expovariate(0.3)), DAYS - 1)]

    def booked(self, number: int) -> None:
        self.acknowledged.add(number)

    def cancelling(self, number: int) -> None:
        self.going.add(number)

    def cancelled(self, number: int) -> None:
        self.gone.add(number)

    def unknown(self, key: str) -> None:
        self.in_doubt.add(key)

    def discrepancies(self) -> list[str]:
        """What is not as it was acknowledged: `nothing_lost` and `nothing_invented`."""
        there: dict[int, dict[str, Any]] = {}
        cursor = ""
        while True:
            page = self.get(f"/v1/reservations?email={self.email}&limit={PAGE}{cursor}")
            there |= {one["id"]: one for one in page["reservations"]}
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        found = [
            f"nothing_lost: booking {number} was acknowledged and is not there"
            for number in sorted(self.acknowledged - there.keys())
        ]
        for number in sorted(self.acknowledged & there.keys()):
            status = there[number]["status"]
            if number in self.gone and status != "cancelled":
                found.append(f"nothing_lost: {number} was cancelled and is {status}")
            if number not in self.going and status not in {"confirmed", "completed"}:
                found.append(f"nothing_lost: {number} was confirmed and is {status}")
        # A booking whose answer never came may be there; more than those were never asked for.
        unasked = there.keys() - self.acknowledged
        if len(unasked) > len(self.in_doubt):
            found.append(f"nothing_invented: {len(unasked)} bookings that nobody was told of")
        return found

    def get(self, path: str) -> Any:
        """Ask past Locust, so that it counts for nothing."""
        request = urllib.request.Request(
            self.host + path, headers={"authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


LEDGER = Ledger()
