"""
A planned and an unplanned change of primary under a real Patroni with a real etcd.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from padelops import open_desk
from padelops.errors import PartlyDone, SafetyGate
from padelops.lab import processes
from padelops.lab.laboratory import Lab, Wish
from padelops.ops.failover_gates import Kind, ManagerUnavailable
from padelops.ops.verdict import Verdict
from padelops.settings import PREFIX, Settings
from padelops.wiring.failover import lint_of, opened_failover
from testbed.bookings import Booking
from testbed.clock import Clock
from testbed.pair import children_of
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from padelops.ops.failover import Failover

pytestmark = pytest.mark.xdist_group("lab")


@pytest.fixture
def settings(lab: Lab, demo_clubs: Path, tmp_path: Path) -> Settings:
    """What `lab env` points padelops at, with the demo clubs in it."""
    lab.up(Wish(), tell=lambda _: None)
    given = {
        name.removeprefix(PREFIX).lower(): value for name, value in lab.state().variables.items()
    }
    settings = Settings.model_validate(
        {**given, "home": tmp_path, "level1_budget_ms": 3000, "connect_timeout_s": 2}
    )
    with open_desk(settings, clock=Clock()) as desk:
        desk.apply_club_file(demo_clubs)
    return settings


@pytest.fixture
def failover(settings: Settings) -> Iterator[Failover]:
    with opened_failover(settings, actor="tester") as failover:
        yield failover


def change(failover: Failover, kind: Kind = Kind.SWITCHOVER, **asked: Any) -> Any:
    with failover.alone(kind):
        return failover.carry_out(failover.plan(kind, **asked))


def leader(failover: Failover) -> str:
    primary = failover.observe().primary
    assert primary is not None
    return primary.name


def settle(lab: Lab, failover: Failover) -> None:
    """Bring back what a test ended, and wait for a synchronous standby."""
    lab.up(Wish(), tell=lambda _: None)
    until(lambda: any(node.sync == "sync" for node in failover.observe().standbys))


def test_a_planned_switchover(failover: Failover, settings: Settings) -> None:
    """
    Patroni hands over to the synchronous standby while bookings run: none that was acknowledged is
    lost, none is there twice, and the old primary follows.
    """
    old = leader(failover)
    with Booking(settings) as booking:
        outcome = change(failover, reason="a new kernel")

    assert outcome.failed is None, outcome.as_json()
    assert old == outcome.record.old
    assert leader(failover) == outcome.record.new != old
    assert set(booking.acknowledged) <= set(booking.there())
    assert "sync" in {node.sync for node in failover.observe().standbys}


@pytest.mark.cluster
def test_a_dead_leader_does_not_cost_its_lease(
    lab: Lab, failover: Failover, settings: Settings
) -> None:
    """
    Patroni and postmaster killed: proved dead, its lease ended, the standby elected; the rejoin
    remains until Patroni is started there, and then the next run finishes.
    """
    settle(lab, failover)
    old = leader(failover)
    patroni = lab.state().processes[old].pid
    postmaster = int((lab.folder.node(old) / "data" / "postmaster.pid").read_text().split()[0])
    assert patroni is not None
    with Booking(settings) as booking:
        for process in (patroni, *children_of(postmaster), postmaster):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        until(lambda: not processes.alive(lab.state().processes[old]))
        outcome = change(failover, Kind.PROMOTE)

    promoted = next(step for step in outcome.record.steps if step.name == "promote")
    assert isinstance(outcome.failed, PartlyDone), outcome.as_json()
    assert "its lease was ended" in promoted.told
    assert [f"Start Patroni on {old}"] == [
        step.partition(" (")[0] for step in outcome.failed.facts["remaining"]
    ]
    assert set(booking.acknowledged) <= set(booking.there())

    settle(lab, failover)
    finished = change(failover, Kind.PROMOTE)

    assert finished.failed is None, finished.as_json()


def test_what_the_labs_settings_promise(settings: Settings) -> None:
    """
    The settings in force, asked of Patroni, the servers and a session: level 1's promise holds.
    """
    found = lint_of(settings)

    assert Verdict.OK is found.verdict, found.as_json()
    assert all(outage.within for outage in found.outages)


@pytest.mark.cluster
def test_a_paused_manager(failover: Failover) -> None:
    """
    A planned switchover is refused while Patroni is paused, with that as the reason.
    """
    api = next(iter(failover._driver._urls))  # type: ignore[attr-defined]
    httpx.patch(f"{api}/config", json={"pause": True}).raise_for_status()
    try:
        until(lambda: failover.observe().paused)
        with pytest.raises(SafetyGate, match="paused"):
            change(failover)
    finally:
        httpx.patch(f"{api}/config", json={"pause": None}).raise_for_status()
    until(lambda: not failover.observe().paused)


def test_a_manager_that_cannot_be_reached(settings: Settings) -> None:
    """
    With no Patroni to ask, a planned switchover is refused: something it depends on is away.
    """
    nobody = settings.model_copy(update={"patroni_urls": "http://127.0.0.1:1"})
    with opened_failover(nobody) as failover, pytest.raises(ManagerUnavailable, match="no Patroni"):
        change(failover)


@pytest.mark.cluster
def test_a_store_that_does_not_answer(lab: Lab, failover: Failover, settings: Settings) -> None:
    """
    With etcd stopped bookings go on, and a planned switchover is refused with that reason.
    """
    settle(lab, failover)
    etcd = lab.state().processes["etcd"]
    processes.send(etcd, signal.SIGSTOP)
    try:
        with pytest.raises((SafetyGate, ManagerUnavailable), match="store"):
            change(failover)
        until(lambda: "cannot ask its store" in str(failover.observe().manager_problem))
        with opened_failover(settings) as another:
            seen = another.observe()
        assert {"n1", "n2", "n3"} == {node.name for node in seen.nodes}
        assert seen.primary is not None
        assert "sync" in {node.sync for node in seen.standbys}
    finally:
        processes.send(etcd, signal.SIGCONT)
    until(lambda: failover.observe().manager_problem is None)
