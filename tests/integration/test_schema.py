"""
The schema is moved once, by whoever comes first, and a program that does not fit it says so.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr

from padelops.errors import NotPermitted, SchemaAhead, SchemaBehind
from padelops.settings import Settings
from padelops.store import schema
from padelops.wiring import open_desk, upgrade_schema
from testbed.racing import race
from testbed.rows import column, one

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops import Desk
    from padelops.adapters.embedded_postgres import EmbeddedPostgres

VERSION = "UPDATE alembic_version SET version_num = %s"


@pytest.fixture
def empty(empty_database: str, postgres_server: EmbeddedPostgres) -> Settings:
    """Settings for a database with nothing in it."""
    return Settings(database_url=SecretStr(empty_database), home=postgres_server.home)


def test_an_empty_database_is_refused(empty: Settings) -> None:
    """
    A configured database is never moved behind its owner's back: the command is named.
    """
    with pytest.raises(SchemaBehind, match="padelops db upgrade") as caught:
        open_desk(empty)

    assert ("0000", schema.needed()) == (caught.value.facts["found"], caught.value.facts["needed"])


def test_an_older_schema_is_refused(settings: Settings, psql: Any) -> None:
    """
    Behind by one migration: refused until it is upgraded.
    """
    psql.execute(VERSION, ["0000"])

    with pytest.raises(SchemaBehind):
        open_desk(settings)


def test_a_newer_schema_is_refused(settings: Settings, psql: Any) -> None:
    """
    A database that is ahead is neither used nor moved; the program must follow.
    """
    psql.execute(VERSION, ["9999"])

    for call in (partial(open_desk, settings), partial(upgrade_schema, settings)):
        with pytest.raises(SchemaAhead, match="Upgrade padelops"):
            call()
    assert "9999" == one(psql, "SELECT version_num FROM alembic_version")


def test_two_upgrades_at_once(empty: Settings) -> None:
    """
    Four upgrades of one empty database: all end well, and it was moved once.
    """
    finishes = race(*[partial(upgrade_schema, empty)] * 4)

    assert [None] * 4 == [finish.error for finish in finishes]
    assert {schema.needed()} == {finish.value.found for finish in finishes}
    with open_desk(empty) as desk:
        assert [] == desk.clubs()


def test_an_upgrade_that_is_not_needed(settings: Settings, desk: Desk) -> None:
    """
    Upgrading what is current changes nothing, also while a desk is open on it.
    """
    before = desk.clubs()

    assert upgrade_schema(settings).current
    assert before == desk.clubs()


def test_an_upgrade_without_the_right_to(
    empty: Settings, postgres_server: EmbeddedPostgres
) -> None:
    """
    A role that may not create tables hears what it lacks, and nothing is left behind.
    """
    assert empty.database_url is not None
    name = empty.database_url.get_secret_value().rpartition("@/")[2].partition("?")[0]
    with psycopg.connect(postgres_server.admin_url(name), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" OWNER TO postgres'.encode())
        admin.execute("ALTER SCHEMA public OWNER TO postgres")
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")

        with pytest.raises(NotPermitted, match="permission denied"):
            upgrade_schema(empty)

        assert [] == column(admin, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


def test_an_upgrade_that_fails_half_way(empty: Settings, postgres_server: EmbeddedPostgres) -> None:
    """
    A migration that meets something in its way is rolled back whole, and works once that is gone.
    """
    assert empty.database_url is not None
    name = empty.database_url.get_secret_value().rpartition("@/")[2].partition("?")[0]
    with psycopg.connect(postgres_server.admin_url(name), autocommit=True) as admin:
        admin.execute("CREATE VIEW audit_seals AS SELECT 1 AS x")

        with pytest.raises(Exception, match="audit_seals"):
            upgrade_schema(empty)

        assert not one(admin, "SELECT to_regclass('clubs') IS NOT NULL")
        admin.execute("DROP VIEW audit_seals")
    assert upgrade_schema(empty).current


def test_a_desk_survives_an_upgrade_under_it(desk: Desk, psql: Any) -> None:
    """
    Prepared statements whose tables were changed meanwhile are answered by "try again" at the most.
    """
    for _ in range(8):  # often enough for the server to keep the statements prepared
        desk.clubs()
        desk.show(desk.book("centro/1", "2026-12-01T18:00", player="A", key="k").reservation.id)
    psql.execute("ALTER TABLE clubs ADD COLUMN later text")
    psql.execute("ALTER TABLE claims ADD COLUMN later text")

    again: list[Callable[[], Any]] = [
        desk.clubs,
        partial(desk.book, "centro/2", "2026-12-01T18:00", player="B"),
        partial(desk.show, 1),
    ]
    for call in again:
        (finish,) = race(call)
        assert finish.ok or finish.error.retryable  # type: ignore[union-attr]
