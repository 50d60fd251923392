"""Alerts on a real database: kept, told once, by whatever channel is up, whoever looks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from padelops.booking.delivery import Channel, DeliveryUnavailable, Envelope
from padelops.booking.operations import Outcome
from padelops.errors import InvalidInput, LockHeld, NotFound
from padelops.ops.alert_notices import Courier, Sender
from padelops.ops.alerts import LOCK
from padelops.ops.locks import operator_lock
from padelops.ops.verdict import Verdict
from padelops.store import payments
from padelops.wiring.alerts import alerts_of, firing_alerts, look, looked
from testbed.mail_server import MailServer
from testbed.racing import race
from testbed.rows import EVENING, column, insert, insert_hold, one, reservation_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.ops.alerts import Board
    from padelops.wiring import Desk
    from testbed.clock import Clock

ON_CALL = "email=oncall@example.com sms=+34600111222"


@pytest.fixture
def on_call(another_desk: Callable[..., Desk], tmp_path: Path) -> Desk:
    """A desk whose notices are spooled, with a worker at work: nothing fires."""
    tmp_path.chmod(0o755)
    desk = another_desk(spool=tmp_path / "spool", on_call=ON_CALL, home=tmp_path)
    beat(desk)
    return desk


def beat(desk: Desk) -> None:
    """A worker is at work."""
    with desk.bulk.reading() as tx:
        payments.heartbeat(tx, "worker", done=0, now=desk.now())


def states(board: Board) -> dict[str, str]:
    """
    The rules that are not quiet; for maintenance it is late, because the clock is days ahead of the
    database's first audit entry.
    """
    return {
        status.name: status.state
        for status in board.rules
        if status.state != "quiet" and status.name not in {"watchdog", "daily_job_missing"}
    }


def spooled(desk: Desk) -> list[str]:
    """What was sent, by file."""
    return sorted(path.name for path in desk.settings.spool_folder.glob("*/*"))


def sell_twice(psql: Any) -> None:
    """Past the library, and past the constraint."""
    insert(psql, "claims", reservation_row(psql))
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
    insert(psql, "claims", reservation_row(psql, starts_at=EVENING + timedelta(minutes=30)))


def test_on_a_healthy_system_only_the_watchdog_fires(on_call: Desk) -> None:
    """
    Every rule can be judged, on an idle night too; nobody is told anything.
    """
    board = look(on_call)

    assert {} == states(board)
    assert ["watchdog"] == [status.name for status in board.in_state("firing")]
    assert Verdict.OK is board.verdict
    assert [] == spooled(on_call)


def test_a_court_sold_twice_is_told_once_and_its_end_too(
    on_call: Desk, psql: Any, clock: Clock
) -> None:
    """
    The real fault: at once by each channel of its rule, not again, and then that it is over.
    """
    sell_twice(psql)
    first, again = look(on_call), look(on_call)
    assert {"double_booking_detected": "firing", "overlap_guard_missing": "firing"} == states(first)
    assert Verdict.CRITICAL is first.verdict
    assert 2 == len(first.paged)
    assert () == again.paged
    assert [
        "double_booking_detected-page-1-email.eml",
        "double_booking_detected-page-1-sms.txt",
    ] == spooled(on_call)[:2]
    assert ["double_booking_detected", "overlap_guard_missing"] == [
        found.rule for found in firing_alerts(on_call)
    ]

    psql.execute("UPDATE claims SET status = 'cancelled' WHERE starts_at > %s", [EVENING])
    kept = look(on_call)
    clock.advance(minutes=3)
    beat(on_call)
    over = look(on_call)
    assert "firing" == states(kept)["double_booking_detected"]  # for two minutes: it may flap
    assert ["double_booking_detected"] == [notice.rule for notice in over.resolved]
    assert "double_booking_detected-resolve-3-sms.txt" in spooled(on_call)


def test_one_that_flaps_is_told_once(on_call: Desk, psql: Any, clock: Clock) -> None:
    """
    On and off every half minute, for ten minutes: one page, and one end.
    """
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
    insert(psql, "claims", reservation_row(psql))
    twin = insert(psql, "claims", reservation_row(psql, starts_at=EVENING + timedelta(minutes=30)))
    for minute in range(20):
        psql.execute("ALTER TABLE claims DISABLE TRIGGER USER")
        status = "cancelled" if minute % 2 else "confirmed"
        psql.execute("UPDATE claims SET status = %s WHERE id = %s", [status, twin])
        clock.advance(seconds=30)
        beat(on_call)
        alerts_of(on_call).check()

    assert ["page"] == column(
        psql, "SELECT action FROM alert_notices WHERE rule = 'double_booking_detected'"
    )


def test_what_stops_working_fires_after_its_time(on_call: Desk, psql: Any, clock: Clock) -> None:
    """
    No worker, holds that nobody ends, messages that nobody sends: pending first, then firing.
    """
    insert_hold(psql, "centro/2", EVENING, clock() - timedelta(minutes=6))
    made = on_call.book("centro/3", "2026-12-01T18:00", player="Ana Ruiz", email="ana@example.com")
    clock.advance(minutes=11)
    pending = look(on_call)
    clock.advance(minutes=6)
    board = look(on_call)
    stopped = {"worker_heartbeat_missing", "hold_sweeper_stopped", "outbox_stale"}

    assert made.reservation.id
    assert dict.fromkeys(stopped, "pending") == {n: states(pending)[n] for n in stopped}
    assert dict.fromkeys(stopped, "firing") == {n: states(board)[n] for n in stopped}
    assert Verdict.OK is pending.verdict
    assert stopped <= {notice.rule for notice in board.paged}


def test_two_who_look_at_once_tell_once(
    on_call: Desk, another_desk: Callable[..., Desk], psql: Any
) -> None:
    """
    The lock lets one at it, the rows keep the other from telling again.
    """
    sell_twice(psql)
    desks = [on_call, *(another_desk(on_call=ON_CALL) for _ in range(3))]
    found = race(*[lambda desk=desk: alerts_of(desk).check() for desk in desks])

    assert {LockHeld} >= {type(finish.error) for finish in found if not finish.ok}
    for desk in desks:
        alerts_of(desk).check()
    assert 2 == one(psql, "SELECT count(*) FROM alert_notices")


def test_a_dry_run_shows_and_changes_nothing(on_call: Desk, psql: Any) -> None:
    """
    Whom it would tell; no row, no message.
    """
    sell_twice(psql)
    board = look(on_call, dry_run=True)

    assert 2 == len(board.paged)
    assert 0 == one(psql, "SELECT (SELECT count(*) FROM alerts) + count(*) FROM alert_notices")
    assert [] == spooled(on_call)


def test_a_silence_keeps_people_from_being_told_until_its_end(
    on_call: Desk, psql: Any, clock: Clock
) -> None:
    """
    The state is kept, no check fails by it; when it ends and it still fires, people are told.
    """
    alerts = alerts_of(on_call)
    alerts.silence("double_booking_detected", lasting=timedelta(hours=1), reason="we know")
    alerts.silence("overlap_guard_missing", lasting=timedelta(hours=1), reason="we know")
    sell_twice(psql)
    silenced = look(on_call)
    alerts.end_silence(2)
    clock.advance(minutes=1)
    beat(on_call)
    ended = look(on_call)
    clock.advance(hours=1)
    beat(on_call)
    late = alerts_of(on_call).check()

    assert ("firing", Verdict.OK, ()) == (
        states(silenced)["double_booking_detected"], silenced.verdict, silenced.paged,
    )  # fmt: skip
    assert "overlap_guard_missing" in [notice.rule for notice in ended.paged]
    assert "double_booking_detected" not in [notice.rule for notice in ended.paged]
    assert "double_booking_detected" in [notice.rule for notice in late.paged]
    assert ["alert_silenced", "alert_silenced", "alert_silence_ended"] == column(
        psql, "SELECT action FROM audit_entries WHERE action LIKE 'alert_%' ORDER BY id"
    )


def test_a_silence_has_an_end_a_reason_and_a_rule(on_call: Desk, psql: Any) -> None:
    """
    None is made for ever or for nothing, and none is deleted.
    """
    alerts = alerts_of(on_call)
    hour = timedelta(hours=1)
    for name, lasting, reason in (
        ("watchdog", hour, " "),
        ("watchdog", timedelta(days=31), "for ever"),
        ("watchdog", timedelta(0), "for nothing"),
    ):
        with pytest.raises(InvalidInput):
            alerts.silence(name, lasting=lasting, reason=reason)
    with pytest.raises(NotFound):
        alerts.silence("no_such_rule", lasting=hour, reason="why not")
    with pytest.raises(NotFound):
        alerts.end_silence(4711)
    alerts.silence("watchdog", lasting=hour, reason="a trial")
    with pytest.raises(Exception, match="who was not told"):
        psql.execute("DELETE FROM alert_silences")


def test_a_critical_rule_mutes_the_warnings_of_its_group(
    on_call: Desk, psql: Any, clock: Clock
) -> None:
    """
    Told that bookings fail, nobody has to hear that they are slow.
    """
    for _ in range(4):
        for _ in range(20):
            on_call.counts.took("creation", Outcome.UNAVAILABLE, "database_unavailable", 0.1)
            on_call.counts.took("creation", Outcome.OK, "", 5.0)
        on_call.flusher.flush()
        look(on_call)
        clock.advance(minutes=2)
        beat(on_call)
    board = {status.name: status for status in look(on_call).rules}

    assert "firing" == board["creation_failure_rate"].state
    assert "firing" == board["creation_too_slow"].state
    assert "creation_failure_rate" == board["creation_too_slow"].muted_by
    assert 0 == one(psql, "SELECT count(*) FROM alert_notices WHERE rule = 'creation_too_slow'")


class Broken:
    """Ways out of which some are down."""

    channels = frozenset(Channel)

    def __init__(self, *down: Channel) -> None:
        self.down = set(down)
        self.taken: list[str] = []

    def deliver(self, envelope: Envelope) -> str:
        if envelope.channel in self.down:
            raise DeliveryUnavailable("refused", "Connection refused")
        self.taken.append(envelope.channel)
        return "taken"


def test_a_channel_that_is_down_does_not_lose_the_page(
    on_call: Desk, psql: Any, clock: Clock
) -> None:
    """
    Another stands in at once, the pager is tried until it takes it, and nobody is told twice.
    """
    clock.advance(minutes=3)
    look_at_workers = alerts_of(on_call)
    look_at_workers.check()
    clock.advance(minutes=2)
    look_at_workers.check()
    ways = Broken(*Channel)
    courier = Courier(ways, {Channel.EMAIL: "a@example.com", Channel.SMS: "+34600"}, clock)
    sender = Sender(on_call.bulk, courier)
    assert 0 == sender.send_due()
    assert 0 == sender.send_due()  # not before its pause is over

    ways.down = {Channel.PAGER}
    clock.advance(seconds=31)
    assert 1 == sender.send_due()
    assert ["sms"] == ways.taken
    assert "pager: refused: Connection refused" == one(psql, "SELECT problem FROM alert_notices")

    ways.down = set()
    clock.advance(minutes=16)
    assert 1 == sender.send_due()
    clock.advance(hours=2)
    assert 0 == sender.send_due()
    assert ["sms", "pager"] == ways.taken
    assert one(psql, "SELECT done_at IS NOT NULL AND problem IS NULL FROM alert_notices")


def test_a_mail_server_takes_it(
    another_desk: Callable[..., Desk], psql: Any, tmp_path: Path
) -> None:
    """
    By real SMTP: what is wrong, how much, what to run, how to silence it.
    """
    with MailServer() as server:
        desk = another_desk(
            smtp_url=SecretStr(server.url), mail_from="padelops@example.com", on_call=ON_CALL,
            home=tmp_path,
        )  # fmt: skip
        sell_twice(psql)
        look(desk)
        mails = [mail for mail in server.post.received if "double_booking" in str(mail["Subject"])]

    (mail,) = mails
    body = mail.get_body().get_content()  # type: ignore[union-attr]
    assert "oncall@example.com" == mail["To"]
    assert str(mail["Subject"]).startswith("CRITICAL: double_booking_detected: A court is sold")
    assert "padelops runbook run double_booking" in body
    assert "padelops alerts silence double_booking_detected" in body


def test_without_a_database_people_are_told_all_the_same(
    on_call: Desk, outage: Callable[[], Any]
) -> None:
    """
    Once by this host, though nothing can be kept; and that it is over.
    """
    with outage():
        first, again = looked(on_call.settings), looked(on_call.settings)
    over = looked(on_call.settings)

    assert first.away
    assert "firing" == states(first)["database_down"]
    assert "unknown" == states(first)["double_booking_detected"]
    assert (["database_down"], []) == (
        [notice.rule for notice in first.paged], [notice.rule for notice in again.paged],
    )  # fmt: skip
    assert ["database_down"] == [notice.rule for notice in over.resolved]
    assert Verdict.CRITICAL is again.verdict
    assert 4 == len([name for name in spooled(on_call) if name.startswith("database_down")])


def test_what_cannot_be_read_is_unknown_and_fails_the_check(on_call: Desk, psql: Any) -> None:
    """
    A view that is gone: its rules are neither quiet nor firing.
    """
    psql.execute("ALTER TABLE worker_heartbeats RENAME TO gone")
    board = look(on_call)

    assert {"worker_heartbeat_missing": "unknown"} == states(board)
    assert Verdict.UNKNOWN is board.verdict


def test_the_worker_looks_every_half_minute_and_one_of_many(
    on_call: Desk, psql: Any, clock: Clock
) -> None:
    """
    Its chore finds the fault, tells people, and leaves the rest to the next round.
    """
    sell_twice(psql)
    with on_call.worker() as worker, on_call.worker() as another:
        worker.round(lambda: False)
        asked = one(psql, "SELECT max(checked_at) FROM alert_rules")
        clock.advance(seconds=10)
        another.round(lambda: False)
        assert asked == one(psql, "SELECT max(checked_at) FROM alert_rules")
        clock.advance(seconds=30)
        another.round(lambda: False)

    assert asked < one(psql, "SELECT max(checked_at) FROM alert_rules")
    assert "double_booking_detected-page-1-sms.txt" in spooled(on_call)


def test_a_rule_that_is_gone_leaves_nothing_firing(on_call: Desk, psql: Any) -> None:
    """
    Renamed in its file: what fired under the old name is forgotten.
    """
    sell_twice(psql)
    look(on_call)
    alerts = alerts_of(on_call)
    alerts.rules = {name: rule for name, rule in alerts.rules.items() if "double" not in name}
    alerts.check()

    assert [] == column(psql, "SELECT rule FROM alerts WHERE rule LIKE 'double%%'")


def test_a_proof_is_kept_and_shown(on_call: Desk, clock: Clock) -> None:
    """
    What a chaos experiment has shown stands in the list, also after the next look.
    """
    alerts_of(on_call).proved("database_down", by="chaos/database.yaml")
    look(on_call)
    board = {status.name: status.record for status in alerts_of(on_call).board().rules}

    assert (clock(), "chaos/database.yaml") == (
        board["database_down"].proved_at, board["database_down"].proved_by,
    )  # fmt: skip
    assert board["no_primary"].proved_at is None


def test_whoever_looks_while_another_does_is_told(on_call: Desk) -> None:
    """
    One evaluator at a time, by the operators' lock.
    """
    with (
        operator_lock(on_call.bulk, LOCK, purpose="a trial", origin=on_call.origin),
        pytest.raises(LockHeld),
    ):
        alerts_of(on_call).check()
