"""The desk behind a command: opened late, so that `--help` and usage errors need no database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from padelops.errors import Corrupt, InvalidInput, NotChecked, NotPermitted, Refused, Unavailable

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


@contextmanager
def unknown_unless_checked() -> Iterator[None]:
    """
    Around a check: whatever keeps it from looking makes its answer "unknown", never "warning".

    Checks end with 1 and 2 for what they found, so a refusal must not end with those. A role that
    lacks rights stays what it is: 4.

    Raises:
        NotChecked: the database is away, is not ours, or there is nothing of that name.
    """
    try:
        yield
    except (InvalidInput, NotPermitted):
        raise
    except (Unavailable, Refused, Corrupt) as exc:
        cause = {"cause": exc.code}
        raise NotChecked(f"Not checked: {exc.message}", fix=exc.fix, **cause, **exc.facts) from exc
