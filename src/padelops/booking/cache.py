"""
A cache that cannot lie: every value carries the stamp of the rows it was computed from.

A reader asks the database for the stamp that is true now, and uses a cached value only under that
very stamp. Claims are never deleted or moved and each change makes the stamp larger, so equal
stamps mean an equal answer. Hence nothing has to be invalidated: a writer that dies right after its
commit leaves nothing stale behind, a reader that began earlier puts its answer under an old stamp,
and a cache that was away comes back harmless. What it saves is the computing and pricing of a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar
from zlib import crc32

from padelops.errors import CacheUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.booking.counts import Counts

T = TypeVar("T")

CHECKSUM = 8
"""Hexadecimal digits of the CRC-32 before each kept text."""

TTL_S = 15 * 60
"""Seconds after which an unused value makes room; truth never depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """
    What a cache keeps.

    Attributes:
        size_bytes: of keys and values; where `complete` is not set, of those that were looked at.
        oldest_s, newest_s: how long ago they were put there; None where nothing is kept.
        kinds: entries by the part of their key before the first colon.
        complete: whether every entry was looked at.
    """

    where: str
    entries: int
    size_bytes: int
    oldest_s: float | None
    newest_s: float | None
    kinds: dict[str, int]
    complete: bool


def kind_of(key: str) -> str:
    """What a key is about: `reservation_availability` of `reservation_availability:centro:…`."""
    return key.partition(":")[0]


class Cache(Protocol):
    """
    Where values are kept. Two live in adapters/: the database's own table, and Redis.

    Every method raises CacheUnavailable when the cache is away.
    """

    def get(self, key: str) -> tuple[str, str] | None:
        """The (stamp, value) kept under a key."""
        ...

    def put(self, key: str, stamp: str, value: str, *, ttl_s: int) -> None: ...

    def count(self, pattern: str) -> int:
        """How many keys match a `*` pattern."""
        ...

    def keys(self, pattern: str, *, limit: int) -> list[str]:
        """Up to `limit` keys that match a `*` pattern."""
        ...

    def purge(self, pattern: str, *, batch: int) -> Iterator[int]:
        """Delete what matches, about `batch` keys with each step; how many that step deleted."""
        ...

    def contents(self, *, most: int) -> Contents:
        """What is kept; looks at `most` entries at the most."""
        ...

    def close(self) -> None: ...


def cached(
    cache: Cache,
    counts: Counts,
    key: str,
    stamp: str,
    *,
    read: Callable[[str], T | None],
    compute: Callable[[], tuple[T, str]],
) -> tuple[T, bool]:
    """
    The value under a true stamp, computed if need be, and whether it was a hit.

    The stamp must be read before `compute` reads: then a change in between makes the kept value
    useless, never wrong. A cache that is away only costs time, and so does one that holds garbage.

    Args:
        read: the value that a kept text stands for; None where it cannot be used (any more).
        compute: the value, and the text to keep for it.
    """
    try:
        kept = cache.get(key)
    except CacheUnavailable:
        counts.add("cache.error")
        return compute()[0], False
    if kept is not None and kept[0] == stamp:
        text = _unsealed(kept[1])
        value = None if text is None else read(text)
        if value is not None:
            counts.add("cache.hit")
            return value, True
    counts.add("cache.miss")
    value, text = compute()
    try:
        cache.put(key, stamp, _sealed(text), ttl_s=TTL_S)
    except CacheUnavailable:
        counts.add("cache.error")
    return value, False


def _sealed(text: str) -> str:
    """The text behind its checksum, so that a damaged one is not read."""
    return f"{crc32(text.encode()):08x}{text}"


def _unsealed(kept: str) -> str | None:
    text = kept[CHECKSUM:]
    return text if text.isascii() and kept == _sealed(text) else None
