"""
Rows of an import that want the same court: who keeps it, and what becomes of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from padelops.errors import ExitCode
from testbed.dumps import (
    COURT_1,
    SLUG,
    block,
    numbers,
    reservation,
    stored,
)
from testbed.invariants import broken

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.ops.import_report import ImportReport
    from padelops.ops.importing import Importer
    from padelops.wiring import Desk

EARLY, LATE = "2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z"


OVERLAPS = {
    "equal": (("10:00", "11:00"), ("10:00", "11:00")),
    "the end": (("10:00", "11:00"), ("10:30", "11:30")),
    "the beginning": (("10:00", "11:00"), ("09:30", "10:30")),
    "inside": (("10:00", "12:00"), ("10:30", "11:00")),
    "around": (("10:00", "11:00"), ("09:00", "12:00")),
    "across midnight": (("23:30", "00:30"), ("23:45", "00:15")),
}


@pytest.mark.parametrize("kind", OVERLAPS)
@pytest.mark.parametrize("first_in_file", [True, False])
def test_of_two_that_overlap_the_first_to_be_created_wins(
    ready: Callable[..., ImportReport],
    importer: Importer,
    psql: Any,
    kind: str,
    first_in_file: bool,
) -> None:
    """
    Whatever the order in the file; the loser waits in quarantine and names the winner.
    """
    winner, loser = OVERLAPS[kind]
    rows = [
        reservation("winner", *winner, created_at=EARLY),
        reservation("loser", *loser, created_at=LATE),
    ]
    report = ready(*(rows if first_in_file else reversed(rows)))
    waiting = importer.quarantined()[0]

    assert {"imported": 1, "quarantined": 1} == numbers(report)
    assert ExitCode.PARTLY_DONE == report.exit_code
    assert [("loser", "overlap")] == [(row.external_ref, row.reason) for row in waiting]
    assert [("winner", stored(psql, "winner")["id"])] == [
        (rival["external_ref"], rival["id"]) for rival in waiting[0].clashes_with
    ]
    assert [] == broken(psql)


def test_two_of_the_next_day_meet_at_midnight(
    ready: Callable[..., ImportReport], importer: Importer
) -> None:
    """
    23:30-00:30 clashes with 00:00-01:00 of the next day; created at once, the lower key wins.
    """
    ready(
        reservation("10", "00:00", "01:00", date="2027-02-02"),
        reservation("9", "23:30", "00:30"),
        reservation("11", "01:00", "02:00", date="2027-02-02"),
    )

    assert ["10"] == [row.external_ref for row in importer.quarantined()[0]]


def test_what_keeps_no_court_clashes_with_nothing(ready: Callable[..., ImportReport]) -> None:
    """
    Cancelled, completed and unconfirmed past rows of one slot all go in beside the live one.
    """
    past = {"date": "2024-02-01", "created_at": EARLY}
    report = ready(
        reservation("a", status="cancelled", **past),
        reservation("b", status="completed", **past),
        reservation("c", status="pending", **past),
        reservation("d", date="2024-02-01"),
    )

    assert {"imported": 4} == numbers(report)


def test_a_booking_made_here_meanwhile_stays(
    ready: Callable[..., ImportReport], importer: Importer, desk: Desk
) -> None:
    """
    An older row of the dump does not push out what was sold here.
    """
    booked = desk.book(f"{SLUG}/1", "2026-12-01T10:30", minutes=60, player="Eva Gil")
    ready(reservation("r", date="2026-12-01", created_at=EARLY))
    waiting = importer.quarantined()[0]

    assert [booked.reservation.id] == [rival["id"] for rival in waiting[0].clashes_with]


def test_a_hold_that_ran_out_gives_way(ready: Callable[..., ImportReport], psql: Any) -> None:
    """
    An unpaid hold past its deadline that nobody swept stands in no row's way.
    """
    psql.execute(
        "INSERT INTO claims (club_id, court_id, kind, status, starts_at, ends_at, free_at,"
        " hold_until, player_name, currency, total, lines, price_source, payment_method,"
        " payment_status)"
        " SELECT club_id, id, 'reservation', 'pending', '2027-02-01 16:00Z', '2027-02-01 17:00Z',"
        " '2027-02-01 17:00Z', '2024-01-01', 'Eva', 'MXN', 0, '[]', 'tariff', 'card', 'pending'"
        " FROM courts WHERE external_ref = %s",
        [COURT_1],
    )

    assert {"imported": 1} == numbers(ready(reservation("r")))


# --- blocks ---------------------------------------------------------------------------------


def pieces(psql: Any, ref: str) -> list[tuple[str, str, float]]:
    found: list[tuple[str, str, float]] = psql.execute(
        "SELECT court, status, extract(epoch FROM ends_at - starts_at)::float / 3600 FROM blocks"
        " WHERE external_ref LIKE %s ORDER BY court, starts_at",
        [f"padelyzer:{ref}:%"],
    ).fetchall()
    return found


def test_a_block_is_laid_by_court_and_day(ready: Callable[..., ImportReport], psql: Any) -> None:
    """
    54 hours of the whole club: three pieces on each court; seconds are cut off outwards.
    """
    report = ready(
        block("b", "2027-02-01T08:00:00", "2027-02-03T13:59:59", court=None),
        block("z", "2027-03-01T08:00:00Z", "2027-03-01T12:00:00Z", is_active=False),
    )

    assert {"imported": 2} == numbers(report)
    assert [(court, "confirmed", hours) for court in "12" for hours in (24, 24, 6)] == pieces(
        psql, "b"
    )
    assert [("1", "cancelled", 4)] == pieces(psql, "z")
    assert [] == broken(psql)


def test_a_block_yields_to_a_reservation_and_names_it(
    ready: Callable[..., ImportReport], importer: Importer, desk: Desk, psql: Any
) -> None:
    """
    The other courts are closed all the same, and the rest is laid once the reservation is gone.
    """
    ready(
        block("b", "2027-02-01T08:00:00", "2027-02-01T20:00:00", court=None, created_at=EARLY),
        reservation("r", created_at=LATE),
    )
    waiting = importer.quarantined()[0]

    assert [("b", "overlap", ["r"])] == [
        (row.external_ref, row.reason, [rival["external_ref"] for rival in row.clashes_with])
        for row in waiting
    ]
    assert [("2", "confirmed", 12)] == pieces(psql, "b")

    desk.cancel(stored(psql, "r")["id"])

    assert {"imported": 1} == numbers(importer.retry())
    assert [("1", "confirmed", 12), ("2", "confirmed", 12)] == pieces(psql, "b")
    assert ([], 0) == importer.quarantined()


def test_a_block_that_was_lifted_here_stays_lifted(
    ready: Callable[..., ImportReport], psql: Any
) -> None:
    """
    Bringing the same dump again does not lay it a second time.
    """
    rows = [block("b", "2027-02-01T08:00:00", "2027-02-01T20:00:00")]
    ready(*rows)
    psql.execute("UPDATE claims SET status = 'cancelled', ended_at = now() WHERE kind = 'block'")

    assert {"already_there": 1} == numbers(ready(*rows))
    assert [("1", "cancelled", 12)] == pieces(psql, "b")
