"""
The emergency response end to end: `padelops health --on-critical incident` with real faults, a real
pager service and a real mail server.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from padelops import trigger_emergency_response
from padelops.circuit_breakers.record import State
from padelops.settings import Settings
from padelops.wiring import open_desk
from padelops.wiring.emergency import release_breakers
from testbed.gateway_peers import kept_environment
from testbed.mail_server import MailServer
from testbed.pager_service import PagerService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from padelops.adapters.embedded_postgres import EmbeddedPostgres

PEOPLE = """
roles:
  on_call_engineer: [{name: Ana, email: ana@example.com, pagerduty: key-ana}]
  engineering_manager: [{name: Bea, email: bea@example.com, pagerduty: key-bea}]
"""
IMMEDIATE_S = 30
"""Source: CRITICAL_PATHS.md, "Immediate Response (< 30 seconds)"."""


@pytest.fixture
def pager() -> Iterator[PagerService]:
    with PagerService() as pager:
        yield pager


@pytest.fixture
def people(tmp_path: Path) -> Path:
    file = tmp_path / "oncall.yaml"
    file.write_text(PEOPLE)
    return file


@pytest.fixture
def house(people: Path, pager: PagerService, tmp_path: Path) -> dict[str, str]:
    """The settings of a house whose people can be reached, but for its database."""
    return kept_environment() | {
        "PADELOPS_HOME": str(tmp_path / "home"),
        "PADELOPS_ROSTER": str(people),
        "PADELOPS_PAGERDUTY_URL": pager.url,
    }


def health(house: dict[str, str], *arguments: str, **changes: str) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "padelops", "health", "--on-critical", "incident", *arguments],
        env=house | changes, stdin=subprocess.DEVNULL,
        capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip


def test_a_stopped_postmaster_pages_and_is_recorded_afterwards(
    database_url: str,
    postgres_server: EmbeddedPostgres,
    house: dict[str, str],
    pager: PagerService,
) -> None:
    """
    The page goes out from a file within 30 s, once; when the database is back, so is the incident.
    """
    house["PADELOPS_DATABASE_URL"] = database_url
    pid = postgres_server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        first = health(house, "--check", "database")
        took = time.monotonic() - began
        second = health(house, "--check", "database")
        paged = len(pager.of("trigger"))
    finally:
        os.kill(pid, signal.SIGCONT)

    assert (2, 2) == (first.returncode, second.returncode)
    assert "on_call_engineer reached by pager:Ana" in first.stderr
    assert took < IMMEDIATE_S
    assert 1 == paged

    with open_desk(Settings.from_environment(house)) as desk:
        with desk.worker() as worker:
            worker.round(lambda: False, all_chores=True)
        rows = desk.incidents.listing()
        desk.incidents.resolve(rows[0].id, told="The server goes on.")
        desk.paging.send_due()
        told = [event.told for event in desk.incidents.story(rows[0].id).events]

    assert ["health"] == [row.dedup_key for row in rows]
    assert any("While the database was away: on_call_engineer was called" in one for one in told)
    assert 1 == len(pager.of("trigger"))
    # The alarm that rang while the database was away falls silent as well.
    assert [pager.of("trigger")[0]["dedup_key"]] == [e["dedup_key"] for e in pager.of("resolve")]


def test_a_critical_gateway_pages_and_lets_payments_queue(
    database_url: str, house: dict[str, str], pager: PagerService
) -> None:
    """
    The breaker of payments is open, creation's is not; resolving releases it.
    """
    found = health(
        house, "--check", "payment_gateway",
        PADELOPS_DATABASE_URL=database_url, PADELOPS_SANDBOX_URL="http://127.0.0.1:1",
    )  # fmt: skip
    settings = Settings.from_environment(house | {"PADELOPS_DATABASE_URL": database_url})
    with open_desk(settings) as desk:
        number = desk.incidents.listing()[0].id
        states = {one.name: one.snapshot().state for one in desk.breakers.all()}
        desk.incidents.resolve(number, told="The gateway is back.")
        released = release_breakers(desk, number)

    assert 2 == found.returncode
    assert "payments queue until" in found.stderr
    assert 1 == len(pager.of("trigger"))
    assert State.FORCED_OPEN is states["payment_processing"]
    assert State.CLOSED is states["reservation_creation"]
    assert 1 == len(released)


def test_who_cannot_be_reached_is_said(house: dict[str, str]) -> None:
    """
    Nobody on call: the report stays critical, and the line says to call by hand.
    """
    found = health(
        house, "--check", "database", PADELOPS_DATABASE_URL="postgresql://x@127.0.0.1:1/x",
        PADELOPS_ROSTER="",
    )  # fmt: skip

    assert 2 == found.returncode
    assert "NOT reached" in found.stderr
    assert "by hand" in found.stderr


def test_the_mail_stands_in_for_a_pager_that_is_down(
    people: Path, pager: PagerService, tmp_path: Path
) -> None:
    """
    Without a database as well; and the pager gets it at the next call, once.
    """
    pager.down = True
    with MailServer() as mail:
        settings = Settings(
            home=tmp_path / "home", roster=people, pagerduty_url=pager.url,
            database_url=SecretStr("postgresql://x@127.0.0.1:1/x"),
            smtp_url=SecretStr(f"smtp://127.0.0.1:{mail.port}"), mail_from="p@example.com",
        )  # fmt: skip
        told = trigger_emergency_response(settings=settings)
        pager.down = False
        for _ in range(2):
            trigger_emergency_response(settings=settings)

    assert "email:Ana" in told
    assert 1 == len(mail.post.received)
    assert 1 == len(pager.of("trigger"))


def test_an_incident_opened_by_hand_pages_without_a_database(
    house: dict[str, str], pager: PagerService
) -> None:
    """
    The page goes out, once; `incident ack` needs no database to stop it either.
    """
    house["PADELOPS_DATABASE_URL"] = "postgresql://x@127.0.0.1:1/x"

    def incident(*arguments: str) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "padelops", "incident", *arguments], env=house,
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=120,
            check=False,
        )  # fmt: skip

    first, again = incident("open", "No bookings"), incident("open", "No bookings")
    acked = incident("ack")

    assert (0, 0, 0) == (first.returncode, again.returncode, acked.returncode)
    assert "pager:Ana" in first.stdout
    assert ["key-ana"] == [event["routing_key"] for event in pager.of("trigger")]
