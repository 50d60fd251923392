"""
A planned and an unplanned change of primary, on a plain primary and its standby: real servers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from padelops import Desk, SearchRequest, open_desk
from padelops.errors import (
    DatabaseUnavailable,
    LockHeld,
    NotPermitted,
    OutcomeUnknown,
    PadelopsError,
    PartlyDone,
    SafetyGate,
)
from padelops.ops.failover_gates import DataLossPossible, Kind, TwoPrimaries
from padelops.wiring.failover import opened_failover
from testbed.bookings import Booking
from testbed.clock import Clock
from testbed.pair import Pair, children_of
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from padelops.adapters.embedded_postgres import EmbeddedPostgres
    from padelops.ops.failover import Failover

AT = "2026-12-01T18:00"


@pytest.fixture
def failover(pair: Pair) -> Iterator[Failover]:
    with opened_failover(pair.settings(), actor="tester") as failover:
        yield failover


def book(pair: Pair, court: str = "centro/1", **more: Any) -> int:
    with open_desk(pair.settings(), clock=Clock()) as desk:
        return desk.book(court, AT, minutes=60, player="A", **more).reservation.id


def names(pair: Pair, server: EmbeddedPostgres) -> list[int]:
    with pair.admin(server) as admin:
        return [row[0] for row in admin.execute("SELECT id FROM claims ORDER BY id").fetchall()]


def change(failover: Failover, kind: Kind = Kind.SWITCHOVER, **asked: Any) -> Any:
    with failover.alone(kind):
        return failover.carry_out(failover.plan(kind, **asked))


def test_a_switchover_and_back(pair: Pair, failover: Failover) -> None:
    """
    The standby takes over, the old primary follows it, commits wait for it; nothing is lost.
    """
    made = book(pair)

    there = change(failover, reason="a new kernel")
    assert there.failed is None, there.as_json()
    assert ["b"] == [node.name for node in failover.observe().writable]
    assert [made] == names(pair, pair.b)
    assert 2 == failover.observe().node("b").timeline
    assert "sync" == failover.observe().node("a").sync
    back = change(failover)

    assert back.failed is None, back.as_json()
    assert ["a"] == [node.name for node in failover.observe().writable]
    assert "sync" == failover.observe().node("b").sync
    assert made < book(pair, "centro/2")
    assert 2 == pair.ask(
        pair.a, "SELECT count(*) FROM audit_entries WHERE action = 'failover.switchover'"
    )


@pytest.mark.cluster
def test_bookings_go_on_through_a_switchover(pair: Pair, failover: Failover) -> None:
    """
    The same desk books before and after on connections that died meanwhile; all acknowledged ones
    are there, once, and each key settles what was unknown.
    """
    with Booking(pair.settings()) as booking:
        assert change(failover).failed is None

    assert set(booking.acknowledged) <= set(booking.there())
    assert len(booking.unknown) == len(booking.settle())
    assert [] == booking.keys_used_twice()


@pytest.mark.cluster
@pytest.mark.parametrize("death", ["killed", "stopped"])
def test_a_primary_that_died(pair: Pair, failover: Failover, death: str) -> None:
    """
    Killed at once, or stopped so that it still takes connections: fenced, replaced, and brought
    back as a standby; what was acknowledged is there.
    """
    failover.observe()
    pid = pair.a.status().pid
    assert pid is not None
    with Booking(pair.settings()) as booking:
        if death == "killed":
            pair.kill(pair.a)
        else:
            for process in [pid, *children_of(pid)]:
                os.kill(process, signal.SIGSTOP)
        outcome = change(failover, Kind.PROMOTE)

    assert outcome.failed is None, outcome.as_json()
    assert ["b"] == [node.name for node in failover.observe().writable]
    assert "sync" == failover.observe().node("a").sync
    assert set(booking.acknowledged) <= set(names(pair, pair.b))
    assert outcome.as_json()["within_30_s"]


def test_a_healthy_primary_is_not_replaced_unplanned(pair: Pair, failover: Failover) -> None:
    """
    `promote` is for a primary that is gone; with a living one it names the planned way.
    """
    with pytest.raises(SafetyGate, match="failover switchover"):
        change(failover, Kind.PROMOTE)

    assert pair.ask(pair.b, "SELECT pg_is_in_recovery()")


def test_two_primaries(pair: Pair) -> None:
    """
    Somebody is paged, both are shown with their timelines, and every change is refused.
    """
    with pair.admin(pair.b, "postgres") as admin:
        admin.execute("SELECT pg_promote()")
    pages: list[str] = []
    with opened_failover(pair.settings()) as failover:
        failover._page = pages.append
        for kind in Kind:
            with pytest.raises(TwoPrimaries) as caught:
                change(failover, kind, allow_data_loss="padelops")
    shown = {node["name"]: node["timeline"] for node in caught.value.facts["primaries"]}

    assert {"a": 1, "b": 2} == shown
    assert 2 == len(pages)
    assert "a on 1" in pages[0]


def test_two_primaries_and_nobody_on_call(pair: Pair) -> None:
    """
    Without anybody to page that is told beside both primaries; no database is written to.
    """
    with pair.admin(pair.b, "postgres") as admin:
        admin.execute("SELECT pg_promote()")
    with opened_failover(pair.settings()) as failover, pytest.raises(TwoPrimaries) as caught:
        change(failover)

    assert ["one_primary", "paged"] == [
        gate["gate"]
        for gate in caught.value.facts["gates"]
        if gate["gate"] in {"one_primary", "paged"}
    ]
    assert "NOT reached" in str(caught.value)
    assert 0 == pair.ask(pair.b, "SELECT count(*) FROM incidents")


def test_a_running_backup_and_an_open_incident(pair: Pair, failover: Failover) -> None:
    """
    A base backup of the real primary stops what is planned, until it has ended; an incident warns.
    """
    with open_desk(pair.settings(), clock=Clock()) as desk:
        number, _ = desk.incidents.open("test", title="Courts are dark")
    slowly = ["--max-rate=32k", "-c", "fast", "-D", str(pair.home / "slow")]
    socket = str(pair.a.status().socket_folder)
    program = [str(pair.a.bindir / "pg_basebackup"), "-h", socket, "-U", "postgres"]
    with subprocess.Popen([*program, *slowly], stderr=subprocess.DEVNULL) as copying:
        try:
            until(lambda: pair.ask(pair.a, "SELECT count(*) FROM pg_stat_progress_basebackup"))
            backing_up = failover.plan(Kind.SWITCHOVER)
        finally:
            copying.kill()
    until(lambda: not pair.ask(pair.a, "SELECT count(*) FROM pg_stat_progress_basebackup"))
    after = failover.plan(Kind.SWITCHOVER)

    assert isinstance(backing_up.refused, SafetyGate)
    assert "1 base backups are running" in str(backing_up.refused)
    assert after.refused is None
    assert [f"INC-{number} is open: Courts are dark"] == [g.reason for g in after.gates if g.warns]


def test_an_asynchronous_standby(pair: Pair, failover: Failover) -> None:
    """
    What it may lack is gone with the primary: refused, unless the cluster's name is typed; audited.
    """
    pair.set(pair.a, synchronous_standby_names="")
    pair.set(pair.b, synchronous_standby_names="")
    failover.observe()
    pair.kill(pair.a)

    with pytest.raises(DataLossPossible, match="--allow-data-loss padelops"):
        change(failover, Kind.PROMOTE)
    with pytest.raises(SafetyGate, match="called 'padelops'"):
        change(failover, Kind.PROMOTE, allow_data_loss="prod")
    assert pair.ask(pair.b, "SELECT pg_is_in_recovery()")
    outcome = change(failover, Kind.PROMOTE, allow_data_loss="padelops", reason="court is full")

    assert outcome.failed is None, outcome.as_json()
    noted = "SELECT changes FROM audit_entries WHERE action = 'failover.promote'"
    assert pair.ask(pair.b, noted)["data_loss_allowed"]
    assert "court is full" == pair.ask(pair.b, noted)["reason"]


@pytest.mark.cluster
def test_a_standby_that_lags(pair: Pair, failover: Failover) -> None:
    """
    Refused with the bytes it lacks; nothing was touched.
    """
    pair.set(pair.a, synchronous_standby_names="")
    receiver = pair.ask(pair.b, "SELECT pid FROM pg_stat_wal_receiver")
    os.kill(receiver, signal.SIGSTOP)
    try:
        with pair.admin(pair.a) as admin:
            admin.execute("SELECT pg_logical_emit_message(true, 'fill', repeat('x', 20000000))")
        with pytest.raises(SafetyGate, match=r"b is 2\d{7} bytes"):
            change(failover)
    finally:
        os.kill(receiver, signal.SIGCONT)

    assert "off" == pair.ask(pair.a, "SHOW transaction_read_only")


@pytest.mark.cluster
def test_a_standby_that_never_catches_up(
    pair: Pair, failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The primary gets its place back: fenced for a moment, and then as it was.
    """
    monkeypatch.setattr("padelops.ops.failover_run.CATCH_UP_S", 0.3)
    pair.set(pair.a, synchronous_standby_names="")
    receiver = pair.ask(pair.b, "SELECT pid FROM pg_stat_wal_receiver")
    with failover.alone(Kind.SWITCHOVER):
        plan = failover.plan(Kind.SWITCHOVER)
        os.kill(receiver, signal.SIGSTOP)
        try:
            with pair.admin(pair.a) as admin:
                admin.execute("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 9999))")
            outcome = failover.carry_out(plan)
        finally:
            os.kill(receiver, signal.SIGCONT)

    assert isinstance(outcome.failed, SafetyGate)
    assert outcome.failed.facts["missing_bytes"] >= 9999
    assert book(pair)
    assert pair.ask(pair.b, "SELECT pg_is_in_recovery()")


@pytest.mark.cluster
def test_an_old_primary_that_does_not_rejoin(
    pair: Pair, failover: Failover, tmp_path: Path
) -> None:
    """
    Exit 6 with the steps that remain; the next run goes on from there, and no bookings wait.
    """
    rejoins = tmp_path / "rejoin"
    rejoins.write_text("#!/bin/sh\necho the disk is gone >&2\nexit 3\n")
    rejoins.chmod(0o755)
    with opened_failover(pair.settings(rejoin_command=str(rejoins))) as handicapped:
        partly = change(handicapped)
    assert isinstance(partly.failed, PartlyDone)
    assert any("failover rejoin" in step for step in partly.failed.facts["remaining"])
    assert book(pair)
    assert failover.unfinished() is not None

    finished = change(failover)

    assert finished.failed is None, finished.as_json()
    assert "sync" == failover.observe().node("a").sync
    assert failover.unfinished() is None
    assert 1 == pair.ask(pair.b, "SELECT count(*) FROM audit_entries WHERE action ^@ 'failover'")


@pytest.mark.cluster
def test_a_failover_that_was_cut_off_after_the_fence(
    pair: Pair, failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whoever runs it again goes on, also if only the fence was up; another target is refused.
    """
    driver = failover._driver
    with monkeypatch.context() as patch:

        def cut(*_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

        patch.setattr(driver, "promote", cut)
        with pytest.raises(KeyboardInterrupt):
            change(failover)
    assert "on" == pair.ask(pair.a, "SHOW transaction_read_only")

    with pytest.raises(SafetyGate, match="has not ended"):
        change(failover, to="a")
    outcome = change(failover)

    assert outcome.failed is None, outcome.as_json()
    assert ["b"] == [node.name for node in failover.observe().writable]


@pytest.mark.cluster
def test_a_fenced_primary_acknowledges_nothing(pair: Pair, failover: Failover) -> None:
    """
    New sessions are read-only, old ones are gone, and who lifts that is never told "done".
    """
    with open_desk(pair.settings(), clock=Clock()) as desk:
        desk.book("centro/1", AT, minutes=60, player="A")
        node = failover.observe().node("a")
        assert node is not None
        failover._driver.fence(node)
        with pytest.raises(PadelopsError) as refused:
            desk.book("centro/2", AT, minutes=60, player="B")
        assert refused.value.retryable
        with pair.admin(pair.a) as rebel:
            rebel.execute("SET default_transaction_read_only = off")
            rebel.execute("SET synchronous_commit = on")
            rebel.execute("SET statement_timeout = '300ms'")
            writing = threading.Thread(target=rebel_writes, args=(rebel,), daemon=True)
            writing.start()
            until(
                lambda: pair.ask(
                    pair.a, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                )
            )
            failover._driver.unfence(node)
            writing.join(20)

    assert book(pair, "centro/3")


def rebel_writes(rebel: Any) -> None:
    rebel.execute("SELECT pg_logical_emit_message(true, 'rebel', '')")


def test_a_role_that_may_not_promote(pair: Pair) -> None:
    """
    Exit 4, and what the role lacks by name.
    """
    settings = pair.settings(cluster_url=SecretStr(pair.url("padelops")))
    with opened_failover(settings) as failover, pytest.raises(NotPermitted) as caught:
        change(failover)

    assert "pg_promote" in str(caught.value)
    assert "SUPERUSER" in str(caught.value)


def test_one_failover_at_a_time(pair: Pair, failover: Failover) -> None:
    """
    Whoever comes second hears who is at it, and since when.
    """
    with (
        failover.alone(Kind.SWITCHOVER),
        pytest.raises(LockHeld) as caught,
        opened_failover(pair.settings()) as second,
    ):
        change(second)

    assert caught.value.facts["pid"] == os.getpid()
    assert 0 <= caught.value.facts["age_s"]


@pytest.mark.cluster
def test_a_server_that_cannot_be_fenced(pair: Pair, failover: Failover) -> None:
    """
    Without any means to fence the dead one nobody is promoted: it might come back.
    """
    pair.kill(pair.a)  # before anybody saw where its data is
    with pytest.raises(DataLossPossible, match="cannot be fenced"):
        change(failover, Kind.PROMOTE)

    assert pair.ask(pair.b, "SELECT pg_is_in_recovery()")


@pytest.mark.cluster
def test_a_fence_command_that_fails(pair: Pair) -> None:
    """
    Its last words are told, and nobody is promoted.
    """
    settings = pair.settings(fence_command="sh -c 'echo no route to the power switch >&2; exit 1'")
    with opened_failover(settings) as failover:
        failover.observe()
        pair.kill(pair.a)
        outcome = change(failover, Kind.PROMOTE)

    assert "no route to the power switch" in str(outcome.failed)
    assert pair.ask(pair.b, "SELECT pg_is_in_recovery()")


@pytest.mark.cluster
def test_an_old_primary_that_cannot_be_rewound(
    pair: Pair, failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is copied anew, and its old data is put aside, not destroyed.
    """
    monkeypatch.setattr("padelops.adapters.rejoining._rewind", lambda *_: "the log is gone")
    made = book(pair)
    outcome = change(failover)

    assert outcome.failed is None, outcome.as_json()
    assert [made] == names(pair, pair.a)
    assert 1 == len(list((pair.home / "a").glob("data.before-*")))


@pytest.mark.cluster
def test_a_standby_that_nobody_could_ask(pair: Pair, failover: Failover) -> None:
    """
    With the only standby gone there is no candidate, and that is the reason given.
    """
    failover.observe()
    pair.kill(pair.b)

    with pytest.raises(SafetyGate, match="no standby answers"):
        change(failover)
    with (
        pytest.raises(DatabaseUnavailable, match="refused"),
        failover._driver.servers.session(failover._driver.servers.addresses[1]),
    ):
        pass


@pytest.mark.cluster
def test_a_synchronous_standby_that_is_lost(pair: Pair) -> None:
    """
    A booking ends with its budget, as unknown; its key settles it once a standby confirms again.
    """
    settings = pair.settings(level1_budget_ms=500)
    with open_desk(settings, clock=Clock()) as desk:
        made = desk.book("centro/1", AT, minutes=60, player="A").reservation.id
        receiver = pair.ask(pair.b, "SELECT pid FROM pg_stat_wal_receiver")
        for process in (pair.b.status().pid or 0, receiver):
            os.kill(process, signal.SIGSTOP)
        for doing in (
            lambda: desk.book("centro/2", AT, minutes=60, player="B", key="k"),
            lambda: desk.book("centro/2", AT, minutes=60, player="B", key="k"),
            lambda: desk.book(("centro/3", "centro/4"), AT, minutes=60, player="C"),
            lambda: desk.cancel(made),
        ):
            begun = time.monotonic()
            with pytest.raises(OutcomeUnknown):
                doing()
            assert time.monotonic() - begun < 15
        for process in (receiver, pair.b.status().pid or 0):
            os.kill(process, signal.SIGCONT)
        until(lambda: replayed(desk))

    assert 1 == pair.ask(pair.a, "SELECT count(*) FROM claims WHERE idempotency_key = 'k'")


@pytest.mark.cluster
def test_connections_that_outlive_their_primary(pair: Pair) -> None:
    """
    A pooled connection to a server that became read-only fails once, and is not lent again: the
    next booking goes to the new primary.
    """
    pair.set(pair.a, synchronous_standby_names="")
    with open_desk(pair.settings(), clock=Clock()) as desk:
        desk.book("centro/1", AT, minutes=60, player="A")
        pair.set(pair.a, default_transaction_read_only="on")
        with pair.admin(pair.b, "postgres") as admin:
            admin.execute("SELECT pg_promote()")
        for court in ("centro/2", ("centro/3", "centro/4")):
            until(lambda court=court: booked(desk, court))

    assert 4 == pair.ask(pair.b, "SELECT count(*) FROM claims")
    assert 1 == pair.ask(pair.a, "SELECT count(*) FROM claims")


def booked(desk: Desk, court: str | tuple[str, ...]) -> bool:
    try:
        return bool(desk.book(court, AT, minutes=60, player="B"))
    except DatabaseUnavailable as exc:
        return not exc.retryable


def found(desk: Desk) -> list[int]:
    return [one.id for one in desk.search(SearchRequest()).reservations]


@pytest.mark.cluster
def test_reads_from_a_replica(pair: Pair) -> None:
    """
    A search comes from the replica while what it tells is fresh enough, else from the primary;
    also while the replica is away.
    """
    replica = {"replica_url": SecretStr(pair.b.url())}
    with (
        open_desk(pair.settings(**replica, replica_staleness_s=3600), clock=Clock()) as patient,
        open_desk(pair.settings(**replica, replica_staleness_s=0.5), clock=Clock()) as strict,
    ):
        old = patient.book("centro/1", AT, minutes=60, player="A").reservation.id
        until(lambda: found(patient) == [old])
        with pair.admin(pair.b, "postgres") as admin:
            admin.execute("SELECT pg_wal_replay_pause()")
            until(lambda: pair.ask(pair.b, "SELECT pg_get_wal_replay_pause_state()") == "paused")
        new = patient.book("centro/2", AT, minutes=60, player="B").reservation.id
        assert [old] == found(patient)
        until(lambda: found(strict) == [old, new])

        pair.kill(pair.b)
        pair.set(pair.a, synchronous_standby_names="")
        assert [old, new] == found(patient)
        assert "confirmed" == patient.show(new).status


def replayed(desk: Desk) -> bool:
    try:
        return desk.book("centro/2", AT, minutes=60, player="B", key="k").replayed
    except OutcomeUnknown:
        return False


@pytest.mark.cluster
def test_a_primary_that_stops_answering(pair: Pair) -> None:
    """
    Stopped in the middle of a conversation: whoever waits is let go, and told what nobody knows.
    """
    settings = pair.settings(level1_budget_ms=500)
    with open_desk(settings, clock=Clock()) as desk:
        desk.book("centro/1", AT, minutes=60, player="A")
        pid = pair.a.status().pid or 0
        family = [pid, *children_of(pid)]
        for process in family:
            os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(OutcomeUnknown) as caught:
                desk.book("centro/2", AT, minutes=60, player="B")
            with pytest.raises(PadelopsError) as away:
                desk.show(1)
        finally:
            for process in family:
                os.kill(process, signal.SIGCONT)

        assert caught.value.facts["key"]
        assert away.value.retryable
