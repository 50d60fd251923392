"""
Incidents on a real database, with a real pager service and a real mail server.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr

from padelops.ops.escalation import Tick
from padelops.ops.failover_record import FailoverState, Record, Step
from padelops.ops.incidents import IncidentOver
from padelops.wiring.incidents import (
    incidents_of,
    open_incident,
    paging_of,
    tell_failover,
    watch_incidents,
)
from padelops.wiring.post_mortem import post_mortem
from testbed.mail_server import MailServer
from testbed.pager_service import PagerService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops.ops.incidents import Incidents
    from padelops.wiring import Desk
    from testbed.clock import Clock

PEOPLE = """
zone: Europe/Madrid
roles:
  on_call_engineer: [{name: Ana, email: ana@example.com, pagerduty: key-ana}]
  engineering_manager: [{name: Bea, email: bea@example.com, pagerduty: key-bea}]
  cto: [{name: Cid, email: cid@example.com, pagerduty: key-cid}]
"""


@dataclass
class Ward:
    """A desk whose people can be reached, its steady clock in the test's hand."""

    desk: Desk
    pager: PagerService
    mail: MailServer
    clock: Clock
    tick: Tick = field(default=Tick("test", 1000.0))

    @property
    def office(self) -> Incidents:
        return incidents_of(self.desk, lambda: self.tick)

    def pass_minutes(self, minutes: float) -> None:
        """Time goes by for real: on the steady clock and on the wall."""
        self.tick = Tick(self.tick.witness, self.tick.seconds + minutes * 60)
        self.clock.advance(minutes=minutes)

    def work(self) -> None:
        """What the worker's chore does in one round."""
        self.office.climb_due()
        paging_of(self.desk).send_due()

    def keys(self) -> list[str]:
        return [event["routing_key"] for event in self.pager.of("trigger")]


@pytest.fixture
def ward(another_desk: Callable[..., Desk], clock: Clock, tmp_path: Path) -> Iterator[Ward]:
    people = tmp_path / "oncall.yaml"
    people.write_text(PEOPLE)
    with PagerService() as pager, MailServer() as mail:
        desk = another_desk(
            roster=people,
            pagerduty_url=pager.url,
            smtp_url=SecretStr(f"smtp://127.0.0.1:{mail.port}"),
            mail_from="padelops@example.com",
        )
        yield Ward(desk, pager, mail, clock)


def opened(ward: Ward, **more: Any) -> int:
    number, new = ward.office.open("k", title="Bookings fail", impact="all bookings", **more)
    assert new
    paging_of(ward.desk).send_due()
    return number


def notice(
    psql: Any, ward: Ward, *, rule: str, level: int, severity: str, channels: list[str]
) -> None:
    """What `alerts check` writes when a rule fires."""
    psql.execute(
        "INSERT INTO alert_notices (rule, dedup_key, action, level, severity, channels, line, body,"
        " at, next_at) VALUES (%s, %s, 'page', %s, %s, %s, %s, '', %s, %s)",
        [rule, rule, level, severity, channels, rule, ward.clock(), ward.clock()],
    )


def test_a_level_1_incident_climbs_through_its_matrix(ward: Ward) -> None:
    """
    Minute 0 the engineer, 5 the manager, 10 the CTO, 15 everybody; between them nobody.
    """
    opened(ward)
    seen = {0.0: ward.keys()}
    for minute in (4.9, 5.0, 9.9, 10.0, 14.9, 15.0):
        ward.pass_minutes(minute - max(seen))
        ward.work()
        seen[minute] = ward.keys()

    assert {
        0.0: ["key-ana"],
        4.9: ["key-ana"],
        5.0: ["key-ana", "key-bea"],
        9.9: ["key-ana", "key-bea"],
        10.0: ["key-ana", "key-bea", "key-cid"],
        14.9: ["key-ana", "key-bea", "key-cid"],
        15.0: ["key-ana", "key-bea", "key-cid", "key-ana", "key-bea", "key-cid"],
    } == seen


def test_an_acknowledgement_stops_it_and_a_resolution_ends_the_alarms(ward: Ward) -> None:
    """
    Nobody is called after it; each alarm that was set off is resolved under its own key.
    """
    number = opened(ward)
    ward.pass_minutes(6)
    ward.work()
    ward.office.acknowledge(number, who="Ana")
    ward.pass_minutes(30)
    ward.work()
    ward.office.resolve(number, told="Failed over.")
    ward.work()

    assert ["key-ana", "key-bea"] == ward.keys()
    alarms = {
        action: sorted(event["dedup_key"] for event in ward.pager.of(action))
        for action in ("trigger", "acknowledge", "resolve")
    }
    assert 2 == len(set(alarms["trigger"]))
    assert alarms["trigger"] == alarms["acknowledge"] == alarms["resolve"]
    assert {"ana@example.com", "bea@example.com"} == {
        m["X-Rcpt-To"] for m in ward.mail.post.received
    }


def test_a_clock_that_jumps_calls_nobody(ward: Ward) -> None:
    """
    An hour forward or back on the wall is no minute of waiting; nor is another machine's clock.
    """
    opened(ward)
    ward.clock.advance(hours=1)
    ward.work()
    ward.clock.advance(hours=-2)
    ward.work()
    ward.tick = Tick("another machine", 9_999_999.0)
    ward.work()
    ward.tick = Tick("after a restart", 3.0)
    ward.work()

    assert ["key-ana"] == ward.keys()


def test_a_database_clock_that_jumps_is_believed_for_a_minute(ward: Ward, psql: Any) -> None:
    """
    Between two machines only the database's clock can tell, and no more than a bounded step of it.
    """
    opened(ward)
    psql.execute("UPDATE incident_clocks SET looked_at = looked_at - interval '1 day'")
    ward.tick = Tick("another machine", 5.0)
    ward.work()

    assert ["key-ana"] == ward.keys()
    assert 60 == pytest.approx(ward.office.listing()[0].waited_s)


def test_a_pager_that_is_down_does_not_lose_the_page(ward: Ward) -> None:
    """
    The mail stands in at once, and the pager gets it when it is back: once.
    """
    ward.pager.down = True
    number = opened(ward)
    by_mail = [mail["X-Rcpt-To"] for mail in ward.mail.post.received]
    ward.work()  # not before the pause is over
    ward.pager.down = False
    ward.clock.advance(minutes=1)
    ward.work()
    ward.clock.advance(minutes=30)
    ward.work()

    assert ["ana@example.com"] == by_mail
    assert ["key-ana"] == ward.keys()
    assert 1 == len(ward.mail.post.received)
    assert ["delivered"] == [page.state for page in ward.office.story(number).pages]


def test_what_reaches_nobody_is_shown_and_tried_for_a_day(ward: Ward) -> None:
    """
    Both ways down: the page stays queued, says why, and is failed in the end, never delivered.
    """
    ward.pager.down = True
    ward.mail.plan = lambda _address, _n: "rcpt_450"
    number = opened(ward)
    first = ward.office.story(number).unreached
    ward.clock.advance(days=1, minutes=1)
    ward.work()
    page = ward.office.story(number).pages[0]

    assert 1 == len(first)
    assert "503" in (first[0].problem or "")
    assert "failed" == page.state
    assert any("given up" in event.told for event in ward.office.story(number).events)


def test_nobody_on_call_is_a_problem_and_no_success(desk: Desk) -> None:
    """
    Without a list of people the incident is open, and the page says what is missing.
    """
    number, _, tried = open_incident(desk, "k", title="Bookings fail")

    assert not tried[0].reached
    assert "PADELOPS_ROSTER" in tried[0].problems[0]
    assert desk.incidents.story(number).unreached


def test_one_incident_for_each_key_however_many_ask(ward: Ward) -> None:
    """
    Eight at once get one number, and one page goes out.
    """
    got: list[int] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        number, _ = ward.office.open("k", title="Bookings fail")
        paging_of(ward.desk).send_due()
        got.append(number)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 == len(got)
    assert 1 == len(set(got))
    assert ["key-ana"] == ward.keys()


def test_two_workers_at_once_call_the_next_one_once(ward: Ward) -> None:
    """
    Whoever takes the rung calls; the other finds it taken.
    """
    opened(ward)
    ward.pass_minutes(5)
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        ward.work()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["key-ana", "key-bea"] == ward.keys()


def test_the_timeline_collects_by_itself(ward: Ward, psql: Any) -> None:
    """
    Alerts and runs of runbooks are in it once, without being told.
    """
    number = opened(ward)
    notice(psql, ward, rule="no_primary", level=2, severity="warning", channels=["email"])
    psql.execute(
        "INSERT INTO operator_runs (run_id, action, task, started_at, ended_at, outcome, summary,"
        " actor, host, pid) VALUES (gen_random_uuid(), 'runbook', 'failover', %(at)s, %(at)s, 'ok',"
        " 'Promoted.', 'ana', 'h', 1)",
        {"at": ward.clock()},
    )
    for _ in range(2):
        ward.office.collect()
    told = [(event.kind, event.told) for event in ward.office.story(number).events]

    assert 1 == sum("Alert fires: no_primary" in text for _, text in told)
    assert 1 == sum(kind == "runbook" and "ok. Promoted." in text for kind, text in told)


def test_the_steps_of_a_failover_are_in_the_timeline(ward: Ward, tmp_path: Path) -> None:
    """
    Once each, at the moment each ended; an old failover is none of its business.
    """
    number = opened(ward)
    desk = ward.desk
    desk.settings = desk.settings.model_copy(update={"failover_state": tmp_path / "state"})
    record = Record(
        id="f1", kind="failover", driver="patroni", cluster="centro", old="a", new="b", timeline=2,
        sync_names="", started_at=ward.clock().isoformat(), actor="ana", reason="dead",
        data_loss_allowed=False, steps=[Step(name="promote", outcome="done", at_s=2.0)],
    )  # fmt: skip
    FailoverState(tmp_path / "state").keep(record)
    for _ in range(2):
        tell_failover(desk)
    told = [event for event in ward.office.story(number).events if event.kind == "failover"]

    assert ["failover centro: promote done."] == [event.told.strip() for event in told]


def test_a_level_1_alert_opens_an_incident_once(ward: Ward, psql: Any) -> None:
    """
    The worker opens it under the alert's key, with the alert's channels.
    """
    notice(
        psql, ward, rule="double", level=1, severity="critical", channels=["pager", "sms", "email"]
    )
    chore = watch_incidents(ward.desk)
    for _ in range(3):
        chore(ward.clock(), lambda: False)

    assert ["key-ana"] == ward.keys()
    assert ["ana@example.com"] == [mail["X-Rcpt-To"] for mail in ward.mail.post.received]
    assert ["double"] == [row.dedup_key for row in ward.office.listing()]


def test_what_happened_cannot_be_changed(ward: Ward, psql: Any) -> None:
    """
    Not the timeline, not a resolved incident, not by psql; and each change is in the audit trail.
    """
    number = opened(ward)
    ward.office.acknowledge(number)
    ward.office.resolve(number, told="Over.")
    for statement in (
        "UPDATE incident_events SET told = 'nothing'",
        "DELETE FROM incident_events",
        "DELETE FROM incidents",
        "UPDATE incidents SET title = 'nothing'",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            psql.execute(statement)
    with pytest.raises(IncidentOver):
        ward.office.acknowledge(number)

    actions = [entry.action for entry in ward.desk.history(number, subject="incident")]
    assert ["created", "changed", "resolved"] == actions


def test_the_post_mortem_tells_the_story(ward: Ward) -> None:
    """
    Timeline, pages and the numbers around the time, as Markdown that no text breaks.
    """
    with ward.desk.counts.timed("creation"):
        pass
    ward.desk.flusher.flush()
    number = opened(ward)
    ward.office.update(
        number, brief="Look | here", progress="p", next_steps="n", status="mitigating"
    )
    ward.pass_minutes(3)
    ward.office.resolve(number, told="Failed over.")
    text = post_mortem(ward.desk, number)

    assert text.startswith(f"# INC-{number}: Bookings fail\n")
    assert "- **Took**: 3.0 minutes" in text
    assert "Look \\| here" in text
    assert "pager:Ana" in text
    assert "| creation | 1 |" in text


def test_a_graver_level_begins_its_own_matrix(ward: Ward) -> None:
    """
    A level-2 incident that is raised calls the engineer by pager at once.
    """
    number = opened(ward, level=2)
    by_mail = len(ward.mail.post.received)
    ward.office.escalate(number, level=1)
    ward.work()

    assert 1 == by_mail
    assert ["key-ana"] == ward.keys()
