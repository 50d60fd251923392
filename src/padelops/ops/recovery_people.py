"""
Operations that call people: an incident is opened once, and the matrix does the rest.

Source: CRITICAL_PATHS.md, "Alert Escalation" and "Escalation Matrix".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from padelops.ops.recovery import Operation, Seen, operation
from padelops.ops.verdict import Verdict

if TYPE_CHECKING:
    from padelops.ops.recovery import Site


@operation("incident.open")
class OpenIncident(Operation):
    """
    Call the first on call about what is critical; nobody is called twice, or for nothing.

    Attributes:
        level: how grave it is; the matrix of that level calls the next person by the clock.
    """

    risky: ClassVar[bool] = True

    title: str = Field(min_length=1, max_length=150)
    level: int = Field(default=1, ge=1, le=3)

    def check(self, site: Site) -> Seen:
        verdict = site.health(()).verdict
        if verdict is not Verdict.CRITICAL:
            return Seen(True, f"Health is {verdict.word}, not critical, so nobody is called.")
        return self.verify(site)

    def act(self, site: Site, reason: str) -> str:
        del reason
        return site.call(self.title, self.level)

    def verify(self, site: Site) -> Seen:
        found = site.called(self.level)
        return Seen(bool(found), found or "no incident is open")

    def commands(self) -> tuple[str, ...]:
        return (f"padelops incident open '{self.title}' --level {self.level}",)
