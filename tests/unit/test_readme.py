"""The README is an interface: what it names exists, and what exists it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from padelops.booking.critical_paths import CRITICAL_PATHS, CriticalPath
from padelops.cli import commands
from padelops.errors import ExitCode
from padelops.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_stands_in_the_readme() -> None:
    """Whoever runs padelops finds every variable in one table."""
    missing = [name for name in Settings.model_fields if f"`{PREFIX}{name.upper()}`" not in README]

    assert [] == missing


def test_the_readme_names_no_variable_that_is_not_there() -> None:
    """A variable that was renamed must not live on in the README."""
    test_only = {"PADELOPS_TEST_REQUIRE", "PADELOPS_DEBUG"}
    known = {PREFIX + name.upper() for name in Settings.model_fields} | test_only

    assert set() == set(re.findall(r"PADELOPS_[A-Z0-9_]+", README)) - known


def test_every_command_stands_in_the_readme() -> None:
    """A command that nobody can read about is a command that nobody uses."""
    names = [
        path.stem.rstrip("_")
        for path in Path(commands.__path__[0]).glob("*.py")
        if not path.stem.startswith("_")
    ]
    missing = [name for name in names if not re.search(rf"`(padelops )?{name}\b", README)]

    assert [] == missing


@pytest.mark.parametrize("path", CRITICAL_PATHS, ids=lambda path: path.name)
def test_each_critical_path_has_its_row_module_and_tests(path: CriticalPath) -> None:
    """The table leads from a path to its code and to the tests that prove it."""
    row = next(line for line in README.splitlines() if line.startswith(f"| {path.number} |"))
    tests = re.findall(r"`(tests/[\w/.]+)`", row)

    assert path.name in row
    assert f"| {path.level.value} |" in row
    assert f"`{path.module}`" in row
    assert all(f"`{command}`" in row for command in path.commands)
    assert (ROOT / "src/padelops/booking" / f"{path.module}.py").is_file()
    assert tests
    assert all((ROOT / test).is_file() for test in tests), tests


def test_every_exit_code_stands_in_the_readme() -> None:
    """Scripts decide by exit codes, so each is explained."""
    table = README[README.index("## Exit codes") : README.index("## Configuration")]

    assert [] == [code.name for code in ExitCode if not re.search(rf"\b{code.value}\b", table)]
