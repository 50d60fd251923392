"""
Critical path 4 after a restore: an answer kept before it is not believed after it.
"""

from __future__ import annotations

import shutil
import subprocess
from datetime import date
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr

from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.settings import Settings
from padelops.wiring import open_desk, upgrade_schema
from testbed.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from padelops import Desk

TUESDAY = date(2026, 12, 1)


class Shared:
    """A cache that outlives the database, as a Redis does."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, str]] = {}

    def get(self, key: str) -> tuple[str, str] | None:
        return self._kept.get(key)

    def put(self, key: str, stamp: str, value: str, *, ttl_s: int) -> None:
        del ttl_s
        self._kept[key] = (stamp, value)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def server(memory: Path, pg_bindir: Path | None) -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, to be copied, lost and restored."""
    server = EmbeddedPostgres(memory / "restored", bindir=pg_bindir, durable=False)
    server.ensure_running()
    yield server
    server.stop("immediate")


def desk_on(server: EmbeddedPostgres, cache: Shared) -> Desk:
    settings = Settings(
        database_url=SecretStr(server.ensure_running()), home=server.home, level1_budget_ms=10_000
    )
    upgrade_schema(settings)
    desk = open_desk(settings, clock=Clock())
    desk.__dict__["cache"] = cache
    return desk


def free(desk: Desk) -> list[str]:
    """The free starts of court 2, as the club's clock shows them."""
    day: dict[str, Any] = desk.availability("centro", TUESDAY, minutes=60).as_json()
    starts = next(one["free"] for one in day["courts"] if one["court"] == "centro/2")
    return [start["starts_at"][11:16] for start in starts]


def test_what_was_kept_before_a_restore_is_not_believed_after_it(
    server: EmbeddedPostgres, demo_clubs: Path
) -> None:
    """
    Changes that a restore took back and those that came afterwards count the same. The cache keeps
    the answer of the time that never was; the server's new timeline tells the two apart.
    """
    cache = Shared()
    backup = server.home / "backup"
    with desk_on(server, cache) as desk:
        desk.apply_club_file(demo_clubs)
    server.stop()
    subprocess.run(["cp", "-a", server.data, backup], check=True)
    with desk_on(server, cache) as desk:
        desk.book("centro/2", "2026-12-01T18:00", minutes=60, player="Lost")
        before = free(desk)
    server.stop("immediate")
    shutil.rmtree(server.data)
    subprocess.run(["cp", "-a", backup, server.data], check=True)
    (server.data / "standby.signal").touch()
    server.ensure_running()
    with psycopg.connect(server.admin_url(), autocommit=True) as admin:
        admin.execute("SELECT pg_promote()")
    with desk_on(server, cache) as desk:
        desk.book("centro/2", "2026-12-01T20:00", minutes=60, player="New")
        after = free(desk)

    assert "18:00" not in before
    assert "20:00" in before
    assert "18:00" in after
    assert "20:00" not in after
