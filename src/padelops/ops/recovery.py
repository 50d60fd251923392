"""
What a runbook's step may do: named operations, each check -> act -> verify, each with its reasons.

An operation is one class, registered under its name by `operation`; its fields are what a runbook
may say behind `with`. It calls what the commands call, so a person and a runbook do the same thing.

Source: CRITICAL_PATHS.md, "Failure recovery procedures"; DESIGN.md section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager
    from datetime import datetime

    from padelops.booking.audit import Verification
    from padelops.booking.cache import Cache
    from padelops.booking.payment_office import PaymentOffice
    from padelops.circuit_breakers import Breakers
    from padelops.model import Origin
    from padelops.ops.failover import Failover
    from padelops.ops.health import HealthReport
    from padelops.ops.integrity import IntegrityValidator
    from padelops.ops.integrity_repair import IntegrityRepair
    from padelops.ops.maintenance import Maintenance
    from padelops.ops.worker import Worker
    from padelops.store.engine import Database

REASON = "runbook"
"""What breakers and payments are told in front of the step's title: who reads it knows whence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """
    Where a runbook is carried out. Everything is opened when it is asked for, for it may be away.

    Attributes:
        database: connections without a time limit for statements. Starts no server.
        start_database: starts the embedded server; another one is not ours to start.
        warm: computes the coming days' availability; how many days that were.
        called: which incidents of a level or a graver one are open; empty where none is.
        call: opens an incident of a title and level and pages, also without a database.
        clustered: whether there are servers that a failover could choose between.
        restart: restarts a service of the operating system; what was run.
        answers: whether the HTTP service answers; None where nobody said where it is.
    """

    origin: Origin
    clock: Callable[[], datetime]
    health: Callable[[Collection[str]], HealthReport]
    database: Callable[[], Database]
    start_database: Callable[[], str]
    breakers: Callable[[], Breakers]
    office: Callable[[], PaymentOffice]
    worker: Callable[[], Worker]
    cache: Callable[[], AbstractContextManager[Cache]]
    warm: Callable[[], int]
    validator: Callable[[], IntegrityValidator]
    repairer: Callable[[], IntegrityRepair]
    maintenance: Callable[[], Maintenance]
    seal: Callable[[], int]
    verify_audit: Callable[[], Verification]
    called: Callable[[int], str]
    call: Callable[[str, int], str]
    clustered: bool
    failover: Callable[[], AbstractContextManager[Failover]]
    restart: Callable[[str], str]
    answers: Callable[[], bool | None]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check says: whether all is as the step wants it, and why it says so."""

    holds: bool
    told: str


class Operation(BaseModel):
    """
    One thing that can be done about a fault. Safe to do twice: what holds already is not done.

    Attributes:
        acts: False for what only looks.
        risky: a person must have agreed: something is interrupted, or cannot be taken back.
        patience_s: how long the verification may take to come true.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    acts: ClassVar[bool] = True
    risky: ClassVar[bool] = False
    patience_s: ClassVar[float] = 0.0

    @property
    def waits_s(self) -> float:
        """For how long the check is asked again before it counts as not true."""
        return self.patience_s

    def check(self, site: Site) -> Seen:
        """Look; changes nothing. What cannot be looked at raises, and nothing is done blindly."""
        raise NotImplementedError

    def act(self, site: Site, reason: str) -> str:
        """Do it; one line about what was done."""
        raise NotImplementedError

    def verify(self, site: Site) -> Seen:
        """Whether it came true; the check once more, unless the operation knows better."""
        return self.check(site)

    def commands(self) -> tuple[str, ...]:
        """What a person types to do the same."""
        raise NotImplementedError


OPERATIONS: dict[str, type[Operation]] = {}

Kind = TypeVar("Kind", bound=type[Operation])


def operation(name: str) -> Callable[[Kind], Kind]:
    """Register an operation under the name that runbooks call it by."""

    def registered(kind: Kind) -> Kind:
        if name in OPERATIONS:
            raise ValueError(f"the operation {name} is there twice")
        OPERATIONS[name] = kind
        return kind

    return registered


def listed(values: Collection[Any], *, most: int = 5) -> str:
    """The first few of many, and how many more there are."""
    shown = ", ".join(str(value) for value in list(values)[:most])
    return f"{shown} and {len(values) - most} more" if len(values) > most else shown
