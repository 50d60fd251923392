"""
What metrics are read from: new connections that give up in time, and this process's own counts.

Nothing here starts a server, and a database that is away is an answer: `padel_up` is 0.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from padelops.ops.exposition import CONTENT_TYPE, exposition
from padelops.ops.facts import Facts
from padelops.ops.metrics import Readings, chosen, read
from padelops.settings import Settings
from padelops.store.nodes import Reach
from padelops.wiring.health import connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from padelops.booking.counts import Counts
    from padelops.ops.indicators import Rhythm

DEADLINE_S = 5.0
"""For everything together; Prometheus gives a scrape ten seconds."""

STATEMENT_MS = 2000

FRESH_S = 2.0
"""How long an answer is given again, so that nobody can wear out the database with questions."""


def read_metrics(
    settings: Settings | None = None,
    names: Iterable[str] = (),
    *,
    rhythm: Rhythm | None = None,
    counts: Counts | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    deadline_s: float = DEADLINE_S,
) -> Readings:
    """
    Read indicators by name or alias, or those of a rhythm; takes `deadline_s` at the most.

    Args:
        counts: of the process that is asked, if it counts.

    Raises:
        InvalidInput: there is no indicator of that name, or a `PADELOPS_*` variable is wrong.
    """
    wanted = chosen(names, rhythm=rhythm)
    facts = Facts(
        connections(settings or Settings.from_environment(), deadline_s, statement_ms=STATEMENT_MS),
        now=clock(),
        deadline=time.monotonic() + deadline_s,
        process=counts,
        writable=writable_of(settings or Settings.from_environment()),
    )
    try:
        return read(facts, wanted)
    finally:
        facts.close()


def writable_of(settings: Settings) -> Callable[[], int | None] | None:
    """
    Counts the servers of a cluster that take writes; None where one address alone is configured.

    A server that refuses our login may be a healthy primary: then nobody knows.
    """
    if settings.database_url is None:
        return None
    from padelops.wiring.failover import servers_of  # noqa: PLC0415 - for clusters alone

    servers = servers_of(settings)
    if len(servers.addresses) == 1:
        return None

    def count() -> int | None:
        nodes = servers.look_at_all()
        found = sum(node.writable for node in nodes)
        denied = any(node.reach is Reach.DENIED for node in nodes)
        return None if denied and not found else found

    return count


class MetricsText:
    """
    The text that `/metrics` answers with, in bounded time, also while the database is down.

    One reads at a time; whoever asks meanwhile waits for that answer and takes it too.

    Attributes:
        counts: of this process; None as long as it has not counted anything.
    """

    content_type = CONTENT_TYPE

    def __init__(
        self,
        settings: Settings,
        *,
        counts: Counts | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._settings = settings
        self.counts = counts
        self._clock = clock
        self._deadline_s = deadline_s
        self._turn = Lock()
        self._text = ""
        self._fresh_until = 0.0

    def __call__(self) -> str:
        with self._turn:
            if time.monotonic() >= self._fresh_until:
                readings = read_metrics(
                    self._settings,
                    counts=self.counts,
                    clock=self._clock,
                    deadline_s=self._deadline_s,
                )
                self._text = exposition(readings)
                self._fresh_until = time.monotonic() + FRESH_S
            return self._text
