"""
What an import is given: bad rows, bad files, every form of a dump, CSV.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from padelops.errors import InvalidInput
from padelops.ops import django_dump, import_files
from padelops.ops.import_files import recognise
from testbed.dumps import (
    block,
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
from testbed.rows import one

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.ops.import_report import ImportReport
    from padelops.ops.importing import Importer

BAD = {
    "missing_key": reservation(None),
    "invalid_key": reservation([1]),
    "invalid_time": reservation("r", date="9999-12-31"),
    "invalid_time no date": reservation("r", date="2027-02-30"),
    "invalid_time no clock": reservation("r", start_time="25:00"),
    "invalid_time missing": reservation("r", end_time=None),
    "invalid_time number": reservation("r", created_at=12),
    "empty_slot": reservation("r", "10:00", "10:00"),
    "unknown_status": reservation("r", status="maybe"),
    "unknown_payment_status": reservation("r", payment_status="bitcoin"),
    "no_price": reservation("r", total_price=None, price_per_hour=None),
    "invalid_amount": reservation("r", total_price="-1"),
    "invalid_amount huge": reservation("r", total_price=10**40),
    "invalid_amount exponent": reservation("r", total_price=1e300),
    "invalid_amount text": reservation("r", total_price="300,00"),
    "amounts_disagree": reservation("r", payment_status="paid", payment_amount="999.00"),
    "no_player": reservation("r", player_name="  "),
    "invalid_number": reservation("r", player_count=-4),
    "invalid_field": reservation("r", player_name={"first": "Ana"}),
    "text_too_long": reservation("r", notes="x" * 10_000_000),
    "text_too_long e-mail": reservation("r", player_email="x" * 255),
    "unstorable_text": reservation("r", notes="a\0b"),
    "unstorable_text half": reservation("r", notes="\ud83d"),
    "unknown_club": reservation("r", club="nobody"),
    "unknown_court": reservation("r", court="nowhere"),
    "unknown_court none": reservation("r", court=None),
    "on_wait_list": reservation("r", on_wait_list=True),
    "empty_slot block": block("b", "2027-02-01T10:00:00", "2027-02-01T09:00:00"),
    "too_long block": block("b", "2027-02-01T10:00:00", "2099-02-01T09:00:00"),
    "invalid_hours": schedule("s", 0, opening_time="09:00", closing_time="09:00"),
    "invalid_number weekday": schedule("s", 9),
    "invalid_court": court("c", None),  # type: ignore[arg-type]
    "court_number_taken": court("c", 1),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_waits_whole_and_stops_nobody(
    ready: Callable[..., ImportReport], importer: Importer, psql: Any, case: str
) -> None:
    """
    It goes to quarantine with its reason, letter by letter; its neighbours go in.
    """
    report = ready(BAD[case], reservation("good", "15:00", "16:00"))

    assert {"imported": 1, "quarantined": 1} == numbers(report)
    assert {case.partition(" ")[0]: 1} == dict(report.reasons)
    assert BAD[case] == json.loads(one(psql, "SELECT record::text FROM quarantine"))
    assert {"quarantined": 1} == numbers(importer.retry())
    assert 1 == importer.quarantined()[1]


@pytest.mark.parametrize(
    ("date", "start", "end"),
    [("2027-10-31", "02:30", "03:30"), ("2027-03-28", "01:30", "02:30")],
)
def test_an_hour_that_the_clocks_change_is_not_guessed(
    importer: Importer, tmp_path: Path, date: str, start: str, end: str
) -> None:
    """
    02:30 comes twice in autumn and not at all in spring: the row waits.
    """
    rows = [*place(), reservation("r", start, end, date=date)]
    report = importer.run([written(tmp_path, *rows)], time_zone="Europe/Madrid")

    assert {"clock_change": 1} == dict(report.reasons)


def test_a_row_that_only_the_database_refuses_is_found_and_set_apart(
    ready: Callable[..., ImportReport], importer: Importer, psql: Any
) -> None:
    """
    One row out of a batch breaks a constraint that the reader does not know; the others go in.
    """
    psql.execute(
        "ALTER TABLE claims ADD CONSTRAINT no_r005 CHECK (external_ref <> 'r005') NOT VALID"
    )
    report = ready(*(reservation(f"r{n:03d}", date=f"2027-02-{n + 1:02d}") for n in range(11)))

    assert {"imported": 10, "quarantined": 1} == numbers(report)
    assert [("r005", "refused_by_database")] == [
        (row.external_ref, row.reason) for row in importer.quarantined()[0]
    ]
    assert "no_r005" in importer.quarantined()[0][0].detail


BAD_FILES = {
    "empty": (b"", "is empty"),
    "no JSON": (b'[{"model": "clubs.club",]', "line 1: this is not JSON"),
    "cut off": (b'[\n{"model": "clubs.club", "pk": 1, "fields": {', "line 2: this is not JSON"),
    "more after it": (b"[] []", "more after the end"),
    "no dump": (b'{"clubs": []}', "not a Django dump: object 1 of .* has no model"),
    "a list of numbers": (b"[1, 2]", "not a Django dump"),
    "NaN": (b'[{"model": "x", "pk": NaN, "fields": {}}]', "NaN"),
    "no commas": (b'[{"model": "x"} {"model": "y"}]', "a comma or the end of the list is missing"),
    "nested": (b'[{"model": "x", "fields": {"a": ' + b"[" * 100_000, "nested too deeply"),
    "a little nested": (
        b'[{"model": "x", "fields": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}]",
        "nested too deeply",
    ),
    "binary": (b"\x80\x81\x82", "neither JSON nor CSV"),
    "NUL": (b'[{"model": "x", "pk": "\0"}]', "this is not JSON"),
    "CSV without columns": (
        b"club,start\ncentro,now\n",
        "lacks court, player_name, total, minutes",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_used_leaves_nothing(
    importer: Importer, psql: Any, tmp_path: Path, case: str
) -> None:
    """
    One line says what is wrong; a good file beside it is not imported either.
    """
    content, message = BAD_FILES[case]
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    before = one(psql, "SELECT count(*) FROM audit_entries")

    with pytest.raises(InvalidInput, match=message) as caught:
        importer.run([written(tmp_path, *place(), reservation("r")), bad])

    assert "\n" not in str(caught.value)
    assert before == one(psql, "SELECT count(*) FROM audit_entries")
    assert 0 == one(psql, "SELECT count(*) FROM quarantine")


def test_a_dump_is_read_in_every_form_it_is_written_in(importer: Importer, tmp_path: Path) -> None:
    """
    One object per line, a byte order mark, or UTF-16 as PowerShell writes it: the same rows.
    """
    rows = [*place(), reservation("r", notes="ñandú")]
    lines, marked, wide = (tmp_path / name for name in ("a.jsonl", "b.json", "c.json"))
    lines.write_text("\n".join(json.dumps(row) for row in rows))
    marked.write_text(json.dumps(rows), encoding="utf-8-sig")
    wide.write_text(json.dumps(rows), encoding="utf-16")
    reports = [importer.run([file]) for file in (lines, marked, wide)]

    assert [{"imported": 4}, {"already_there": 4}, {"already_there": 4}] == [
        numbers(report) for report in reports
    ]


def test_what_has_no_place_here_is_named(ready: Callable[..., ImportReport]) -> None:
    """
    Models are skipped by name, fields are counted; the books balance.
    """
    report = ready(
        {"model": "auth.user", "pk": 1, "fields": {}},
        {"model": "finance.payment", "pk": 1, "fields": {}},
        reservation("r", booking_source="web", internal_notes="x"),
    )

    assert {"imported": 1, "skipped": 2} == numbers(report)
    assert {"auth.user": 1, "finance.payment": 1} == dict(report.skipped)
    assert {
        "reservations.reservation.booking_source": 1,
        "reservations.reservation.internal_notes": 1,
    } == dict(report.ignored)


def test_a_dry_run_tells_the_same_and_writes_nothing(
    importer: Importer, psql: Any, tmp_path: Path
) -> None:
    """
    Club, reservations, blocks and quarantine: what it says is what then happens.
    """
    file = written(tmp_path, *place(), schedule("s", 0), *mixture())
    before = one(psql, "SELECT count(*) FROM audit_entries")
    preview = importer.run([file], dry_run=True).as_json()

    assert before == one(psql, "SELECT count(*) FROM audit_entries")
    assert [] == everything(psql)
    done = importer.run([file]).as_json()
    again = importer.run([file], dry_run=True).as_json()
    assert preview == done | {"dry_run": True}
    assert done["imported"] == again["already_there"]


# --- CSV ------------------------------------------------------------------------------------

CSV_ROWS = [
    "centro,1,2026-12-05T18:00,90,,Ana Ruiz,30.00,A1",
    "centro,1,2026-12-05T18:00+01:00,60,,Eva Gil,20.00,A2",
    "centro,2,2026-12-05T23:30,,00:30,Juan Pérez,20.00,A3",
    'centro,2,2026-12-06T10:00,60,11:00,"Gil, Eva",20.00,',
    "centro,9,2026-12-06T10:00,60,,Ana Ruiz,20.00,A5",
    "nowhere,1,2026-12-06T10:00,60,,Ana Ruiz,20.00,A6",
    "centro,1,2026-12-06T10:00,60,12:00,Ana Ruiz,20.00,A7",
    "centro,1",
]
CSV_HEADER = "club,court,start,minutes,end,player_name,total,ref"


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_csv_rows_are_reservations(
    importer: Importer, psql: Any, tmp_path: Path, delimiter: str
) -> None:
    """
    Local times are the club's own; a row without ref is known by its content.
    """
    text = "\r\n".join([CSV_HEADER, *CSV_ROWS]) + "\r\n"
    if delimiter == ";":
        text = text.replace(",", ";").replace('"Gil; Eva"', '"Gil, Eva"')
    file = tmp_path / "rows.csv"
    file.write_text(text, encoding="utf-8-sig")
    reports = [importer.run([file]), importer.run([file]), importer.retry()]

    assert [
        {"imported": 3, "quarantined": 5},
        {"already_there": 3, "quarantined": 5},
        {"quarantined": 5},
    ] == [numbers(report) for report in reports]
    assert {
        "overlap": 1, "unknown_court": 1, "unknown_club": 1, "invalid_time": 1, "invalid_row": 1,
    } == dict(reports[0].reasons)  # fmt: skip
    assert datetime(2026, 12, 5, 17, tzinfo=UTC) == stored(psql, "csv:A1")["starts_at"]
    assert datetime(2026, 12, 5, 23, 30, tzinfo=UTC) == stored(psql, "csv:A3")["ends_at"]
    assert [] == broken(psql)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_dump_is_read_alike_in_pieces_of_any_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chunk: int
) -> None:
    """
    An object, a number or a letter of two bytes may be cut in two where a piece ends.
    """
    rows = [reservation(n, notes='ñ"]}, {[', total_price=n * 1000 + 0.5) for n in range(20)]
    file = recognise(written(tmp_path, *rows))
    monkeypatch.setattr(import_files, "CHUNK", chunk)
    records = list(django_dump.read(file, lambda _: None))

    assert rows == [json.loads(record.text) for record in records]
    assert list(range(20)) == [record.pk for record in records]
    assert ['ñ"]}, {['] * 20 == [record.fields["notes"] for record in records]


def test_csv_money_is_the_clubs(importer: Importer, psql: Any, tmp_path: Path) -> None:
    """
    A row in another currency waits; a comma is a point.
    """
    file = tmp_path / "rows.csv"
    file.write_text(
        "club,court,start,minutes,player_name,total,currency,payment_status,ref\n"
        'centro,1,2026-12-05T18:00,60,Ana,"20,50",EUR,paid,1\n'
        "centro,1,2026-12-05T19:00,60,Ana,20,USD,paid,2\n"
    )
    report = importer.run([file])

    assert {"wrong_currency": 1} == dict(report.reasons)
    assert {"imported": 1, "quarantined": 1} == numbers(report)
    assert "20.50" == str(stored(psql, "csv:1")["captured"])
