"""
What a health check looks at: every check, over what the settings describe.

    from padelops import critical_health_check
    critical_health_check()    # {"database": True, "payment_gateway": True, …}

Nothing here starts a server, and no connection is reused from one report to the next.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING

from padelops.errors import CacheUnavailable, DatabaseUnavailable, InvalidInput
from padelops.ops import health, health_database, health_work
from padelops.ops.health import DEADLINE_S, Answer, Check, HealthReport
from padelops.ops.health_line import FACTS, Line
from padelops.ops.verdict import Verdict, worst
from padelops.settings import Settings
from padelops.store import cache as cache_tables
from padelops.store.engine import LOOK_NEXT, Database, server_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from padelops.ops.health import Ask
    from padelops.ops.health_line import Clock
    from padelops.store.engine import Tx

STATEMENT_MS = 600
"""For one question about the database: so that one that meets a lock leaves time for the others."""

PROBE_KEY = "health_probe"
PROBE_TTL_S = 60

CHECKS = health.CHECKS

LEAST: dict[str, tuple[tuple[str, ...], Verdict]] = {
    "database": (("database", "write"), Verdict.WARNING),
    "payment_gateway": (("payment_gateway",), Verdict.WARNING),
    # A cache that is away is a warning here, and `False` there: it cannot be had.
    "cache": (("cache",), Verdict.OK),
    "circuit_breakers": (("circuit_breakers",), Verdict.WARNING),
}
"""CRITICAL_PATHS.md's four checks: what each is made of, and the worst that still counts as up."""


def check_health(
    settings: Settings | None = None,
    *,
    clock: Clock = lambda: datetime.now(UTC),
    deadline_s: float = DEADLINE_S,
    only: Collection[str] = CHECKS,
) -> HealthReport:
    """
    Ask every check, or those in `only`, at once; takes `deadline_s` at the most.

    Raises:
        InvalidInput: there is no check of that name, or a `PADELOPS_*` variable is wrong.
    """
    if unknown := set(only) - set(CHECKS):
        raise InvalidInput(
            f"There is no health check {min(unknown)[:40]!r}.",
            fix=f"There are: {', '.join(CHECKS)}.",
        )
    settings = settings or Settings.from_environment()
    with _checks(settings, clock, deadline_s) as checks:
        return health.run((checks[name] for name in CHECKS if name in only), now=clock())


def critical_health_check(
    settings: Settings | None = None,
    *,
    trigger_emergency_response: Callable[[], object] | None = None,
) -> dict[str, bool]:
    """
    Whether each of the four is up; whoever is to be called when one is not may be given.

    Source: CRITICAL_PATHS.md, "Health Checks".
    """
    report = check_health(settings, only={name for parts, _ in LEAST.values() for name in parts})
    checks = {
        name: worst(report.of(part).verdict for part in parts) <= least
        for name, (parts, least) in LEAST.items()
    }
    if trigger_emergency_response is not None and not all(checks.values()):
        trigger_emergency_response()
    return checks


@contextmanager
def _checks(settings: Settings, clock: Clock, deadline_s: float) -> Iterator[dict[str, Check]]:
    """All checks by name, over connections that end with the report."""
    # Answers that come in the very last moment should still be told from silence.
    patience_s = deadline_s * 0.9
    connect = connections(settings, patience_s)
    line = Line(connect)

    def asked(fact: str) -> Check:
        def ask() -> Answer:
            with line() as tx:
                return FACTS[fact](tx, clock)

        return Check(fact, ask, deadline_s)

    def of_database(name: str, ask: Ask) -> Check:
        url = settings.database_url
        whom = server_name(url.get_secret_value()) if url else "the embedded server"
        return Check(name, ask, deadline_s, Verdict.CRITICAL, whom, LOOK_NEXT)

    checks = {name: asked(name) for name in FACTS}
    checks |= {
        check.name: check
        for check in (
            of_database("database", lambda: health_database.connects(line)),
            of_database("write", lambda: health_database.writes(connect)),
            Check(
                "payment_gateway",
                lambda: _gateway(settings, clock, patience_s),
                deadline_s,
                Verdict.CRITICAL,
            ),
            Check(
                "cache",
                lambda: health_work.cache_answers(lambda: _keep(settings, line)),
                deadline_s,
                Verdict.WARNING,
            ),
            Check("disk", lambda: health_database.disk(line, _data_folder(settings)), deadline_s),
            Check("delivery", lambda: _delivery(settings, patience_s), deadline_s, Verdict.WARNING),
        )
    }
    try:
        yield checks
    finally:
        line.close()


def connections(
    settings: Settings, patience_s: float, *, statement_ms: int = STATEMENT_MS
) -> Callable[[], Tx]:
    """Makes connections that give up on a silent server; an embedded one is not started."""

    def connect() -> Tx:
        from padelops.adapters.breaker_line import ImpatientTx  # noqa: PLC0415

        began = time.monotonic()
        database = Database(
            _url(settings),
            budget_ms=statement_ms,
            connect_timeout_s=min(settings.connect_timeout_s, ceil(patience_s)),
        )
        tx = database.connect_as(ImpatientTx)
        tx.patience_ends = began + patience_s
        return tx

    return connect


def _url(settings: Settings) -> str:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    from padelops.adapters.embedded_postgres import EmbeddedPostgres  # noqa: PLC0415

    require_running(settings)
    return EmbeddedPostgres(settings.home, bindir=settings.postgres_bindir).url()


def require_running(settings: Settings) -> None:
    """
    Before somebody would start the embedded server who only means to look.

    Raises:
        DatabaseUnavailable: it is configured, and stopped.
    """
    if settings.database_url is not None:
        return
    from padelops.adapters.embedded_postgres import EmbeddedPostgres  # noqa: PLC0415

    server = EmbeddedPostgres(settings.home, bindir=settings.postgres_bindir)
    if not server.status().running:
        raise DatabaseUnavailable(
            "The embedded server is not running.", fix="Start it: padelops db upgrade"
        )


def _data_folder(settings: Settings) -> str | None:
    """Where the embedded server keeps its data; whoever runs another one may not tell us."""
    return None if settings.database_url is not None else str(settings.home / "data")


def _gateway(settings: Settings, clock: Clock, timeout_s: float) -> Answer:
    """Check `payment_gateway`: it answers, and it knows us."""
    from padelops.wiring.gateways import gateway_of  # noqa: PLC0415

    settings = settings.model_copy(
        update={
            "gateway_timeout_s": min(settings.gateway_timeout_s, timeout_s),
            "gateway_connect_timeout_s": min(settings.gateway_connect_timeout_s, timeout_s),
        }
    )
    books: list[Database] = []

    def sandbox_books() -> Database:
        # Not through `open_database`, which would start the embedded server.
        books.append(Database(_url(settings), budget_ms=STATEMENT_MS, pool_size=1))
        return books[0]

    gateway = gateway_of(settings, clock, sandbox_books)
    began = time.monotonic()
    try:
        gateway.probe()
    finally:
        for each in books:
            each.close()
    took = health.Measure("gateway_s", time.monotonic() - began)
    told = "The sandbox answers; it charges no real card." if gateway.name == "sandbox" else ""
    return Answer(Verdict.OK, told or f"{gateway.name} answers.", measures=(took,))


def _keep(settings: Settings, line: Line) -> str:
    """Keep something in the cache and get it back; where it was kept."""
    stamp = str(time.time_ns())
    if settings.cache_url is not None:
        from padelops.adapters.redis_cache import RedisCache  # noqa: PLC0415

        redis = RedisCache(settings.cache_url)
        try:
            redis.put(PROBE_KEY, stamp, "", ttl_s=PROBE_TTL_S)
            kept = redis.get(PROBE_KEY)
        finally:
            redis.close()
        where = "Redis"
    else:
        with line() as tx:
            cache_tables.put(tx, PROBE_KEY, stamp, "", ttl_s=PROBE_TTL_S)
            kept = cache_tables.get(tx, PROBE_KEY)
        where = "The cache table"
    if kept is None:
        raise CacheUnavailable(f"{where} forgets what it is given at once.")
    return where


def _delivery(settings: Settings, timeout_s: float) -> Answer:
    """Check `delivery`: messages could go out."""
    from padelops.adapters.delivery_probe import probe  # noqa: PLC0415

    return Answer(Verdict.OK, probe(settings, timeout_s=timeout_s))
