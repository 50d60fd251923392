"""
What bookings live through while the cluster is broken, fault by fault: `make failover-matrix`.

A real lab, players who book through the library and one at a terminal, one fault at a time. Printed
for each: the longest time without an acknowledged booking, acknowledged bookings lost, courts sold
twice, outcomes that were unknown and how they were settled, and whether every answer was true.
Exit status 1 if any row is not clean. `--quick` takes three faults, for CI.

Source: DESIGN.md sections 7 and 8.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import yaml
from booking_stage import club_file
from failover_crowd import CLUB, COURTS, Crowd, Findings
from pydantic import SecretStr

from padelops.adapters.postgres_cluster import ADMIN, DATABASE
from padelops.errors import ExitCode
from padelops.lab import observing
from padelops.lab.faults import Fault, Faults
from padelops.lab.laboratory import Lab
from padelops.lab.planning import Wish
from padelops.settings import Settings
from padelops.wiring import open_desk

if TYPE_CHECKING:
    from collections.abc import Callable

BEFORE_S = 3
STAY_S = 8
"""How long a fault lasts that is not supposed to move the leader."""
FLOW_S = 2
FLOWING = 20
"""Bookings after which writes are taken to flow again."""
OUTAGE_LIMIT_S = 90
SETTLE_LIMIT_S = 120
BUDGET_MS = 2000
"""A level-1 budget that a busy machine keeps."""
LIMIT_S = 30
"""Level 1 is back in 30 seconds. Source: CRITICAL_PATHS.md, levels of criticality."""

ROWS = """
    SELECT idempotency_key, claims.id, courts.name, starts_at, status
      FROM claims JOIN courts ON courts.id = court_id
     WHERE idempotency_key IS NOT NULL
"""

GUARD = """
import sys
from pathlib import Path
from padelops.lab.laboratory import Lab

sys.stdin.read()
lab = Lab(Path(sys.argv[1]))
if lab.folder.is_lab():
    lab.down(tell=lambda text: None)
"""
"""Waits for the end of its input, which comes with the end of the matrix, even by kill -9."""


@dataclass(frozen=True)
class Row:
    """One fault."""

    name: str
    strike: Callable[[Faults, str], Fault | None]
    moves: bool = True
    """Whether another node has to lead before it is over."""
    before: Callable[[Faults, str], Fault] | None = None
    """What is broken already when the row begins; its `undo` is what the row is about."""
    after: Callable[[Faults], None] | None = None
    """What is left to do once everybody is back."""
    quick: bool = False


def switchover(faults: Faults, leader: str) -> None:
    """By `padelops failover switchover` where it is there, else as its driver would ask."""
    if find_spec("padelops.cli.commands.failover"):
        done = padelops(faults.lab, "failover", "switchover", "--yes")
        if done.returncode != 0:
            raise SystemExit(f"switchover: exit {done.returncode}: {done.stderr}")
        return
    node = faults.lab.state().node(leader)
    connection = http.client.HTTPConnection("127.0.0.1", node.rest_port, timeout=60)
    connection.request("POST", "/switchover", json.dumps({"leader": leader}))
    answer = connection.getresponse()
    if answer.status != observing.HTTP_OK:
        raise SystemExit(f"switchover: {answer.status} {answer.read().decode()}")


def promoted(faults: Faults, leader: str) -> Fault:
    """The machine dies and somebody on call says so, instead of waiting for its lease."""
    fault = faults.kill_node(leader)
    if find_spec("padelops.cli.commands.failover"):
        done = padelops(faults.lab, "failover", "promote", "--yes")
        # Partly done: the dead node is not back yet.
        if done.returncode not in {ExitCode.DONE, ExitCode.PARTLY_DONE}:
            say(f"  promote: exit {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    return fault


def finish(faults: Faults) -> None:
    """The same command again, now that the dead node is back: nothing may remain."""
    done = padelops(faults.lab, "failover", "promote", "--yes")
    if done.returncode != ExitCode.DONE:
        say(f"  promote again: exit {done.returncode}: {done.stderr.strip().splitlines()[-1]}")


def replaced(faults: Faults, leader: str) -> Fault:
    """A primary that died, and was replaced."""
    fault = faults.kill_node(leader)
    wait_for(lambda: led_by_another(faults.lab, leader), OUTAGE_LIMIT_S)
    return fault


MATRIX = (
    Row("planned switchover", switchover, quick=True),
    Row("kill -9 of the primary's postmaster", lambda f, n: f.kill_postmaster(n), quick=True),
    Row("kill -9 of Patroni and postmaster", lambda f, n: f.kill_node(n)),
    Row("SIGSTOP of the primary's Patroni", lambda f, n: f.freeze_patroni(n)),
    Row("SIGSTOP of the postmaster", lambda f, n: f.freeze_postmaster(n), moves=False),
    Row("SIGSTOP of the whole node", lambda f, n: f.freeze_node(n)),
    Row("network of the primary cut", lambda f, n: f.cut_off(n), quick=True),
    Row(
        "kill -9 of Patroni and postmaster, then `failover promote`",
        promoted,
        after=finish,
    ),
    Row("etcd killed", lambda f, _: f.kill_store(), moves=False),
    Row("synchronous standby killed", lambda f, _: f.kill_node(f.standby()), moves=False),
    Row("the old primary comes back", lambda _f, _n: None, before=replaced, moves=False),
)


@dataclass
class Outcome:
    """One row of the table."""

    row: Row
    gap_s: float
    back_s: float
    back_gap_s: float
    led: str
    findings: Findings
    agree: bool

    @property
    def clean(self) -> bool:
        return self.findings.clean and self.agree


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Three faults, for CI.")
    parser.add_argument(
        "--async", dest="asynchronous", action="store_true",
        help="Without a standby that confirms: see bookings get lost.",
    )  # fmt: skip
    parser.add_argument(
        "--unfenced", action="store_true",
        help="Past the doors, so that nobody is thrown out of a former primary.",
    )  # fmt: skip
    parser.add_argument("--only", help="Rows with this word in their name.")
    parser.add_argument("--json", action="store_true", help="One JSON document.")
    arguments = parser.parse_args()
    rows = [
        row
        for row in MATRIX
        if (not arguments.quick or row.quick) and (arguments.only or "") in row.name
    ]
    folder = Path(tempfile.mkdtemp(prefix="padelops-matrix-"))
    guard = subprocess.Popen(
        [sys.executable, "-c", GUARD, folder], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        outcomes = run(
            Lab(folder),
            rows,
            synchronous=not arguments.asynchronous,
            fenced=not arguments.unfenced,
        )
    finally:
        guard.communicate(timeout=60)
    if arguments.json:
        print(json.dumps([as_json(outcome) for outcome in outcomes], indent=2))
    else:
        print_table(outcomes)
    return 0 if outcomes and all(outcome.clean for outcome in outcomes) else 1


def run(lab: Lab, rows: list[Row], *, synchronous: bool, fenced: bool) -> list[Outcome]:
    say("Starting the lab ...")
    state = lab.up(Wish(bare=True, synchronous=synchronous), tell=say)
    url = state.variables["PADELOPS_DATABASE_URL"]
    if not fenced:
        for node in state.nodes:
            url = url.replace(f":{node.door_port}", f":{node.postgres_port}")
    settings = Settings(
        database_url=SecretStr(url),
        home=lab.folder.path / "home",
        level1_budget_ms=BUDGET_MS,
        connect_timeout_s=2,
    )
    clubs = lab.folder.path / "clubs.yaml"
    clubs.write_text(yaml.safe_dump(club_file(CLUB, courts=COURTS)))
    with open_desk(settings, actor="matrix") as desk:
        desk.apply_club_file(clubs)
    outcomes = []
    for row in rows:
        say(f"{row.name} ...")
        outcome = endure(lab, row, settings)
        outcomes.append(outcome)
        say(f"  {'clean' if outcome.clean else 'NOT CLEAN'}, {outcome.gap_s:.1f} s")
    return outcomes


def endure(lab: Lab, row: Row, settings: Settings) -> Outcome:
    """One fault from the quiet before it to the reckoning after it."""
    faults, state = Faults(lab), lab.state()
    leader = faults.leader()
    with open_desk(settings, actor="matrix") as desk, Crowd(desk, environment(lab)) as crowd:
        time.sleep(BEFORE_S)
        earlier = row.before(faults, leader) if row.before else None
        if earlier is not None:
            flowing = time.monotonic()
            wait_for(lambda: crowd.acknowledged_since(flowing) > FLOWING, OUTAGE_LIMIT_S)
            earlier.undo()
        struck = time.monotonic()
        fault = row.strike(faults, leader)
        try:
            if row.moves:
                wait_for(lambda: led_by_another(lab, leader), OUTAGE_LIMIT_S)
            else:
                time.sleep(STAY_S)
            resumed = time.monotonic()
            wait_for(lambda: crowd.acknowledged_since(resumed) > 0, OUTAGE_LIMIT_S)
            time.sleep(FLOW_S)
            gap = crowd.longest_gap(struck)
        finally:
            mended = time.monotonic()
            if fault is not None:
                fault.undo()
        lab.wait_until_settled(lab.state(), steady_s=2, timeout_s=SETTLE_LIMIT_S)
        back = time.monotonic() - mended
        if row.after is not None:
            row.after(faults)
        time.sleep(FLOW_S)
        back_gap = crowd.longest_gap(mended)
    crowd.remember()
    now = faults.leader()
    wait_for(lambda: alike(lab), SETTLE_LIMIT_S)
    return Outcome(
        row=row,
        gap_s=gap,
        back_s=back,
        back_gap_s=back_gap,
        led=leader if now == leader else f"{leader} > {now}",
        findings=crowd.judged(rows_of(lab, now)),
        agree=alike(lab) and len(state.nodes) == len(lab.look().nodes),
    )


def led_by_another(lab: Lab, leader: str) -> bool:
    """Whether a node other than the old leader takes writes."""
    state = lab.state()
    return any(
        observing.ask_postgres(lab.folder, node)[0] for node in state.nodes if node.name != leader
    )


def alike(lab: Lab) -> bool:
    """Whether every node has the same reservations: the old primary kept none of its own."""
    found = [sorted(rows_of(lab, node.name)) for node in lab.state().nodes]
    return all(rows == found[0] for rows in found)


def rows_of(lab: Lab, name: str) -> list[tuple[Any, ...]]:
    node = lab.state().node(name)
    with psycopg.connect(
        host="127.0.0.1", port=node.postgres_port, user=ADMIN, dbname=DATABASE,
        passfile=str(lab.folder.pgpass), connect_timeout=10,
    ) as connection:  # fmt: skip
        return connection.execute(ROWS).fetchall()


def environment(lab: Lab) -> dict[str, str]:
    return {
        **os.environ,
        **lab.state().variables,
        "PADELOPS_HOME": str(lab.folder.path / "home"),
        "PADELOPS_LEVEL1_BUDGET_MS": str(BUDGET_MS),
        "PADELOPS_CONNECT_TIMEOUT_S": "2",
    }


def padelops(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "padelops", *arguments],
        env=environment(lab), capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip


def wait_for(happened: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


HEADINGS = (
    "fault", "no writes s", "back s", "then s", "led by",
    "booked", "lost", "double", "unknown", "settled", "exits", "true",
)  # fmt: skip


def cells(outcome: Outcome) -> tuple[str, ...]:
    found = outcome.findings
    settled = ", ".join(f"{count} {how}" for how, count in sorted(found.settled.items())) or "-"
    return (
        outcome.row.name,
        f"{outcome.gap_s:.1f}",
        f"{outcome.back_s:.1f}",
        f"{outcome.back_gap_s:.1f}",
        outcome.led,
        str(found.acknowledged),
        str(len(found.lost)),
        str(len(found.doubles)),
        str(found.unknown),
        settled + (f", {found.unsettled} NOT" if found.unsettled else ""),
        " ".join(f"{code}:{count}" for code, count in sorted(found.exits.items())),
        "yes" if outcome.clean else "NO",
    )


def print_table(outcomes: list[Outcome]) -> None:
    rows = [HEADINGS, *(cells(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)))
    print(
        "\nexits: exit statuses of `padelops book` at a terminal, and how often; each was held"
        "\nagainst the tables: 0 is there, 1 and 8 are not, 3 is either."
        "\nno writes: longest time without an acknowledged booking; back: until every node agreed"
        "\nagain after the fault was undone; then: the longest time without writes meanwhile."
    )
    for outcome in outcomes:
        found = outcome.findings
        wrong = [*found.lost, *found.lies, *found.invented, *found.doubles, *found.broken]
        for line in wrong[:5]:
            print(f"{outcome.row.name}: {line}")
        if not outcome.agree:
            print(f"{outcome.row.name}: the nodes do not have the same reservations.")


def as_json(outcome: Outcome) -> dict[str, Any]:
    found = outcome.findings
    return {
        "fault": outcome.row.name,
        "seconds_without_writes": round(outcome.gap_s, 2),
        "seconds_until_settled": round(outcome.back_s, 2),
        "seconds_without_writes_meanwhile": round(outcome.back_gap_s, 2),
        "leaders": outcome.led,
        "acknowledged": found.acknowledged,
        "lost": found.lost,
        "double": found.doubles,
        "invented": found.invented,
        "untrue": found.lies,
        "unknown": found.unknown,
        "settled": dict(found.settled),
        "unsettled": found.unsettled,
        "exit_statuses": {str(code): count for code, count in found.exits.items()},
        "nodes_agree": outcome.agree,
        "clean": outcome.clean,
    }


if __name__ == "__main__":
    sys.exit(main())
