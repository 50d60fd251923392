"""Which cluster there is, who may change it, and the failover that does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from padelops.errors import InvalidInput, NotPermitted, PadelopsError, Unavailable
from padelops.model import Door
from padelops.ops.failover import Failover
from padelops.ops.failover_lint import SERVER_SETTINGS, lint
from padelops.ops.failover_mark import BookingsWay
from padelops.ops.failover_outages import Effective
from padelops.ops.failover_record import FailoverState
from padelops.ops.incident_messages import name_of
from padelops.store import incidents
from padelops.store.nodes import Servers, effective
from padelops.wiring.databases import open_database
from padelops.wiring.opening import login, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from padelops.ops.failover_lint import Lint
    from padelops.ops.failover_plan import Driver
    from padelops.settings import Settings
    from padelops.store.engine import Database

CLUSTER_URL, DATABASE_URL = "PADELOPS_CLUSTER_URL", "PADELOPS_DATABASE_URL"


@contextmanager
def opened_failover(
    settings: Settings,
    *,
    actor: str | None = None,
    door: Door = Door.LIBRARY,
    clock: Callable[[], datetime] = utc_now,
) -> Iterator[Failover]:
    """
    The failover of the configured cluster. Connects to nothing yet.

    Raises:
        InvalidInput: no cluster is configured.
    """
    if settings.database_url is None:
        raise InvalidInput(
            "There is no cluster: padelops uses its embedded server.",
            fix=f"Set {DATABASE_URL} to the address of all servers, or try `padelops lab up`.",
        )
    bookings = open_database(settings, budget_ms=settings.level1_budget_ms, pool_size=2)
    bulk = open_database(settings, budget_ms=None, pool_size=2)
    try:
        yield Failover(
            driver_of(settings),
            FailoverState(settings.failover_state or settings.home / "failover"),
            BookingsWay(bookings, bulk, door=door, clock=clock),
            clock=clock,
            actor=actor or settings.actor or login(),
            page=lambda line: page_without_database(settings, line),
            open_incident=lambda: _open_incident(bookings),
        )
    finally:
        bookings.close()
        bulk.close()


def page_without_database(settings: Settings, line: str) -> None:
    """
    Call who is on call, and keep it in a file: with two primaries no database is the right one.

    Raises:
        ResponseFailed: nobody was reached.
    """
    from padelops.wiring.emergency import respond_without_database  # noqa: PLC0415 - only then

    impact = "bookings may be split between two servers"
    respond_without_database(settings, line, impact, key="two_primaries")


def _open_incident(database: Database) -> str | None:
    """The last incident that is open, in words; or why nobody can tell."""
    try:
        with database.reading() as tx:
            found = incidents.listing(tx, everything=False, limit=1)
    except PadelopsError as exc:
        return f"whether an incident is open is not known ({exc})"
    return f"{name_of(found[0].id)} is open: {found[0].title}" if found else None


def servers_of(settings: Settings) -> Servers:
    """The servers of the configured cluster, as the role that may look at and promote them."""
    if settings.cluster_url is not None:
        return Servers(settings.cluster_url.get_secret_value(), variable=CLUSTER_URL)
    assert settings.database_url is not None  # noqa: S101 - the caller has looked
    return Servers(settings.database_url.get_secret_value(), variable=DATABASE_URL)


def driver_of(settings: Settings) -> Driver:
    """Patroni where its addresses are set, else plain streaming replication over SQL."""
    servers = servers_of(settings)
    if settings.patroni_urls:
        from padelops.adapters.patroni import PatroniDriver  # noqa: PLC0415 - httpx

        return PatroniDriver(
            settings.patroni_urls,
            servers,
            user=settings.patroni_user,
            password=settings.patroni_password,
            etcd_urls=settings.etcd_urls,
            fence_command=settings.fence_command,
        )
    from padelops.adapters.streaming import StreamingDriver  # noqa: PLC0415

    return StreamingDriver(
        servers,
        fence_command=settings.fence_command,
        rejoin_command=settings.rejoin_command,
        bindir=settings.postgres_bindir,
    )


def rejoin_here(settings: Settings, data: Path, primary: str, *, copy: bool) -> dict[str, Any]:
    """Make the former primary in a folder of this machine a standby; how, and what was kept."""
    from padelops.adapters.rejoining import rejoin  # noqa: PLC0415

    done = rejoin(data, primary=primary, bindir=settings.postgres_bindir, copy=copy)
    return {"rejoined": done.how, "old_data": done.kept}


def lint_of(settings: Settings) -> Lint:
    """What the settings in force promise; see `ops.failover_lint`."""
    with opened_failover(settings) as failover:
        seen = failover.observe(remember=False)
    assert settings.database_url is not None  # noqa: S101 - opening has looked
    application = Servers(settings.database_url.get_secret_value(), variable=DATABASE_URL)
    servers, trouble = servers_of(settings), []
    server: dict[str, str | float] = {}
    session: dict[str, str | float] = {}
    patroni = None
    if settings.patroni_urls:
        from padelops.adapters.patroni import PatroniDriver  # noqa: PLC0415 - httpx

        driver = PatroniDriver(settings.patroni_urls, servers)
        patroni = driver.config()
        if not patroni:
            trouble.append("no Patroni tells its configuration")
    asked = seen.primary or next((node for node in seen.nodes if node.facts), None)
    if asked is None:
        trouble.append("no server answers")
    else:
        with servers.session(asked.address) as tx:
            server = effective(tx, SERVER_SETTINGS)
    database = open_database(settings, budget_ms=settings.level1_budget_ms, pool_size=1)
    try:
        with database.reading() as tx:
            session = effective(tx, ("synchronous_commit",))
    except (Unavailable, NotPermitted) as exc:
        trouble.append(f"the application's own address: {exc}")
    finally:
        database.close()
    return lint(
        Effective(
            patroni=patroni,
            server=server,
            application=session,
            servers=len(seen.nodes),
            hosts=len(application.addresses),
            session_attrs=application.session_attrs,
            connect_timeout_s=settings.connect_timeout_s,
            budget_s=settings.level1_budget_ms / 1000,
            ends_leases=settings.etcd_urls is not None,
            fences=settings.fence_command is not None,
            trouble=tuple(trouble),
        )
    )
