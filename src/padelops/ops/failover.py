"""
Failover: observe -> gate -> fence -> promote -> verify -> record, each step timed and on record.

This file looks, asks the gates and decides whether it may begin; `failover_run` has the steps.

Source: CRITICAL_PATHS.md, "Short-term recovery (< 2 minutes)"; DESIGN.md section 7.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from padelops.errors import InvalidInput, PadelopsError, SafetyGate
from padelops.ops.failover_gates import Gate, Kind, TwoPrimaries, chosen, gates, judged, refusal
from padelops.ops.failover_plan import Outcome, Plan
from padelops.ops.failover_record import Record, new_id
from padelops.ops.failover_run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from padelops.ops.failover_plan import Application, Driver
    from padelops.ops.failover_record import FailoverState
    from padelops.store.nodes import Cluster, Node

REMEMBERED_FOR = timedelta(hours=1)
"""How long it counts that a primary which is dead now made its commits wait for a standby. A cron
job that runs `failover status` every minute keeps it fresh."""


class Failover:
    """
    Changes who is primary, once at a time.

    Args:
        application: where the canary is written, by the application's own address.
        page: wakes somebody, with one line; called when two servers take writes. Raises where
            nobody was reached.
        open_incident: tells of an incident that somebody works on, while there is a primary.
    """

    def __init__(
        self,
        driver: Driver,
        state: FailoverState,
        application: Application,
        *,
        clock: Callable[[], datetime],
        actor: str,
        page: Callable[[str], None] | None = None,
        open_incident: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._driver = driver
        self._state = state
        self._application = application
        self._clock = clock
        self._actor = actor
        self._page = page
        self._open_incident = open_incident

    # --- looking -----------------------------------------------------------------------------

    def observe(self, *, remember: bool = True) -> Cluster:
        """
        The cluster now. A server that does not answer keeps the name it had, and a standby whose
        primary does not answer keeps what that primary said of it within the last hour.
        """
        now = self._clock()
        cluster = self._driver.observe()
        known = self._state.remembered()
        recalled = tuple(
            _recalled(node, known.get(str(node.address)), cluster, now) for node in cluster.nodes
        )
        if remember and cluster.primary:
            self._state.remember(
                known | {str(node.address): _memory(node, now) for node in recalled if node.facts}
            )
        return replace(
            cluster,
            nodes=recalled,
            sync_wanted=cluster.sync_wanted or any(node.sync_as_of for node in recalled),
        )

    def alone(self, kind: Kind) -> AbstractContextManager[None]:
        """Be the only failover on this machine; see `FailoverState.held`."""
        return self._state.held(f"failover {kind}", now=self._clock())

    def unfinished(self) -> Record | None:
        """The failover of this machine that began and has not ended."""
        record = self._state.read()
        return None if record is None or record.finished else record

    def plan(
        self,
        kind: Kind,
        *,
        to: str | None = None,
        allow_data_loss: str | None = None,
        reason: str = "",
        anew: bool = False,
        remember: bool = True,
    ) -> Plan:
        """
        Look, and ask every gate. Changes nothing.

        Args:
            allow_data_loss: the cluster's name, typed by whoever accepts the loss.
            anew: forget a failover that did not end. One that the world has left behind, because
                its new primary is none any more, is closed and planned anew by itself.

        Raises:
            SafetyGate: the name typed is another cluster's, or the unfinished one goes elsewhere.
        """
        cluster = self.observe(remember=remember)
        if allow_data_loss not in {None, cluster.name}:
            raise SafetyGate(
                f"This cluster is called {cluster.name!r}, not {allow_data_loss!r}.",
                fix=f"To accept the loss here: --allow-data-loss {cluster.name}",
            )
        paged = self._paged(cluster)
        allowed = allow_data_loss is not None
        record = None if anew else self.unfinished()
        if record is not None and record.cluster != cluster.name:
            record = None
        overtaken = _overtaken(record, cluster) if record else None
        if record is not None and overtaken is None and not _as_before(record, cluster):
            return self._resumed(record, cluster, to, allowed=allowed)
        old = cluster.primary or self._last_primary(cluster)
        if record is not None and overtaken is not None and cluster.primary is None:
            old = cluster.node(record.new) or old
        new = chosen(cluster, to)
        asked = gates(
            cluster,
            kind,
            old,
            new,
            fencing=self._driver.how_to_fence(old) if old else None,
            open_incident=self._open_incident() if cluster.primary else None,
        )
        found = judged([*asked, *paged], allow_data_loss=allowed)
        if overtaken is not None:
            found.append(Gate("unfinished", True, overtaken))
        refused = refusal(found, cluster)
        # With nobody to take over, the silent one may still answer again and be gone on with.
        if record and overtaken and remember and (cluster.primary or refused is None):
            self._state.close(record, overtaken)
        return Plan(
            kind=kind,
            cluster=cluster,
            old=old,
            new=new,
            gates=tuple(found),
            refused=refused,
            data_loss_allowed=allowed,
            reason=reason,
            asked_for=new.name if new and to else None,
            overtakes=overtaken,
        )

    def _paged(self, cluster: Cluster) -> list[Gate]:
        """Wake somebody where two servers take writes; whether that worked is shown with it."""
        if len(cluster.writable) <= 1 or self._page is None:
            return []
        shown = ", ".join(f"{node.name} on {node.timeline}" for node in cluster.writable)
        try:
            self._page(f"Two servers of {cluster.name} take writes: {shown}.")
        except PadelopsError as exc:
            return [Gate("paged", False, str(exc))]
        return [Gate("paged", True, "somebody on call was paged")]

    def _last_primary(self, cluster: Cluster) -> Node | None:
        """Who was primary, when nobody is: the manager tells, or we remember, or one is left."""
        if cluster.leader and (node := cluster.node(cluster.leader)):
            return node
        known = self._state.remembered()
        for node in cluster.nodes:
            if known.get(str(node.address), {}).get("primary") and node.role != "standby":
                return node
        rest = [node for node in cluster.nodes if node.role != "standby"]
        return rest[0] if len(rest) == 1 else None

    def _resumed(self, record: Record, cluster: Cluster, to: str | None, *, allowed: bool) -> Plan:
        if to not in {None, record.new}:
            raise SafetyGate(
                f"A failover to {record.new}, begun {record.started_at[:19]} UTC, has not ended.",
                fix="Run it again without --to to finish it, or pass --anew to forget it.",
                unfinished=record.id,
            )
        new = cluster.node(record.new)
        found = [
            Gate(
                "one_primary",
                len(cluster.writable) <= 1,
                f"{len(cluster.writable)} servers take writes",
                kind=TwoPrimaries,
            ),
            Gate(
                "candidate",
                new is not None and new.facts is not None,
                f"{record.new}: {new.problem or new.role if new else 'not there any more'}",
            ),
        ]
        return Plan(
            kind=Kind(record.kind),
            cluster=cluster,
            old=cluster.node(record.old) if record.old else None,
            new=new,
            gates=tuple(found),
            refused=refusal(found, cluster),
            data_loss_allowed=record.data_loss_allowed or allowed,
            reason=record.reason,
            resumed=record,
        )

    # --- acting --------------------------------------------------------------------------------

    def carry_out(self, plan: Plan, *, told: Callable[[str], None] = lambda _: None) -> Outcome:
        """
        Do what was planned; call it inside `alone`, with a plan made there.

        Raises:
            PadelopsError: the plan is refused. What goes wrong later stands in the outcome.
        """
        if plan.refused is not None:
            raise plan.refused
        if plan.new is None:
            raise InvalidInput("There is nobody to promote.")
        if plan.overtakes is not None:
            told(f"Planned anew: {plan.overtakes}.")
        for gate in plan.gates:
            if gate.warns:
                told(f"Warning, {gate.name}: {gate.reason}.")
        outcome = Run(
            self._driver,
            self._state,
            self._application,
            plan,
            plan.resumed or self._begun(plan, plan.new),
            told,
        ).all()
        self.observe()  # so that the next failover knows for whom this primary's commits wait
        return outcome

    def _begun(self, plan: Plan, new: Node) -> Record:
        now = self._clock()
        old = plan.old
        names = old.facts.sync_names if old and old.facts else ""
        if not names and new.facts and plan.cluster.sync_wanted:
            names = new.facts.sync_names
        return Record(
            id=new_id(now),
            kind=plan.kind.value,
            driver=plan.cluster.driver,
            cluster=plan.cluster.name,
            old=old.name if old else None,
            new=new.name,
            timeline=max(node.timeline or 0 for node in plan.cluster.nodes),
            sync_names=names,
            started_at=now.isoformat(),
            actor=self._actor,
            reason=plan.reason,
            data_loss_allowed=plan.data_loss_allowed,
            asked_for=plan.asked_for,
            overtakes=plan.overtakes,
        )


def _as_before(record: Record, cluster: Cluster) -> bool:
    """Whether what began has come to nothing: the old primary takes writes as it did then."""
    primary = cluster.primary
    return (
        primary is not None
        and primary.name == record.old
        and (primary.timeline or 0) <= record.timeline
    )


def _overtaken(record: Record, cluster: Cluster) -> str | None:
    """
    Why an unfinished failover cannot be gone on with: the primary that it made is none any more,
    or somebody else made another. None where the world is as it left it.
    """
    begun = f"the failover to {record.new} of {record.started_at[:19]} UTC was left behind"
    primary = cluster.primary
    if primary is not None:
        newer = (primary.timeline or 0) > record.timeline
        if newer and primary.name != record.new:
            return f"{begun}: {primary.name} is primary on timeline {primary.timeline}"
        return None
    promoted = record.done("promote") or any(
        (node.timeline or 0) > record.timeline for node in cluster.nodes
    )
    if not promoted or cluster.writable:
        return None
    new = cluster.node(record.new)
    told = (new.problem or new.role) if new else "not there any more"
    return f"{begun}: it became primary, and is none now ({told})"


def _recalled(node: Node, before: dict[str, Any] | None, cluster: Cluster, now: datetime) -> Node:
    """A node with what is remembered of it where nobody tells."""
    if before is None:
        return node
    if node.name == str(node.address):
        node = replace(node, name=before["name"])
    if node.facts is None:
        return replace(node, last_folder=before["data_folder"])
    seen = datetime.fromisoformat(before["at"])
    nobody_tells = node.sync is None and not any(
        other.facts and not other.facts.standby for other in cluster.nodes
    )
    if nobody_tells and before["sync"] and now - seen < REMEMBERED_FOR:
        return replace(node, sync=before["sync"], sync_as_of=seen)
    return node


def _memory(node: Node, now: datetime) -> dict[str, Any]:
    return {
        "name": node.name,
        "data_folder": node.facts.data_folder if node.facts else None,
        "primary": node.writable,
        "sync": node.sync,
        "at": now.isoformat(),
    }
