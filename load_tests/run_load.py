"""
Everything that a load test needs, started, used and taken down: `make load`, `make load-short`.

    python load_tests/run_load.py [--shape evening | --users 1000 --spawn-rate 50 --run-time 60s]

A PostgreSQL of its own with ten clubs, `padelops serve` with as many workers as there are cores,
and Locust without its web page. The exit code is the load test's; the report with its plots is
reports/load-NAME.html, the numbers beside it as CSV, the server's log as JSON lines.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from booking_stage import Stage, club_file, raised
from load_shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
CLUBS, COURTS = 10, 8


def main() -> int:
    """Start, press, take down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=sorted(SHAPES))
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--spawn-rate", type=float, default=30)
    parser.add_argument("--run-time", default="60s")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("rest", nargs="*", help="passed on to Locust, after --")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.reports.mkdir(exist_ok=True)
    name = options.shape or f"{options.users}-users"
    report = options.reports / f"load-{name}"
    with raised() as stage:
        _clubs(stage)
        with _serving(stage, report.with_suffix(".log")) as url:
            return subprocess.run(
                [
                    sys.executable, "-m", "locust", "-f", HERE / "reservation_load_test.py",
                    "--headless", "--only-summary", "--host", url, "--stop-timeout", "20",
                    "--html", report.with_suffix(".html"), "--csv", report,
                    *_how_many(options), *options.rest,
                ],
                env=_environment(stage),
                check=False,
            ).returncode  # fmt: skip


def _how_many(options: argparse.Namespace) -> list[str]:
    if options.shape:
        return ["--shape", options.shape]
    return [
        "--users", str(options.users), "--spawn-rate", str(options.spawn_rate),
        "--run-time", options.run_time,
    ]  # fmt: skip


def _clubs(stage: Stage) -> None:
    """Clubs that open from eight to eleven and sell 30 days ahead."""
    clubs: list[dict[str, Any]] = []
    for number in range(CLUBS):
        club = club_file(f"club-{number + 1}", courts=COURTS)
        club["hours"] = {"weekly": {"mon-sun": "08:00-23:00"}}
        club["rules"] = {
            "slot_step_minutes": 30,
            "min_minutes": 60,
            "max_minutes": 120,
            "default_minutes": 90,
            "advance_days": 30,
        }
        clubs.append(club)
    stage.database("padelops", clubs).close()


@contextlib.contextmanager
def _serving(stage: Stage, log: Path) -> Iterator[str]:
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "padelops", "serve", "--port", "0", "--json"],
            env=_environment(stage),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the server did not start; see {log}")
            yield str(json.loads(line)["url"])
        finally:
            process.terminate()
            process.wait(60)


def _environment(stage: Stage) -> dict[str, str]:
    return os.environ | {"PADELOPS_DATABASE_URL": stage.url, "PADELOPS_ACTOR": "load-test"}


if __name__ == "__main__":
    sys.exit(main())
