"""
What a failover needs from outside, what it would do, and how it ended.

Two drivers stand behind `Driver`: Patroni over REST, and plain streaming replication over SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.errors import PadelopsError
    from padelops.ops.failover_gates import Gate, Kind
    from padelops.ops.failover_record import Record
    from padelops.store.nodes import Cluster, Node

SERVICE_LIMIT_S = 30.0
"""Until bookings are taken again. Source: CRITICAL_PATHS.md, level 1, "Recovery Time"."""
WHOLE_LIMIT_S = 120.0
"""Until everything is as it was. Source: CRITICAL_PATHS.md, "Short-term Recovery"."""


class Driver(Protocol):
    """What changes who is primary. It acts; it does not decide."""

    name: str
    managed: bool
    """Whether a cluster manager hands over by itself what it is asked to hand over."""
    patience_s: float
    """How long a promotion may take until its outcome counts as unknown."""

    def observe(self) -> Cluster: ...
    def how_to_fence(self, old: Node) -> str | None: ...
    def fence(self, old: Node) -> str: ...
    def unfence(self, old: Node) -> None: ...
    def caught_up(self, candidate: Node, old: Node, *, patience_s: float) -> int: ...
    def promote(self, candidate: Node, old: Node | None, told: Callable[[str], None]) -> None: ...
    def rejoin(self, old: Node, new: Node, *, sync_names: str) -> str: ...
    def how_to_rejoin(self, old: Node, new: Node) -> list[str]: ...
    def wait_for_standby(self, new: Node, standby: Node, sync_names: str) -> None: ...


class Application(Protocol):
    """The database as bookings reach it, by the application's own address."""

    def leave_mark(self, record: Record) -> str: ...
    def invariants(self) -> list[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What a failover would do, and every gate's answer.

    Attributes:
        refused: what it is refused with; None where it may begin.
        resumed: the unfinished failover that it goes on with.
        overtakes: the unfinished failover that it does not go on with, and why.
    """

    kind: Kind
    cluster: Cluster
    old: Node | None
    new: Node | None
    gates: tuple[Gate, ...]
    refused: PadelopsError | None
    data_loss_allowed: bool
    reason: str
    asked_for: str | None = None
    resumed: Record | None = None
    overtakes: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "driver": self.cluster.driver,
            "cluster": self.cluster.name,
            "from": self.old.name if self.old else None,
            "to": self.new.name if self.new else None,
            "resumes": self.resumed.id if self.resumed else None,
            "overtakes": self.overtakes,
            "data_loss_allowed": self.data_loss_allowed,
            "gates": [gate.as_json() for gate in self.gates],
            "nodes": [node.as_json() for node in self.cluster.nodes],
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a failover ended. `failed` is what it ended with; None is done and verified."""

    record: Record
    failed: PadelopsError | None

    def as_json(self) -> dict[str, Any]:
        served = next((step.at_s for step in self.record.steps if step.name == "serve"), None)
        whole = max((step.at_s for step in self.record.steps), default=0.0)
        return {
            **self.record.as_json(),
            "service_restored_s": served,
            "within_30_s": served is not None and served <= SERVICE_LIMIT_S,
            "whole_s": whole,
            "within_2_min": whole <= WHOLE_LIMIT_S,
        }
