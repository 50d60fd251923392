"""
Finding an intent by our reference: never "unseen" before everything that could hold it was read.

Stripe's search knows metadata but runs behind, "up to an hour during outages"; its lists are up to
date but know no metadata. So the newest intents are listed first (what is in doubt is seconds
old), then the search is asked, then the list is read on until it is older than the search can be
behind. That distance is counted from the newest intent and not from a clock, so no wrong clock can
cut it short. Where there is no search (merchants in India, Stripe-compatible peers) the list is
read to its end. A look that has to stop before it is sure says so, and never "unseen".

One limit is left: a request that this side gave up on may still be on its way into Stripe. "Unseen"
is final only a while after the attempt.

Source: https://docs.stripe.com/search, "Data freshness"; https://docs.stripe.com/api/pagination.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from padelops.adapters.gateway_events import PAYMENT_KEY
from padelops.booking.gateway import GatewayUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Intent = Mapping[str, Any]

INDEX_LAG = timedelta(hours=2)
"""Twice what Stripe admits that its search may run behind."""
MOST_PAGES = 200
LONGEST_LOOK_S = 30.0
"""Source: CRITICAL_PATHS.md, path 2, "Payment processing time < 30s"."""


class Intents(Protocol):
    """What a look-up reads."""

    def page(self, after: str | None) -> tuple[Sequence[Intent], bool]:
        """Intents, newest first, from behind this one on; and whether there are more."""
        ...

    def search(self, query: str) -> Sequence[Intent] | None:
        """Those that match, as of a while ago; None where there is no search."""
        ...


def with_reference(
    intents: Intents, reference: str, *, clock: Callable[[], float] = time.monotonic
) -> list[Intent]:
    """
    The intents that carry our reference; empty if there is none.

    Args:
        clock: seconds that only grow.

    Raises:
        GatewayUnavailable: there was more to read than `MOST_PAGES` or `LONGEST_LOOK_S` allow.
    """
    deadline = clock() + LONGEST_LOOK_S
    page, more = intents.page(None)
    hits = _ours(page, reference)
    if not any(intent.get("status") not in _DEAD for intent in hits):
        indexed = intents.search(query_for(reference))
        hits += _ours(indexed or (), reference)
        enough = None if indexed is None or not page else _created(page[0]) - _LAG_S
        pages = 1
        while not hits and more and page and not (enough and _created(page[-1]) < enough):
            if pages >= MOST_PAGES or clock() > deadline:
                raise GatewayUnavailable(
                    "Stripe has more payments than could be looked through; whether this one is"
                    " among them is not known.",
                    pages=pages,
                )
            page, more = intents.page(str(page[-1].get("id")))
            hits = _ours(page, reference)
            pages += 1
    return hits


def query_for(reference: str) -> str:
    """In Stripe's search language; a quote within the reference cannot end it."""
    escaped = reference.replace("\\", "\\\\").replace("'", "\\'")
    return f"metadata['{PAYMENT_KEY}']:'{escaped}'"


_DEAD = frozenset({"canceled", "requires_payment_method"})
_LAG_S = int(INDEX_LAG.total_seconds())


def _ours(intents: Sequence[Intent], reference: str) -> list[Intent]:
    """The search matches loosely (letter case), so its results are compared as well."""
    return [one for one in intents if (one.get("metadata") or {}).get(PAYMENT_KEY) == reference]


def _created(intent: Intent) -> int:
    created = intent.get("created")
    return created if isinstance(created, int) else 0
