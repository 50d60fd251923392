"""The desk behind a command: opened late, so that `--help` and usage errors need no database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.settings import Settings
    from padelops.wiring import Desk


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Desk]:
    """
    The desk that the environment (or `settings`) describes, closed at the end.

    Raises:
        InvalidInput: a `PADELOPS_*` variable is wrong. DatabaseUnavailable, SchemaBehind,
            SchemaAhead: the database cannot be worked on.
    """
    from padelops.model import Door
    from padelops.wiring import open_desk

    with open_desk(settings, door=Door.CLI) as desk:
        yield desk
