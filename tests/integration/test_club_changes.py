"""
A club becomes what its file says, all of it or nothing, while people go on booking.
"""

from __future__ import annotations

import queue
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from padelops.booking.club_changes import apply_club
from padelops.booking.club_file import parse_club_files
from padelops.errors import CourtOutOfService, CourtTaken, InvalidInput, PadelopsError
from padelops.model import Origin
from testbed.invariants import broken
from testbed.racing import Running, race, waiting_on_a_lock
from testbed.rows import column, insert, insert_hold, one, reservation_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops import Desk
    from padelops.booking.club_changes import Applied
    from testbed.clock import Clock

CLUB = """
slug: nuevo
name: Nuevo
time_zone: Europe/Madrid
currency: EUR
default_hourly_price: "10.00"
courts: [{name: "1", hourly_price: "20.00"}, {name: "2"}]
hours: {weekly: {mon-sun: "08:00-23:00"}}
rules: {advance_days: 60, min_minutes: 60, max_minutes: 60, default_minutes: 60}
"""
BLOCK = 'blocks: [{ref: works, courts: ["1"], from: "%s", to: "%s", reason: paint}]\n'
ME = Origin("owner")


@pytest.fixture
def apply(desk: Desk, clock: Clock) -> Callable[..., Applied]:
    """Applies the club of this test, with its text changed as told."""

    def applied(*edits: tuple[str, str], more: str = "", dry_run: bool = False) -> Applied:
        text = CLUB + more
        for before, after in edits:
            assert before in text
            text = text.replace(before, after)
        (file,) = parse_club_files(text, name="test")
        return apply_club(desk.bulk, file, origin=ME, now=clock(), dry_run=dry_run)

    return applied


def changes(applied: Applied) -> dict[str, tuple[Any, Any]]:
    return {change.what: (change.before, change.after) for change in applied.changes}


def blocks(psql: Any) -> list[tuple[Any, ...]]:
    """Every live block of the new club: court, start, end."""
    found: list[tuple[Any, ...]] = psql.execute(
        "SELECT court, starts_at, ends_at FROM blocks WHERE club = 'nuevo' AND status = 'confirmed'"
        " ORDER BY starts_at, court"
    ).fetchall()
    return found


def state(psql: Any) -> list[Any]:
    """Everything that a dry run must leave as it is."""
    return [
        psql.execute(f"SELECT * FROM {table} ORDER BY id".encode()).fetchall()
        for table in ("clubs", "courts", "tariffs", "policies", "claims", "audit_entries")
    ]


def test_a_new_club_can_be_booked(desk: Desk, apply: Callable[..., Applied]) -> None:
    """
    Applied, it is there: listed, priced, bookable, and its making is recorded under the owner.
    """
    assert apply().created

    made = desk.book("nuevo/1", "2026-12-01T18:00", player="A")
    assert Decimal("20.00") == made.reservation.total
    (listed,) = [club for club in desk.clubs() if club.slug == "nuevo"]
    assert (2, 2) == (listed.courts, listed.in_service)
    assert {"owner"} == {
        entry.actor for entry in desk.history(made.reservation.club_id, subject="club")
    }


def test_applying_twice_changes_nothing(psql: Any, apply: Callable[..., Applied]) -> None:
    """
    The second time there is no difference, no new revision and no audit entry.
    """
    more = BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00")
    apply(more=more)
    before = state(psql)

    again = apply(more=more)

    assert ((), False) == (again.changes, again.created)
    assert before == state(psql)


def test_the_demo_clubs_apply_without_a_difference(desk: Desk, demo_clubs: Path) -> None:
    """
    What the template was made of is what it holds.
    """
    assert [(), (), ()] == [applied.changes for applied in desk.apply_club_file(demo_clubs)]


def test_a_dry_run_shows_what_would_change_and_changes_nothing(
    psql: Any, apply: Callable[..., Applied]
) -> None:
    """
    The difference names each field before and after, blocks too; no row and no entry is written.
    """
    apply()
    before = state(psql)

    shown = apply(
        ("20.00", "22.00"), ("08:00-23:00", "09:00-22:00"),
        more=BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00"), dry_run=True,
    )  # fmt: skip

    assert before == state(psql)
    assert shown.dry_run
    assert ("20.00", "22.00") == changes(shown)["courts[1].hourly_price"]
    assert [(None, "paint")] == [pair for what, pair in changes(shown).items() if "works" in what]
    assert any("hours" in what for what in changes(shown))


def test_a_dry_run_of_a_new_club(psql: Any, apply: Callable[..., Applied]) -> None:
    """
    Nothing of it remains.
    """
    before = state(psql)

    assert apply(dry_run=True).created
    assert before == state(psql)


def test_a_dry_run_refuses_like_the_act(desk: Desk, apply: Callable[..., Applied]) -> None:
    """
    A block on a booked court is refused in both, naming the court and the way out.
    """
    apply()
    desk.book("nuevo/1", "2026-12-10T09:00", player="A")
    more = BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00")

    for dry_run in (True, False):
        with pytest.raises(CourtTaken, match="padelops search") as caught:
            apply(more=more, dry_run=dry_run)
        assert "nuevo/1" == caught.value.facts["court"]


def test_a_refused_change_leaves_everything(
    desk: Desk, psql: Any, apply: Callable[..., Applied]
) -> None:
    """
    A new tariff and a clashing block in one file: neither is put into force.
    """
    apply()
    desk.book("nuevo/1", "2026-12-10T09:00", player="A")
    before = state(psql)

    with pytest.raises(CourtTaken):
        apply(("20.00", "99.00"), more=BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00"))

    assert before == state(psql)


def test_blocks_are_laid_moved_and_lifted(
    desk: Desk, psql: Any, apply: Callable[..., Applied]
) -> None:
    """
    A block in the file keeps its court; changed it moves; gone from the file it frees the court.
    """
    apply(more=BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00"))
    with pytest.raises(CourtTaken):
        desk.book("nuevo/1", "2026-12-10T11:00", player="A")

    moved = apply(more=BLOCK % ("2026-12-10T14:00", "2026-12-10T16:00"))
    assert desk.book("nuevo/1", "2026-12-10T11:00", player="A")
    assert [("1", *(datetime(2026, 12, 10, hour, tzinfo=UTC) for hour in (13, 15)))] == blocks(psql)
    assert 2 == len(moved.changes)

    lifted = apply()
    assert [] == blocks(psql)
    assert [("paint", None)] == [pair for what, pair in changes(lifted).items() if "works" in what]
    assert [] == broken(psql)


def test_a_long_block_is_laid_in_pieces(psql: Any, apply: Callable[..., Applied]) -> None:
    """
    Three days over a clock change are pieces of a day at the most, without a gap, and lifted whole.
    """
    apply(more=BLOCK % ("2027-03-27T08:00", "2027-03-30T08:00"))

    pieces = blocks(psql)
    assert datetime(2027, 3, 27, 7, tzinfo=UTC) == pieces[0][1]
    assert datetime(2027, 3, 30, 6, tzinfo=UTC) == pieces[-1][2]
    assert [end for _, _, end in pieces[:-1]] == [start for _, start, _ in pieces[1:]]
    assert all(end - start <= timedelta(hours=24) for _, start, end in pieces)
    apply()
    assert [] == blocks(psql)


def test_a_block_of_the_whole_club(psql: Any, apply: Callable[..., Applied]) -> None:
    """
    A block that names no court is laid on each.
    """
    more = BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00")
    apply(more=more.replace('courts: ["1"], ', ""))

    assert ["1", "2"] == [court for court, _, _ in blocks(psql)]


def test_a_block_under_way_stays(psql: Any, clock: Clock, apply: Callable[..., Applied]) -> None:
    """
    Applied again while it lasts a block is untouched; once over it is history, not a difference.
    """
    more = BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00")
    apply(more=more)
    laid = column(psql, "SELECT id FROM claims")
    clock.at = datetime(2026, 12, 10, 9, tzinfo=UTC)

    assert () == apply(more=more).changes
    clock.at = datetime(2026, 12, 11, tzinfo=UTC)
    assert () == apply(more=more).changes
    assert () == apply().changes
    assert laid == column(psql, "SELECT id FROM claims")


def test_a_block_over_an_expired_hold(psql: Any, apply: Callable[..., Applied]) -> None:
    """
    A hold that ran out does not stand in a block's way; a live one does.
    """
    apply()
    start = datetime(2026, 12, 10, 9, tzinfo=UTC)
    hold = insert_hold(psql, "nuevo/1", start, start - timedelta(days=3650))
    apply(more=BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00"))
    insert_hold(psql, "nuevo/2", start, start + timedelta(days=3650))

    with pytest.raises(CourtTaken):
        apply(more=(BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00")).replace('["1"]', '["2"]'))
    assert "expired" == one(psql, "SELECT status FROM claims WHERE id = %s", hold)


def test_a_court_taken_out_of_the_file(
    desk: Desk, psql: Any, apply: Callable[..., Applied]
) -> None:
    """
    It goes out of service, is not deleted, and whoever booked it is listed as stranded.
    """
    apply()
    made = desk.book("nuevo/2", "2026-12-10T09:00", player="A").reservation.id

    gone = apply((', {name: "2"}', ""))

    assert (made,) == gone.stranded
    with pytest.raises(CourtOutOfService):
        desk.book("nuevo/2", "2026-12-11T09:00", player="A")
    assert 2 == one(psql, "SELECT count(*) FROM courts WHERE club_id = (SELECT max(id) FROM clubs)")
    assert desk.cancel(made)
    assert () == apply((', {name: "2"}', "")).stranded
    apply()
    assert desk.book("nuevo/2", "2026-12-11T09:00", player="A")


def test_a_court_changed_by_psql_is_put_right(psql: Any, apply: Callable[..., Applied]) -> None:
    """
    A service that an engineer changed by hand is a difference, and the file wins.
    """
    apply()
    psql.execute("UPDATE courts SET in_service = false WHERE name = '2' AND club_id > 3")

    again = apply()

    assert {"courts[2].in_service": (False, True)} == changes(again)
    assert one(psql, "SELECT in_service FROM courts WHERE name = '2' AND club_id > 3")


@pytest.mark.parametrize("created", [True, False])
def test_the_same_file_applied_at_once(
    desk: Desk, psql: Any, clock: Clock, apply: Callable[..., Applied], created: bool
) -> None:
    """
    Six owners apply one file at the same moment: one change, everybody is fine.
    """
    if not created:
        apply()
    text = CLUB.replace("20.00", "21.00") + BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00")
    (file,) = parse_club_files(text, name="test")

    finishes = race(*[partial(apply_club, desk.bulk, file, origin=ME, now=clock())] * 6)

    assert [None] * 6 == [finish.error for finish in finishes]
    assert 1 == sum(bool(finish.value.changes) for finish in finishes)
    assert int(created) == sum(finish.value.created for finish in finishes)
    assert 1 == len(blocks(psql))
    assert 2 == one(psql, "SELECT count(*) FROM courts WHERE club_id > 3")
    assert (2 - created) == one(psql, "SELECT revision FROM clubs WHERE slug = 'nuevo'")


def test_different_files_applied_at_once(
    desk: Desk, psql: Any, clock: Clock, apply: Callable[..., Applied]
) -> None:
    """
    Two owners disagree at the same moment: the result is one of the two files, whole.
    """
    apply()
    texts = [
        CLUB.replace("20.00", price).replace("08:00", opens)
        for price, opens in [("31.00", "09:00"), ("32.00", "10:00")]
    ]
    files = [parse_club_files(text, name="test")[0] for text in texts]
    finishes = race(
        *(partial(apply_club, desk.bulk, file, origin=ME, now=clock()) for file in files)
    )

    assert [None, None] == [finish.error for finish in finishes]
    config, terms = psql.execute(
        "SELECT config, terms FROM clubs JOIN tariffs ON tariffs.id = tariff_id"
        " WHERE slug = 'nuevo'"
    ).fetchone()
    (whole,) = [file for file in files if file.document() == config]
    assert whole.frozen_tariff().terms() == terms
    assert 3 == one(psql, "SELECT revision FROM clubs WHERE slug = 'nuevo'")


def test_bookings_race_with_a_change_of_prices(
    another_desk: Callable[..., Desk], psql: Any, apply: Callable[..., Applied]
) -> None:
    """
    Whatever moment the price changes, every booking is stored under the tariff that it was priced
    by, none is refused because of the change, and none waits beyond its budget.
    """
    apply()
    sellers = [another_desk(level1_budget_ms=2000) for _ in range(3)]
    over, sales = threading.Event(), queue.SimpleQueue[int]()
    prices = [f"{20 + n}.00" for n in range(8)]

    def sell(seller: Desk, n: int) -> int:
        sold = 0
        while not over.is_set() and sold < 270:
            day, hour = divmod(3 * sold + n, 14)
            start = datetime(2026, 12, 1 + day, 8 + hour, tzinfo=UTC)
            seller.book("nuevo/1", f"{start:%Y-%m-%dT%H:%M}", player="A")
            sold += 1
            sales.put(n)
        return sold

    def change() -> None:
        try:
            for price in prices[1:]:
                apply(("20.00", price))
                while not sales.empty():
                    sales.get()
                waiting = set(range(len(sellers)))  # everybody gets through between two changes
                while waiting:
                    waiting.discard(sales.get(timeout=20))
        finally:
            over.set()

    finishes = race(change, *(partial(sell, seller, n) for n, seller in enumerate(sellers)))

    assert [None] * 4 == [finish.error for finish in finishes]
    assert sum(finish.value for finish in finishes[1:]) == one(psql, "SELECT count(*) FROM claims")
    assert [] == column(
        psql,
        "SELECT claims.id FROM claims JOIN tariffs ON tariffs.id = claims.tariff_id"
        " WHERE total <> (terms #>> '{hourly_prices,1}')::numeric",
    )
    assert [] == broken(psql)


def test_a_desk_that_knows_the_old_prices_sells_under_the_new(
    another_desk: Callable[..., Desk], psql: Any, apply: Callable[..., Applied]
) -> None:
    """
    Once a change has committed no booking is made under the terms before it, by whatever desk.
    """
    apply()
    seller = another_desk()
    seller.price("nuevo/1", "2026-12-01T18:00")
    apply(("20.00", "25.00"))

    made = seller.book("nuevo/1", "2026-12-01T18:00", player="A").reservation
    party = seller.book(("nuevo/1", "nuevo/2"), "2026-12-02T18:00", player="A").reservation

    assert [Decimal("25.00")] * 2 == [made.total, party.total]
    assert {one(psql, "SELECT tariff_id FROM clubs WHERE slug = 'nuevo'")} == {
        made.tariff_id,
        party.tariff_id,
    }


def test_a_court_is_closed_while_it_is_booked(
    another_desk: Callable[..., Desk], psql: Any, apply: Callable[..., Applied]
) -> None:
    """
    Bookings race with a court going out of service and back: each either stands from before and is
    listed as stranded, or is refused; none slips in afterwards.
    """
    apply()
    for n in range(6):
        sellers = [another_desk() for _ in range(3)]
        for seller in sellers:
            seller.price("nuevo/2", f"2026-12-0{n + 1}T18:00")
        closing, *bookings = race(
            partial(apply, (', {name: "2"}', ', {name: "2", in_service: false}')),
            *(
                partial(seller.book, "nuevo/2", f"2026-12-0{n + 1}T{9 + m}:00".replace("T9", "T09"),
                        player="A")
                for m, seller in enumerate(sellers)
            ),
        )  # fmt: skip

        assert closing.ok
        assert {CourtOutOfService} >= {type(b.error) for b in bookings if not b.ok}
        stood = {b.value.reservation.id for b in bookings if b.ok}
        assert stood <= set(closing.value.stranded)
        apply()
    assert [] == broken(psql)


def test_a_block_races_with_bookings(
    another_desk: Callable[..., Desk], psql: Any, apply: Callable[..., Applied]
) -> None:
    """
    Either the block lies and no booking does, or bookings stand and the block is refused.
    """
    apply()
    for n in range(6):
        day = f"2026-12-{10 + n}"
        sellers = [another_desk() for _ in range(3)]
        laying, *bookings = race(
            partial(apply, more=BLOCK % (f"{day}T08:00", f"{day}T12:00")),
            *(
                partial(seller.book, "nuevo/1", f"{day}T{8 + m:02d}:00", player="A")
                for m, seller in enumerate(sellers)
            ),
        )

        sold = [booking for booking in bookings if booking.ok]
        assert laying.ok != bool(sold)
        assert {CourtTaken} >= {type(f.error) for f in (laying, *bookings) if not f.ok}
    assert [] == broken(psql)


def test_applying_waits_for_bookings_and_does_not_block_them_in_a_circle(
    desk: Desk, raw: Callable[[], Any], psql: Any, apply: Callable[..., Applied]
) -> None:
    """
    A booking under way holds its court and then refers to its club; an owner who comes in between
    waits for it, and it is not made to wait for the owner.
    """
    apply()
    booking = raw()
    booking.execute("SET lock_timeout = '2s'")
    booking.execute("BEGIN")
    booking.execute("SELECT FROM courts WHERE club_id > 3 AND name = '1' FOR KEY SHARE")
    changing = Running(partial(apply, ("20.00", "25.00")))
    waiting_on_a_lock(psql)

    insert(booking, "claims", reservation_row(booking, "nuevo/1", price_source="tariff"))
    assert changing.going
    booking.execute("COMMIT")

    assert changing.finish().ok
    assert desk.book("nuevo/1", "2026-12-02T18:00", player="A").reservation.total == 25


NO_CLUBS = [
    "", "slug: x", "- a", "]", "a: &a [*a]", "slug: nuevo\0", "{" * 10_000,
    CLUB + "extra: 1",
    CLUB + "tariff: {bands: 7}",
    CLUB + BLOCK % ("2026-12-10T12:00", "2026-12-10T08:00"),
    CLUB + BLOCK % ("2027-03-28T02:30", "2027-03-28T08:00"),
    CLUB + BLOCK % ("9999-12-10T08:00", "9999-12-10T12:00"),
    CLUB + (BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00")).replace('"1"', '"7"'),
    CLUB + (BLOCK % ("2026-12-10T08:00", "2026-12-10T12:00")).replace("paint", '"a\\0b"'),
    *(
        CLUB.replace(before, after)
        for before, after in [
            ("EUR", "XXX"), ("Europe/Madrid", "../etc/passwd"), ('"20.00"', '"1e9"'),
            ('"20.00"', '"-1"'), ('"20.00"', ".nan"), ("slug: nuevo", "slug: Nuevo Club"),
            ("name: Nuevo", 'name: "a\\0b"'), ("name: Nuevo", 'name: "\\ud800"'),
            ('{name: "2"}', '{name: "2", attributes: {x: "a\\0b"}}'),
            ('{name: "2"}', '{name: "2", attributes: {x: .nan}}'),
            ('{name: "2"}', '{name: "2", attributes: {x: {y: "\\ud800"}}}'),
            ('{name: "2"}', '{name: "2", attributes: {x: ' + "[" * 500 + "]" * 500 + "}}"),
            ('{name: "2"}', '{name: "1"}'),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize("text", NO_CLUBS, ids=range(len(NO_CLUBS)))
def test_a_file_that_makes_no_sense(desk: Desk, psql: Any, tmp_path: Path, text: str) -> None:
    """
    A file is refused in one line that names the field, before anything is changed.
    """
    before = state(psql)
    (tmp_path / "club.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(InvalidInput) as caught:
        desk.apply_club_file(tmp_path / "club.yaml")

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert before == state(psql)


def test_a_file_that_cannot_be_read(desk: Desk, tmp_path: Path) -> None:
    """
    Missing, a folder, not UTF-8 or far too large: refused in one line.
    """
    (tmp_path / "latin.yaml").write_bytes(b"name: P\xe1del")
    (tmp_path / "large.yaml").write_bytes(b"#" * 2_000_000)
    for name in ("nowhere.yaml", ".", "latin.yaml", "large.yaml"):
        with pytest.raises(InvalidInput):
            desk.apply_club_file(tmp_path / name)


def test_an_owner_who_is_cut_off(
    desk: Desk, psql: Any, raw: Callable[[], Any], apply: Callable[..., Applied]
) -> None:
    """
    A change whose connection is lost half way is rolled back whole and can be repeated.
    """
    apply()
    before = state(psql)
    holder = raw()
    holder.execute("BEGIN")
    holder.execute("SELECT FROM courts WHERE club_id > 3 FOR KEY SHARE")
    changing = Running(partial(apply, ("20.00", "25.00")))
    assert one(psql, "SELECT pg_terminate_backend(%s, 5000)", waiting_on_a_lock(psql)[0])
    holder.execute("ROLLBACK")

    assert isinstance(changing.finish().error, PadelopsError)
    assert before == state(psql)
    assert apply(("20.00", "25.00")).changes
    assert desk.price("nuevo/1", "2026-12-01T18:00").total == 25
