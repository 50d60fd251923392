"""
The named breakers as data, each number citing the heading in CRITICAL_PATHS.md that it comes from.

A breaker's `slow_s` is its path's own time limit. It opens where half its calls fail or four in
five are slow: the alerts (payment success below 99%, creation failures above 1%) have called a
person long before; the breaker is there to stop the damage. `open_s` is a third or less of the
level's recovery time ("Criticality levels": 30 seconds, 2 minutes, 5 minutes), so that a
dependency that is back is found to be back within it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from padelops.circuit_breakers.breaker import Breaker
from padelops.circuit_breakers.limits import BreakerSpec, Fallback, Limits
from padelops.circuit_breakers.memory import BreakerMemory, LocalMemory
from padelops.circuit_breakers.verdict import counts_except
from padelops.errors import CourtBusy, NotFound, TariffUnusable
from padelops.model import Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padelops.circuit_breakers.change import Hook

_ALL = (
    BreakerSpec(
        name="payment_processing",
        path=2,
        level=Level.ABSOLUTE,
        source='path 2, "Payment processing integrity": payment processing time < 30s',
        # Few payments in quiet hours: five failures in a minute are enough to stop.
        limits=Limits(slow_s=30, window_s=60, minimum_calls=5, open_s=10, lease_s=90),
        fallback=Fallback.QUEUE_FOR_MANUAL_PROCESSING,
    ),
    BreakerSpec(
        name="reservation_creation",
        path=3,
        level=Level.ABSOLUTE,
        source='path 3, "Reservation creation atomicity": creation time < 2 seconds',
        limits=Limits(slow_s=2, window_s=30, minimum_calls=20, open_s=5, lease_s=10),
        fallback=Fallback.REFUSE_WITH_RETRY_AFTER,
        # The rush for one evening on one court is no outage.
        counts=counts_except(CourtBusy),
    ),
    BreakerSpec(
        name="availability_check",
        path=4,
        level=Level.BUSINESS,
        source='path 4, "Court availability calculation": response time > 1 second alerts',
        limits=Limits(slow_s=1, window_s=30, minimum_calls=20, open_s=5, lease_s=10),
        fallback=Fallback.CONSERVATIVE_BLOCKING,
    ),
    BreakerSpec(
        name="cancellation",
        path=5,
        level=Level.BUSINESS,
        source='path 5, "Reservation cancellation workflow": cancellation time < 5 seconds',
        limits=Limits(slow_s=5, window_s=60, minimum_calls=10, open_s=10, lease_s=20),
        fallback=Fallback.REFUSE_WITH_RETRY_AFTER,
        counts=counts_except(CourtBusy),
    ),
    BreakerSpec(
        name="price_calculation",
        path=6,
        level=Level.BUSINESS,
        source='path 6, "Pricing calculation engine": calculation time < 100ms',
        # A default price costs money: fifty calls, so that one busy second does not bring it about.
        limits=Limits(slow_s=0.1, window_s=30, minimum_calls=50, open_s=5, lease_s=5),
        fallback=Fallback.DEFAULT_HOURLY_PRICE,
        # One club's broken tariff falls back by itself; the other clubs keep their exact prices.
        counts=counts_except(TariffUnusable),
    ),
    BreakerSpec(
        name="notification",
        path=7,
        level=Level.OPERATIONAL,
        source='path 7, "Notification delivery system"; level 3: response time < 5 seconds',
        limits=Limits(slow_s=5, window_s=120, minimum_calls=10, open_s=60, lease_s=60),
        fallback=Fallback.QUEUE_FOR_RETRY,
    ),
)

BREAKERS: MappingProxyType[str, BreakerSpec] = MappingProxyType({spec.name: spec for spec in _ALL})
"""Every breaker by its name, in the order of the critical paths."""


class Breakers:
    """
    All named breakers of one process over one memory; built once, where everything is wired.

    Args:
        memory: shared with other processes; this process alone when left out.
        hooks: called with each breaker's changes.
    """

    def __init__(self, memory: BreakerMemory | None = None, *, hooks: Sequence[Hook] = ()) -> None:
        memory = LocalMemory() if memory is None else memory
        self._breakers = {
            name: Breaker(spec, memory, hooks=hooks) for name, spec in BREAKERS.items()
        }

    def __getitem__(self, name: str) -> Breaker:
        """
        A breaker by its name.

        Raises:
            NotFound: there is none of that name.
        """
        try:
            return self._breakers[name]
        except KeyError:
            raise NotFound(
                f"There is no circuit breaker {name[:40]!r}.",
                fix=f"There are: {', '.join(self._breakers)}.",
            ) from None

    def all(self) -> tuple[Breaker, ...]:
        """Every breaker, in the order of the critical paths."""
        return tuple(self._breakers.values())

    def farewell(self) -> None:
        """To be called by a process that ends: what went wrong in it counts for the others."""
        for breaker in self._breakers.values():
            breaker.farewell()
