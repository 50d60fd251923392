"""A day's free starts as the cache keeps them: minutes by court, and from when until when true."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from padelops.booking.offers import FreeStart, Offers, minute_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from padelops.store.claims import LiveClaim


def packed(
    free: Mapping[int, Iterable[FreeStart]], taken: Iterable[LiveClaim], now: datetime
) -> str:
    """
    What is cached: minutes since the epoch by court, and when that is true.

    A hold that runs out changes no row: an answer holds from the last that did until the next one.
    """
    holds = [
        (claim.expires_at.timestamp(), claim.keeps(now))
        for claim in taken
        if claim.expires_at is not None
    ]
    return json.dumps(
        {
            "since": max((at for at, keeps in holds if not keeps), default=None),
            "until": min((at for at, keeps in holds if keeps), default=None),
            "courts": {
                court_id: [minute_of(start.starts_at) for start in found]
                for court_id, found in free.items()
            },
        },
        separators=(",", ":"),
    )


def unpacked(
    text: str, ids: Iterable[int], offers: Offers, now: datetime
) -> dict[int, list[FreeStart]] | None:
    """
    What was cached, or None when it is not true now, or not what we would have written.

    Prices are not cached: the stamp says that the offers are still those of then.
    """
    at = now.timestamp()
    try:
        packed = json.loads(text)
        since, until = packed["since"], packed["until"]
        if (since is not None and at < since) or (until is not None and until <= at):
            return None
        free = {}
        for court_id, found in packed["courts"].items():
            priced = offers.priced[int(court_id)]
            free[int(court_id)] = [priced[offers.places[minute]] for minute in found]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return free if free.keys() == offers.priced.keys() & set(ids) else None
