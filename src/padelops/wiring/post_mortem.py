"""A post-mortem put together: the incident's story, and what was counted around the time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from padelops.ops.incident_report import post_mortem as report
from padelops.store import incidents

if TYPE_CHECKING:
    from padelops.wiring.desk import Desk

AROUND = timedelta(minutes=10)
MOST_ROWS = 1000


def post_mortem(desk: Desk, number: int) -> str:
    """The incident in Markdown; see `ops.incident_report`."""
    story = desk.incidents.story(number)
    row = story.incident
    with desk.bulk.reading() as tx:
        metrics = incidents.operations_around(
            tx,
            since=row.opened_at - AROUND,
            until=(row.resolved_at or desk.now()) + AROUND,
            limit=MOST_ROWS,
        )
    return report(story, metrics)
