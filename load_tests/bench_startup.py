"""
How long the terminal door takes to open: `padelops --help` against the smallest Typer program, and
`padelops health` against a psycopg script that runs `select 1`.

Prints medians as ratios of the same run, since only those carry over to another machine. The goals
are 1.1 times a one-command Typer program's `--help`, 1.3 at most, and for `health` 1.2 times the
script, 1.5 at most (DESIGN.md section 9). "typer + psycopg + pydantic" imports what any command
with an option imports before a line of ours runs: Typer reads options by pydantic.

    python load_tests/bench_startup.py [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.settings import Settings
from padelops.wiring import upgrade_schema

ONE_COMMAND = """
import typer
app = typer.Typer({settings})
@app.command()
def hello(name: str = "world") -> None:
    \"\"\"Say hello.\"\"\"
    print(f"Hello {{name}}")
app()
"""

SELECT_ONE = """
import os, psycopg
with psycopg.connect(os.environ["PADELOPS_DATABASE_URL"]) as connection:
    print(connection.execute("select 1").fetchone())
"""

FEWEST_ROUNDS = 15


def seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    # A check's exit status is its verdict: without a worker, health warns.
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - began


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="padelops-bench-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder, "home"))
        os.environ["PADELOPS_DATABASE_URL"] = server.ensure_running()
        try:
            upgrade_schema(Settings.from_environment())
            compare(Path(folder), rounds)
        finally:
            server.stop("immediate")


def compare(folder: Path, rounds: int) -> None:
    rich, plain = Path(folder, "rich_help.py"), Path(folder, "plain_help.py")
    rich.write_text(ONE_COMMAND.format(settings=""))
    plain.write_text(ONE_COMMAND.format(settings="rich_markup_mode=None"))
    programs = {
        "bare python": ["-c", "pass"],
        "one-command typer --help": [str(rich), "--help"],
        "the same without Rich": [str(plain), "--help"],
        "padelops --help": ["-m", "padelops", "--help"],
        "padelops --version": ["-m", "padelops", "--version"],
        "psycopg, select 1": ["-c", SELECT_ONE],
        "typer+psycopg+pydantic": ["-c", "import typer, psycopg, typer._adapters"],
        "padelops health": ["-m", "padelops", "health"],
    }
    for arguments in programs.values():
        seconds(arguments)  # compiles what is not compiled yet

    # Alternating, so that whatever else the machine does hits all of them alike.
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, arguments in programs.items():
            taken[name].append(seconds(arguments))

    median = {name: statistics.median(times) for name, times in taken.items()}
    print(
        f"{'median of ' + str(rounds):26}{'ms':>7}{'x typer':>9}{'x plain typer':>15}"
        f"{'x select 1':>12}"
    )
    for name, middle in median.items():
        print(
            f"{name:26}{middle * 1000:7.0f}"
            f"{middle / median['one-command typer --help']:9.2f}"
            f"{middle / median['the same without Rich']:15.2f}"
            f"{middle / median['psycopg, select 1']:12.2f}"
        )


if __name__ == "__main__":
    main(max(FEWEST_ROUNDS, int(sys.argv[1]) if sys.argv[1:] else 21))
