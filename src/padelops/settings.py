"""
What an operator may set, read once by a door and passed down; nothing else reads the environment.

Every field is the environment variable `PADELOPS_<FIELD>`; the README lists them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "PADELOPS_"


def default_home() -> Path:
    """Where the embedded database lives: `/var/lib/padelops` for root, else the user's data."""
    if os.geteuid() == 0:
        return Path("/var/lib/padelops")
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "padelops"


class Settings(BaseModel):
    """Frozen for the life of a process. Secrets never print."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default_factory=default_home, description="folder of the embedded database")
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://… (default: the embedded server)"
    )
    postgres_bindir: Path | None = Field(
        default=None,
        description="PostgreSQL programs for the embedded server (default: the wheel's)",
    )
    cache_url: SecretStr | None = Field(
        default=None, description="redis://… (default: a table in the database)"
    )
    actor: str | None = Field(
        default=None,
        max_length=200,
        description="who acts, for the audit trail (default: the login)",
    )
    level1_budget_ms: int = Field(
        default=500, ge=50, le=60_000, description="how long a level-1 operation may take"
    )
    connect_timeout_s: int = Field(default=5, ge=1, le=60, description="to reach the database")
    pool_size: int = Field(default=16, ge=1, le=500, description="database connections per process")
    hold_minutes: int = Field(
        default=10, ge=1, le=120, description="how long an unpaid hold keeps a court"
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Read `PADELOPS_*`; unset and empty variables mean the default.

        Raises:
            InvalidInput: a variable's value does not fit; names the variable, never its value.
        """
        environ = os.environ if environ is None else environ
        given = {
            name: environ[PREFIX + name.upper()]
            for name in cls.model_fields
            if environ.get(PREFIX + name.upper())
        }
        try:
            return cls.model_validate(given)
        except ValidationError as exc:
            problem = exc.errors(include_url=False, include_input=False)[0]
            variable = PREFIX + str(problem["loc"][0]).upper()
            raise InvalidInput(f"{variable}: {problem['msg']}.", variable=variable) from None
