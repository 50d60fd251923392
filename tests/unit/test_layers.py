"""
The house keeps its shape: imports go down only, SQL lives in one room, each path names itself.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import padelops
from padelops.store.queries import statements

SOURCE = Path(padelops.__file__).parent
ROOT = SOURCE.parent.parent

PATHS = {
    "double_booking": 1,
    "payments": 2,
    "creation": 3,
    "availability": 4,
    "cancellation": 5,
    "pricing": 6,
    "notifications": 7,
    "search": 8,
    "audit": 9,
}
"""The nine critical paths, by the file in `booking/` that keeps each. Source: CRITICAL_PATHS.md."""

LEVELS = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2, 7: 3, 8: 3, 9: 3}

DRIVERS = {"sqlalchemy", "psycopg", "pydantic"}
HEAVY = {"typer", "rich", "httpx", "click", "redis", "pytest", "alembic"}

SQL_WORDS = (
    "SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM", "BEGIN ISOLATION", "ALTER TABLE",
    "CREATE TABLE", "TRUNCATE ", "pg_terminate_backend",
)  # fmt: skip

SPEAKS_SQL: dict[str, str] = {}
"""Files outside `store/` that may hold SQL text, and why."""


SETS_THE_ORIGIN = {"store/engine.py", "store/import_session.py"}
"""Who opens transactions sends the origin's three settings along; no statement of any noun."""


def modules(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (SOURCE / room).rglob("*.py"))


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def test_imports_go_down_only() -> None:
    """
    The contracts in pyproject.toml hold: layers, Typer and Rich at the terminal, SQL in the store.
    """
    found = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 0 == found.returncode, found.stdout + found.stderr
    assert "0 broken" in found.stdout


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (
            "padelops, padelops.errors, padelops.model",
            HEAVY | DRIVERS,
        ),
        (", ".join(f"padelops.booking.{path}" for path in PATHS), HEAVY),
        ("padelops.wiring", HEAVY),
        # What `health` and `cache` ask must not wait for what only a search or an upgrade needs.
        ("padelops.wiring.health, padelops.wiring.caches", HEAVY | {"sqlalchemy"}),
    ],
)
def test_an_import_brings_nothing_heavy(modules: str, unwanted: set[str]) -> None:
    """
    Importing the library loads no terminal, no HTTP client and no migration tool.
    """
    script = f"import sys, {modules}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert "" == found.stderr
    assert set() == unwanted & set(found.stdout.split())


def test_every_public_name_can_be_had() -> None:
    """
    Each name in `padelops.__all__` loads, and nothing else is pretended.
    """
    assert [] == [name for name in padelops.__all__ if getattr(padelops, name) is None]
    assert sorted(padelops.__all__) == dir(padelops)
    with pytest.raises(AttributeError):
        _ = padelops.nothing_of_the_sort


@pytest.mark.parametrize("name", PATHS)
def test_each_critical_path_names_itself(name: str) -> None:
    """
    The first line of a path's module is its promise, with its number and level, and its source.
    """
    path = SOURCE / "booking" / f"{name}.py"
    if not path.exists():
        pytest.skip(f"{name} is not built yet")
    text = docstring(path)

    number = PATHS[name]
    assert text.startswith(f"Critical path {number} (level {LEVELS[number]}): ")
    assert f"Source: CRITICAL_PATHS.md, path {number}" in text


def test_every_module_promises_something() -> None:
    """
    No module goes without a docstring; an empty package marker may.
    """
    silent = [
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if path.read_text(encoding="utf-8").strip() and not docstring(path)
    ]

    assert [] == silent


def test_sql_is_written_in_the_store_alone() -> None:
    """
    No other room holds SQL text; who must, stands in the list with a reason.
    """
    offenders = set()
    for path in SOURCE.rglob("*.py"):
        inside = str(path.relative_to(SOURCE))
        if inside.startswith("store/"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in told
                and any(word in node.value for word in SQL_WORDS)
            ):
                offenders.add(inside)

    assert set(SPEAKS_SQL) == offenders


def test_text_sql_stands_in_sql_files() -> None:
    """
    Inside the store, statements of more than a few words have a name in a `.sql` file.
    """
    offenders = {
        str(path.relative_to(SOURCE))
        for path in modules("store")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
        and len(node.value.split()) > 4
    }

    assert offenders <= SETS_THE_ORIGIN


def test_every_named_statement_is_used() -> None:
    """
    A statement in a `.sql` file that nobody asks for is dead weight.
    """
    code = "".join(path.read_text(encoding="utf-8") for path in modules("."))
    made_up = {"insert_tariff", "insert_policy", "tariff_by_digest", "policy_by_digest"}
    unused = [
        f"{noun}: {name}"
        for noun in sorted(path.stem for path in (SOURCE / "store" / "sql").glob("*.sql"))
        for name in statements(noun)
        if f'"{name}"' not in code and name not in made_up
    ]

    assert [] == unused


@pytest.mark.parametrize("path", modules("booking", "store"), ids=lambda path: path.name)
def test_the_core_reads_no_clock_and_no_environment(path: Path) -> None:
    """
    `now` is an argument: no module of the core asks what time it is, or what is set outside.
    """
    text = path.read_text(encoding="utf-8")

    assert [] == [
        word
        for word in (
            "datetime.now(",
            "utcnow(",
            "date.today(",
            "time.time(",
            "os.environ",
            "getenv(",
        )
        if word in text
    ]
