"""
The cache on Redis or Valkey, for many machines. Exact by the same stamps as the database's own.

Keys carry the prefix `padelops:`, so a purge can only ever meet our own. Waiting is bounded: a slow
cache must cost less than the answer it saves.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from padelops.booking.cache import TTL_S, Contents, kind_of
from padelops.errors import CacheUnavailable, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pydantic import SecretStr

PREFIX = "padelops:"
TIMEOUT_S = 0.25
SEPARATOR = "\n"
ASKED_AT_ONCE = 1000


class RedisCache:
    """Implements `booking.cache.Cache`. Connects on first use; one thread-safe pool per process."""

    def __init__(self, url: SecretStr) -> None:
        """
        Raises:
            InvalidInput: the address is none, or the `redis` package is not installed.
        """
        try:
            import redis  # noqa: PLC0415 - an optional dependency
        except ModuleNotFoundError as exc:
            raise InvalidInput(
                "PADELOPS_CACHE_URL is set, but the redis package is missing.",
                fix="Run: pip install 'padelops[redis]'",
            ) from exc
        self._failures = (redis.RedisError, OSError)
        try:
            self._client: redis.Redis = redis.Redis.from_url(
                url.get_secret_value(),
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
            )
        except ValueError as exc:
            raise InvalidInput(
                "PADELOPS_CACHE_URL is no address of a Redis.", fix="Write redis://HOST:PORT/0."
            ) from exc

    def get(self, key: str) -> tuple[str, str] | None:
        with self._reachable():
            kept = self._client.get(PREFIX + key)
        if not isinstance(kept, bytes):
            return None
        # Somebody else's bytes need not be text; what cannot be read fits no checksum.
        stamp, _, value = kept.decode(errors="replace").partition(SEPARATOR)
        return stamp, value

    def put(self, key: str, stamp: str, value: str, *, ttl_s: int) -> None:
        with self._reachable():
            self._client.set(PREFIX + key, f"{stamp}{SEPARATOR}{value}", ex=ttl_s)

    def count(self, pattern: str) -> int:
        with self._reachable():
            return sum(1 for _ in self._client.scan_iter(match=_glob(pattern), count=1000))

    def keys(self, pattern: str, *, limit: int) -> list[str]:
        with self._reachable():
            found = islice(self._client.scan_iter(match=_glob(pattern), count=1000), limit)
            return [key.decode(errors="replace").removeprefix(PREFIX) for key in found]

    def purge(self, pattern: str, *, batch: int) -> Iterator[int]:
        """By one scan from end to end: a Redis shared with others may hold millions of theirs."""
        for keys in self._batches(pattern, batch):
            with self._reachable():
                deleted = int(self._client.unlink(*keys))
            yield deleted

    def contents(self, *, most: int) -> Contents:
        kinds: Counter[str] = Counter()
        size, ages = 0, list[float]()
        for keys in self._batches("*", min(most, ASKED_AT_ONCE)):
            asked = keys[: most - sum(kinds.values())]
            for key, kept, left_ms in zip(asked, *self._sizes(asked), strict=True):
                if left_ms > 0:  # else it ran out meanwhile
                    kinds[kind_of(key.decode(errors="replace").removeprefix(PREFIX))] += 1
                    size += len(key) + kept
                    ages.append(max(0.0, TTL_S - left_ms / 1000))
            if sum(kinds.values()) >= most:
                break
        return Contents(
            where="Redis",
            entries=sum(kinds.values()),
            size_bytes=size,
            oldest_s=max(ages, default=None),
            newest_s=min(ages, default=None),
            kinds=dict(sorted(kinds.items())),
            complete=sum(kinds.values()) < most,
        )

    def _sizes(self, keys: list[bytes]) -> tuple[list[int], list[int]]:
        with self._reachable(), self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.strlen(key)
            for key in keys:
                pipeline.pttl(key)
            answers: list[int] = pipeline.execute()
        return answers[: len(keys)], answers[len(keys) :]

    def _batches(self, pattern: str, batch: int) -> Iterator[list[bytes]]:
        """The matching keys by SCAN, which never holds up the others as KEYS would."""
        with self._reachable():
            scan = self._client.scan_iter(match=_glob(pattern), count=max(batch, ASKED_AT_ONCE))
        while True:
            with self._reachable():
                keys = list(islice(scan, batch))
            if not keys:
                return
            yield keys

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except self._failures as exc:
            raise CacheUnavailable(f"The cache did not answer: {type(exc).__name__}.") from exc


def _glob(pattern: str) -> str:
    """A `*` pattern for SCAN: only `*` is special, everything else stands for itself."""
    escaped = "".join(f"\\{char}" if char in "?[]\\^" else char for char in pattern)
    return PREFIX + escaped
