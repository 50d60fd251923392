"""A lab that ends with the test process, however that ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from padelops.lab.laboratory import Lab
from padelops.lab.planning import Wish

if TYPE_CHECKING:
    from collections.abc import Iterator

ENOUGH_MEMORY = 2_000_000_000

GUARD = """
import sys
from pathlib import Path
import pytest

from padelops.lab.laboratory import Lab

sys.stdin.read()
lab = Lab(Path(sys.argv[1]))
if lab.folder.is_lab():
    lab.down(tell=lambda text: None)
"""
"""Waits for the end of its input, which comes with the end of the test process, even by kill -9."""


def lacks(reason: str) -> None:
    """Skip a test for what this machine cannot do, or fail it where that is not accepted."""
    if "all" in os.environ.get("PADELOPS_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{reason}, and PADELOPS_TEST_REQUIRE asks for it", pytrace=False)
    pytest.skip(reason)


@contextmanager
def guarded_lab() -> Iterator[Lab]:
    """A folder for a lab, not started; ended and removed when the block ends."""
    shared = Path("/dev/shm")
    roomy = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > ENOUGH_MEMORY
    folder = (shared if roomy else Path("/tmp")) / f"padelops-lab-{uuid4().hex[:8]}"
    guard = subprocess.Popen(
        [sys.executable, "-c", GUARD, folder], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield Lab(folder)
    finally:
        guard.communicate(timeout=60)


@contextmanager
def running_lab(wish: Wish | None = None) -> Iterator[Lab]:
    """A lab that is up."""
    with guarded_lab() as lab:
        lab.up(wish or Wish(), tell=lambda _text: None)
        yield lab
