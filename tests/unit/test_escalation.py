"""Who is called at which minute, when an incident is due, and the two messages, word for word."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from padelops.errors import InvalidInput
from padelops.ops import incident_messages
from padelops.ops.escalation import EVERYBODY, due_of, machine_tick, matrix
from padelops.ops.roster import read_roster
from padelops.store.incidents import IncidentRow

if TYPE_CHECKING:
    from pathlib import Path

MADRID = ZoneInfo("Europe/Madrid")


def incident() -> IncidentRow:
    return IncidentRow(
        id=7, dedup_key="k", level=1, title="Bookings fail", impact="All bookings", eta="20:15",
        status="mitigating", channels=["pager"], opened_at=datetime(2026, 11, 30, tzinfo=UTC),
        due_at=None, acknowledged_at=None, acknowledged_by=None, resolved_at=None, version=1,
        waited_s=0, rung=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("level", "minute", "called"),
    [
        (1, 0, 1), (1, 4.99, 1), (1, 5, 2), (1, 9.99, 2), (1, 10, 3), (1, 14.99, 3), (1, 15, 4),
        (1, 30, 5), (2, 0, 1), (2, 9.99, 1), (2, 10, 2), (2, 20, 3), (3, 0, 1), (3, 600, 1),
    ],
)  # fmt: skip
def test_each_rung_is_due_at_its_minute(level: int, minute: float, called: int) -> None:
    """The matrix of CRITICAL_PATHS.md; after its end everybody is called again."""
    assert called == matrix()[level].called_by(minute * 60)


def test_the_roles_climb_and_then_everybody_is_called() -> None:
    """Engineer, manager, CTO; then all of them."""
    roles = [matrix()[1].role(rung) for rung in range(4)]

    assert ["on_call_engineer", "engineering_manager", "cto", EVERYBODY] == roles


@pytest.mark.parametrize(
    ("opened", "due"),
    [
        # A Friday, a Saturday, and a Sunday that is still one in Madrid and Monday nowhere yet.
        (datetime(2026, 11, 27, 9, tzinfo=UTC), datetime(2026, 11, 30, 17, tzinfo=UTC)),
        (datetime(2026, 11, 28, 9, tzinfo=UTC), datetime(2026, 11, 30, 17, tzinfo=UTC)),
        # 23:30 UTC on Sunday is Monday in Madrid: the next business day is Tuesday.
        (datetime(2026, 11, 29, 23, 30, tzinfo=UTC), datetime(2026, 12, 1, 17, tzinfo=UTC)),
        # Monday before a holiday.
        (datetime(2026, 12, 7, 9, tzinfo=UTC), datetime(2026, 12, 9, 17, tzinfo=UTC)),
    ],
)
def test_the_next_business_day_is_one_at_the_club(opened: datetime, due: datetime) -> None:
    """Weekends, holidays and the zone count; summer time does not shift the hour there."""
    found = due_of(3, now=opened, zone=MADRID, holidays={date(2026, 12, 8)})

    assert due == found


def test_only_level_3_waits_for_a_business_day() -> None:
    """The others are due now."""
    assert due_of(1, now=datetime(2026, 11, 27, tzinfo=UTC), zone=MADRID, holidays=()) is None


def test_both_messages_stand_word_for_word() -> None:
    """Each line as CRITICAL_PATHS.md has it, the brackets filled."""
    update = incident_messages.update(
        incident(), brief="Mitigating", progress="Failed over", next_steps="Watch"
    )

    assert (
        "CRITICAL: Reservations system failure\n"
        "Impact: All bookings\nStatus: Mitigating\nETA: 20:15\n"
    ) == incident_messages.critical(incident())
    assert (
        "UPDATE: INC-7 - Mitigating\nProgress: Failed over\nNext steps: Watch\nETA: 20:15\n"
    ) == update


def test_the_machines_seconds_do_not_go_back() -> None:
    """One witness, steady seconds."""
    first, second = machine_tick(), machine_tick()

    assert first.witness == second.witness
    assert first.seconds <= second.seconds


@pytest.mark.parametrize(
    "text",
    [
        "roles: [",
        "roles: {cto: [{nam: x}]}",
        "zone: Nowhere/At",
        "roles: {cto: [{name: A, pagerduty: {S3CRET: 1}}]}",
    ],
)  # fmt: skip
def test_a_bad_list_of_people_is_refused_without_its_keys(tmp_path: Path, text: str) -> None:
    """One line naming the place; what stands there may be a key."""
    file = tmp_path / "oncall.yaml"
    file.write_text(text)

    with pytest.raises(InvalidInput) as refused:
        read_roster(file)

    assert "PADELOPS_ROSTER" in str(refused.value)
    assert "S3CRET" not in str(refused.value)
