"""Clients that book as fast as they can and write down every acknowledgement, whatever happens."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from datetime import datetime

COURTS = ("centro/1", "centro/2", "centro/3", "centro/4", "roma/1", "roma/2")
GIVE_UP_S = 30


class Loaders:
    """
    Threads that book, each with keys of its own; hot ones all want the same slots.

    A request without an answer, or with an unknown one, is sent again under its key, so that in
    the end each key is acknowledged, refused, or given up.

    Attributes:
        acknowledged: the reservation that was told for a key.
        answers: how often each status, or kind of broken connection, was met.
    """

    def __init__(self, url: str, token: str, *, first: datetime, threads: int = 6) -> None:
        self.acknowledged: dict[str, int] = {}
        self.cancelled: set[int] = set()
        self.answers: Counter[str] = Counter()
        self._first = first
        self._stop = threading.Event()
        self._url = url
        self._headers = {"authorization": f"Bearer {token}"}
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """No new bookings; those under way are settled or given up."""
        self._stop.set()
        for thread in self._threads:
            thread.join(GIVE_UP_S + 10)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    def wait_for(self, many: int) -> None:
        """Until so many more bookings were acknowledged."""
        wanted = len(self.acknowledged) + many
        deadline = time.monotonic() + GIVE_UP_S
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, self.answers
            time.sleep(0.01)

    def _run(self, number: int) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=10) as client:
            nth = 0
            while not self._stop.is_set():
                hot = nth % 3 == 0
                hours = nth if hot else nth * len(COURTS) + number
                start = self._first + timedelta(days=hours // 7, hours=hours % 7 * 2)
                court = COURTS[0 if hot else number % len(COURTS)]
                self._book(client, court, f"{start:%Y-%m-%dT%H:%M}", key=f"fire-{number}-{nth}")
                nth += 1

    def _book(self, client: httpx.Client, court: str, starts_at: str, *, key: str) -> None:
        wish = {"court": court, "starts_at": starts_at, "minutes": 60, "player": {"name": "Ana"}}
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            answer = self._ask(client, "/v1/reservations", wish, key)
            if answer is not None and answer.status_code in {200, 201}:
                made = int(answer.json()["id"])
                self.acknowledged[key] = made
                if made % 5 == 0:
                    done = self._ask(client, f"/v1/reservations/{made}/cancel", {}, None)
                    if done is not None and done.status_code == 200:
                        self.cancelled.add(made)
                return
            if answer is not None and answer.status_code not in {503, 504}:
                return  # taken, or not to be booked
            if self._stop.wait(0.05) and answer is None:
                return  # nobody is there any more: outcome unknown, and so not acknowledged

    def _ask(
        self, client: httpx.Client, path: str, body: Any, key: str | None
    ) -> httpx.Response | None:
        try:
            answer = client.post(path, json=body, headers={"idempotency-key": key} if key else {})
        except httpx.HTTPError as exc:
            self.answers[type(exc).__name__] += 1
            return None
        self.answers[str(answer.status_code)] += 1
        return answer
