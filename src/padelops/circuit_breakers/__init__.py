"""
Circuit breakers: what is down is left alone, callers hear at once, and it is found when it is back.

    breakers["payment_processing"].call(authorize, hold)      # or
    with breakers["payment_processing"].guard(): ...          # or
    @breakers["payment_processing"].guarded

Read `record.py` for the states and moves, `breaker.py` for what a call goes through, `memory.py`
for what processes share, `named.py` for the breakers and their numbers.

The guarded call runs under no lock: a breaker that serializes calls makes the outage it is meant
to contain. While it is closed, one call in each refresh interval asks the memory and the others
go on; besides that only probes, and the call that opens it, wait for the memory's short deadline.
Refusals are answers, not failures.

Source: CRITICAL_PATHS.md, "Failure recovery procedures" and paths 2, 4 and 7.
"""

from __future__ import annotations

from padelops.circuit_breakers.breaker import Breaker, Guard
from padelops.circuit_breakers.change import Hook, Snapshot, StateChange
from padelops.circuit_breakers.limits import BreakerSpec, Fallback, Limits
from padelops.circuit_breakers.memory import BreakerMemory, LocalMemory, Report, Shared
from padelops.circuit_breakers.named import BREAKERS, Breakers
from padelops.circuit_breakers.record import AUTOMATIC, BreakerRecord, Lease, State
from padelops.circuit_breakers.verdict import (
    Verdict,
    counts_by_default,
    counts_except,
    judge,
)
from padelops.circuit_breakers.window import Tally

__all__ = (
    "AUTOMATIC",
    "BREAKERS",
    "Breaker",
    "BreakerMemory",
    "BreakerRecord",
    "BreakerSpec",
    "Breakers",
    "Fallback",
    "Guard",
    "Hook",
    "Lease",
    "Limits",
    "LocalMemory",
    "Report",
    "Shared",
    "Snapshot",
    "State",
    "StateChange",
    "Tally",
    "Verdict",
    "counts_by_default",
    "counts_except",
    "judge",
)
