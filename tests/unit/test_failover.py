"""
What a failover decides, on clusters that only exist on paper; the real ones are in the other tests.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from padelops.adapters.patroni import _judge
from padelops.adapters.streaming import names_it
from padelops.errors import (
    NotPermitted,
    OutcomeUnknown,
    PadelopsError,
    PartlyDone,
    SafetyGate,
    Unavailable,
)
from padelops.ops.failover import Failover
from padelops.ops.failover_gates import (
    DataLossPossible,
    Kind,
    ManagerUnavailable,
    TwoPrimaries,
    chosen,
    gates,
    judged,
    refusal,
)
from padelops.ops.failover_record import FailoverState
from padelops.ops.failover_status import judge
from padelops.ops.verdict import Verdict
from padelops.store.nodes import Address, Cluster, Facts, Follower, Node, Reach

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FACTS = Facts(
    called="", major=18, system="7", standby=True, writable=False, timeline=1, position=1000,
    replayed=1000, replayed_age_s=0.0, receiver="streaming", follows=None, sync_names="",
    slot=None, data_folder=None, backups=0, superuser=True, may_promote=True, sees_all=True,
)  # fmt: skip
PRIMARY = replace(FACTS, standby=False, writable=True, receiver=None, replayed=None)


def node(name: str, facts: Facts | None = FACTS, **more: Any) -> Node:
    reach = Reach.UP if facts else Reach.REFUSED
    sync = "sync" if facts and facts.standby else None
    port = 5000 + ord(name[0])
    given = {"reach": reach, "facts": facts, "sync": sync, "behind_bytes": 0, **more}
    return Node(name=name, address=Address("127.0.0.1", port), **given)


def cluster(*nodes: Node, **more: Any) -> Cluster:
    given = {"name": "prod", "driver": "patroni", "sync_wanted": True, "strict": True, **more}
    return Cluster(nodes=nodes, **given)


def verdict(kind: Kind, seen: Cluster, old: Node | None, **more: Any) -> PadelopsError | None:
    loss = more.pop("loss", False)
    found = gates(seen, kind, old, chosen(seen, more.pop("to", None)), **{"fencing": "x", **more})
    return refusal(judged(list(found), allow_data_loss=loss), seen)


A, B, C = node("a", PRIMARY), node("b"), node("c", sync="async")
DEAD = node("a", None, problem="nobody listens there")


def test_a_healthy_cluster_may_switch_over() -> None:
    """Nothing is in the way, and the synchronous standby is chosen."""
    seen = cluster(A, C, B)

    assert verdict(Kind.SWITCHOVER, seen, A) is None
    assert B == chosen(seen, None)
    assert C == chosen(seen, "c")
    assert C == chosen(seen, "127.0.0.1:5099")


SWITCHOVERS = {
    "paused": (cluster(A, B, paused=True), SafetyGate, "paused"),
    "failsafe": (cluster(A, B, failsafe=True), SafetyGate, "failsafe"),
    "manager": (cluster(A, B, manager_problem="no etcd"), ManagerUnavailable, "no etcd"),
    "doubts": (cluster(A, B, doubts=("two leaders",)), SafetyGate, "two leaders"),
    "two primaries": (cluster(A, node("b", PRIMARY)), TwoPrimaries, "a .timeline 1., b"),
    "no standby": (cluster(A), SafetyGate, "no standby"),
    "diverged": (
        cluster(node("a", replace(PRIMARY, timeline=2)), B), DataLossPossible, "timeline 1"),
    "asynchronous": (cluster(A, C), DataLossPossible, "do not wait for c"),
    "another database": (
        cluster(A, node("b", replace(FACTS, system="8"))), SafetyGate, "not copies"),
    "lagging": (cluster(A, replace(B, behind_bytes=2**25, behind_s=9.0)), SafetyGate, "33554432"),
    "late": (cluster(A, replace(B, behind_bytes=1, behind_s=99.0)), SafetyGate, "99.0 s"),
    "not following": (
        cluster(A, node("b", replace(FACTS, receiver=None))), SafetyGate, "not follow"),
    "a backup": (cluster(node("a", replace(PRIMARY, backups=1)), B), SafetyGate, "1 base backup"),
    "denied": (
        cluster(A, B, node("c", None, reach=Reach.DENIED, problem="no password")),
        NotPermitted, "no password"),
    "no rights": (
        cluster(A, node("b", replace(FACTS, superuser=False, may_promote=False)),
                driver="streaming"), NotPermitted, "pg_promote"),
}  # fmt: skip


@pytest.mark.parametrize("case", SWITCHOVERS)
def test_what_keeps_a_switchover_from_beginning(case: str) -> None:
    """Each reason is told in words, with the kind of refusal that sets the exit code."""
    seen, kind, told = SWITCHOVERS[case]
    refused = verdict(Kind.SWITCHOVER, seen, seen.primary)

    assert kind is type(refused)
    with pytest.raises(kind, match=told):
        raise refused  # type: ignore[misc]


def test_an_open_incident_warns() -> None:
    """A change of primary during an incident may be its cure or its next turn: a person decides."""
    found = list(gates(cluster(A, B), Kind.SWITCHOVER, A, B, fencing="x", open_incident="INC-7"))

    assert [("incident", True, "INC-7")] == [(g.name, g.passed, g.reason) for g in found if g.warns]
    assert verdict(Kind.SWITCHOVER, cluster(A, B), A, open_incident="INC-7") is None


PROMOTIONS = {
    "asynchronous": (cluster(DEAD, B, sync_wanted=False), "not known to be synchronous"),
    "unknown": (cluster(DEAD, node("b", sync=None)), "is not known"),
    "not the synchronous one": (cluster(DEAD, C), "do not wait for c"),
    "another has more": (
        cluster(DEAD, B, node("c", replace(FACTS, position=3000), sync=None), strict=False),
        "2000 bytes more"),
}  # fmt: skip


@pytest.mark.parametrize("case", PROMOTIONS)
def test_what_could_lose_bookings_is_typed(case: str) -> None:
    """Refused with the flag and the cluster's name; passed once that was typed."""
    seen, told = PROMOTIONS[case]
    to = None if case != "another has more" else "b"
    refused = verdict(Kind.PROMOTE, seen, DEAD, to=to)

    assert isinstance(refused, DataLossPossible)
    assert told in str(refused)
    assert "--allow-data-loss prod" in str(refused)
    assert verdict(Kind.PROMOTE, seen, DEAD, to=to, loss=True) is None


MORE = node("c", replace(FACTS, position=3000), sync="async")
AS_OF = datetime(2026, 11, 30, tzinfo=UTC)


def test_bytes_that_nobody_was_told_of() -> None:
    """
    Every commit waited for the strictly synchronous standby: what another one has is no loss.
    """
    seen = cluster(DEAD, B, MORE)
    lag = next(g for g in gates(seen, Kind.PROMOTE, DEAD, B, fencing="x") if g.name == "lag")

    assert verdict(Kind.PROMOTE, seen, DEAD) is None
    assert "c has 2000 bytes more than b, of which no client was ever told" == lag.reason


@pytest.mark.parametrize(
    "seen",
    [
        cluster(DEAD, B, MORE, strict=False),
        cluster(DEAD, replace(B, sync="quorum"), replace(MORE, sync="quorum")),
        cluster(DEAD, replace(B, sync_as_of=AS_OF), MORE),
        cluster(DEAD, B, MORE, driver="streaming"),
    ],
    ids=["not strict", "a quorum", "an hour-old memory", "without a manager"],
)
def test_bytes_that_somebody_may_have_been_told_of(seen: Cluster) -> None:
    """
    Where it is not proved that each commit waited for the candidate, more elsewhere is a loss.
    """
    refused = verdict(Kind.PROMOTE, seen, DEAD, to="b")

    assert isinstance(refused, DataLossPossible)
    assert "2000 bytes more" in str(refused)


def test_two_primaries_are_refused_whatever_is_typed() -> None:
    """No flag makes a choice between two histories."""
    seen = cluster(A, node("b", replace(PRIMARY, timeline=2)))
    refused = verdict(Kind.PROMOTE, seen, None, loss=True)

    assert isinstance(refused, TwoPrimaries)
    assert [1, 2] == [shown["timeline"] for shown in refused.facts["primaries"]]


def test_a_primary_that_cannot_be_fenced() -> None:
    """It could come back and take writes: that is a loss to be typed."""
    refused = verdict(Kind.PROMOTE, cluster(DEAD, B), DEAD, fencing=None)

    assert isinstance(refused, DataLossPossible)
    assert "cannot be fenced" in str(refused)


class PaperDriver:
    """Changes a cluster on paper: `becomes` is what is seen after the promotion."""

    name, managed, patience_s = "patroni", True, 0.3

    def __init__(
        self, before: Cluster, becomes: Cluster, error: PadelopsError | None = None
    ) -> None:
        self.seen, self.becomes, self.error = before, becomes, error

    def observe(self) -> Cluster:
        return self.seen

    def how_to_fence(self, old: Node) -> str | None:
        return f"{old.name} on paper"

    def fence(self, old: Node) -> str:
        return f"{old.name} on paper"

    def unfence(self, old: Node) -> None:
        raise AssertionError(f"{old.name} had not been fenced")

    def caught_up(self, candidate: Node, old: Node, *, patience_s: float) -> int:
        raise AssertionError((candidate, old, patience_s))

    def promote(self, candidate: Node, old: Node | None, told: Callable[[str], None]) -> None:
        del candidate, old, told
        self.seen = self.becomes
        if self.error:
            raise self.error

    def rejoin(self, old: Node, new: Node, *, sync_names: str) -> str:
        return f"{old.name} follows {new.name}{sync_names}"

    def how_to_rejoin(self, old: Node, new: Node) -> list[str]:
        return [old.name, new.name]

    def wait_for_standby(self, new: Node, standby: Node, sync_names: str) -> None:
        raise AssertionError((new, standby, sync_names))


class PaperWay:
    def __init__(self) -> None:
        self.marks: list[str] = []

    def leave_mark(self, record: Any) -> str:
        self.marks.append(record.new)
        return "written"

    def invariants(self) -> list[str]:
        return []


def after(new: str) -> Cluster:
    """The cluster once `new` leads, on timeline 2, and all others follow it."""
    followers = tuple(
        Follower(name=name, state="streaming", sync="sync", position=1, lag_s=None)
        for name in "abc"
        if name != new
    )
    return cluster(
        *(
            node(
                name,
                replace(PRIMARY if name == new else FACTS, timeline=2),
                followers=followers if name == new else (),
            )
            for name in "abc"
        )
    )


def run(tmp_path: Path, driver: PaperDriver, **asked: Any) -> tuple[Any, PaperWay]:
    way = PaperWay()
    failover = Failover(
        driver,
        FailoverState(tmp_path),
        way,
        clock=lambda: datetime(2026, 11, 30, tzinfo=UTC),
        actor="ana",
    )
    return failover.carry_out(failover.plan(Kind.SWITCHOVER, **asked)), way


def test_another_candidate_won(tmp_path: Path) -> None:
    """Whoever leads is told, and that it is not the one asked for; the mark is left there."""
    outcome, way = run(tmp_path, PaperDriver(cluster(A, B, C), after("c")))

    assert outcome.failed is None
    assert "c" == outcome.record.new
    assert ["c"] == way.marks
    assert any("not b, which was asked for" in step.told for step in outcome.record.steps)


def test_another_candidate_than_the_operators_won(tmp_path: Path) -> None:
    """An operator who named one gets 6, not 0: what was asked for is not there."""
    outcome, _ = run(tmp_path, PaperDriver(cluster(A, B, C), after("c")), to="b")

    assert isinstance(outcome.failed, PartlyDone)
    assert "failover switchover --to b" in str(outcome.failed)


@pytest.mark.parametrize("error", [OutcomeUnknown("Patroni answered 503: status unknown."), None])
def test_an_answer_that_says_nothing(tmp_path: Path, error: PadelopsError | None) -> None:
    """Looked for until the deadline, then unknown, with who is primary now and what was said."""
    outcome, way = run(tmp_path, PaperDriver(cluster(A, B), cluster(A, B), error))

    assert isinstance(outcome.failed, OutcomeUnknown)
    assert "a is primary as before" in str(outcome.failed)
    assert ("503" in str(outcome.failed)) is (error is not None)
    assert "unknown" == outcome.record.status
    assert [] == way.marks


def test_what_came_to_nothing_is_asked_anew(tmp_path: Path) -> None:
    """Where the old primary takes writes as before, every gate is asked again."""
    run(tmp_path, PaperDriver(cluster(A, B), cluster(A, B)))
    with pytest.raises(SafetyGate, match="paused"):
        run(tmp_path, PaperDriver(cluster(A, B, paused=True), after("b")))


def left_partly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[PaperDriver, Failover]:
    """A failover from a to b whose rejoin remains."""

    def remains(*_: Any, **__: Any) -> str:
        raise PartlyDone("not back", remaining=["Start a."])

    cut = after("b")
    cut = replace(cut, nodes=(DEAD, *cut.nodes[1:]))
    driver = PaperDriver(cluster(A, B, C), cut)
    monkeypatch.setattr(driver, "rejoin", remains)
    failover = Failover(
        driver, FailoverState(tmp_path), PaperWay(), clock=lambda: AS_OF, actor="ana"
    )
    assert isinstance(failover.carry_out(failover.plan(Kind.SWITCHOVER)).failed, PartlyDone)
    return driver, failover


def test_a_second_death_before_the_first_failover_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The new primary died too: the old plan is closed, saying why, and another one is made.
    """
    driver, failover = left_partly(tmp_path, monkeypatch)
    standby = replace(FACTS, timeline=2)
    died = node("b", None, problem="nobody listens there")
    driver.seen = cluster(node("a", standby, sync="async"), died, node("c", standby))
    plan = failover.plan(Kind.PROMOTE)
    driver.becomes = replace(
        cluster(node("a", standby, sync="async"), died, node("c", replace(PRIMARY, timeline=3)))
    )
    closed = FailoverState(tmp_path).read()
    outcome = failover.carry_out(plan)

    assert closed is not None
    assert ("overtaken", True) == (closed.status, closed.finished)
    assert "it became primary, and is none now (nobody listens there)" in closed.remaining[-1]
    assert ("b", "c", None) == (
        plan.old and plan.old.name,
        plan.new and plan.new.name,
        plan.resumed,
    )
    assert plan.overtakes == outcome.record.overtakes
    assert ("b", "c", 2) == (outcome.record.old, outcome.record.new, outcome.record.timeline)


def test_somebody_else_made_another_primary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What was begun is not gone on with against a primary it knows nothing of; a dry run closes
    nothing.
    """
    driver, failover = left_partly(tmp_path, monkeypatch)
    driver.seen = replace(after("c"), nodes=(*after("c").nodes[:2],
        node("c", replace(PRIMARY, timeline=3))))  # fmt: skip
    dry = failover.plan(Kind.PROMOTE, remember=False)
    assert failover.unfinished() is not None
    plan = failover.plan(Kind.PROMOTE)

    assert "c is primary on timeline 3" in str(plan.overtakes)
    assert dry.overtakes == plan.overtakes
    assert failover.unfinished() is None
    with pytest.raises(SafetyGate, match="failover switchover"):
        failover.carry_out(plan)


def test_what_is_as_it_was_left_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The primary that was made leads still: the next run goes on, and finishes.
    """
    driver, failover = left_partly(tmp_path, monkeypatch)
    monkeypatch.undo()
    driver.seen = driver.becomes = after("b")
    plan = failover.plan(Kind.SWITCHOVER)

    assert (None, "b") == (plan.overtakes, plan.resumed and plan.resumed.new)
    assert failover.carry_out(plan).failed is None


def test_an_interruption_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told that something was begun, and the record lets the next run go on."""

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    talk: list[str] = []
    driver = PaperDriver(cluster(A, B), after("b"))
    monkeypatch.setattr(driver, "promote", cut)
    failover = Failover(
        driver, FailoverState(tmp_path), PaperWay(), clock=lambda: datetime.now(UTC), actor="ana"
    )
    with pytest.raises(KeyboardInterrupt):
        failover.carry_out(failover.plan(Kind.SWITCHOVER), told=talk.append)

    assert "Run it again" in talk[-1]
    assert failover.unfinished() is not None


def test_a_doubtful_answer_and_a_promotion_that_happened(tmp_path: Path) -> None:
    """What can be seen counts more than what was answered."""
    driver = PaperDriver(cluster(A, B, C), after("b"), OutcomeUnknown("no answer"))
    outcome, _ = run(tmp_path, driver)

    assert outcome.failed is None


def test_two_primaries_after_the_promotion(tmp_path: Path) -> None:
    """Nothing more is done: both are named."""
    both = cluster(A, node("b", replace(PRIMARY, timeline=2)))
    outcome, way = run(tmp_path, PaperDriver(cluster(A, B), both))

    assert isinstance(outcome.failed, TwoPrimaries)
    assert [] == way.marks


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, NotPermitted), (403, NotPermitted), (400, SafetyGate), (412, SafetyGate),
        (500, OutcomeUnknown), (502, OutcomeUnknown), (503, OutcomeUnknown),
    ],
)  # fmt: skip
def test_what_patroni_answers(status: int, kind: type[PadelopsError]) -> None:
    """Its refusals changed nothing; its failures may have."""
    with pytest.raises(kind) as caught:
        _judge(httpx.Response(status, text="said\nso"), "http://db1:8008")

    assert "db1" in str(caught.value) or "said so" in str(caught.value)


def test_what_patroni_does_not_answer() -> None:
    """Refused connections change nothing; lost answers may have."""
    with pytest.raises(Unavailable):
        _judge(httpx.ConnectError("refused"), "http://db1:8008")
    with pytest.raises(OutcomeUnknown):
        _judge(httpx.ReadTimeout("late"), "http://db1:8008")
    _judge(httpx.Response(200, text="ok"), "http://db1:8008")


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ("b", True), ("a, b", True), ('"b"', True), ("*", True), ("FIRST 1 (a, B)", True),
        ("ANY 1 (a, c)", False), ("", False), ("bb", False),
    ],
)  # fmt: skip
def test_whom_commits_wait_for(names: str, named: bool) -> None:
    """The words of synchronous_standby_names."""
    assert named is names_it(names, "b")


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (cluster(A, B), Verdict.OK),
        (cluster(A, B, C), Verdict.OK),
        (cluster(A), Verdict.WARNING),
        (cluster(A, C), Verdict.WARNING),
        (cluster(A, B, DEAD), Verdict.WARNING),
        (cluster(A, B, paused=True), Verdict.WARNING),
        (cluster(DEAD, B), Verdict.CRITICAL),
        (cluster(A, node("b", PRIMARY)), Verdict.CRITICAL),
        (cluster(node("a", None, reach=Reach.DENIED), B), Verdict.UNKNOWN),
    ],
)
def test_the_status_of_a_cluster(seen: Cluster, verdict: Verdict) -> None:
    """Two primaries and none are critical; what could not be asked is unknown, not fine."""
    assert verdict is judge(seen, None).verdict
