"""
The JSON document: one per invocation, its version first, nothing in it guessed or rounded.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from padelops.cli.streams import UNPRINTABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1
"""Of every document; raised when a member is renamed, removed or changes its meaning."""


def written(document: Mapping[str, Any], *, encoding: str, indent: int | None = None) -> str:
    """
    The document as text that a stream of this encoding can carry.

    Raises:
        TypeError: a value has no JSON form.
        ValueError: a float is not a number.
    """
    text = _dump(document, ascii_only=False, indent=indent)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # an ASCII locale, or half a character from a broken argument
        text = _dump(document, ascii_only=True, indent=indent)
    return text + "\n"


def _dump(document: Mapping[str, Any], *, ascii_only: bool, indent: int | None) -> str:
    text = json.dumps(
        {"schema_version": SCHEMA_VERSION, **document},
        default=_value,
        ensure_ascii=ascii_only,
        allow_nan=False,
        indent=indent,
    )
    return text.translate(UNPRINTABLE)


def _value(value: Any) -> Any:
    """What JSON has no word for. Whatever is not listed here is refused, not guessed."""
    match value:
        case Decimal() | UUID() | PurePath():
            return str(value)
        case datetime() if value.tzinfo is None:
            raise TypeError(f"A time without an offset has no JSON form: {value}.")
        case date():  # a datetime is one too
            return value.isoformat()
        case set() | frozenset():
            return sorted(value)
    if hasattr(value, "as_json"):
        return value.as_json()
    raise TypeError(f"{type(value).__name__} has no JSON form; give it as_json().")
