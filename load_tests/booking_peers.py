"""
What the library is measured against: pgbench sending SQL, and the barest Python around one read.

The scripts in sql/ say what each peer does. The peer of a booking is not written there: it is
the library's own statement, read from its `.sql` file, so that both always send the same.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from padelops.store.queries import statements

if TYPE_CHECKING:
    import psycopg
    from booking_stage import Stage

SCRIPTS = Path(__file__).parent / "sql"
PARAMETER = re.compile(r"%\((\w+)\)s")

SLACK_S = 60
"""How long pgbench may take beyond its time before it is ended."""


class PeerFailed(Exception):
    """A peer did not do what it is measured for."""


@dataclass(frozen=True)
class PgBench:
    """Runs scripts with prepared statements on the stage's server, as the library's role."""

    stage: Stage
    values: dict[str, Any]

    def rate(
        self,
        script: str,
        *,
        clients: int,
        seconds: int | None = None,
        each: int | None = None,
        **values: Any,
    ) -> tuple[float, int]:
        """
        Transactions per second, connecting not counted, and how many there were.

        Args:
            script: the path of a script, or its text.
            seconds, each: how long to run, or how many transactions for each client.
            values: what the script's variables start with.
        """
        path = self.stage.folder / "script.sql"
        path.write_text(script, encoding="utf-8")
        bound = [f"--time={seconds}"] if seconds else [f"--transactions={each}"]
        given = self.values | {"clients": clients, "key": f"auto-{uuid4()}"} | values
        done = subprocess.run(
            [
                str(self.stage.server.bindir / "pgbench"),
                "--no-vacuum",
                "--protocol=prepared",
                f"--client={clients}",
                f"--jobs={min(2, clients)}",
                *bound,
                f"--file={path}",
                *(f"--define={name}={value}" for name, value in given.items()),
                self.stage.url,
            ],
            capture_output=True,
            text=True,
            timeout=(seconds or 0) + SLACK_S,
            check=False,
        )
        said = done.stdout + done.stderr
        rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
        count = re.search(r"^number of transactions actually processed: (\d+)", said, re.MULTILINE)
        failed = re.search(r"^number of failed transactions: (\d+)", done.stdout, re.MULTILINE)
        if done.returncode or not rate or not count or (failed and failed[1] != "0"):
            raise PeerFailed(said)
        return float(rate[1]), int(count[1])


def values_of_a_booking(stage: Stage) -> dict[str, Any]:
    """What every booking of a peer stores: the same texts and sizes as the library's."""
    club_id, tariff_id, policy_id, revision = stage.ask(
        "SELECT id, tariff_id, policy_id, revision FROM clubs ORDER BY id LIMIT 1"
    )
    line = {
        "kind": "time",
        "label": "base",
        "amount": "24.00",
        "minutes": 60,
        "per_hour": "24.00",
        "starts_at": "2026-12-01T00:00:00+00:00",
    }
    return {
        "n": -1,
        "actor": "bench",
        "door": "library",
        "request_id": "none",  # pgbench takes no empty values
        "club_id": club_id,
        "revision": revision,
        "status": "confirmed",
        "request_digest": "a" * 64,
        "player_name": PLAYER,
        "player_email": EMAIL,
        "currency": "EUR",
        "total": "24.00",
        "lines": json.dumps([line]),
        "price_source": "tariff",
        "tariff_id": tariff_id,
        "policy_id": policy_id,
        "payment_method": "desk",
        "payment_status": "due",
    }


PLAYER, EMAIL = "Ana Ruiz", "ana@example.com"

EACH_ITS_COURT = """\
\\set n :n + 1
\\set court_id :first_court + :client_id
\\set starts :first_start + 3600 * :n
"""

ABSENT = {"hold_until", "party_id", "player_phone", "player_count", "notes", "member_tier"}
"""What the library sends as NULL for a plain booking."""

COMPUTED = {
    "starts_at": "to_timestamp(:starts)",
    "ends_at": "to_timestamp(:starts + 3600)",
    "free_at": "to_timestamp(:starts + 3600)",
    "lock_timeout": "'400ms'",
    "idempotency_key": ":key || '-' || :client_id || '-' || :n",
}


def book_same_rules() -> str:
    """The library's own statement as a pgbench script: every rule that the database knows."""

    def variable(found: re.Match[str]) -> str:
        name = found[1]
        return "NULL" if name in ABSENT else COMPUTED.get(name, f":{name}")

    statement = statements("claims")["insert_reservation"].decode()
    return f"{EACH_ITS_COURT}{PARAMETER.sub(variable, statement)};\n"


def script(name: str) -> str:
    """One of the scripts in sql/."""
    return (SCRIPTS / f"{name}.sql").read_text(encoding="utf-8")


LIVE_CLAIMS = b"""
SELECT court_id, starts_at, free_at FROM claims
 WHERE court_id = ANY (%s) AND starts_at > %s AND starts_at < %s AND free_at > %s
   AND status IN ('pending', 'confirmed')
 ORDER BY court_id, starts_at
"""


@dataclass(frozen=True)
class RawReader:
    """Free starts by one prepared read and the shortest loop; it knows the day's hours by heart."""

    connection: psycopg.Connection[tuple[Any, ...]]
    court_ids: list[int]
    opens: datetime
    closes: datetime
    length: timedelta
    step: timedelta

    def free(self) -> dict[int, list[datetime]]:
        """The starts at which each court is free for the whole length."""
        rows = self.connection.execute(
            LIVE_CLAIMS,
            (self.court_ids, self.opens - timedelta(hours=28), self.closes, self.opens),
        ).fetchall()
        busy: dict[int, list[tuple[datetime, datetime]]] = {one: [] for one in self.court_ids}
        for court_id, starts_at, free_at in rows:
            busy[court_id].append((starts_at, free_at))
        free: dict[int, list[datetime]] = {}
        for court_id, taken in busy.items():
            found = free[court_id] = []
            at, start = 0, self.opens
            while (end := start + self.length) <= self.closes:
                while at < len(taken) and taken[at][1] <= start:
                    at += 1
                if at == len(taken) or end <= taken[at][0]:
                    found.append(start)
                start += self.step
        return free
