"""What tests of the command line have at hand."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from padelops.ops.tokens import Role
from testbed.gateway_peers import kept_environment
from testbed.served import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.wiring import Desk


@pytest.fixture
def serve(database_url: str, desk: Desk, tmp_path: Path) -> Callable[..., Any]:
    """Starts servers on this test's database, and speaks to them as an operator."""
    token = desk.tokens.create("boss", Role.OPERATOR, origin=desk.origin, now=desk.now()).text
    environment = kept_environment() | {
        "PADELOPS_DATABASE_URL": database_url,
        "PADELOPS_LEVEL1_BUDGET_MS": "5000",
    }
    return partial(serving, environment, token, tmp_path / "log")
