"""
The people on call: who fills which role, and how each is reached. Read anew for every page.

The file holds addresses and keys, so nothing of it is ever shown but names.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from padelops.booking.on_call import Person
from padelops.errors import InvalidInput
from padelops.ops.escalation import EVERYBODY

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_FILE = 1_000_000
EXAMPLE = "roles: {on_call_engineer: [{name: Ana, email: ana@example.com, pagerduty: KEY}]}"


class Roster(BaseModel):
    """
    Who is on call.

    Attributes:
        zone: where business days are counted.
        holidays: days there that are none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    roles: dict[str, tuple[Person, ...]] = Field(default_factory=dict)
    zone: str = "UTC"
    holidays: frozenset[date] = frozenset()

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise ValueError("there is no such time zone") from exc
        return name

    def people(self, role: str) -> tuple[Person, ...]:
        """Who fills a role; everybody once for `everybody`."""
        if role != EVERYBODY:
            return self.roles.get(role, ())
        return tuple({p.name: p for people in self.roles.values() for p in people}.values())


NOBODY = Roster()


def read_roster(path: Path | None) -> Roster:
    """
    The people of a file; nobody without one.

    Raises:
        InvalidInput: it cannot be read; names the place, never what stands there.
    """
    if path is None:
        return NOBODY
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > LARGEST_FILE:
            raise InvalidInput(f"PADELOPS_ROSTER is larger than {LARGEST_FILE} bytes.")
        document: Any = yaml.safe_load(text)
        return Roster.model_validate(document)
    except (OSError, UnicodeError) as exc:
        raise InvalidInput(
            f"PADELOPS_ROSTER: {path} cannot be read.", fix="Nobody can be paged without it."
        ) from exc
    except yaml.YAMLError:
        # Not chained: its text repeats the line, and that may hold a key.
        raise InvalidInput(f"PADELOPS_ROSTER: {path} is no YAML.", fix=f"Write {EXAMPLE}") from None
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, problem["loc"])) or "the file"
        raise InvalidInput(
            f"PADELOPS_ROSTER: {path}: {place}: {problem['msg']}.", fix=f"Write {EXAMPLE}"
        ) from None
