"""
Rebuilding indexes: beside bookings, one operator at a time, and nothing invalid stays behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.errors import CourtTaken, LockHeld, NotFound, PartlyDone
from padelops.ops import reindexing
from padelops.ops.database_stats import look
from padelops.ops.locks import operator_lock
from padelops.ops.reindexing import Reindexer, raise_if_partly
from padelops.settings import Settings
from padelops.wiring import open_desk, upgrade_schema
from testbed.racing import Running
from testbed.rows import one
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops import Desk

FIFTEEN = Path("/usr/lib/postgresql/15/bin")
NUMBERS = (
    "SELECT array_agg(indexrelid ORDER BY indexrelid) FROM pg_index WHERE indrelid = %s::regclass"
)
FILE = "SELECT pg_relation_filenode('claims_no_overlap')"
WAITS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE query LIKE 'REINDEX%%' AND wait_event_type = 'Lock' AND datname = current_database()"
)
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


@pytest.fixture
def reindexer(desk: Desk) -> Reindexer:
    return Reindexer(desk.bulk, desk.origin, desk.now)


def outcomes(result: reindexing.Reindexed) -> dict[str, str]:
    return {one.index: one.what for one in result.outcomes}


def older(raw: Callable[[], Any]) -> Any:
    """A transaction that every rebuild has to wait for."""
    connection = raw()
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    connection.execute("SELECT count(*) FROM clubs, claims")
    return connection


def test_every_index_is_rebuilt_but_the_one_that_cannot_be(reindexer: Reindexer, psql: Any) -> None:
    """
    New indexes under the old names, all valid; the exclusion constraint's is left alone, and the
    reason is told.
    """
    before, file = one(psql, NUMBERS, "courts"), one(psql, FILE)

    result = reindexer.run()

    told = outcomes(result)
    assert {"rebuilt", "left alone"} == set(told.values())
    assert ["claims_no_overlap"] == [name for name, what in told.items() if what == "left alone"]
    assert "exclusion constraint" in next(one.why for one in result.outcomes if one.why)
    assert set() == set(before) & set(one(psql, NUMBERS, "courts"))
    assert file == one(psql, FILE)
    assert 0 == one(psql, INVALID)
    assert () == result.invalid


def test_bookings_go_on_meanwhile(
    desk: Desk, reindexer: Reindexer, raw: Callable[[], Any], psql: Any
) -> None:
    """
    A rebuild that waits for an older transaction holds up nobody else.
    """
    transaction = older(raw)
    rebuilding = Running(lambda: reindexer.run(["claims"]))
    until(lambda: one(psql, WAITS))

    made = desk.book("centro/2", "2026-12-01T18:00", minutes=60, player="Ana")

    assert rebuilding.going
    transaction.close()
    finish = rebuilding.finish()
    assert finish.ok, finish.error
    assert made.reservation.id
    assert 0 == one(psql, INVALID)


def test_the_constraint_s_index_on_request(desk: Desk, reindexer: Reindexer, psql: Any) -> None:
    """
    Rebuilt, and it still decides between two bookings.
    """
    desk.book("centro/2", "2026-12-01T18:00", minutes=60, player="Ana")
    file = one(psql, FILE)

    result = reindexer.run(["claims"], block_bookings=True)

    assert {"rebuilt"} == set(outcomes(result).values())
    assert file != one(psql, FILE)
    with pytest.raises(CourtTaken):
        desk.book("centro/2", "2026-12-01T18:30", minutes=60, player="Leo")


def test_what_a_broken_rebuild_left_is_removed(
    reindexer: Reindexer, raw: Callable[[], Any], psql: Any
) -> None:
    """
    An invalid index that nobody reads and every write pays for; a valid one of such a name stays.
    """
    transaction = older(raw)
    builder = raw()
    rebuilding = Running(lambda: builder.execute("REINDEX INDEX CONCURRENTLY courts_pkey"))
    until(lambda: one(psql, WAITS))
    psql.execute("SELECT pg_cancel_backend(%s)", [builder.info.backend_pid])
    assert isinstance(rebuilding.finish().error, psycopg.errors.QueryCanceled)
    transaction.close()
    psql.execute("CREATE INDEX somebodys_ccnew ON courts (created_at)")
    assert 1 == one(psql, INVALID)

    result = reindexer.run(["courts"])

    assert ("courts_pkey_ccnew",) == result.removed
    assert 0 == one(psql, INVALID)
    assert "rebuilt" == outcomes(result)["somebodys_ccnew"]


def test_a_rebuild_that_is_in_nobody_s_way_for_ever(
    reindexer: Reindexer, raw: Callable[[], Any], psql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It gives up on a transaction that does not end, tidies up, says what is left; run again, it goes
    on with that and nothing else.
    """
    monkeypatch.setattr(reindexing, "LOCK_S", 1)
    reindexer.run(["tariffs"])
    transaction = older(raw)

    blocked = reindexer.run(["tariffs"])

    assert {"failed"} == set(outcomes(blocked).values())
    assert 0 == one(psql, INVALID)
    with pytest.raises(PartlyDone, match="tariffs_pkey"):
        raise_if_partly(blocked)
    transaction.close()
    again = reindexer.run(["tariffs"])
    raise_if_partly(again)
    assert {"rebuilt"} == set(outcomes(again).values())


def test_a_run_that_died_is_gone_on_with(
    desk: Desk, reindexer: Reindexer, psql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What it had rebuilt is not rebuilt again; a run that ended well begins anew.
    """

    class Killed(BaseException):
        """As kill -9: nothing more is written."""

    def die_at(tx: Any, name: str, **how: Any) -> None:
        if name == "courts_one_per_external_ref":
            raise Killed
        rebuild(tx, name, **how)

    rebuild = reindexing.rows.rebuild
    monkeypatch.setattr(reindexing.rows, "rebuild", die_at)
    with pytest.raises(Killed):
        reindexer.run(["courts"])
    monkeypatch.undo()

    result = outcomes(reindexer.run(["courts"]))

    assert "done before" == result["courts_belong_to_club"]
    assert "rebuilt" == result["courts_one_per_external_ref"]
    assert {"rebuilt"} == set(outcomes(reindexer.run(["courts"])).values())
    assert 0 == one(psql, "SELECT count(*) FROM operator_runs WHERE ended_at IS NULL")
    assert desk.clubs()


def test_one_operator_at_a_time(desk: Desk, reindexer: Reindexer) -> None:
    """
    The second is told who is at it, and changes nothing.
    """
    with (
        operator_lock(desk.bulk, "reindex", purpose="all", origin=desk.origin),
        pytest.raises(LockHeld, match=r"tester \(pid \d+ .*ago"),
    ):
        reindexer.run()
    with pytest.raises(NotFound, match="nowhere"):
        reindexer.run(["nowhere"])


def test_stats_show_what_is_wrong(desk: Desk, psql: Any) -> None:
    """
    A foreign key that lost its index, an index that is invalid, rows that are dead; and it says
    where something is not known.
    """
    psql.execute("DROP INDEX claims_by_party, messages_by_claim")
    psql.execute("CREATE INDEX courts_odd ON courts (attributes)")
    psql.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'courts_odd'::regclass")
    desk.book("centro/2", "2026-12-01T18:00", minutes=60, player="Ana")

    found = look(desk.bulk)

    assert ["courts_odd"] == found.invalid
    assert "messages_claim_id_fkey" in {key.name for key in found.missing}
    assert "courts_odd" in {index.name for index in found.unused}
    assert {"claims", "messages", "audit_entries"} <= {table.table for table in found.tables}
    assert all(table.table_bytes >= 0 for table in found.tables)
    assert not [
        table.table for table in found.tables if table.table == "claims" and table.rows == 0
    ]
    assert found.slow is None


def test_bloat_is_seen(desk: Desk, psql: Any) -> None:
    """
    A table whose rows are nearly all gone is nearly all bloat, and hardly any after a rewrite.
    """
    psql.execute(
        "INSERT INTO counters SELECT now(), n::text, n FROM generate_series(1, 20000) AS n"
    )
    psql.execute("DELETE FROM counters WHERE n > 100")
    psql.execute("VACUUM (TRUNCATE off, ANALYZE) counters")

    def bloat() -> tuple[int, int]:
        table = next(one for one in look(desk.bulk).tables if one.table == "counters")
        return table.bloat_bytes or 0, table.table_bytes

    swollen, size = bloat()
    psql.execute("VACUUM (FULL, ANALYZE) counters")
    left, _ = bloat()

    assert swollen > 0.8 * size
    assert left < 0.1 * swollen


@pytest.mark.skipif(not FIFTEEN.exists(), reason="PostgreSQL 15 of the system is not installed")
def test_slow_statements_where_the_server_counts_them(homes: Path) -> None:
    """
    By a real server that loads pg_stat_statements; without anybody's data in them.
    """
    server = EmbeddedPostgres(homes / "counting", bindir=FIFTEEN, durable=False)
    settings = Settings(home=server.home, postgres_bindir=FIFTEEN)
    try:
        upgrade_schema(settings)
        with psycopg.connect(server.admin_url(), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
        server.stop()
        server.ensure_running()
        with psycopg.connect(server.admin_url("padelops"), autocommit=True) as admin:
            admin.execute("CREATE EXTENSION pg_stat_statements")
            admin.execute("GRANT pg_read_all_stats TO padelops")
            admin.execute("SELECT count(*) FROM clubs WHERE name = 'Secret Ana'")
        with open_desk(settings) as desk:
            slow = look(desk.bulk).slow
    finally:
        server.stop("immediate")

    assert slow
    assert any("$1" in one.statement for one in slow)
    assert "Secret Ana" not in str(slow)
