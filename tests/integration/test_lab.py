"""The lab is a real cluster: it serves bookings, tells the truth, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from padelops.adapters.postmaster import command_line
from padelops.errors import InvalidInput, NotFound
from padelops.lab import processes, servers
from padelops.lab.laboratory import Lab
from padelops.lab.planning import Wish
from padelops.lab.state import Process
from padelops.settings import Settings
from padelops.wiring import open_desk
from testbed.labs import guarded_lab
from testbed.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("lab")


def padelops(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, as somebody at a terminal runs it."""
    return subprocess.run(
        [sys.executable, "-m", "padelops", "lab", *arguments, f"--folder={lab.folder.path}"],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def quiet(_text: str) -> None:
    """Nobody listens."""


def test_a_lab_is_one_primary_with_a_confirming_standby(lab: Lab) -> None:
    """
    Three nodes, exactly one takes writes, one standby confirms them, everything serves.
    """
    found = lab.look()

    assert 3 == len(found.nodes)
    assert 1 == len(found.leaders)
    assert 1 == len(found.confirming)
    assert [] == found.problems
    assert 0 == found.exit_code


def test_padelops_books_in_the_lab(lab: Lab, demo_clubs: Path) -> None:
    """
    What `lab env` prints is all that padelops needs, and the booking reaches a standby.
    """
    done = padelops(lab, "env", "--json")
    variables = json.loads(done.stdout)
    url = variables["PADELOPS_DATABASE_URL"]
    settings = Settings(database_url=SecretStr(url), level1_budget_ms=5000)
    with open_desk(settings) as desk:
        desk.apply_club_file(demo_clubs)
        booked = desk.book("roma/1", "2026-12-04T10:00", player="Ana", key="lab-1")
        again = desk.book("roma/1", "2026-12-04T10:00", player="Ana", key="lab-1")

    assert 0 == done.returncode
    assert booked.reservation.id == again.reservation.id
    assert again.replayed
    assert "target_session_attrs=read-write" in url
    assert 3 == url.partition("@")[2].partition("/")[0].count("127.0.0.1:")


def test_no_password_is_shown(lab: Lab) -> None:
    """
    Neither the printed variables nor any process's arguments hold a password.
    """
    passwords = [line.split(":")[-1] for line in lab.folder.pgpass.read_text().splitlines()]
    shown = padelops(lab, "env").stdout + padelops(lab, "status", "--json").stdout
    called = [command_line(process.pid or 0) for process in lab.state().processes.values()]

    assert 4 == len(passwords)
    assert [] == [word for word in passwords if word in shown or word in " ".join(called)]
    assert 0 == lab.folder.pgpass.stat().st_mode & 0o077


def test_up_again_changes_nothing(lab: Lab) -> None:
    """
    `up` on a lab that is up keeps every process and port.
    """
    before = lab.state()
    done = padelops(lab, "up", "--json")

    assert 0 == done.returncode, done.stderr
    assert before == lab.state()


def test_another_kind_of_lab_is_refused(lab: Lab) -> None:
    """
    A lab is not quietly turned into another: that would take its data.
    """
    done = padelops(lab, "up", "--async")

    assert 1 == done.returncode
    assert "of another kind" in done.stderr


@pytest.mark.cluster
def test_up_brings_back_what_died(lab: Lab) -> None:
    """
    A killed Patroni comes back by `up`; meanwhile `status` says what is away.
    """
    state = lab.state()
    standby = next(node.name for node in lab.look().nodes if node.role == "replica")
    processes.send(state.processes[standby], signal.SIGKILL)
    until(lambda: not processes.alive(state.processes[standby]))
    away = padelops(lab, "status", "--json")
    lab.up(Wish(), tell=quiet)
    back = padelops(lab, "status")

    assert 1 == away.returncode, away.stdout
    assert f"{standby} is dead." in json.loads(away.stdout)["problems"]
    assert 0 == back.returncode, back.stdout


@pytest.mark.cluster
def test_a_killed_start_is_cleared_away(lab: Lab) -> None:
    """
    `up` killed in the middle leaves processes; `down` ends each of them and removes the folder.
    """
    del lab  # one cluster at a time: this machine is small
    with guarded_lab() as another:
        command = [sys.executable, "-m", "padelops", "lab", "up", f"--folder={another.folder.path}"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as up:
            until(lambda: len(processes.strays(another.folder.path)) > 3)
            up.kill()
        data = [folder / "data" for folder in (another.folder.path / "nodes").glob("*")]
        half = padelops(another, "status")
        done = padelops(another, "down")

        assert 2 == half.returncode
        assert "did not finish" in half.stdout
        assert 0 == done.returncode, done.stderr
        assert not another.folder.path.exists()
        assert [] == processes.strays(another.folder.path)
        assert [None] * 3 == [servers.postmaster(folder) for folder in data]


def test_a_stranger_with_a_recorded_number_is_left_alone(tmp_path: Path) -> None:
    """
    A process number that belongs to somebody else by now is neither alive nor killed.
    """
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        recorded = Process(
            name="etcd", command=("etcd",), environment={}, log=tmp_path / "log", ready="alive",
            pid=stranger.pid, born="another boot/1",
        )  # fmt: skip
        processes.end([recorded], at_once=True)
        time.sleep(0.1)
        lived = stranger.poll() is None
        stranger.kill()

    assert lived
    assert not processes.alive(recorded)


def test_a_process_that_is_planned_and_not_recorded_is_found(tmp_path: Path) -> None:
    """
    Killed between starting a program and writing its number down: its mark still tells.
    """
    folder = tmp_path / "lab"
    made = processes.start(
        Process(
            name="x", command=("sleep", "60"), environment=processes.environment(folder),
            log=tmp_path / "log", ready="alive",
        )
    )  # fmt: skip

    assert [made.pid] == processes.strays(folder)
    assert 1 == processes.end_strays(folder)
    assert not processes.alive(made)


def test_a_folder_that_is_no_lab_is_left_alone(tmp_path: Path) -> None:
    """
    `down` deletes labs only, and `up` takes no folder with something else in it.
    """
    (tmp_path / "thesis.txt").write_text("ten years")
    lab = Lab(tmp_path)
    with pytest.raises(NotFound, match="no lab"):
        lab.down(tell=quiet)
    with pytest.raises(InvalidInput, match="is no lab"):
        lab.up(Wish(), tell=quiet)

    assert ["thesis.txt"] == [path.name for path in tmp_path.iterdir()]


def test_a_second_command_is_told_who_is_at_it(lab: Lab) -> None:
    """
    While one command changes the lab another is refused with 7, and the holder's number.
    """
    with lab.folder.alone():
        done = padelops(lab, "down")

    assert 7 == done.returncode
    assert f"process {os.getpid()}" in done.stderr


def test_a_missing_part_is_named_with_the_way_to_get_it(monkeypatch: Any, tmp_path: Path) -> None:
    """
    Without Patroni the lab says what to install, and leaves nothing behind.
    """
    monkeypatch.setattr("padelops.lab.parts.has_package", lambda _name: False)
    lab = Lab(tmp_path / "lab")
    with pytest.raises(Exception, match=r"Patroni is not installed. Run: pip install") as caught:
        lab.up(Wish(), tell=quiet)

    assert "part_missing" == getattr(caught.value, "code", None)
    assert not lab.folder.path.exists()
