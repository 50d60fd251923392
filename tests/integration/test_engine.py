"""
What a failing database means: nothing happened, try again, or nobody knows and the key will tell.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr

from padelops import SearchRequest, open_desk
from padelops.adapters.database_cache import DatabaseCache
from padelops.booking.double_booking import within
from padelops.errors import (
    CacheUnavailable,
    CommitLost,
    ConstraintBroken,
    CourtBusy,
    CourtTaken,
    DatabaseSlow,
    DatabaseUnavailable,
    IllegalMove,
    NotPermitted,
    OutcomeUnknown,
    PadelopsError,
    Unavailable,
)
from padelops.model import Door, Origin
from padelops.store.deadline import Deadline
from padelops.store.driver_errors import explain
from padelops.store.engine import Database, Tx
from testbed.invariants import broken
from testbed.racing import Running, waiting_on_a_lock
from testbed.rows import column, insert, one, reservation_row
from testbed.standbys import standby_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops import Desk, Settings
    from padelops.adapters.embedded_postgres import EmbeddedPostgres

COURT = "centro/2"
AT_SIX = "2026-12-01T18:00"
ME = Origin("tester", Door.LIBRARY)


def terminate(psql: Any, pid: int) -> None:
    assert one(psql, "SELECT pg_terminate_backend(%s, 5000)", pid)


@pytest.mark.parametrize("rival_commits", [False, True])
@pytest.mark.parametrize("courts", [COURT, ("centro/1", COURT)])
def test_a_connection_lost_while_the_database_decides(
    desk: Desk, raw: Callable[[], Any], psql: Any, rival_commits: bool, courts: Any
) -> None:
    """
    A booking whose backend is killed while it waits asks again by itself: booked once, or taken.
    """
    rival = raw()
    rival.execute("BEGIN")
    rivals = insert(rival, "claims", reservation_row(rival, COURT))
    booking = Running(partial(desk.book, courts, AT_SIX, minutes=60, player="A"))
    terminate(psql, waiting_on_a_lock(psql)[0])
    if isinstance(courts, str):
        waiting_on_a_lock(psql)
    rival.execute("COMMIT" if rival_commits else "ROLLBACK")

    finish = booking.finish()
    if isinstance(courts, tuple):
        # Inside a transaction, before its commit: certainly nothing happened, and that is said.
        assert DatabaseUnavailable is type(finish.error)
        assert ([rivals] if rival_commits else []) == column(psql, "SELECT id FROM claims")
    elif rival_commits:
        assert CourtTaken is type(finish.error)
        assert [rivals] == column(psql, "SELECT id FROM claims")
    else:
        assert not finish.value.replayed
        assert [finish.value.reservation.id] == column(psql, "SELECT id FROM claims")
    assert [] == broken(psql)


def test_a_lost_connection_and_a_database_that_stays_away(
    desk: Desk, raw: Callable[[], Any], psql: Any, outage: Callable[[], Any]
) -> None:
    """
    Then nobody knows: the error carries the key, and asking again with it settles the matter.
    """
    rival = raw()
    rival.execute("BEGIN")
    insert(rival, "claims", reservation_row(rival, COURT))
    booking = Running(partial(desk.book, COURT, AT_SIX, minutes=60, player="A"))
    waiting_on_a_lock(psql)
    with outage():
        error = booking.finish().error
    rival.execute("ROLLBACK")

    assert OutcomeUnknown is type(error)
    assert error.facts["key"] in str(error)
    settled = desk.book(COURT, AT_SIX, minutes=60, player="A", key=error.facts["key"])
    assert [settled.reservation.id] == column(psql, "SELECT id FROM claims")


class Meddled:
    """Stands in for a connection: `instead` is called for the first insert of a claim."""

    def __init__(self, tx: Any, instead: Callable[..., Any]) -> None:
        self._tx = tx
        self._instead = instead

    def execute(self, query: bytes, *values: Any) -> Any:
        if b"INSERT INTO claims" in query:
            return self._instead(self._tx, query, *values)
        return self._tx.execute(query, *values)

    run = execute

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


@contextmanager
def meddling(instead: Callable[..., Any]) -> Iterator[None]:
    """While this lasts, the first claim that is sent meets `instead` of the database."""
    deciding = Database.deciding
    first = [instead]

    @contextmanager
    def meddled(self: Database) -> Iterator[Any]:
        with deciding(self) as tx:
            yield Meddled(tx, first.pop()) if first else tx

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "deciding", meddled)
        yield


def losing_the_answer(what: Callable[[], Any] = lambda: None) -> Any:
    """The database commits the claim, then `what` happens, and the answer never arrives."""

    def instead(tx: Any, query: bytes, *values: Any) -> Any:
        tx.execute(query, *values)
        what()
        tx.close()
        raise psycopg.OperationalError("the network went away")

    return meddling(instead)


def test_an_answer_lost_after_the_commit(desk: Desk, psql: Any) -> None:
    """
    Committed, but the answer never came: asked again by key, it is the booking made, not a replay.
    """
    with losing_the_answer():
        made = desk.book(COURT, AT_SIX, minutes=60, player="A", key="k")

    assert not made.replayed
    assert [made.reservation.id] == column(psql, "SELECT id FROM claims")
    assert desk.book(COURT, AT_SIX, minutes=60, player="A", key="k").replayed


def test_an_answer_lost_after_the_commit_and_a_club_that_changed(
    desk: Desk, another_desk: Callable[..., Desk], psql: Any, tmp_path: Path, demo_clubs: Path
) -> None:
    """
    Even if the court is closed before the second try: the booking stands, and is what is answered.
    """
    text = demo_clubs.read_text(encoding="utf-8").replace('{name: "2",', '{name: "9",', 1)
    (tmp_path / "clubs.yaml").write_text(text, encoding="utf-8")
    other = another_desk()

    def close_court() -> None:
        other.apply_club_file(tmp_path / "clubs.yaml")
        desk.catalogue.read("centro")

    with losing_the_answer(close_court):
        made = desk.book(COURT, AT_SIX, minutes=60, player="A")

    assert [made.reservation.id] == column(psql, "SELECT id FROM claims")


def test_an_answer_lost_after_the_commit_and_then_the_database(
    desk: Desk, psql: Any, outage: Callable[[], Any]
) -> None:
    """
    Booked, the answer lost, the database away: unknown with the key, never "nothing was changed".
    """
    away = outage()
    with losing_the_answer(away.__enter__), pytest.raises(OutcomeUnknown) as caught:
        desk.book(COURT, AT_SIX, minutes=60, player="A", key="k")
    away.__exit__(None, None, None)

    assert "k" == caught.value.facts["key"]
    assert desk.book(COURT, AT_SIX, minutes=60, player="A", key="k").replayed
    assert 1 == one(psql, "SELECT count(*) FROM claims")


def test_a_database_away_before_anything_was_asked(desk: Desk, outage: Callable[[], Any]) -> None:
    """
    Then certainly nothing happened, and each call says so: unavailable, try again.
    """
    made = desk.book("centro/1", AT_SIX, minutes=60, player="A").reservation.id
    with outage():
        for call in (
            partial(desk.book, COURT, AT_SIX, minutes=60, player="A"),
            partial(desk.book, (COURT, "centro/3"), AT_SIX, minutes=60, player="A"),
            partial(desk.cancel, made),
            partial(desk.settle_at_desk, made),
            partial(desk.show, made),
            partial(desk.search, SearchRequest()),
            desk.clubs, desk.verify_audit, desk.seal_audit,
        ):  # fmt: skip
            with pytest.raises(PadelopsError) as caught:
                call()
            assert caught.value.retryable, call
            assert "password" not in str(caught.value)

    assert "confirmed" == desk.show(made).status


def test_pooled_connections_that_died_meanwhile(desk: Desk, psql: Any, outage: Any) -> None:
    """
    After a restart of the database the first booking works: its key makes asking again safe.
    """
    desk.book(COURT, AT_SIX, minutes=60, player="A")
    with outage():
        pass

    made = desk.book("centro/3", AT_SIX, minutes=60, player="B")

    assert not made.replayed
    assert 2 == one(psql, "SELECT count(*) FROM claims")


def test_a_cancellation_whose_commit_is_lost(
    desk: Desk, psql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Cancelled, the answer lost: asking again gives the same answer, and one cancellation.
    """
    made = desk.book(COURT, AT_SIX, minutes=60, player="A").reservation.id
    transaction = Database.transaction
    lost: list[bool] = []

    @contextmanager
    def lossy(self: Database, *args: Any, **more: Any) -> Iterator[Any]:
        with transaction(self, *args, **more) as tx:
            yield tx
        if not lost:
            lost.append(True)
            raise CommitLost

    monkeypatch.setattr(Database, "transaction", lossy)
    done = desk.cancel(made)

    assert "cancelled" == done.reservation.status
    assert 2 == one(psql, "SELECT version FROM claims")


def test_an_unknown_cancellation_says_how_to_settle_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where asking again is not possible either, the reservation and the command are named.
    """
    made = desk.book(COURT, AT_SIX, minutes=60, player="A").reservation.id

    def lossy(*_: Any, **__: Any) -> Any:
        raise CommitLost

    monkeypatch.setattr(Database, "transaction", lossy)
    with pytest.raises(OutcomeUnknown) as caught:
        desk.cancel(made)

    assert made == caught.value.facts["reservation_id"]
    assert f"padelops cancel {made}" in str(caught.value)


def test_a_caller_interrupted_while_the_database_decides(desk: Desk, psql: Any) -> None:
    """
    Ctrl-C during the deciding statement is an unknown outcome with a key, not silence.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with meddling(interrupt), pytest.raises(OutcomeUnknown) as caught:
        desk.book(COURT, AT_SIX, minutes=60, player="A", key="k")

    assert "k" == caught.value.facts["key"]
    assert 0 == one(psql, "SELECT count(*) FROM claims")


@contextmanager
def no_standby_answers(raw: Callable[[], Any], ending: str) -> Iterator[list[int]]:
    """Commits wait for a standby that is not there, and each wait is ended by `ending`."""
    admin, canary = raw(), raw()
    how, ended, over = ["pg_cancel_backend"], [], threading.Event()
    admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    admin.execute("SELECT pg_reload_conf()")

    def end_waits() -> None:
        while not over.wait(0.01):
            waiting = (
                "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                " AND datname = current_database()"
            )
            for pid in column(admin, waiting):
                admin.execute(f"SELECT {how[-1]}(%s)".encode(), [pid])
                ended.append(pid)

    ender = threading.Thread(target=end_waits, daemon=True)
    ender.start()
    try:
        while not ended:  # a reload takes effect when it does
            canary.execute("SELECT pg_logical_emit_message(true, 'canary', '')")
            time.sleep(0.01)
        ended.clear()
        how.append(ending)
        yield ended
    finally:
        over.set()
        ender.join(20)
        admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        admin.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("courts", [COURT, ("centro/1", COURT)])
def test_a_commit_that_the_standby_never_confirmed(
    desk: Desk, raw: Callable[[], Any], courts: Any
) -> None:
    """
    A synchronous commit whose wait is cancelled returns normally, with a warning alone: unknown.
    """
    with (
        no_standby_answers(raw, "pg_cancel_backend") as ended,
        pytest.raises(OutcomeUnknown) as caught,
    ):
        desk.book(courts, AT_SIX, minutes=60, player="A", key="k")

    assert ended
    assert "k" == caught.value.facts["key"]
    assert desk.book(courts, AT_SIX, minutes=60, player="A", key="k").replayed


@pytest.mark.parametrize("ending", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_replay_is_only_told_once_it_is_safe(
    desk: Desk, raw: Callable[[], Any], ending: str
) -> None:
    """
    A replay of a booking that no standby has confirmed waits like the booking did; if that wait is
    cut short, the outcome stays unknown.
    """
    desk.book(COURT, AT_SIX, minutes=60, player="A", key="k")

    with no_standby_answers(raw, ending), pytest.raises(OutcomeUnknown) as caught:
        desk.book(COURT, AT_SIX, minutes=60, player="A", key="k")

    assert "k" == caught.value.facts["key"]


def test_settling_waits_for_the_standby(desk: Desk, raw: Callable[[], Any]) -> None:
    """
    Settling by itself waits behind what is visible, and says when that wait was cut short.
    """
    desk.database.settle()

    with no_standby_answers(raw, "pg_cancel_backend") as ended, pytest.raises(OutcomeUnknown):
        desk.database.settle()

    assert ended


def test_a_cancel_that_comes_twice(desk: Desk) -> None:
    """
    After the warning an error may still follow: what has committed is not called "try again".
    """
    cancel = b"SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)"
    with pytest.raises(DatabaseSlow), desk.database.deciding() as tx:
        tx.execute(cancel)

    def cancelled_after_the_warning() -> None:
        with desk.database.deciding() as tx:
            tx.unreplicated = True
            tx.execute(cancel)

    with pytest.raises(OutcomeUnknown):
        cancelled_after_the_warning()


def test_a_statement_that_takes_too_long(another_desk: Callable[..., Desk], psql: Any) -> None:
    """
    A statement over the budget ends as `database_slow`, which callers may repeat: no rival did it.
    """
    desk = another_desk(level1_budget_ms=200)

    with pytest.raises(DatabaseSlow) as caught, desk.database.reading() as tx:
        tx.execute("SELECT pg_sleep(5)")

    assert caught.value.retryable
    assert "57014" == caught.value.facts["sqlstate"]
    assert one(psql, "SELECT true")


def test_a_transaction_is_given_what_is_left_of_its_operation(desk: Desk) -> None:
    """
    No statement of it may take longer, nor wait for a lock longer than its share; nothing of that
    stays with the connection, and where nothing is left it does not begin.
    """
    passed = [0.0]
    deadline = Deadline(0.5, clock=lambda: passed[0])

    def limits(tx: Any) -> tuple[str, str]:
        shown = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        statement, lock = tx.execute(shown).fetchone()
        return statement, lock

    with desk.database.reading() as tx:
        usual = limits(tx)
    passed[0] = 0.3
    with desk.database.transaction(ME, deadline=deadline) as tx:
        late = limits(tx)
    with desk.database.reading() as tx:
        afterwards = limits(tx)
    passed[0] = 0.5

    assert ("200ms", "160ms") == late
    assert usual == afterwards != late
    with pytest.raises(CourtBusy), desk.database.transaction(ME, deadline=deadline):
        pass


def test_what_lost_against_a_rival_is_tried_again_while_there_is_time() -> None:
    """
    Attempts that fail fast are repeated until the budget is spent; a slow one is not started again.
    """
    tries: list[float] = []

    def lose() -> None:
        tries.append(time.monotonic())
        if len(tries) > 1_000_000:
            raise AssertionError("it never stops")
        raise CourtBusy

    begun = time.monotonic()
    with pytest.raises(CourtBusy):
        within(Deadline(0.02), lose)

    assert 1 < len(tries)
    assert time.monotonic() - begun < 2


def test_a_deadlock_is_contention(desk: Desk, raw: Callable[[], Any], psql: Any) -> None:
    """
    Two writers in each other's way: whoever the database picks hears `court_busy`, not a raw error.
    """
    first = desk.book(COURT, AT_SIX, minutes=60, player="A").reservation.id
    second = desk.book("centro/3", AT_SIX, minutes=60, player="B").reservation.id
    rival = raw()
    rival.execute("SET deadlock_timeout = '10s'")  # so that it is we who notice
    lock = "SELECT FROM claims WHERE id = %s FOR UPDATE"
    rival.execute("BEGIN")
    rival.execute(lock, [second])

    def ours() -> None:
        with desk.bulk.transaction(ME) as tx:
            tx.execute(lock, [first])
            tx.execute(lock, [second])

    waiting = Running(ours)
    waiting_on_a_lock(psql)
    rival.execute(lock, [first])
    rival.execute("ROLLBACK")

    assert CourtBusy is type(waiting.finish().error)
    assert "confirmed" == desk.show(first).status


def test_every_connection_in_use(another_desk: Callable[..., Desk]) -> None:
    """
    A pool that is exhausted says which setting to raise.
    """
    desk = another_desk(pool_size=1, connect_timeout_s=1)

    with (
        desk.database.reading(),
        pytest.raises(DatabaseUnavailable, match="PADELOPS_POOL_SIZE"),
        desk.database.reading(),
    ):
        pass


def test_a_connection_left_inside_a_transaction_is_not_handed_on(desk: Desk, psql: Any) -> None:
    """
    Whatever a caller leaves open is closed with its connection: nothing leaks to the next one.
    """
    with desk.database.reading() as tx:
        left = tx.info.backend_pid
        tx.execute("BEGIN")
        tx.execute("CREATE TEMP TABLE leaked (x int)")

    with desk.database.reading() as tx:
        assert left != tx.info.backend_pid
    assert one(psql, "SELECT to_regclass('leaked') IS NULL")


def test_the_origin_does_not_leak(desk: Desk, psql: Any) -> None:
    """
    The actor of one transaction is not the actor of the next statement on that connection.
    """
    desk.book(COURT, AT_SIX, minutes=60, player="A")
    with desk.database.reading() as tx:
        tx.execute("UPDATE claims SET notes = 'by hand'")

    assert ["tester", "padelops"] == column(
        psql, "SELECT actor FROM audit_entries WHERE subject_kind = 'reservation' ORDER BY version"
    )


@pytest.mark.parametrize(
    ("statement", "error", "constraint"),
    [
        ("UPDATE claims SET status = 'expired'", IllegalMove, "claims_allowed_moves"),
        ("UPDATE claims SET total = 1", IllegalMove, "claims_terms_frozen"),
        ("DELETE FROM claims", ConstraintBroken, "claims_append_only"),
        ("UPDATE claims SET player_count = 0", ConstraintBroken, "claims_player_count_bounded"),
    ],
)  # fmt: skip
def test_a_broken_constraint_is_called_by_its_name(
    desk: Desk, statement: str, error: type[PadelopsError], constraint: str
) -> None:
    """
    Violations become padelops errors that carry the constraint's name.
    """
    desk.book(COURT, AT_SIX, minutes=60, player="A")

    with pytest.raises(error) as caught, desk.database.transaction(ME) as tx:
        tx.execute(statement.encode())

    assert constraint == caught.value.facts["constraint"]


RIGHTS = [
    ("REVOKE INSERT ON claims FROM padelops", "book", "claims"),
    ("REVOKE INSERT ON audit_entries FROM padelops", "book", "audit_entries"),
    ("REVOKE INSERT ON messages FROM padelops", "book", "messages"),
    ("REVOKE UPDATE ON claims FROM padelops", "cancel", "claims"),
    ("REVOKE SELECT ON clubs FROM padelops", "clubs", "clubs"),
    ("REVOKE SELECT ON audit_seals FROM padelops", "verify", "audit_seals"),
    ("REVOKE INSERT ON audit_seals FROM padelops", "seal", "audit_seals"),
]


@pytest.mark.parametrize(("revoke", "what", "table"), RIGHTS)
def test_a_right_that_is_missing_is_named(
    desk: Desk, psql: Any, revoke: str, what: str, table: str
) -> None:
    """
    Permission denied is exit code 4, names what is missing, and changes nothing.
    """
    made = desk.book("centro/1", AT_SIX, minutes=60, player="A").reservation.id
    psql.execute(revoke.encode())
    calls: dict[str, Callable[[], Any]] = {
        "book": partial(desk.book, COURT, AT_SIX, minutes=60, player="A"),
        "cancel": partial(desk.cancel, made),
        "clubs": desk.clubs,
        "verify": desk.verify_audit,
        "seal": desk.seal_audit,
    }

    with pytest.raises(NotPermitted, match=table) as caught:
        calls[what]()

    assert 4 == caught.value.exit_code
    assert [(made, "confirmed")] == psql.execute("SELECT id, status FROM claims").fetchall()


def test_a_role_that_may_only_read(desk: Desk, psql: Any) -> None:
    """
    A reporting role reads and closes its desk without a complaint about counts.
    """
    for table in ("claims", "counters", "cache_entries"):
        psql.execute(f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM padelops".encode())

    assert desk.availability("centro", date(2026, 12, 1)).certain
    assert () == desk.search(SearchRequest()).reservations
    desk.close()


def test_a_login_that_is_refused(settings: Settings, database_url: str) -> None:
    """
    A role that the server refuses is a matter of permission: exit code 4, and no secret shown.
    """
    url = database_url.replace("padelops@", "stranger:s3cret@")

    with pytest.raises(NotPermitted) as caught:
        open_desk(settings.model_copy(update={"database_url": SecretStr(url)}))

    assert "stranger" in str(caught.value)
    assert "s3cret" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "url",
    ["postgresql://padelops@127.0.0.1:1/x", "postgresql:///x?host=/nowhere",
     "postgresql://padelops@no-such-host.invalid/x"],
)  # fmt: skip
def test_a_server_that_is_not_there(settings: Settings, url: str) -> None:
    """
    No server at the address: unavailable, with the reason, within the connect timeout.
    """
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        open_desk(
            settings.model_copy(update={"database_url": SecretStr(url), "connect_timeout_s": 2})
        )

    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("url", ["nonsense", "postgresql://host:port/x", "http://x", "=", "\x00"])
def test_an_address_that_is_none(settings: Settings, url: str) -> None:
    """
    An address that cannot be parsed is refused in one line.
    """
    with pytest.raises(PadelopsError) as caught:
        open_desk(settings.model_copy(update={"database_url": SecretStr(url)}))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("40001", CourtBusy), ("40P01", CourtBusy), ("55P03", CourtBusy), ("57014", DatabaseSlow),
        ("57P01", DatabaseUnavailable), ("57P02", DatabaseUnavailable),
        ("57P03", DatabaseUnavailable), ("08006", DatabaseUnavailable),
        ("25P03", DatabaseUnavailable), ("25P04", DatabaseUnavailable),
        ("25006", DatabaseUnavailable), ("53100", DatabaseUnavailable),
        ("53200", DatabaseUnavailable), ("53300", DatabaseUnavailable),
        ("58030", DatabaseUnavailable), ("42501", NotPermitted),
    ],
)  # fmt: skip
def test_what_a_sqlstate_means(psql: Any, sqlstate: str, kind: type[PadelopsError]) -> None:
    """
    Errors that PostgreSQL raises in operation have one padelops error each.
    """
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'boom' USING ERRCODE = '{sqlstate}'; END $$"
    with pytest.raises(psycopg.Error) as caught:
        psql.execute(raising.encode())

    assert kind is type(explain(caught.value))


@pytest.mark.parametrize("sqlstate", ["XX001", "XX002"])
def test_damaged_storage_wakes_a_person(psql: Any, sqlstate: str) -> None:
    """
    Corrupt data or index is `corrupt`, not "try again".
    """
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'boom' USING ERRCODE = '{sqlstate}'; END $$"
    with pytest.raises(psycopg.Error) as caught:
        psql.execute(raising.encode())
    explained = explain(caught.value)

    assert explained is not None
    assert ("corrupt", False) == (explained.code, explained.retryable)


def test_wrong_sql_is_not_explained_away(desk: Desk) -> None:
    """
    A mistake in padelops itself surfaces as what it is.
    """
    with pytest.raises(psycopg.errors.SyntaxError), desk.database.reading() as tx:
        tx.execute("SELEKT 1")


def test_a_transaction_that_idled_too_long(desk: Desk, psql: Any) -> None:
    """
    The server ends a transaction whose client sleeps in it; the client hears that nothing happened.
    """

    def oversleep() -> None:
        with desk.database.transaction(ME) as tx:
            tx.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
            gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            while one(psql, gone, tx.info.backend_pid):
                time.sleep(0.01)
            tx.execute("SELECT 1")

    with pytest.raises(Unavailable):
        oversleep()

    assert desk.clubs()


@pytest.fixture(scope="module")
def standby(
    memory: Path, postgres_server: EmbeddedPostgres, template: str
) -> Iterator[Callable[[str], str]]:
    """A hot standby of this process's server; gives the URL of one of its databases."""
    with standby_of(postgres_server, memory) as server:
        yield server.url
    assert template


@pytest.fixture
def reading_desk(
    standby: Callable[[str], str], another_desk: Callable[..., Desk], template: str
) -> Desk:
    """A desk on the standby's copy of the template."""
    return another_desk(database_url=SecretStr(standby(template)))


def test_a_standby_answers_and_takes_nothing(reading_desk: Desk) -> None:
    """
    Availability, prices and searches are answered, without a cache; changes are refused with the
    reason, and nothing is ever reported as booked.
    """
    day = reading_desk.availability("centro", date(2026, 12, 1), minutes=60)
    again = reading_desk.availability("centro", date(2026, 12, 1), minutes=60)

    assert (True, False, False) == (day.certain, day.from_cache, again.from_cache)
    assert day.courts[1].starts
    assert () == reading_desk.search(SearchRequest()).reservations
    with pytest.raises(CacheUnavailable):
        DatabaseCache(reading_desk.database).get("k")
    for call in (
        partial(reading_desk.book, COURT, AT_SIX, minutes=60, player="A"),
        partial(reading_desk.book, (COURT, "centro/1"), AT_SIX, minutes=60, player="A"),
        reading_desk.seal_audit,
    ):
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            call()
    assert reading_desk.verify_audit().intact


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://ana:s3cret@db1,db2/padelops", "at db1,db2 did not answer"),
        ("postgresql://ana:s3cret@db1:6432/padelops", "at db1 (port 6432) did not answer"),
        ("postgresql:///padelops?host=/run/pg&password=s3cret", "at its socket did not answer"),
    ],
)
def test_a_server_that_is_silent_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, where: str
) -> None:
    """Libpq's timeout names nobody: who is called at night hears where, and what to ask."""

    def silent(*_: object, **__: object) -> Tx:
        raise psycopg.errors.ConnectionTimeout("connection timeout expired")

    monkeypatch.setattr(Tx, "connect", silent)

    with pytest.raises(DatabaseUnavailable) as caught:
        Database(url, budget_ms=500).connect()

    assert f"The database {where}: connection timeout expired." == caught.value.message
    assert "padelops db status" in (caught.value.fix or "")
    assert "s3cret" not in str(caught.value)
