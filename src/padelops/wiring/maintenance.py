"""Maintenance put together: the plan, a desk's rooms, the metrics file, the dead man's switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.errors import LockHeld, OutputFailed, PadelopsError
from padelops.model import Door
from padelops.ops import maintenance_metrics
from padelops.ops.maintenance import Maintenance
from padelops.ops.maintenance_plan import the_plan
from padelops.ops.maintenance_work import Premises
from padelops.ops.verdict import Verdict
from padelops.ops.whole_files import write_whole
from padelops.wiring.health import check_health
from padelops.wiring.opening import open_desk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.ops.maintenance_results import RunReport
    from padelops.settings import Settings
    from padelops.wiring.desk import Desk


@dataclass(frozen=True, slots=True)
class Maintained:
    """
    A run, and whom it was told.

    Attributes:
        troubles: what could not be told to monitoring; none of it changes the verdict.
    """

    report: RunReport
    troubles: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        return self.report.verdict

    def as_json(self) -> dict[str, Any]:
        return self.report.as_json() | {"not_told": list(self.troubles)}


def maintenance_of(desk: Desk) -> Maintenance:
    """Maintenance at a desk's database."""
    premises = Premises(
        database=desk.bulk,
        origin=desk.origin,
        clock=desk.now,
        seal=lambda: len(desk.seal_audit()),
        verify=desk.verify_audit,
        validator=desk.validator,
        health=lambda: check_health(desk.settings, clock=desk.now),
        server_log=_server_log(desk.settings),
    )
    return Maintenance(the_plan(), premises)


def run_maintenance(
    settings: Settings,
    schedule: str,
    *,
    only: tuple[str, ...] = (),
    told: Callable[[str], None] = lambda _: None,
) -> Maintained:
    """
    Run a schedule, leave the metrics file, and tell the dead man's switch how it went.

    Raises:
        LockHeld: it runs already; that run will tell. PadelopsError: nothing was run; the switch
            was told so.
    """
    try:
        with open_desk(settings, door=Door.CLI) as desk:
            maintenance = maintenance_of(desk)
            report = maintenance.run(schedule, only=only, told=told)
            troubles = [write_metrics(settings, maintenance)]
    except LockHeld:
        raise
    except PadelopsError as exc:
        problem = _ping(settings, schedule, well=False, line=f"{schedule}: not run: {exc}")
        if problem:
            exc.facts["not_told"] = [problem]
        raise
    well = report.verdict in {Verdict.OK, Verdict.WARNING}
    troubles.append(_ping(settings, schedule, well=well, line=report.summary))
    return Maintained(report, tuple(trouble for trouble in troubles if trouble))


def write_metrics(settings: Settings, maintenance: Maintenance) -> str | None:
    """Leave the file for node_exporter, where a folder is set; what went wrong, if anything did."""
    if settings.textfile_folder is None:
        return None
    try:
        write_whole(settings.textfile_folder / maintenance_metrics.FILE, maintenance.metrics())
    except OutputFailed as exc:
        return str(exc)
    except PadelopsError as exc:
        return f"No metrics file: {exc}"
    return None


def _ping(settings: Settings, schedule: str, *, well: bool, line: str) -> str | None:
    if settings.maintenance_ping_url is None:
        return None
    from padelops.adapters.dead_man import ping  # noqa: PLC0415 - httpx takes 0.1 s

    problem = ping(settings.maintenance_ping_url, schedule, well=well, line=line)
    return f"The dead man's switch was not told: {problem}." if problem else None


def _server_log(settings: Settings) -> Callable[[], Iterator[str]] | None:
    """The embedded server's log; another server keeps its own where we do not see it."""
    if settings.database_url is not None:
        return None
    from padelops.adapters.embedded_postgres import EmbeddedPostgres  # noqa: PLC0415

    log = EmbeddedPostgres(settings.home, bindir=settings.postgres_bindir).log
    return log.lines
