"""What tests of imports have at hand: an importer, and a club that came in by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from padelops.errors import ExitCode
from padelops.ops.importing import Importer
from testbed.dumps import place, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.ops.import_report import ImportReport
    from padelops.wiring import Desk


@pytest.fixture
def importer(desk: Desk) -> Importer:
    """Imports into this test's database."""
    return Importer(desk.bulk, origin=desk.origin, clock=desk.now)


@pytest.fixture
def bring(importer: Importer, tmp_path: Path) -> Callable[..., ImportReport]:
    """Imports rows as one dump."""

    def bring(*rows: dict[str, Any], **options: Any) -> ImportReport:
        return importer.run([written(tmp_path, *rows)], **options)

    return bring


@pytest.fixture
def ready(bring: Callable[..., ImportReport]) -> Callable[..., ImportReport]:
    """The club and its courts are in; what is brought now are its rows."""
    assert ExitCode.DONE == bring(*place()).exit_code
    return bring
