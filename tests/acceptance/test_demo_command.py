"""
`padelops demo`: what a newcomer sees first is so, and every command that it names works.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_the_demo_tells_what_is_so(database_url: str, tmp_path: Path) -> None:
    """
    One of fifty wins, a refund at the desk is owed and not given, and every invariant holds after.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    environ = kept | {
        "LANG": "C.UTF-8",
        "PADELOPS_DATABASE_URL": database_url,
        "PADELOPS_HOME": str(tmp_path),
    }

    def run(*arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "padelops", *arguments],
            env=environ, stdin=subprocess.DEVNULL,
            capture_output=True, encoding="utf-8", timeout=120, check=False,
        )  # fmt: skip
        assert 0 == ended.returncode, ended.stderr
        return ended.stdout

    told = run("demo", "--yes")
    shown = run("show", "1")

    assert "booked             1\ncourt_taken       49\n" in told
    assert "paid       to give back  kept\n" in told
    assert "34.72 EUR, 0.00 given back" in shown
    assert "--member gold --email ana@example.com" in told
    assert "None" not in told
    assert ": ok.\n" in told
    assert "What to try next:" in told
