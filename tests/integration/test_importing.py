"""
Importing what clubs run today: clubs as they are, rows as they were, and nothing twice.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from padelops.errors import ExitCode, InvalidInput, Refused
from testbed.dumps import (
    CLUB,
    COURT_1,
    COURT_2,
    SLUG,
    club,
    court,
    everything,
    mixture,
    numbers,
    place,
    reservation,
    schedule,
    stored,
    written,
)
from testbed.invariants import broken
from testbed.racing import race
from testbed.rows import one

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.ops.import_report import ImportReport
    from padelops.ops.importing import Importer
    from padelops.wiring import Desk

REAL_FILE = Path(__file__).parents[3] / "shared" / "data" / "padelyzer_demo_clubs.json"


EARLY, LATE = "2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z"


@pytest.mark.skipif(not REAL_FILE.exists(), reason=f"{REAL_FILE.name} is not beside the project")
def test_a_real_dump_becomes_a_club(importer: Importer, desk: Desk) -> None:
    """
    Zone, currency, courts, prices, hours and rules are what the old system says.
    """
    report = importer.run([REAL_FILE])
    found = desk.catalogue.read("padel-club-demo")

    assert {"imported": 5} == numbers(report)
    assert ("Padel Club Demo", "America/Mexico_City", "MXN") == (
        found.name,
        str(found.zone),
        found.currency,
    )
    assert ["1", "2"] == [name for name, one in found.courts.items() if one.in_service]
    assert 7 == found.rules.advance_days
    assert {"mon": "07:00-23:00", "tue": "07:00-23:00", "sun": "08:00-22:00"} == {
        day: str(found.hours.weekly[day][0]) for day in ("mon", "tue", "sun")
    }
    assert "525.00" == f"{desk.price('padel-club-demo/2', '2026-12-05T18:00', minutes=90).total}"
    assert {"imported": 0, "already_there": 5} == {"imported": 0} | numbers(
        importer.run([REAL_FILE])
    )


def test_hours_and_service_follow_the_old_rules(
    bring: Callable[..., ImportReport], desk: Desk
) -> None:
    """
    A schedule beats the club's hours, a closed day is closed, and a day not in days_open too.
    """
    bring(
        club(),
        court(),
        court(COURT_2, 2, is_maintenance=True),
        schedule("s1", 0, closing_time="01:30:00"),
        schedule("s2", 1, is_closed=True),
        schedule("s3", 2, is_active=False),
    )
    found = desk.catalogue.read(SLUG)

    assert {"mon": "08:00-01:30", "wed": "07:00-23:00", "thu": "07:00-23:00"} == {
        day: str(hours[0])
        for day, hours in found.hours.weekly.items()
        if day in ("mon", "tue", "wed", "thu", "sun")
    }
    assert {"1": True, "2": False} == {one.name: one.in_service for one in found.courts.values()}


def test_a_club_that_is_here_is_completed_but_never_changed(
    ready: Callable[..., ImportReport], desk: Desk, psql: Any
) -> None:
    """
    A person's edits stay; a court that is missing is added, and the rest is told.
    """
    psql.execute("UPDATE courts SET in_service = false WHERE external_ref = %s", [COURT_1])
    report = ready(club(name="Another name"), court(), court("court-key-3", 3), schedule("s", 0))
    found = desk.catalogue.read(SLUG)

    assert {"imported": 1, "differs": 3} == numbers(report)
    assert [("key", "name"), ("key-1", "in service"), ("s", "mon")] == [
        (row["ref"].removeprefix("club-").removeprefix("court-"), row["detail"])
        for row in report.differing
    ]
    assert "Pádel Norte" == found.name
    assert {"1": False, "2": True, "3": True} == {
        one.name: one.in_service for one in found.courts.values()
    }
    assert desk.book(f"{SLUG}/3", "2026-12-01T10:00", minutes=60, player="Ana").reservation.id


def test_courts_are_added_without_lifting_what_a_club_file_laid(
    importer: Importer, desk: Desk, psql: Any, tmp_path: Path
) -> None:
    """
    A club made by hand under the same slug is taken for the old one; its blocks stay.
    """
    file = tmp_path / "club.yaml"
    file.write_text(
        f"slug: {SLUG}\nname: By hand\ntime_zone: Europe/Madrid\ncurrency: EUR\n"
        'default_hourly_price: "20"\ncourts: [{name: "1"}]\nhours: {weekly: {mon: "08:00-22:00"}}\n'
        'blocks: [{ref: b, from: "2027-01-01T08:00", to: "2027-01-01T12:00", reason: works}]\n'
    )
    desk.apply_club_file(file)
    dump = written(tmp_path, reservation("r"), *place())
    with pytest.raises(InvalidInput, match=r"padel-norte is here, in Europe/Madrid") as caught:
        importer.run([dump])
    report = importer.run([dump], time_zone="Europe/Madrid", currency="EUR")

    assert "Pass --timezone Europe/Madrid --currency EUR" == caught.value.fix
    assert {"imported": 2, "differs": 2} == numbers(report)
    assert 1 == one(
        psql, "SELECT count(*) FROM blocks WHERE club = %s AND status = 'confirmed'", SLUG
    )
    assert datetime(2027, 2, 1, 9, tzinfo=UTC) == stored(psql, "r")["starts_at"]
    assert ("EUR", CLUB) == psql.execute(
        "SELECT currency, external_ref FROM clubs WHERE slug = %s", [SLUG]
    ).fetchone()


def test_another_zone_than_the_clubs_is_refused(
    ready: Callable[..., ImportReport], psql: Any
) -> None:
    """
    A zone that would move every reservation by hours stops the import before it writes anything.
    """
    with pytest.raises(InvalidInput, match=r"in America/Mexico_City and"):
        ready(reservation("r"), time_zone="Europe/Madrid")

    assert 0 == one(psql, "SELECT count(*) FROM claims WHERE external_ref = 'r'")


# --- what rows become -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "becomes"),
    [
        ({}, ("confirmed", "due", 0, 0)),
        ({"payment_status": "paid"}, ("confirmed", "paid", 300, 0)),
        ({"payment_status": "paid", "payment_amount": "250.00"}, ("confirmed", "paid", 250, 0)),
        ({"payment_status": "partial", "payment_amount": 100}, ("confirmed", "due", 100, 0)),
        ({"payment_status": "partial", "payment_amount": 300}, ("confirmed", "paid", 300, 0)),
        (
            {"status": "cancelled", "payment_status": "partial", "payment_amount": 100},
            ("cancelled", "paid", 100, 0),
        ),
        ({"payment_status": "partial"}, ("confirmed", "due", 0, 0)),
        ({"payment_status": "failed"}, ("confirmed", "due", 0, 0)),
        ({"total_price": "0.00", "payment_status": "paid"}, ("confirmed", "nothing_due", 0, 0)),
        ({"status": "pending"}, ("confirmed", "due", 0, 0)),
        ({"status": "pending", "date": "2024-02-01"}, ("expired", "nothing_due", 0, 0)),
        (
            {"status": "pending", "date": "2024-02-01", "payment_status": "paid"},
            ("confirmed", "paid", 300, 0),
        ),
        ({"date": "2024-02-01"}, ("confirmed", "due", 0, 0)),
        ({"status": "completed", "payment_status": "paid"}, ("completed", "paid", 300, 0)),
        ({"status": "no_show"}, ("no_show", "due", 0, 0)),
        ({"status": "cancelled"}, ("cancelled", "nothing_due", 0, 0)),
        ({"status": "cancelled", "payment_status": "paid"}, ("cancelled", "paid", 300, 0)),
        (
            {"status": "cancelled", "payment_status": "refunded", "cancellation_fee": "50.00"},
            ("cancelled", "refunded", 300, 250),
        ),
        ({"payment_status": "refunded"}, ("confirmed", "refunded", 300, 300)),
        ({"is_active": False}, ("cancelled", "nothing_due", 0, 0)),
    ],
)
def test_statuses_and_money_are_translated(
    ready: Callable[..., ImportReport],
    psql: Any,
    changes: dict[str, Any],
    becomes: tuple[str, str, int, int],
) -> None:
    """
    Amounts derive from payment events; what kept the court there keeps it here, and nothing else.
    """
    report = ready(reservation("r", **changes))
    row = stored(psql, "r")

    assert {"imported": 1} == numbers(report)
    assert becomes == (row["status"], row["payment_status"], row["captured"], row["refunded"])
    assert [] == broken(psql)


def test_a_reservation_keeps_what_it_was(ready: Callable[..., ImportReport], psql: Any) -> None:
    """
    Player, price, time of creation: as in the dump; nobody is told a second time.
    """
    ready(
        reservation(
            "r", player_email="garbage at nowhere", notes="línea 1\r\nlínea 2", total_price="275.50"
        )
    )
    row = stored(psql, "r")

    assert ("Ana Ruiz", "garbage at nowhere", "+52 55 1234 5678", 4, "línea 1\nlínea 2") == (
        row["player_name"],
        row["player_email"],
        row["player_phone"],
        row["player_count"],
        row["notes"],
    )
    assert ("275.50", "imported", "desk", "MXN") == (
        str(row["total"]),
        row["price_source"],
        row["payment_method"],
        row["currency"],
    )
    assert "as agreed; price x time would be 300.00" == row["lines"][0]["note"]
    assert datetime(2024, 1, 15, 10, tzinfo=UTC) == row["created_at"]
    assert datetime(2027, 2, 1, 16, tzinfo=UTC) == row["starts_at"]
    assert 0 == one(psql, "SELECT count(*) FROM messages")


def test_a_missing_total_is_computed_and_said_so(
    ready: Callable[..., ImportReport], psql: Any
) -> None:
    """
    90 minutes at 333.33 an hour are 500.00, rounded once.
    """
    ready(reservation("r", "10:00", "11:30", total_price=None, price_per_hour="333.33"))
    row = stored(psql, "r")

    assert ("500.00", "computed: there was no total") == (
        str(row["total"]),
        row["lines"][0]["note"],
    )


def test_what_was_paid_in_part_is_settled_at_the_desk(
    ready: Callable[..., ImportReport], desk: Desk, psql: Any
) -> None:
    """
    The rest changes hands here: two captures that add up to the total, and then nothing is due.
    """
    ready(reservation("r", payment_status="partial", payment_amount="100.00"))
    number = stored(psql, "r")["id"]
    before = desk.validator().validate_all_reservations()
    settled = desk.settle_at_desk(number)
    events = psql.execute(
        "SELECT gateway, amount FROM payment_events WHERE claim_id = %s ORDER BY id", [number]
    ).fetchall()

    assert [] == [found for one in before.outcomes for found in one.violations]
    assert ("paid", 300) == (settled.payment_status, settled.captured)
    assert [("imported", 100), ("desk", 200)] == events
    assert [] == broken(psql)
    with pytest.raises(Refused):
        desk.settle_at_desk(number)


def test_what_was_paid_in_part_is_given_back_when_it_is_cancelled(
    ready: Callable[..., ImportReport], desk: Desk, psql: Any
) -> None:
    """
    Never more than was paid; and nothing is due any more for what is cancelled.
    """
    ready(
        reservation("a", payment_status="partial", payment_amount="100.00"),
        reservation("b", "12:00", "13:00", payment_status="partial", payment_amount="100.00"),
    )
    given_back = desk.cancel(stored(psql, "a")["id"], reason="club_requested")
    kept = desk.cancel(stored(psql, "b")["id"])

    assert (100, "refund_due") == (given_back.refund, given_back.reservation.payment_status)
    assert (kept.refund, kept.kept) in ((0, 100), (100, 0))
    assert kept.reservation.payment_status in ("paid", "refund_due")
    assert [] == broken(psql)


def test_each_change_is_audited_as_the_imports(
    ready: Callable[..., ImportReport], desk: Desk, psql: Any
) -> None:
    """
    One entry for each row, paid or not, door `import`, who runs it, all under one request.
    """
    ready(reservation("a", payment_status="paid"), reservation("b", "12:00", "13:00"))
    entries = psql.execute(
        "SELECT subject_kind, action, actor, door, request_id FROM audit_entries"
        " WHERE at > (SELECT max(at) FROM audit_entries WHERE action = 'import' AND id <"
        "             (SELECT max(id) FROM audit_entries)) ORDER BY id"
    ).fetchall()

    assert [
        ("reservation", "created"),
        ("reservation", "created"),
        ("operator", "import"),
    ] == [entry[:2] for entry in entries]
    assert {(desk.origin.actor, "import")} == {entry[2:4] for entry in entries}
    assert 1 == len({entry[4] for entry in entries})
    assert desk.verify_audit().intact


# --- again ----------------------------------------------------------------------------------


def test_the_same_import_again_changes_nothing(
    ready: Callable[..., ImportReport], psql: Any
) -> None:
    """
    Same rows, in files of any order, as often as you like: the same state.
    """
    first = ready(*mixture())
    before = everything(psql)
    again = ready(*reversed(mixture()))

    assert numbers(first)["imported"] == numbers(again)["already_there"]
    assert numbers(first)["quarantined"] == numbers(again)["quarantined"] > 1
    assert "imported" not in numbers(again)
    assert before == everything(psql)
    assert [] == broken(psql)


def test_a_row_that_changed_there_is_told_and_not_overwritten(
    ready: Callable[..., ImportReport], psql: Any
) -> None:
    """
    The report says which fields differ; the reservation stays what it was.
    """
    ready(reservation("r"))
    report = ready(reservation("r", "12:00", "13:00", player_name="Eva Gil"))

    assert {"differs": 1} == numbers(report)
    assert ExitCode.DONE == report.exit_code
    assert ["start, end, player"] == [row["detail"] for row in report.differing]
    assert "Ana Ruiz" == stored(psql, "r")["player_name"]


def test_of_two_versions_of_a_row_the_newer_one_counts(
    importer: Importer, psql: Any, tmp_path: Path
) -> None:
    """
    Whichever file it stands in; a row that comes twice unchanged is one row.
    """
    same = reservation("s", "12:00", "13:00")
    old = written(tmp_path, reservation("r"), same, name="old.json")
    new = written(
        tmp_path,
        *place(),
        same,
        reservation("r", player_name="Newer", updated_at="2025-01-01T00:00:00Z"),
        name="new.json",
    )
    report = importer.run([new, old])

    assert {"imported": 5, "already_there": 1, "differs": 1} == numbers(report)
    assert "Newer" == stored(psql, "r")["player_name"]


def test_two_imports_at_once_share_the_work(
    importer: Importer, ready: Callable[..., ImportReport], psql: Any, tmp_path: Path
) -> None:
    """
    Each row goes in once; both imports account for every row.
    """
    file = written(tmp_path, *mixture())
    other = replace(importer, origin=replace(importer.origin, actor="other"))
    finishes = race(lambda: importer.run([file]), lambda: other.run([file]))
    reports = [numbers(finish.value) for finish in finishes if finish.ok]

    assert [True, True] == [finish.ok for finish in finishes]
    alone = numbers(ready(*mixture()))
    assert [alone["already_there"]] * 2 == [
        report.get("imported", 0) + report.get("already_there", 0) for report in reports
    ]
    assert alone["already_there"] == sum(report.get("imported", 0) for report in reports)
    assert [] == broken(psql)


def test_what_was_missing_comes_later(importer: Importer, psql: Any, tmp_path: Path) -> None:
    """
    Rows whose club comes in a later dump wait; a retry puts them in, and reads them as before.
    """
    rows = [reservation("r", payment_status="paid"), court(), schedule("s", 0)]
    first = importer.run([written(tmp_path, *rows)], time_zone="America/Cancun")
    importer.run([written(tmp_path, club())], time_zone="America/Cancun")
    report = importer.retry()

    assert {"unknown_club": 3} == dict(first.reasons)
    assert {"imported": 2, "differs": 1} == numbers(report)
    assert datetime(2027, 2, 1, 15, tzinfo=UTC) == stored(psql, "r")["starts_at"]
    assert ([], 0) == importer.quarantined()


def test_a_retry_brings_in_what_fits_by_now(
    ready: Callable[..., ImportReport], importer: Importer, desk: Desk, psql: Any
) -> None:
    """
    The winner is cancelled, so the loser may come in; until then it stays where it is.
    """
    ready(reservation("a", created_at=EARLY), reservation("b"))

    assert {"quarantined": 1} == numbers(importer.retry())

    desk.cancel(stored(psql, "a")["id"])

    assert {"imported": 1} == numbers(importer.retry())
    assert ([], 0) == importer.quarantined()
