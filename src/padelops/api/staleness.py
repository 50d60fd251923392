"""
Answers that may be old, for who says so: `Cache-Control: max-stale=SECONDS` (RFC 9111, 5.2.1.2).

Then a replica may answer, and the answer says that it did and how old it may be. Searches may be as
old as the operator set, also for who does not say so; everything else is then the primary's.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from padelops.api.exchange import header

if TYPE_CHECKING:
    from padelops.api.call import Call
    from padelops.wiring.replica import Read, Replica

_MAX_STALE = re.compile(r"(?:^|[,\s])max-stale(?:=\"?(\d{1,6})\"?)?(?=$|[,\s])", re.IGNORECASE)


def accepted(call: Call, *, unasked: bool = False) -> tuple[Replica, float] | None:
    """
    The replica that may answer and how old its answer may be; None for the primary.

    Args:
        unasked: whether it may answer those too who say nothing of age.
    """
    replica = call.replica()
    given = _MAX_STALE.search(header(call.request, "cache-control", longest=1000) or "")
    if replica is None or not (given or unasked):
        return None
    return replica, float(given[1]) if given and given[1] else replica.most_s


def told(read: Read[Any]) -> dict[str, str]:
    """Header fields that say where an answer comes from."""
    if read.staleness_s is None:
        return {"padelops-source": "primary"}
    return {"padelops-source": "replica", "age": str(math.ceil(read.staleness_s))}
