"""How `padelops db reindex`, `stats`, `backup` and `restore` read to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.cli.tables import Record, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from padelops.cli.tables import Piece
    from padelops.ops.backups import Backup, Restored
    from padelops.ops.database_stats import DatabaseStats
    from padelops.ops.reindexing import Reindexed
    from padelops.store.indexes import Index

KIB, MIB, GIB = 1024, 1024**2, 1024**3


def size(number: int | None) -> str | None:
    """`8 KiB`, `1.5 MiB`: of three digits, as people compare them."""
    if number is None:
        return None
    for unit, name in ((GIB, "GiB"), (MIB, "MiB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number / KIB:.0f} KiB"


def plan_pieces(plan: Sequence[Index], *, block_bookings: bool) -> Iterator[Piece]:
    """What a rebuild would do, and what it would cost."""

    def what(index: Index) -> str:
        if index.leftover:
            return "remove: a rebuild left it behind"
        if index.exclusion:
            return "rebuild, bookings wait" if block_bookings else "leave alone"
        return "rebuild"

    yield Table(
        ["table", "index", "size", "valid", "what"],
        [[one.table, one.name, size(one.size_bytes), one.valid, what(one)] for one in plan],
    )
    largest = max((one.size_bytes for one in plan), default=0)
    yield f"Nothing was changed. Room for the largest: {size(largest)}."


def reindexed_pieces(result: Reindexed) -> Iterator[Piece]:
    yield Table(
        ["table", "index", "what", "before", "after"],
        [
            [one.table, one.index, one.what, size(one.before), size(one.after)]
            for one in result.outcomes
        ],
    )
    if reasons := [[one.index, one.why] for one in result.outcomes if one.why]:
        yield Table(["index", "why not"], reasons)
    if result.removed:
        yield f"Left behind by a rebuild, and removed: {', '.join(result.removed)}."
    yield (f"Invalid: {', '.join(result.invalid)}." if result.invalid else "Every index is valid.")


def stats_pieces(found: DatabaseStats) -> Iterator[Piece]:
    yield Table(
        ["table", "rows", "size", "indexes", "dead rows", "bloat, est.", "vacuumed (UTC)"],
        [
            [
                one.table,
                one.rows,
                size(one.table_bytes),
                size(one.index_bytes),
                one.dead_rows,
                size(one.bloat_bytes),
                None if one.vacuumed_at is None else f"{one.vacuumed_at:%Y-%m-%d %H:%M}",
            ]
            for one in found.tables
        ],
        title="Tables, the largest first",
    )
    if found.invalid:
        yield f"Invalid indexes: {', '.join(found.invalid)}. Run: padelops db reindex"
    since = "the beginning" if found.since is None else f"{found.since:%Y-%m-%d %H:%M} UTC"
    yield Table(
        ["table", "index", "size"],
        [[one.table, one.name, size(one.size_bytes)] for one in found.unused],
        title=f"Indexes not read since {since}",
    )
    yield Table(
        ["table", "foreign key", "columns", "refers to"],
        [[one.table, one.name, ", ".join(one.columns), one.refers_to] for one in found.missing],
        title="Foreign keys without an index",
    )
    if found.slow is None:
        yield "Slow statements: unknown, pg_stat_statements is missing."
        return
    yield Table(
        ["statement", "calls", "mean ms", "max ms", "in all s"],
        [
            [
                one.statement,
                one.calls,
                round(one.mean_ms, 2),
                round(one.max_ms, 1),
                round(one.total_ms / 1000, 1),
            ]
            for one in found.slow
        ],
        title="Statements that took the longest in all",
    )


def backup_record(done: Backup) -> Record:
    return Record(
        {
            "backup": done.folder,
            "taken": f"{done.ended_at:%Y-%m-%d %H:%M:%S} UTC, in {done.seconds:.1f} s",
            "size": f"{size(done.bytes)}, verified",
            "schema": done.after.schema,
            "log": f"{done.before.lsn} to {done.after.lsn}, timeline {done.after.timeline}",
            "claims": done.after.claims,
            "audit entries": done.after.entries,
        }
    )


def restored_pieces(done: Restored) -> Iterator[Piece]:
    newest = done.contents.newest
    yield Record(
        {
            "verdict": done.verdict.name.lower(),
            "recovery point": f"{done.backup.ended_at:%Y-%m-%d %H:%M:%S} UTC, "
            f"{done.recovery_point_s:.0f} s ago",
            "recovery time": f"{done.recovery_time_s:.1f} s",
            "newest entry": None if newest is None else f"{newest:%Y-%m-%d %H:%M:%S} UTC",
            "claims": done.contents.claims,
            "audit entries": done.contents.entries,
            "invariants": done.validation["verdict"],
            "server": done.address,
        }
    )
    yield Table(["step", "s"], [[name, round(took, 1)] for name, took in done.steps.items()])
    if done.problems:
        yield Table(["problem"], [[problem] for problem in done.problems])
