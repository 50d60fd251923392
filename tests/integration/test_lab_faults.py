"""The lab's faults are real, and each is undone: the cluster mends itself, and padelops goes on."""

from __future__ import annotations

import json
import mailbox
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from padelops.lab import observing, processes, servers
from padelops.lab.cluster import data_folder
from padelops.lab.faults import CannotBreak, Faults
from padelops.lab.planning import Wish
from padelops.settings import PREFIX, Settings
from padelops.wiring import open_desk
from testbed.labs import lacks, running_lab
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from padelops.lab.laboratory import Lab

pytestmark = [pytest.mark.xdist_group("lab"), pytest.mark.timeout(240)]


@pytest.fixture
def faults(lab: Lab) -> Iterator[Faults]:
    """Breaks things in the lab; it has settled again when the test is over."""
    yield Faults(lab)
    lab.wait_until_settled(lab.state())


def settings_of(lab: Lab) -> Settings:
    patient = {"PADELOPS_LEVEL1_BUDGET_MS": "5000", "PADELOPS_HOME": str(lab.folder.path / "home")}
    return Settings.from_environment(lab.state().variables | patient)


@pytest.mark.needs("redis-server")
def test_a_card_booking_goes_through_the_whole_lab(lab: Lab, demo_clubs: Path) -> None:
    """
    The sandbox holds the money, the worker captures it, and the mail server has the confirmation.
    """
    inbox = mailbox.Maildir(lab.folder.path / "mail")
    with open_desk(settings_of(lab)) as desk:
        desk.apply_club_file(demo_clubs)
        booked = desk.book(
            "roma/1",  # other tests of this lab book at centro
            "2026-12-05T10:00",
            player="Ana",
            email="ana@padelops.example",
            pay="card",
            card="tok_visa",
        )
        until(lambda: desk.show(booked.reservation.id).payment_status == "paid")
    until(lambda: len(inbox))
    mail = inbox[next(iter(inbox.keys()))]

    assert "confirmed" == booked.reservation.status
    assert "ana@padelops.example" in str(mail["To"])


@pytest.mark.cluster
def test_a_killed_primary_is_replaced_and_comes_back_as_a_standby(lab: Lab, faults: Faults) -> None:
    """
    Another node leads on a new timeline; the old one follows it and takes no writes.
    """
    old = faults.leader()
    before = max(node.timeline or 0 for node in lab.look().nodes)
    with faults.kill_postmaster(old):
        until(lambda: lab.look().leaders not in ([], [old]))
    lab.wait_until_settled(lab.state())
    found = lab.look()
    mine = next(node for node in found.nodes if node.name == old)

    assert 1 == len(found.leaders)
    assert old not in found.leaders
    assert mine.writable is False
    assert mine.timeline == before + 1


@pytest.mark.cluster
def test_a_node_that_is_cut_off_lives_and_answers_nobody(lab: Lab, faults: Faults) -> None:
    """
    Neither its PostgreSQL nor its Patroni can be reached, its processes run, and it comes back.
    """
    state = lab.state()
    if "network" in state.absent:
        lacks(state.absent["network"])
    name = faults.standby(confirming=False)
    node = state.node(name)
    with faults.cut_off(name):
        silent = observing.look_at(lab.folder, state, node)
        lives = processes.alive(state.processes[name])
        found = lab.look()
    back = observing.look_at(lab.folder, state, node)

    assert lives
    assert (silent.writable, silent.role) == (None, None)
    assert 1 == found.exit_code
    assert f"{name}-network is frozen." in found.problems
    assert back.writable is False


@pytest.mark.cluster
def test_losing_the_store_interrupts_nothing(lab: Lab, faults: Faults, demo_clubs: Path) -> None:
    """
    With etcd killed the nodes agree among themselves (failsafe): bookings go on.
    """
    with open_desk(settings_of(lab)) as desk:
        desk.apply_club_file(demo_clubs)
        with faults.kill_store():
            away = lab.look()
            booked = desk.book("roma/2", "2026-12-06T10:00", player="Ana")

    assert "etcd is dead." in away.problems
    assert booked.reservation.id > 0
    assert processes.alive(lab.state().processes["etcd"])


def test_what_is_not_there_cannot_be_broken(lab: Lab, faults: Faults) -> None:
    """
    A name that the lab does not know is refused, and nothing is touched.
    """
    with pytest.raises(CannotBreak, match="no printer"):
        faults.kill("printer")

    assert [] == lab.look().problems


def test_undoing_twice_does_no_harm(lab: Lab, faults: Faults) -> None:
    """
    A fault is undone once, by the block or by hand.
    """
    name = faults.standby(confirming=False)
    with faults.freeze_patroni(name) as fault:
        frozen = lab.look().problems
        fault.undo()

    assert f"{name} is frozen." in frozen
    assert [] == [p for p in lab.look().problems if "frozen" in p]


@pytest.mark.cluster
def test_a_plain_pair_has_a_primary_and_a_standby(tmp_path: Path) -> None:
    """
    Without Patroni: one takes writes, one follows, and the address leads to the first. After a
    switchover, and after a death, the old primary is back as a standby: `lab env` says how.
    """
    with running_lab(Wish(nodes=2, kind="pair", store="none", bare=True)) as pair:
        found = pair.look()
        with open_desk(settings_of(pair)) as desk:
            clubs = desk.clubs()
        given = pair.state().variables
        lacking = {name: value for name, value in os.environ.items() if PREFIX not in name}

        def failover(*arguments: str) -> dict[str, Any]:
            done = subprocess.run(
                [sys.executable, "-m", "padelops", "failover", *arguments, "--json"],
                env=lacking | given | {"PADELOPS_HOME": str(tmp_path)},
                capture_output=True, text=True, check=False, timeout=100,
            )  # fmt: skip
            return {"exit": done.returncode, "said": done.stderr, **json.loads(done.stdout)}

        there = failover("switchover", "--yes")
        after = pair.look()
        (dead,) = after.leaders
        servers.end([data_folder(pair.folder, pair.state().node(dead))])
        back = failover("promote", "--yes")
        last = pair.look()

    assert (0, "n1", "n2") == (there["exit"], there["old"], there["new"]), there
    assert ["n2"] == after.leaders
    assert [] == after.problems
    assert (0, "n2", "n1") == (back["exit"], back["old"], back["new"]), back
    assert ["n1"] == last.leaders
    assert [] == last.problems
    assert [True, False] == [node.writable for node in found.nodes]
    assert ["primary", "standby"] == [node.role for node in found.nodes]
    assert [] == found.problems
    assert [] == clubs
    assert "none" == json.loads(json.dumps(found.as_json()))["store"]
