"""
Every text statement has a name and stands in a `.sql` file: `-- name: insert_claim`.

Loaded once at import, so that the hot path sends constant SQL that PostgreSQL can keep prepared.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def statements(noun: str) -> dict[str, bytes]:
    """
    The named statements of `store/sql/<noun>.sql`, as bytes ready for psycopg.

    Raises:
        ValueError: a name stands twice in the file.
    """
    text = resources.files("padelops.store.sql").joinpath(f"{noun}.sql").read_text(encoding="utf-8")
    _, *pieces = _NAME.split(text)
    names, bodies = pieces[::2], pieces[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"a statement stands twice in {noun}.sql")
    return {
        name: body.strip().rstrip(";").encode() for name, body in zip(names, bodies, strict=True)
    }
