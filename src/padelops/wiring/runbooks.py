"""Where runbooks are carried out: a site over what the settings describe, opened piece by piece."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from padelops.booking.club_time import local
from padelops.errors import DatabaseUnavailable, Unavailable
from padelops.model import Door, Origin
from padelops.ops.recovery import Site
from padelops.ops.runbook_journal import Journals
from padelops.ops.runbook_run import RunbookRun
from padelops.wiring.caches import opened_cache
from padelops.wiring.databases import open_database, upgrade_schema
from padelops.wiring.health import CHECKS, check_health, require_running
from padelops.wiring.opening import login, open_desk, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from padelops.ops.health import HealthReport
    from padelops.ops.runbook_run import Onlooker
    from padelops.ops.runbooks import Runbook
    from padelops.settings import Settings
    from padelops.wiring.desk import Desk

WARMED_DAYS = 7


@contextmanager
def opened_runbook(
    settings: Settings,
    runbook: Runbook,
    onlooker: Onlooker,
    *,
    door: Door = Door.LIBRARY,
    actor: str | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Iterator[RunbookRun]:
    """A runbook, ready to be carried out. Connects to nothing yet."""
    desks = _Desks(settings, door, actor or settings.actor or login(), clock)
    try:
        yield RunbookRun(
            runbook, _site(settings, desks), Journals(settings.home / "runbooks"), onlooker
        )
    finally:
        desks.close()


class _Desks:
    """One desk, opened when it is first needed; what could not be opened is tried again."""

    def __init__(
        self, settings: Settings, door: Door, actor: str, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._door = door
        self.origin = Origin(actor, door)
        self.clock = clock
        self._desk: Desk | None = None

    def __call__(self) -> Desk:
        """
        The desk.

        Raises:
            DatabaseUnavailable: there is none; the embedded server is not started for it.
        """
        if self._desk is None:
            require_running(self._settings)
            self._desk = open_desk(
                self._settings, door=self._door, actor=self.origin.actor, clock=self.clock
            )
        return self._desk

    def close(self) -> None:
        if self._desk is not None:
            self._desk.close()


def _site(settings: Settings, desk: _Desks) -> Site:
    from padelops.wiring.failover import opened_failover  # noqa: PLC0415 - most need none
    from padelops.wiring.maintenance import maintenance_of  # noqa: PLC0415

    def health(names: Collection[str]) -> HealthReport:
        return check_health(settings, clock=desk.clock, only=names or CHECKS)

    def start_database() -> str:
        if settings.database_url is not None:
            raise Unavailable(
                "The database is not the embedded one, so padelops does not start it.",
                fix="Start PostgreSQL where it runs: systemctl start postgresql",
            )
        open_database(settings, budget_ms=None, pool_size=1).close()
        upgrade_schema(settings)
        return "The embedded server was started."

    def restart(service: str) -> str:
        from padelops.adapters.services import restart_service  # noqa: PLC0415

        return restart_service(service, settings.restart_command)

    def answers() -> bool | None:
        from padelops.adapters.services import service_answers  # noqa: PLC0415

        return None if settings.service_url is None else service_answers(settings.service_url)

    def called(level: int) -> str:
        from padelops.wiring.emergency import spool_of  # noqa: PLC0415

        try:
            found = [one.id for one in desk().incidents.listing() if one.level <= level]
        except DatabaseUnavailable:
            away = "people were called without the database"
            return away if spool_of(settings).read() is not None else ""
        return f"open: incidents {', '.join(map(str, found))}" if found else ""

    def call(title: str, level: int) -> str:
        from padelops.wiring.emergency import page_if_away  # noqa: PLC0415
        from padelops.wiring.incidents import open_incident  # noqa: PLC0415

        told = page_if_away(title, title=title, impact="not known yet", settings=settings)
        if told is not None:
            return told
        number, _, tried = open_incident(desk(), title, title=title, level=level)
        reached = ", ".join(each.role for each in tried if each.reached)
        return f"Incident {number} is open; reached: {reached or 'nobody yet, call by hand'}."

    failover: Any = lambda: opened_failover(  # noqa: E731 - a callable among others
        settings, actor=desk.origin.actor, door=desk.origin.door, clock=desk.clock
    )
    return Site(
        origin=desk.origin,
        clock=desk.clock,
        health=health,
        database=lambda: desk().bulk,
        start_database=start_database,
        breakers=lambda: desk().breakers,
        office=lambda: desk().office,
        worker=lambda: desk().worker(),
        cache=lambda: opened_cache(settings),
        warm=lambda: _warm(desk()),
        validator=lambda: desk().validator(resumable=False),
        repairer=lambda: desk().repairer(),
        maintenance=lambda: maintenance_of(desk()),
        seal=lambda: len(desk().seal_audit()),
        verify_audit=lambda: desk().verify_audit(),
        called=called,
        call=call,
        clustered=settings.database_url is not None,
        failover=failover,
        restart=restart,
        answers=answers,
    )


def _warm(desk: Desk) -> int:
    """Every club's coming days; how many days were computed."""
    computed = 0
    for club in desk.clubs():
        today = local(desk.now(), desk.catalogue.club(club.slug).zone).date()
        coming = [today + timedelta(days=day) for day in range(WARMED_DAYS)]
        computed += desk.warm_cache(coming, club.slug).computed
    return computed
