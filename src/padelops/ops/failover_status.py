"""Whether the cluster could lose its primary now and go on: a verdict with every reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.ops.failover_gates import MOST_BEHIND_BYTES, SYNCHRONOUS
from padelops.ops.verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.ops.failover_record import Record
    from padelops.store.nodes import Cluster


@dataclass(frozen=True, slots=True)
class Remark:
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The cluster at one moment, and what is wrong with it."""

    cluster: Cluster
    unfinished: Record | None
    remarks: tuple[Remark, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst; two primaries outrank what could not be asked."""
        return worst([Verdict.OK, *(remark.verdict for remark in self.remarks)])

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.name.lower(),
            **self.cluster.as_json(),
            "primary": self.cluster.primary.name if self.cluster.primary else None,
            "remarks": [
                {"verdict": remark.verdict.name.lower(), "text": remark.text}
                for remark in self.remarks
            ],
            "unfinished": self.unfinished.as_json() if self.unfinished else None,
        }


def judge(cluster: Cluster, unfinished: Record | None) -> ClusterStatus:
    """Everything that a person on call must know of this cluster now."""
    return ClusterStatus(cluster, unfinished, tuple(_remarks(cluster, unfinished)))


def _remarks(cluster: Cluster, unfinished: Record | None) -> Iterator[Remark]:
    many = cluster.writable
    silent = [node for node in cluster.nodes if node.facts is None]
    if len(many) > 1:
        shown = ", ".join(f"{node.name} on timeline {node.timeline}" for node in many)
        yield Remark(Verdict.CRITICAL, f"Two servers take writes: {shown}.")
    elif not many:
        # A server that refuses the login may be a healthy primary.
        denied = any(node.reach.value == "denied" for node in silent)
        yield Remark(
            Verdict.UNKNOWN if denied else Verdict.CRITICAL, "No server is seen to take writes."
        )
    for node in silent:
        yield Remark(Verdict.WARNING, f"{node.name} does not answer: {node.problem}.")
    for node in cluster.nodes:
        if node.role == "fenced":
            yield Remark(Verdict.WARNING, f"{node.name} is a fenced former primary.")
    if len(many) == 1:
        yield from _standbys(cluster)
    yield from _management(cluster)
    if unfinished is not None:
        yield Remark(
            Verdict.WARNING,
            f"A {unfinished.kind} to {unfinished.new}, begun {unfinished.started_at[:19]} UTC, has "
            f"not ended. To go on: padelops failover {unfinished.kind}",
        )


def _management(cluster: Cluster) -> Iterator[Remark]:
    if cluster.manager_problem:
        yield Remark(Verdict.WARNING, cluster.manager_problem)
    if cluster.paused:
        yield Remark(Verdict.WARNING, "The cluster manager is paused: nobody takes over by itself.")
    if cluster.failsafe:
        yield Remark(Verdict.WARNING, "Failsafe mode is active: the manager's store is away.")
    for doubt in cluster.doubts:
        yield Remark(Verdict.WARNING, doubt)


def _standbys(cluster: Cluster) -> Iterator[Remark]:
    following = [node for node in cluster.standbys if node.sync is not None]
    if not following:
        yield Remark(Verdict.WARNING, "No standby follows the primary: it has no successor.")
    elif not any(node.sync in SYNCHRONOUS for node in following):
        yield Remark(
            Verdict.WARNING,
            "No commit waits for a standby: a dead primary can take acknowledged bookings with it.",
        )
    for node in following:
        if (node.behind_bytes or 0) > MOST_BEHIND_BYTES:
            yield Remark(Verdict.WARNING, f"{node.name} is {node.behind_bytes} bytes behind.")
