"""
What must be true before anybody changes who is primary, each with its reason.

A gate says yes, no, or that it could not be asked, which counts as no. Those about losing data can
be passed with `--allow-data-loss NAME`; those about two primaries and about permission never.

Source: DESIGN.md section 7, "Failover"; ACCEPTANCE.md 30, 31, 33-35.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from padelops.errors import InvalidInput, NotPermitted, SafetyGate, Unavailable
from padelops.store.nodes import Reach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.store.nodes import Cluster, Node

MOST_BEHIND_BYTES = 16 * 2**20
"""One segment of log: what a standby catches up with well within the 30 s of level 1."""
MOST_BEHIND_S = 10.0

SYNCHRONOUS = frozenset({"sync", "quorum"})


class Kind(StrEnum):
    """A planned change, with the primary alive; or an unplanned one, without it."""

    SWITCHOVER = "switchover"
    PROMOTE = "promote"


class DataLossPossible(SafetyGate):
    """Bookings that were acknowledged could be lost."""

    code = "data_loss_possible"


class TwoPrimaries(SafetyGate):
    """More than one server takes writes; every change is refused until a person has decided."""

    code = "two_primaries"


class ManagerUnavailable(Unavailable):
    """The cluster manager or its store cannot be reached. Nothing was changed."""

    code = "manager_unavailable"


@dataclass(frozen=True, slots=True)
class Gate:
    """
    One question and its answer.

    Attributes:
        loses: whether passing it by could cost acknowledged bookings; only such a gate can be.
        kind: what to raise where it says no.
        warns: it lets pass, and a person should read why before going on.
    """

    name: str
    passed: bool
    reason: str
    loses: bool = False
    kind: type[SafetyGate | NotPermitted | Unavailable] = SafetyGate
    overridden: bool = False
    warns: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "gate": self.name,
            "passed": self.passed,
            "overridden": self.overridden,
            "warns": self.warns,
            "reason": self.reason,
        }


def chosen(cluster: Cluster, wanted: str | None) -> Node | None:
    """
    Who is to become primary: the one asked for, or else the standby that has the most.

    Raises:
        InvalidInput: there is no such server.
    """
    if wanted is not None:
        found = cluster.node(wanted)
        if found is None:
            known = ", ".join(node.name for node in cluster.nodes)
            raise InvalidInput(f"There is no server {wanted!r} here.", fix=f"There are: {known}.")
        return found

    def merit(node: Node) -> tuple[bool, int, int]:
        position = node.facts.position if node.facts else -1
        return node.sync in SYNCHRONOUS, node.timeline or 0, position

    return max(cluster.standbys, key=merit, default=None)


def gates(
    cluster: Cluster,
    kind: Kind,
    old: Node | None,
    candidate: Node | None,
    *,
    fencing: str | None,
    open_incident: str | None = None,
) -> Iterator[Gate]:
    """
    Every gate of a change from `old` to `candidate`, asked of one look at the cluster.

    Args:
        fencing: how the old primary would be fenced; None where nothing could.
        open_incident: an incident that somebody works on, by name; or why that is not known.
    """
    yield _one_primary(cluster)
    yield from (
        Gate("permission", False, f"{node.name}: {node.problem}", kind=NotPermitted)
        for node in cluster.nodes
        if node.reach is Reach.DENIED
    )
    yield from _managed(cluster)
    yield _old_primary(kind, old)
    if candidate is None:
        yield Gate("candidate", False, "no standby answers, so nobody can take over")
        return
    yield _candidate(candidate, old)
    if candidate.facts is None:
        return
    yield _permission(cluster, candidate)
    yield _same_data(cluster, candidate)
    yield _timeline(cluster, candidate)
    yield _membership(cluster, kind, candidate)
    yield _lag(cluster, kind, old, candidate)
    yield _fencing(old, fencing)
    yield _backups(cluster, kind)
    if open_incident is not None:
        # A change of primary may be somebody's cure for it, so a person decides.
        yield Gate("incident", True, open_incident, warns=True)


def judged(found: list[Gate], *, allow_data_loss: bool) -> list[Gate]:
    """The gates as they count once data loss has been allowed."""
    if not allow_data_loss:
        return found
    return [
        Gate(gate.name, gate.passed, gate.reason, gate.loses, gate.kind, overridden=True)
        if gate.loses and not gate.passed
        else gate
        for gate in found
    ]


def refusal(found: list[Gate], cluster: Cluster) -> SafetyGate | NotPermitted | Unavailable | None:
    """What to refuse with; the worst first, and every reason in it. None where all is well."""
    closed = [gate for gate in found if not gate.passed and not gate.overridden]
    if not closed:
        return None
    order = (TwoPrimaries, NotPermitted, ManagerUnavailable, SafetyGate, DataLossPossible)
    worst = min(closed, key=lambda gate: order.index(gate.kind))
    reasons = "; ".join(f"{gate.name}: {gate.reason}" for gate in closed)
    fix = None
    if all(gate.loses for gate in closed):
        fix = f"To accept the loss: --allow-data-loss {cluster.name}"
    elif worst.kind is TwoPrimaries:
        fix = "Decide which one keeps its data, cut the other off, then look again."
    facts: dict[str, Any] = {"gates": [gate.as_json() for gate in closed]}
    if worst.kind is TwoPrimaries:
        facts["primaries"] = [node.as_json() for node in cluster.writable]
    return worst.kind(f"Refused. {reasons}.", fix=fix, **facts)


def _one_primary(cluster: Cluster) -> Gate:
    many = cluster.writable
    if len(many) > 1:
        shown = ", ".join(f"{node.name} (timeline {node.timeline})" for node in many)
        return Gate("one_primary", False, f"two servers take writes: {shown}", kind=TwoPrimaries)
    told = f"only {many[0].name} takes writes" if many else "no server takes writes"
    return Gate("one_primary", True, told)


def _managed(cluster: Cluster) -> Iterator[Gate]:
    if cluster.driver == "streaming":
        return
    trouble = cluster.manager_problem
    yield Gate(
        "manager",
        trouble is None,
        trouble or "the cluster manager and its store answer",
        kind=ManagerUnavailable,
    )
    yield Gate(
        "not_paused",
        not cluster.paused,
        "the cluster manager is paused; resume it first" if cluster.paused else "not paused",
    )
    yield Gate(
        "failsafe",
        not cluster.failsafe,
        "failsafe mode is active: its store is away" if cluster.failsafe else "not active",
    )
    yield Gate("agreement", not cluster.doubts, "; ".join(cluster.doubts) or "all tell the same")


def _old_primary(kind: Kind, old: Node | None) -> Gate:
    if kind is Kind.SWITCHOVER:
        if old is None or not old.writable:
            return Gate(
                "primary", False, "no primary answers; an unplanned change is `failover promote`"
            )
        return Gate("primary", True, f"{old.name} answers and takes writes")
    if old is not None and old.writable:
        return Gate(
            "primary",
            False,
            f"{old.name} answers and takes writes; a planned change is `failover switchover`",
        )
    gone = f"{old.name} does not take writes: {old.problem or old.role}" if old else "none is known"
    return Gate("primary", True, gone)


def _candidate(candidate: Node, old: Node | None) -> Gate:
    if old is not None and candidate.name == old.name:
        return Gate("candidate", False, f"{candidate.name} is the primary already")
    if candidate.facts is None:
        return Gate("candidate", False, f"{candidate.name}: {candidate.problem}")
    if not candidate.facts.standby:
        return Gate("candidate", False, f"{candidate.name} is no standby but {candidate.role}")
    return Gate("candidate", True, f"{candidate.name} is a standby and answers")


def _permission(cluster: Cluster, candidate: Node) -> Gate:
    if cluster.driver != "streaming":
        return Gate("permission", True, "the cluster manager acts")
    assert candidate.facts is not None  # noqa: S101 - for the type checker
    lacking = []
    if not candidate.facts.superuser:
        lacking.append("SUPERUSER (for ALTER SYSTEM)")
    if not candidate.facts.may_promote:
        lacking.append("EXECUTE on pg_promote")
    if not candidate.facts.sees_all:
        lacking.append("pg_monitor")
    if lacking:
        return Gate("permission", False, f"the role lacks {', '.join(lacking)}", kind=NotPermitted)
    return Gate("permission", True, "the role may promote")


def _same_data(cluster: Cluster, candidate: Node) -> Gate:
    systems = {node.facts.system for node in cluster.nodes if node.facts}
    if len(systems) > 1:
        return Gate("same_data", False, "the servers are not copies of one database")
    return Gate("same_data", True, f"system {next(iter(systems))}" if systems else candidate.name)


def _timeline(cluster: Cluster, candidate: Node) -> Gate:
    newest = max(node.timeline or 0 for node in cluster.nodes)
    here = candidate.timeline or 0
    if here < newest:
        return Gate(
            "timeline",
            False,
            f"{candidate.name} is on timeline {here}, the cluster on {newest}: it has diverged",
            loses=True,
            kind=DataLossPossible,
        )
    return Gate("timeline", True, f"{candidate.name} is on timeline {here}, the newest")


def _membership(cluster: Cluster, kind: Kind, candidate: Node) -> Gate:
    name = "synchronous"
    if kind is Kind.SWITCHOVER and cluster.driver == "streaming":
        # It takes over only after it has all that the fenced primary wrote.
        return Gate(name, True, f"{candidate.name} takes over after it has everything")
    if not cluster.sync_wanted:
        if kind is Kind.SWITCHOVER:
            return Gate(
                name, True, "replication is asynchronous; the manager waits for the last byte"
            )
        return Gate(
            name,
            False,
            "replication is not known to be synchronous: what was acknowledged last may be lost",
            loses=True,
            kind=DataLossPossible,
        )
    seen = candidate.sync_as_of
    told = f", as its primary said at {seen:%H:%M:%S} UTC" if seen else ""
    if candidate.sync in SYNCHRONOUS:
        return Gate(name, True, f"commits wait for {candidate.name} ({candidate.sync}){told}")
    return Gate(
        name,
        False,
        _not_synchronous(candidate),
        loses=True,
        kind=DataLossPossible,
    )


def _not_synchronous(candidate: Node) -> str:
    if candidate.sync is None:
        return f"whether commits waited for {candidate.name} is not known"
    return f"commits do not wait for {candidate.name} ({candidate.sync})"


def _lag(cluster: Cluster, kind: Kind, old: Node | None, candidate: Node) -> Gate:
    assert candidate.facts is not None  # noqa: S101 - for the type checker
    behind, seconds = candidate.behind_bytes or 0, candidate.behind_s or 0.0
    told = f"{candidate.name} is {behind} bytes and {seconds:.1f} s behind"
    if kind is Kind.PROMOTE:
        # Nobody tells how far the dead primary was; but no other standby may know more.
        ahead = max(cluster.standbys, key=_position, default=candidate)
        missing = _position(ahead) - candidate.facts.position
        if missing > 0:
            more = f"{ahead.name} has {missing} bytes more than {candidate.name}"
            if _has_all_acknowledged(cluster, candidate):
                return Gate("lag", True, f"{more}, of which no client was ever told")
            return Gate(
                "lag",
                False,
                more,
                loses=True,
                kind=DataLossPossible,
            )
        return Gate("lag", True, f"no standby has more than {candidate.name}")
    if candidate.facts.receiver != "streaming" and (old is None or old.facts is not None):
        return Gate("lag", False, f"{told}, and does not follow the primary")
    if behind > MOST_BEHIND_BYTES or (behind and seconds > MOST_BEHIND_S):
        most = f"at most {MOST_BEHIND_BYTES} bytes and {MOST_BEHIND_S:g} s are accepted"
        return Gate("lag", False, f"{told}; {most}")
    return Gate("lag", True, told)


def _has_all_acknowledged(cluster: Cluster, candidate: Node) -> bool:
    """
    Whether nothing was acknowledged that this standby lacks: every commit waited for it.

    Only the manager's store proves it, which names a standby after it has caught up and forgets it
    before commits stop waiting. What a dead primary once said of it may have changed since; and of
    a quorum any other member may have confirmed, so there the one with the most counts.
    """
    return (
        cluster.strict
        and cluster.driver != "streaming"
        and candidate.sync == "sync"
        and candidate.sync_as_of is None
    )


def _position(node: Node) -> int:
    return node.facts.position if node.facts else -1


def _fencing(old: Node | None, fencing: str | None) -> Gate:
    if old is None:
        return Gate(
            "fencing",
            False,
            "who was primary is not known, so nobody can be fenced",
            loses=True,
            kind=DataLossPossible,
        )
    if fencing is not None:
        return Gate("fencing", True, f"{old.name}: {fencing}")
    return Gate(
        "fencing",
        False,
        f"{old.name} cannot be fenced, so it may go on taking writes",
        loses=True,
        kind=DataLossPossible,
    )


def _backups(cluster: Cluster, kind: Kind) -> Gate:
    running = sum(node.facts.backups for node in cluster.nodes if node.facts)
    if not running:
        return Gate("backups", True, "no base backup is running")
    planned = kind is Kind.SWITCHOVER
    return Gate("backups", not planned, f"{running} base backups are running and would be lost")
