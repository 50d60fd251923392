"""
Health of the database: it answers, it commits, its standbys follow, nobody waits, it has room.

Source: CRITICAL_PATHS.md, "Health Checks", `check_database_connectivity`; level 1 recovers within
30 seconds, so what lasts longer is critical.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import psycopg

from padelops.errors import DatabaseUnavailable
from padelops.ops.health import Answer, Measure
from padelops.ops.health_line import Clock, fact
from padelops.ops.verdict import Verdict, worst
from padelops.store import health, schema
from padelops.store.driver_errors import explain

if TYPE_CHECKING:
    from padelops.ops.health_line import Connect, Line
    from padelops.store.engine import Tx

LONG_WAIT_S, TOO_LONG_WAIT_S = 1.0, 5.0
"""For a lock or a standby: twice, and ten times, what a level-1 operation may take in all."""

SKEW_S, TOO_MUCH_SKEW_S = 1.0, 60.0
"""Holds run out, and refunds are counted, by the clocks of several machines."""

LAG_S, TOO_MUCH_LAG_S = 10.0, 30.0
LAG_BYTES = 64 * 1024**2
"""Four segments of the log behind: a failover would take its time."""

BUSY, FULL = 0.8, 0.95
"""Parts of the connections, or of the disk, in use."""

CANCEL_S = 0.5

WANTED_STANDBYS = re.compile(r"^\s*(?:FIRST|ANY)?\s*(\d+)\s*\(", re.IGNORECASE)
"""How many standbys `synchronous_standby_names` waits for; without a number it is one."""


def connects(line: Line) -> Answer:
    """Check `database`: a new connection is made, and answers."""
    began = time.monotonic()
    with line() as tx:
        server = health.server(tx)
        host = tx.info.host
        # A socket's long path would break the table on a narrow terminal, and tells nobody more.
        where = "its socket" if host.startswith("/") or not host else f"{host}:{tx.info.port}"
    took = Measure("connect_s", time.monotonic() - began, 0.5, 2.0)
    message = f"PostgreSQL {server.version} at {where} answers."
    if server.standby or server.read_only:
        kind = "a standby" if server.standby else "read-only"
        return Answer(
            Verdict.CRITICAL,
            f"{message} It is {kind}: nothing can be booked through it.",
            "Point PADELOPS_DATABASE_URL at the primary (target_session_attrs=read-write).",
            (took,),
        )
    if took.judged():
        message = f"{message} It took {took.value:.1f} s."
    return Answer(took.judged(), message, measures=(took,))


def writes(connect: Connect) -> Answer:
    """
    Check `write`: a row is written, committed, and confirmed by whoever must confirm it.

    On a connection of its own: waiting for a standby ends with no timeout of the server, so it is
    broken off from here, and the waiting server process is told to give up.
    """
    tx = connect()
    began = time.monotonic()
    try:
        health.write(tx)
    except psycopg.OperationalError as exc:
        _give_up(tx)
        raise DatabaseUnavailable(
            f"A write was not committed within {time.monotonic() - began:.1f} s.",
            fix="See the checks waiting, replication and disk.",
        ) from exc
    except psycopg.Error as exc:
        raise explain(exc) or exc from exc
    finally:
        tx.close()
    if tx.unreplicated:
        raise DatabaseUnavailable("A write was committed, and not confirmed by the standby.")
    took = Measure("commit_s", time.monotonic() - began, 0.5, 2.0)
    return Answer(took.judged(), f"A write was committed in {took.value:.3f} s.", measures=(took,))


def _give_up(tx: Tx) -> None:
    """Else each report would leave a server process behind that waits for ever."""
    try:
        tx.cancel_safe(timeout=CANCEL_S)
    except psycopg.Error:
        tx.close()


@fact("replication")
def replication(tx: Tx, clock: Clock) -> Answer:
    """Standbys that are wanted are there, and follow."""
    del clock
    found = health.replication(tx)
    if found.standby:
        return _of_standby(found)
    needed = _needed(found.wanted)
    standbys = f"{found.senders} standby{'s' * (found.senders != 1)}"
    measures = [Measure("standbys", found.senders)]
    if found.lag_bytes is not None:
        measures.append(Measure("wal_lag_bytes", found.lag_bytes, LAG_BYTES))
    if found.lag_s is not None:
        measures.append(Measure("replay_lag_s", found.lag_s, LAG_S, TOO_MUCH_LAG_S))
    if found.senders < needed or (not found.hidden and found.synchronous < needed):
        return Answer(
            Verdict.CRITICAL,
            f"Commits wait for {needed} synchronous, and {found.synchronous} of {standbys} are."
            if found.senders
            else f"Commits wait for {needed} synchronous standby, and none is connected.",
            f"Bring it back. synchronous_standby_names is '{found.wanted}'.",
            tuple(measures),
        )
    if found.hidden:
        return Answer(
            Verdict.UNKNOWN,
            f"{standbys} connected; this role may not see how far they are.",
            "As superuser: GRANT pg_monitor TO the role of PADELOPS_DATABASE_URL.",
            tuple(measures),
        )
    if found.idle_slots:
        return Answer(
            Verdict.WARNING,
            f"Nobody uses the replication slot {', '.join(found.idle_slots)}:"
            " a standby is away, and the log is kept for it.",
            "Bring the standby back, or drop its slot before the disk is full.",
            tuple(measures),
        )
    verdict = worst(measure.judged() for measure in measures)
    if not found.senders:
        return Answer(verdict, "No standby, and none is asked for.", measures=tuple(measures))
    behind = f"{found.lag_bytes or 0:,.0f} bytes"
    return Answer(
        verdict, f"{standbys}, {found.synchronous} synchronous, at most {behind} behind.",
        measures=tuple(measures),
    )  # fmt: skip


def _needed(wanted: str) -> int:
    if not wanted.strip():
        return 0
    number = WANTED_STANDBYS.match(wanted)
    return int(number[1]) if number else 1


def _of_standby(found: health.Replication) -> Answer:
    if not found.receivers:
        return Answer(
            Verdict.CRITICAL, "This standby receives nothing.", "Look at its primary_conninfo."
        )
    # A primary where nothing happens sends nothing to apply, however old that makes the last of it.
    behind = 0.0 if found.caught_up else found.applied_s or 0.0
    lag = Measure("replay_lag_s", behind, LAG_S, TOO_MUCH_LAG_S)
    return Answer(lag.judged(), f"A standby, {behind:.0f} s behind.", measures=(lag,))


@fact("waiting")
def waiting(tx: Tx, clock: Clock) -> Answer:
    """Nobody waits long for a lock, or for the synchronous standby."""
    del clock
    found = health.waiting(tx)
    measures = (
        Measure("lock_waiters", found.locks),
        Measure("lock_wait_s", found.lock_s, LONG_WAIT_S, TOO_LONG_WAIT_S),
        Measure("commit_waiters", found.commits),
        Measure("commit_wait_s", found.commit_s, LONG_WAIT_S, TOO_LONG_WAIT_S),
    )
    verdict = worst(measure.judged() for measure in measures)
    told, fix = [], []
    if found.commits:
        told.append(
            f"Waiting for the synchronous standby: {found.commits} to commit,"
            f" the first of them for {found.commit_s:.1f} s."
        )
        fix.append("Bring the standby back, or take it out of synchronous_standby_names.")
    if found.locks:
        behind = ", ".join(map(str, found.blockers)) or "unknown"
        told.append(
            f"Waiting for a lock: {found.locks}, the first of them for {found.lock_s:.1f} s,"
            f" behind process {behind}."
        )
        fix.append("Look at it in pg_stat_activity, and end it if nobody needs it.")
    message = " ".join(told) or "Nobody waits for a lock or a standby."
    return Answer(verdict, message, " ".join(fix) if verdict else "", measures)


@fact("connections")
def connections(tx: Tx, clock: Clock) -> Answer:
    """Connections are left, by the tightest limit there is."""
    del clock
    found = health.connections(tx)
    left = found.allowed - found.used
    used = Measure(
        "connections_used", found.used, int(found.allowed * BUSY), int(found.allowed * FULL)
    )
    return Answer(
        used.judged(),
        f"{found.used} of {found.allowed} connections are in use, {max(left, 0)} left.",
        "Find who holds them in pg_stat_activity, or lower PADELOPS_POOL_SIZE."
        if used.judged()
        else "",
        (used, Measure("connections_left", left)),
    )


@fact("clock")
def clocks(tx: Tx, clock: Clock) -> Answer:
    """This machine's clock and the database server's agree."""
    before = clock()
    server = health.server(tx).clock
    after = clock()
    skew = (server - before - (after - before) / 2).total_seconds()
    measure = Measure("clock_skew_s", abs(skew), SKEW_S, TOO_MUCH_SKEW_S)
    if not measure.judged():
        return Answer(Verdict.OK, f"Clocks agree within {abs(skew):.3f} s.", measures=(measure,))
    return Answer(
        measure.judged(),
        f"This machine is {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} the database.",
        "Set the clock: chronyc tracking, or timedatectl.",
        (measure,),
    )


def disk(line: Line, folder: str | None) -> Answer:
    """
    Check `disk`: the server's disk takes a few megabytes, and is not nearly full.

    Args:
        folder: the server's data, where that is known to be on this machine.
    """
    with line() as tx:
        if not health.has_room(tx):
            return Answer(
                Verdict.CRITICAL,
                "The database's disk is full.",
                "Free space on it; never delete anything in pg_wal.",
            )
        folder = folder or health.data_folder(tx)
    if folder is None or not _is_here(folder):
        return Answer(Verdict.OK, "The disk takes what is written; its size is not seen from here.")
    return space_of(folder)


def _is_here(folder: str) -> bool:
    return os.path.exists(f"{folder}/PG_VERSION")  # noqa: PTH110 - pathlib loads late


def space_of(folder: str) -> Answer:
    """How full a local disk is."""
    found = os.statvfs(folder)
    size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    part = 1 - free / size if size else 1.0
    measures = (Measure("disk_used_ratio", part, BUSY, FULL), Measure("disk_free_bytes", free))
    verdict = measures[0].judged()
    return Answer(
        verdict,
        f"The database's disk is {part:.0%} full, {free / 1024**3:.1f} GiB are free.",
        "Free space on it before it is full: PostgreSQL stops when it is." if verdict else "",
        measures,
    )


@fact("schema")
def schema_version(tx: Tx, clock: Clock) -> Answer:
    """The schema is the one that this padelops needs."""
    del clock
    found = schema.version(tx)
    if found.current:
        return Answer(Verdict.OK, f"The schema is at {found.found}, as needed.")
    ahead = found.found > found.needed
    return Answer(
        Verdict.CRITICAL,
        f"The schema is at {found.found}, this padelops needs {found.needed}.",
        "Upgrade padelops on this machine." if ahead else "Run: padelops db upgrade",
    )
