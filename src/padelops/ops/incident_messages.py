"""
What people are told of an incident, in the words that CRITICAL_PATHS.md gives.

Source: CRITICAL_PATHS.md, "Communication Templates".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from padelops.store.incidents import IncidentRow

CRITICAL = """\
CRITICAL: Reservations system failure
Impact: {impact}
Status: {status}
ETA: {eta}
"""

UPDATE = """\
UPDATE: {id} - {brief}
Progress: {progress}
Next steps: {next_steps}
ETA: {eta}
"""


def name_of(number: int) -> str:
    """What people call an incident."""
    return f"INC-{number}"


def critical(incident: IncidentRow) -> str:
    """The block for a critical incident."""
    return CRITICAL.format(
        impact=incident.impact, status=incident.status.capitalize(), eta=incident.eta
    )


def update(incident: IncidentRow, *, brief: str, progress: str, next_steps: str) -> str:
    """The block for a status update."""
    return UPDATE.format(
        id=name_of(incident.id), brief=brief, progress=progress, next_steps=next_steps,
        eta=incident.eta,
    )  # fmt: skip


def page_of(incident: IncidentRow) -> str:
    """What a page says as a whole: level 1 as a critical incident, the others as an update."""
    if incident.level == 1:
        block = critical(incident)
    else:
        block = update(
            incident,
            brief=incident.title,
            progress="Opened; nobody is at it yet.",
            next_steps="Acknowledge it and look.",
        )
    return (
        f"{block}\n{name_of(incident.id)}, level {incident.level}: {incident.title}\n"
        f"since        {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC\n"
        f"acknowledge  padelops incident ack {incident.id}\n"
        f"look         padelops incident show {incident.id}\n"
    )
