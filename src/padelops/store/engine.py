"""
The one door to PostgreSQL: pooled connections, transactions, and what their failures mean.

Every connection is in autocommit: one statement is one transaction and one round trip, which is
what a booking is made of. Work of several statements opens a transaction explicitly. Statements
go straight to psycopg, which measured 1.2-1.6 times the bookings of the same SQL through
SQLAlchemy's `text()` (load_tests/bench_booking.py).

What a driver error means stands in `driver_errors.py`. The rule that matters most is kept here:
losing the connection *before* a commit was asked for means nothing happened
(`DatabaseUnavailable`); losing it *while* committing means nobody knows (`OutcomeUnknown`), and
only the idempotency key can tell.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow, tuple_row

from padelops.errors import CommitLost, DatabaseUnavailable, InvalidInput, OutcomeUnknown
from padelops.store.deadline import LOCK_SHARE, Deadline
from padelops.store.driver_errors import explain, lost, moved_on
from padelops.store.pool import Pool, PoolExhausted
from padelops.store.watch import NEVER, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    import sqlalchemy

    from padelops.model import Origin

SYNC_WAIT_CANCELLED = "01000"
"""SQLSTATE of the warning PostgreSQL gives when a commit's wait for its synchronous standby is
cancelled: the commit then *returns normally*, visible but not replicated (DESIGN.md section 8)."""


STATEMENTS = 8
"""As many budgets may go by until the statements of one transaction are all answered. Each has its
timeout at the server; this one is for a server that does not answer at all."""

LOOK_NEXT = "See: padelops db status. With standbys: padelops failover status."
"""What whoever is told that the database is away does first."""

BULK_COMMIT_S = 30
"""How long the commit of bulk work may wait for its standby; its statements may take any time."""


class Tx(psycopg.Connection[TupleRow]):
    """A psycopg connection that remembers a commit which its standby never confirmed."""

    unreplicated = False
    due = NEVER
    overdue = False

    def run(self, statement: bytes, values: dict[str, Any]) -> psycopg.Cursor[TupleRow]:
        """
        As `execute`, a third cheaper: for the constant statements of the hot path.

        Each statement keeps its cursor, and with it what psycopg has learned about the values'
        types. Fetch the rows before the same statement runs again.
        """
        cursor = self._cursors.get(statement)
        if cursor is None:
            cursor = self._cursors[statement] = self.cursor()
        return cursor.execute(statement, values)

    @cached_property
    def _cursors(self) -> dict[bytes, psycopg.Cursor[TupleRow]]:
        return {}

    def watch_notices(self) -> None:
        """Start listening for the warning that makes a commit's outcome unknown."""
        self.add_notice_handler(self._notice)

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        text = notice.message_primary or ""
        if notice.sqlstate == SYNC_WAIT_CANCELLED and "synchronous replication" in text:
            self.unreplicated = True


AnyTx = TypeVar("AnyTx", bound=Tx)


class Database:
    """
    A pool of connections to one PostgreSQL (or one cluster, by a multi-host address).

    Args:
        url: libpq URL or connection string; it may hold a password and is never shown.
        budget_ms: the time one statement may take; None for bulk work such as imports.
        pool_size: connections kept at the most.
    """

    def __init__(
        self, url: str, *, budget_ms: int | None, connect_timeout_s: int = 5, pool_size: int = 16
    ) -> None:
        self._url = url
        self._connect_timeout_s = connect_timeout_s
        settings = {"timezone": "UTC", "idle_in_transaction_session_timeout": "60s"}
        if budget_ms is not None:
            settings["statement_timeout"] = f"{budget_ms}ms"
            settings["lock_timeout"] = f"{int(budget_ms * LOCK_SHARE)}ms"
        self._options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._pool = Pool(self._pooled, size=pool_size, timeout_s=connect_timeout_s)
        self._deciding_s = NEVER if budget_ms is None else budget_ms / 1000
        self._reading_s = self._deciding_s * STATEMENTS
        self._commit_s = BULK_COMMIT_S if budget_ms is None else budget_ms / 1000
        self._watch = Watch(self._commit_s)

    @cached_property
    def dialect(self) -> sqlalchemy.Dialect:
        """For statements that SQLAlchemy Core builds (search)."""
        from sqlalchemy import make_url  # noqa: PLC0415 - 0.2 s that only a search pays

        return make_url("postgresql+psycopg://").get_dialect()()

    @property
    def connected(self) -> bool:
        """Whether a connection lies ready, so that nobody has to wait for a new one."""
        return self._pool.idle > 0

    def connect(self) -> Tx:
        """
        A new connection of its own, outside the pool: for probes and long streams.

        Raises:
            DatabaseUnavailable: no server answers at that address.
            NotPermitted: the server refuses the role or password.
        """
        return self.connect_as(Tx)

    def _pooled(self) -> Tx:
        tx = self.connect()
        self._watch.over(tx)
        return tx

    def connect_as(self, kind: type[AnyTx]) -> AnyTx:
        """As `connect`, for a caller with a kind of connection of its own."""
        try:
            with explained():
                tx = kind.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=self._connect_timeout_s,
                    application_name="padelops",
                    options=self._options,
                    row_factory=tuple_row,
                )
        except DatabaseUnavailable as exc:
            raise _away(exc, self._url) from exc
        except (psycopg.ProgrammingError, ValueError):
            # Not chained: libpq repeats what it cannot read, and that may be a password.
            raise InvalidInput(
                "The database's address cannot be read.",
                fix="Write postgresql://USER@HOST:PORT/NAME into PADELOPS_DATABASE_URL.",
            ) from None
        tx.watch_notices()
        return tx

    def close(self) -> None:
        """Close every pooled connection."""
        self._pool.close_idle()
        self._watch.wake()

    def reading(self) -> AbstractContextManager[Tx]:
        """A connection for statements that change nothing; losing it means: try again."""
        return _Reading(self._pool, self._reading_s)

    def deciding(self) -> AbstractContextManager[Tx]:
        """
        A connection for ONE statement that decides and commits by itself.

        Raises:
            OutcomeUnknown: the connection or the caller was lost while the statement ran.
        """
        return _Deciding(self._pool, self._deciding_s)

    def settle(self) -> None:
        """
        Wait until everything visible now is as durable as the server promises.

        A commit whose wait for the synchronous standby was cut short is visible without being
        replicated. A transaction that writes to the log waits behind it, so an answer that is read
        and then settled is one that survives a failover. One that only takes an id does not wait.

        Raises:
            OutcomeUnknown: the standby still does not confirm.
        """
        with self.deciding() as tx:
            tx.execute("SELECT pg_logical_emit_message(true, 'padelops', '')")

    @contextmanager
    def transaction(
        self, origin: Origin, *, keep: bool = True, deadline: Deadline | None = None
    ) -> Iterator[Tx]:
        """
        One transaction: committed at the end, rolled back on any error.

        Args:
            origin: who acts; the audit trail records it with every change made inside.
            keep: False rolls back at the end as well: a dry run on the real thing.
            deadline: of the operation, of which this may be the second part; no statement takes
                longer than what is left now.

        Raises:
            OutcomeUnknown: lost while committing. CourtBusy: no time is left to begin.
        """
        with _Lent(self._pool, self._reading_s) as tx:
            try:
                with explained():
                    # Two statements, one round trip: hence without parameters, and not prepared.
                    begin = _BEGIN.format(origin.actor, origin.door.value, origin.request_id)
                    if deadline is not None:
                        begin += _LIMITS.format(f"{deadline.left_ms}ms", f"{deadline.lock_ms}ms")
                    tx.execute(begin, prepare=False)
                    yield tx
            except BaseException:
                _roll_back(tx)
                raise
            if not keep:
                _roll_back(tx)
                return
            with unknown_if_lost(tx):
                tx.due = monotonic() + self._commit_s
                tx.execute("COMMIT")


class _Lent:
    """
    A pooled connection, given back whatever happens.

    This and its kinds are classes because a booking enters one each time: the generators that they
    replace cost a booking as much as its price.
    """

    __slots__ = ("_patience_s", "_pool", "_tx")

    def __init__(self, pool: Pool[Tx], patience_s: float) -> None:
        self._pool = pool
        self._patience_s = patience_s

    def __enter__(self) -> Tx:
        try:
            self._tx = self._pool.take()
        except PoolExhausted as exc:
            raise DatabaseUnavailable(
                "All database connections of this process are in use.",
                fix="Raise PADELOPS_POOL_SIZE or send fewer requests at once.",
            ) from exc
        self._tx.due = monotonic() + self._patience_s
        return self._tx

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._judge(exc)
        finally:
            if exc is not None and moved_on(exc):
                # After judging: a refusal by a server that takes no writes is no lost commit.
                self._tx.close()
            self._give_back()

    def _judge(self, exc: BaseException | None) -> None:
        """Raise what `exc` means; here it means itself."""

    def _give_back(self) -> None:
        tx = self._tx
        tx.due = NEVER
        if tx.closed:
            # Its idle siblings died with the same server, or lead to one that is primary no more.
            self._pool.close_idle()
        elif tx.unreplicated or tx.overdue or tx.pgconn.transaction_status:
            # Doubtful, about to be cancelled, or left inside a transaction: never handed out again.
            tx.close()
        self._pool.give_back(tx)


class _Reading(_Lent):
    __slots__ = ()

    def _judge(self, exc: BaseException | None) -> None:
        if isinstance(exc, psycopg.Error):
            _raise_explained(exc)


class _Deciding(_Lent):
    __slots__ = ()

    def _judge(self, exc: BaseException | None) -> None:
        _judge_commit(self._tx, exc)


_BEGIN = sql.SQL(
    "BEGIN; SELECT set_config('padelops.actor', {}, true), set_config('padelops.door', {}, true),"
    " set_config('padelops.request_id', {}, true)"
)
_LIMITS = sql.SQL(
    ", set_config('statement_timeout', {}, true), set_config('lock_timeout', {}, true)"
)


def server_name(url: str) -> str:
    """Which server an address means, for people: never the password."""
    try:
        known = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "the address given"
    hosts, port = str(known.get("host") or ""), str(known.get("port") or "").strip(",")
    if not hosts or hosts.startswith("/"):
        return "its socket"
    return f"{hosts} (port {port})" if port else hosts


def _away(why: DatabaseUnavailable, url: str) -> DatabaseUnavailable:
    """`why`, with the server's name where libpq gave none (a timeout), and where to look next."""
    if why.fix:
        return why
    message = why.message
    if "connection to server" not in message:
        where = f"The database at {server_name(url)} did"
        message = message.replace("The database did", where, 1)
    return DatabaseUnavailable(message, fix=LOOK_NEXT, **why.facts)


def _roll_back(tx: Tx) -> None:
    try:
        tx.execute("ROLLBACK")
    except psycopg.Error:
        tx.close()


@contextmanager
def explained() -> Iterator[None]:
    """Turn driver errors into the padelops error that names them. Nothing was committed."""
    try:
        yield
    except psycopg.Error as exc:
        _raise_explained(exc)


@contextmanager
def unknown_if_lost(tx: Tx) -> Iterator[None]:
    """
    As `explained`, around what commits.

    Raises:
        OutcomeUnknown: the server or the caller went away in the middle.
    """
    try:
        yield
    except BaseException as exc:
        _judge_commit(tx, exc)
        raise
    _judge_commit(tx, None)


def _judge_commit(tx: Tx, exc: BaseException | None) -> None:
    """Raise what it means that something that commits ended so; None is an end without error."""
    if isinstance(exc, psycopg.Error):
        if tx.closed or lost(exc):
            tx.close()
            raise CommitLost from exc
        if tx.unreplicated:
            # Cancelled twice: the second cancel fails a statement that has committed already.
            raise OutcomeUnknown(_NOT_CONFIRMED) from exc
        _raise_explained(exc)
    if exc is not None and not isinstance(exc, Exception):
        # Ctrl-C or SIGTERM while the server decides: it may have decided already.
        tx.close()
        raise OutcomeUnknown("Interrupted while the change was being committed.") from exc
    if exc is None and tx.unreplicated:
        raise OutcomeUnknown(_NOT_CONFIRMED)


_NOT_CONFIRMED = "The commit was cut short before the standby confirmed it."


def _raise_explained(exc: psycopg.Error) -> NoReturn:
    explained_error = explain(exc)
    if explained_error is None:
        raise exc
    raise explained_error from exc
