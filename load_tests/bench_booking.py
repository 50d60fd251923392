"""
How fast the booking core is, beside its peers on the same PostgreSQL in the same minutes.

    python load_tests/bench_booking.py [--quick] [--seconds 4] [--rounds 3] [--json FILE]

Starts a PostgreSQL of its own, runs library and peer in turn, round by round, and prints the median
of the rounds' ratios beside what DESIGN.md section 9 asks for. Ratios carry over to another machine
and, mostly, to a busy one; the absolute numbers beside them do not. Exit code 1: a ratio is short
of what it must be at least, or the herd broke a rule.

What the peers do, and what they don't:

- "pgbench, same rules" sends the library's own INSERT, prepared, to the same tables: it locks and
  checks the court, is decided by the exclusion constraint, keeps key and digest, and is recorded
  and announced by the triggers. It checks no opening hours, computes no price, builds no answer.
- "pgbench, least safe" inserts seven columns into a table that guards nothing.
- "pgbench locking the court" inserts the same row into the same table, after `SELECT … FOR UPDATE`
  of the court and a look for an overlap.
- "raw read + slots" is one prepared read of the live claims and the shortest loop that finds the
  free starts. It knows courts and hours by heart, and prices nothing.
- "pgbench, no policy" locks the reservation, changes it and commits; it reads no policy, works out
  no refund and shows no reservation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from booking_rows import Bench
from booking_stage import raised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from booking_goals import Row

BUSY_SHARE = 0.5
"""Load average per core above which the numbers are somebody else's too."""

FEWEST_ROUNDS = 3


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=4, help="for each measurement (default 4)")
    parser.add_argument(
        "--rounds", type=int, default=FEWEST_ROUNDS, help="at least 3, the default; odd is best"
    )
    parser.add_argument(
        "--only",
        metavar="PART",
        action="append",
        choices=sorted(Bench.PARTS),
        help=f"one of {', '.join(Bench.PARTS)}; may be repeated (default: all)",
    )
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="rows of the larger search (the other: a tenth)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="under a minute: 1 second, 100,000 rows; a first look"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything down")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds, options.rows = 1, min(options.rows, 100_000)
    if options.rounds < FEWEST_ROUNDS or options.seconds < 1 or options.rows < 20_000:
        parser.error("at least 3 rounds, 1 second and 20000 rows")
    return options


def facts() -> dict[str, Any]:
    """The machine, as it was when the benchmark began."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "load_average": os.getloadavg()[0],
    }


def show_facts(known: dict[str, Any]) -> None:
    """What the numbers were made on, and a warning where they deserve one."""
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in known.items()))
    if known["load_average"] > BUSY_SHARE * (known["cores"] or 1):
        print(
            "The machine is busy with other work: trust the ratios more than the numbers beside"
            " them, and repeat before you conclude.",
            file=sys.stderr,
        )


def show(rows: Iterable[Row], facts_of_herd: dict[str, Any]) -> None:
    """The table."""
    columns = ("what", "reached", "at least", "aim", "ok", "ours", "peer", "")
    lines = [columns, *(row.cells() for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        first, *others = (
            cell.ljust(width) if at in {0, 4, 7} else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())
    if facts_of_herd:
        print("same-slot herd: " + ", ".join(f"{n} {what}" for what, n in facts_of_herd.items()))


def main() -> int:
    """Measure, show, judge."""
    options = options_of()
    signal.signal(signal.SIGTERM, _as_interrupt)
    known = facts()
    began = time.monotonic()
    rows: list[Row] = []
    herd: dict[str, Any] = {}
    sound = True
    with raised() as stage:
        known["postgresql"] = stage.ask("SHOW server_version")[0]
        show_facts(known)
        bench = Bench(stage, seconds=options.seconds, rounds=options.rounds, rows=options.rows)
        try:
            for part in options.only or Bench.PARTS:
                print(f"… {part}", file=sys.stderr, flush=True)
                measure: Callable[[], list[Row]] = getattr(bench, part)
                rows += measure()
            herd, sound = bench.herd_facts, bench.herd_sound
        finally:
            bench.close()
    print()
    show(rows, herd)
    passed = sound and all(row.verdict != "MISSED" for row in rows)
    if options.json:
        document = {
            "schema_version": 1,
            "facts": known | {"load_average_after": os.getloadavg()[0]},
            "seconds": options.seconds,
            "rounds": options.rounds,
            "took_s": round(time.monotonic() - began, 1),
            "rows": [row.as_json() for row in rows],
            "herd": herd,
            "passed": passed,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if passed else 1


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; the server is stopped")
