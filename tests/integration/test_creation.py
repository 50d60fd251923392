"""
Critical path 3: a reservation is made whole or not at all, and its key settles every doubt.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from padelops import Player
from padelops.errors import (
    CourtOutOfService,
    CourtTaken,
    InvalidInput,
    KeyReused,
    NotFound,
    OutsideHours,
    PadelopsError,
    PriceChanged,
    RuleBroken,
)
from testbed.invariants import broken
from testbed.racing import race
from testbed.rows import EVENING, column, court_of, insert, insert_hold, one, reservation_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops import Desk
    from testbed.clock import Clock

COURT = "centro/2"
AT_SIX = "2026-12-01T18:00"
ROWS = "SELECT count(*) FROM claims"


def test_everything_about_a_booking_is_one_commit(desk: Desk, psql: Any) -> None:
    """
    Row, price, terms, audit entry, message and key appear together, and are what was answered.
    """
    made = desk.book(COURT, AT_SIX, player=Player(name="Ana Ruiz", count=4), member="gold", key="k")

    shown = desk.show(made.reservation.id)
    row = psql.execute(
        "SELECT status, idempotency_key, tariff_id, policy_id, member_tier, player_count, version,"
        " xmin::text FROM claims"
    ).fetchone()
    club = psql.execute("SELECT tariff_id, policy_id FROM clubs WHERE slug = 'centro'").fetchone()
    assert shown == made.reservation
    assert ("confirmed", "k", *club, "gold", 4, 1) == row[:7]
    # 90 minutes x 24.00 x 1.20 for the evening, less 10% for gold.
    assert ("38.88", "EUR", "due") == tuple(
        made.as_json()[name] for name in ("total", "currency", "payment_status")
    )
    assert {row[7]} == set(
        column(
            psql,
            "SELECT xmin::text FROM messages UNION ALL SELECT xmin::text FROM audit_entries"
            " WHERE subject_kind = 'reservation'",
        )
    )
    assert [] == broken(psql)


def test_the_trail_knows_who_booked(another_desk: Callable[..., Desk]) -> None:
    """
    The desk's actor and door stand on the audit entry, for one court and for several.
    """
    desk = another_desk(actor="front desk")
    one_court = desk.book("centro/1", AT_SIX, player="A").reservation.id
    party = desk.book(("centro/2", "centro/3"), AT_SIX, player="B")

    for made in (one_court, party.reservation.id, party.others[0].id):
        (entry,) = desk.history(made)
        assert ("front desk", "library", "created") == (entry.actor, entry.door, entry.action)


def test_a_retry_with_the_same_key(desk: Desk, psql: Any) -> None:
    """
    The same key and request give the same reservation, marked as replayed.
    """
    first = desk.book(COURT, AT_SIX, player="A", key="k")
    again = desk.book(COURT, AT_SIX, player="A", key="k")

    assert not first.replayed
    assert again.replayed
    assert first.reservation == again.reservation
    assert 1 == one(psql, ROWS)


def test_a_retry_of_several_courts(desk: Desk, psql: Any) -> None:
    """
    A party's key gives back the whole party.
    """
    courts = ("centro/3", "centro/1")
    first = desk.book(courts, AT_SIX, player="A", key="k")
    again = desk.book(courts, AT_SIX, player="A", key="k")

    assert again.replayed
    assert (first.reservation, first.others) == (again.reservation, again.others)
    assert 2 == one(psql, ROWS)


@pytest.mark.parametrize(
    "changed",
    [{"player": "B"}, {"starts": "2026-12-01T20:00"}, {"minutes": 60}, {"court": "centro/1"},
     {"member": "gold"}, {"email": "a@example.com"}],
)  # fmt: skip
def test_a_key_belongs_to_one_request(desk: Desk, psql: Any, changed: dict[str, Any]) -> None:
    """
    The same key with another body is refused as `key_reused`, and books nothing.
    """
    usual: dict[str, Any] = {"court": COURT, "starts": AT_SIX, "player": "A", "key": "k"}
    desk.book(**usual)

    with pytest.raises(KeyReused) as caught:
        desk.book(**usual | changed)

    assert "key_reused" == caught.value.code
    assert 1 == one(psql, ROWS)


def test_keys_of_different_clubs_are_different(desk: Desk, psql: Any) -> None:
    """
    A key is the club's own.
    """
    desk.book(COURT, AT_SIX, player="A", key="k")
    desk.book("roma/1", AT_SIX, player="A", key="k")

    assert 2 == one(psql, ROWS)


def test_eight_retries_at_once(desk: Desk, psql: Any) -> None:
    """
    One request sent eight times in parallel with one key: one row, and eight times the same answer.
    """
    finishes = race(*[partial(desk.book, COURT, AT_SIX, player="A", key="k")] * 8)

    assert [None] * 8 == [finish.error for finish in finishes]
    assert 1 == len({finish.value.reservation.id for finish in finishes})
    assert 7 == sum(finish.value.replayed for finish in finishes)
    assert 1 == one(psql, ROWS)


def test_eight_requests_that_share_a_key(desk: Desk, psql: Any) -> None:
    """
    Eight different requests race with one key: one is booked, the others hear `key_reused`.
    """
    finishes = race(
        *(
            partial(desk.book, f"centro/{1 + n % 4}", AT_SIX, player=f"P{n}", key="k", minutes=60)
            for n in range(8)
        )
    )

    assert 1 == sum(finish.ok for finish in finishes)
    assert {KeyReused} == {type(finish.error) for finish in finishes if not finish.ok}
    assert 1 == one(psql, ROWS)


def test_a_hold_that_came_to_nothing_gives_its_key_back(desk: Desk, psql: Any) -> None:
    """
    A decline or a lapse leaves the key free: the retry books.
    """
    hold = insert_hold(psql, COURT, EVENING, EVENING, idempotency_key="k", request_digest="x")
    psql.execute("UPDATE claims SET status = 'expired', ended_at = now() WHERE id = %s", [hold])

    again = desk.book(COURT, AT_SIX, minutes=60, player="A", key="k")

    assert not again.replayed
    assert hold != again.reservation.id


def test_a_lapsed_key_does_not_stand_in_a_refusal_s_way(desk: Desk, psql: Any) -> None:
    """
    A retry with such a key whose slot somebody else has by now hears that, not `key_reused`.
    """
    hold = insert_hold(psql, COURT, EVENING, EVENING, idempotency_key="k", request_digest="x")
    psql.execute("UPDATE claims SET status = 'expired', ended_at = now() WHERE id = %s", [hold])
    desk.book(COURT, AT_SIX, minutes=60, player="B")

    with pytest.raises(CourtTaken):
        desk.book(COURT, AT_SIX, minutes=60, player="A", key="k")


def test_a_cancelled_booking_keeps_its_key(desk: Desk, psql: Any) -> None:
    """
    A retry after the cancellation answers with what became of the booking; it books nothing new.
    """
    made = desk.book(COURT, AT_SIX, player="A", key="k").reservation
    desk.cancel(made.id)

    again = desk.book(COURT, AT_SIX, player="A", key="k")

    assert (True, made.id, "cancelled") == (
        again.replayed,
        again.reservation.id,
        again.reservation.status,
    )
    assert 1 == one(psql, ROWS)


@pytest.mark.parametrize("what", ["later", "closed", "price", "hours"])
def test_a_key_is_answered_although_it_could_not_be_booked_any_more(
    desk: Desk, clock: Clock, tmp_path: Path, demo_clubs: Path, what: str
) -> None:
    """
    A retry tells what was made, also once the time is past, the court closed, or the price another.
    """
    usual: dict[str, Any] = {"court": COURT, "starts": AT_SIX, "player": "A", "key": "k"}
    made = desk.book(**usual, expect_total=Decimal("43.20"))
    text = demo_clubs.read_text(encoding="utf-8")
    edits = {
        "later": ("", ""),
        "closed": ('{name: "2", hourly_price: "24.00"', '{name: "2", in_service: false'),
        "price": ('{name: "2", hourly_price: "24.00"', '{name: "2", hourly_price: "99.00"'),
        "hours": ('mon-thu: "08:00-23:00"', 'mon-thu: "08:00-12:00"'),
    }
    (tmp_path / "clubs.yaml").write_text(text.replace(*edits[what], 1), encoding="utf-8")
    if what == "later":
        clock.advance(days=2)
    else:
        assert any(applied.changes for applied in desk.apply_club_file(tmp_path / "clubs.yaml"))

    again = desk.book(**usual, expect_total=Decimal("43.20"))

    assert again.replayed
    assert made.reservation == again.reservation
    with pytest.raises(PadelopsError):
        desk.book(**usual | {"key": "other"}, expect_total=Decimal("43.20"))


@pytest.mark.parametrize(
    ("before", "after", "refusal"),
    [
        ('mon-thu: "08:00-23:00"', 'mon-thu: "08:00-12:00"', OutsideHours),
        ('{name: "2",', '{name: "2", in_service: false,', CourtOutOfService),
        ("max_minutes: 120", "max_minutes: 90", RuleBroken),
        ('{name: "2", hourly_price: "24.00"', '{name: "2", hourly_price: "20.00"', PriceChanged),
        ("{name: gold,", "{name: silver,", InvalidInput),
    ],
)  # fmt: skip
def test_nothing_is_refused_on_an_old_copy(
    another_desk: Callable[..., Desk],
    tmp_path: Path,
    demo_clubs: Path,
    before: str,
    after: str,
    refusal: type[PadelopsError],
) -> None:
    """
    A desk that read a club long ago sells what the club has allowed since, without being restarted.
    """
    text = demo_clubs.read_text(encoding="utf-8")
    (tmp_path / "strict.yaml").write_text(text.replace(before, after, 1), encoding="utf-8")
    old, other = another_desk(), another_desk()
    other.apply_club_file(tmp_path / "strict.yaml")
    # 120 minutes x 24.00 x 1.20, less 10%.
    wish = partial(
        old.book, COURT, AT_SIX, minutes=120, player="A", member="gold",
        expect_total=Decimal("51.84"),
    )  # fmt: skip
    with pytest.raises(refusal):
        wish()

    other.apply_club_file(demo_clubs)

    assert "confirmed" == wish().reservation.status


def test_a_court_put_back_into_service_by_psql(desk: Desk, psql: Any) -> None:
    """
    A desk that knew a court as closed sells it once an engineer has opened it by hand.
    """
    court_id, _ = court_of(psql, COURT)
    psql.execute("UPDATE courts SET in_service = false WHERE id = %s", [court_id])
    with pytest.raises(CourtOutOfService):
        desk.book(COURT, AT_SIX, player="A")
    psql.execute("UPDATE courts SET in_service = true WHERE id = %s", [court_id])

    assert desk.book(COURT, AT_SIX, player="A")


def test_a_price_that_was_not_shown_is_not_charged(desk: Desk, psql: Any) -> None:
    """
    With another total than expected nothing is booked, and the refusal names the true one.
    """
    with pytest.raises(PriceChanged) as caught:
        desk.book(COURT, AT_SIX, player="A", expect_total=Decimal("43.19"))

    assert "43.20" == caught.value.facts["total"]
    assert 0 == one(psql, ROWS)


def test_a_dry_run_writes_nothing(desk: Desk, psql: Any) -> None:
    """
    It answers like the act, also with a refusal, and leaves no row, entry, message or key.
    """
    tables = "SELECT (SELECT count(*) FROM claims) + (SELECT count(*) FROM messages)"
    entries = one(psql, "SELECT count(*) FROM audit_entries")

    wish = desk.book(COURT, AT_SIX, player="A", key="k", dry_run=True)

    assert wish.dry_run
    assert "43.20" == wish.as_json()["total"]
    assert (0, entries) == (one(psql, tables), one(psql, "SELECT count(*) FROM audit_entries"))
    insert(psql, "claims", reservation_row(psql, COURT))
    with pytest.raises(CourtTaken):
        desk.book(COURT, AT_SIX, player="A", dry_run=True)


@pytest.mark.parametrize(
    ("starts", "minutes", "rule"),
    [
        ("2026-11-30T09:30", 60, "past"),
        ("2026-12-01T18:00", 30, "minutes"),
        ("2026-12-01T18:00", 150, "minutes"),
        ("2026-12-01T18:00", 75, "slot_step"),
        ("2026-12-01T18:10", 60, "slot_step"),
        ("2027-01-30T18:00", 60, "advance_days"),
    ],
)
def test_the_booking_rules(desk: Desk, psql: Any, starts: str, minutes: int, rule: str) -> None:
    """
    Each rule of the club refuses by its name.
    """
    with pytest.raises(RuleBroken) as caught:
        desk.book(COURT, starts, minutes=minutes, player="A")

    assert rule == caught.value.facts["rule"]
    assert 0 == one(psql, ROWS)


def test_the_last_bookable_moments(desk: Desk, clock: Clock) -> None:
    """
    Exactly now and exactly `advance_days` ahead are still sold.
    """
    assert desk.book(COURT, "2026-11-30T10:00", minutes=60, player="A")
    assert desk.book(COURT, "2027-01-29T22:00", minutes=60, player="A")
    assert clock() == desk.show(1).starts_at


def test_a_closed_day(desk: Desk) -> None:
    """
    Christmas is closed; New Year's Eve ends early. Whoever asks hears when it is open that day.
    """
    for start, told in (
        ("2026-12-25T12:00", "closed all day"),
        ("2026-12-31T17:30", "2026-12-31 08:00 to 18:00"),
        ("2026-12-01T22:30", "2026-12-01 08:00 to 23:00"),
        ("2026-12-01T04:00", "2026-12-01 08:00 to 23:00"),
    ):
        with pytest.raises(OutsideHours, match=told):
            desk.book(COURT, start, minutes=60, player="A")

    assert desk.book(COURT, "2026-12-31T17:00", minutes=60, player="A")


HUGE = "x" * 10_000_000

BAD_INPUT: list[dict[str, Any]] = [
    {"court": ""}, {"court": "centro"}, {"court": "centro/2/3"}, {"court": "/"},
    {"court": "centro/9"}, {"court": "nowhere/1"}, {"court": "centro/2\0"},
    {"court": "centro\0/2"}, {"court": "centro/' OR 1=1 --"}, {"court": HUGE},
    {"court": "\ud800/2"}, {"court": "centro/\ud800"}, {"court": "céntro/2"},
    {"court": ()}, {"court": ("centro/1", "roma/1")}, {"court": ("centro/1",) * 21},
    {"court": "%/%"}, {"court": "centro/_"},
    {"starts": ""}, {"starts": "tomorrow"}, {"starts": "2026-12-01"}, {"starts": "18:00"},
    {"starts": "9999-12-31T18:00"}, {"starts": "0001-01-01T00:00"}, {"starts": HUGE},
    {"starts": "2026-12-01T18:00:30"}, {"starts": "2026-13-01T18:00"},
    {"starts": "2026-12-01T25:00"}, {"starts": "2026-12-01T18:00\0"},
    {"starts": "2026-12-01T18:00+99:99"}, {"starts": "\uff12\uff10\uff12\uff16-12-01T18:00"},
    {"starts": "2099-12-31T23:59+00:00"},
    {"minutes": 0}, {"minutes": -90}, {"minutes": 10**20}, {"minutes": 1441},
    {"player": ""}, {"player": "   "}, {"player": "x" * 201}, {"player": HUGE},
    {"player": "a\0b"}, {"player": "a\nb"}, {"player": "\x1b[31mred"}, {"player": "\ud83d"},
    {"email": "nobody"}, {"email": "a b@example.com"}, {"email": f"{HUGE}@example.com"},
    {"email": "a\0b@example.com"}, {"email": "a@exa\ud800mple.com"}, {"email": "a@b\x07.com"},
    {"email": "x" * 60 + "@" + "y" * 180 + "." + "z" * 60},
    {"phone": "call me"}, {"phone": "1" * 41}, {"phone": "600\0100"}, {"phone": HUGE},
    {"member": "platinum"}, {"member": "gold\0"}, {"member": ""}, {"member": HUGE},
    {"member": "\ud800"},
    {"key": ""}, {"key": "k" * 201}, {"key": "a\0"}, {"key": "\ud800"}, {"key": HUGE},
    {"pay": "gold bars"}, {"pay": ""}, {"pay": "\0"},
    {"expect_total": Decimal("NaN")}, {"expect_total": Decimal("sNaN")},
    {"expect_total": Decimal("Infinity")}, {"expect_total": Decimal(-1)},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_INPUT, ids=lambda bad: repr(bad)[:50].encode("unicode-escape"))
def test_bad_input_is_refused_in_one_line(desk: Desk, psql: Any, bad: dict[str, Any]) -> None:
    """
    Whatever is wrong ends in a padelops refusal of one short line, and nothing is written.
    """
    usual: dict[str, Any] = {"court": COURT, "starts": AT_SIX, "minutes": 90, "player": "A"}

    with pytest.raises((InvalidInput, NotFound, RuleBroken, PriceChanged, OutsideHours)) as caught:
        desk.book(**usual | bad)

    told = str(caught.value)
    assert len(told) < 500
    assert told.isprintable()
    assert 0 == one(psql, ROWS)


@pytest.mark.parametrize(
    "name",
    ["Zoë 🎾 Ñandú", "'; DROP TABLE claims; --", "100%_\\", "李小龙", "O'Brien", "a{b}%s%(x)s"],
)
def test_unusual_names_are_kept_as_they_are(desk: Desk, name: str) -> None:
    """
    Quotes, percent signs, emoji and backslashes are just letters.
    """
    made = desk.book(COURT, AT_SIX, player=Player(name=name, notes=f"{name}\n\tsecond line"))

    shown = desk.show(made.reservation.id)

    assert (name, f"{name}\n\tsecond line") == (shown.player_name, shown.notes)


@pytest.mark.parametrize("number", [0, -1, 2**63, 10**30])
def test_an_impossible_id(desk: Desk, number: int) -> None:
    """
    Ids that cannot be are refused; one that does not exist is not found.
    """
    for call in (desk.show, desk.cancel, desk.settle_at_desk, desk.history):
        with pytest.raises(InvalidInput):
            call(number)
        with pytest.raises(NotFound):
            call(2**62)


def test_an_hour_that_comes_twice_or_never(desk: Desk, clock: Clock, tmp_path: Path) -> None:
    """
    02:30 on the autumn night is refused without an offset and sold twice with one; 02:30 on the
    spring night does not exist. What was played is charged.
    """
    (tmp_path / "night.yaml").write_text(
        "{slug: nachts, name: N, time_zone: Europe/Madrid, currency: EUR,"
        ' default_hourly_price: "10.00", courts: [{name: "1"}],'
        ' hours: {weekly: {mon-sun: "00:00-24:00"}}, rules: {advance_days: 400}}',
        encoding="utf-8",
    )
    desk.apply_club_file(tmp_path / "night.yaml")
    clock.at += timedelta(days=1)
    book = partial(desk.book, "nachts/1", minutes=60, player="A")

    for gone in ("2027-03-28T02:30", "2027-10-31T02:30"):
        with pytest.raises(InvalidInput) as caught:
            book(starts=gone)
        assert ["+02:00", "+01:00"] == sorted(caught.value.facts["offsets"], reverse=True)
    first = book(starts="2027-10-31T02:30+02:00").as_json()
    second = book(starts="2027-10-31T02:30+01:00").as_json()
    gap = book(starts="2027-03-28T01:30").as_json()

    assert ("2027-10-31T02:30:00+02:00", "10.00") == (first["starts_at"], first["total"])
    assert ("2027-10-31T02:30:00+01:00", "10.00") == (second["starts_at"], second["total"])
    assert ("2027-03-28T03:30:00+02:00", "10.00") == (
        gap["ends_at"],
        gap["total"],
    )


def test_a_booking_across_peak_midnight_and_a_holiday(desk: Desk) -> None:
    """
    Minutes are split where the price changes, and the lines add up to the cent, also in yen.
    """
    evening = desk.book("centro/1", "2027-01-05T21:30", minutes=60, player="A").as_json()
    night = desk.book("shibuya/A", "2026-12-04T21:45", minutes=45, player="A").as_json()

    # 30 minutes x 20.00 with the evening's 20%, and 30 without.
    assert ["12.00", "10.00"] == [line["amount"] for line in evening["lines"]]
    assert "22.00" == evening["total"]
    assert night["total"] == str(sum(int(line["amount"]) for line in night["lines"]))
    assert "." not in night["total"]


def test_a_damaged_tariff_falls_back_marked(desk: Desk, psql: Any) -> None:
    """
    A tariff that cannot be computed costs the club's default price, marked as such and counted.
    """
    psql.execute("ALTER TABLE tariffs DISABLE TRIGGER tariffs_append_only")
    psql.execute("UPDATE tariffs SET terms = '{\"currency\": 7}'")

    made = desk.book(COURT, AT_SIX, minutes=60, player="A").as_json()
    desk.close()

    assert (True, "24.00") == (made["fallback"], made["total"])
    assert 1 == one(psql, "SELECT sum(n) FROM counters WHERE name = 'price.fallback'")


def test_counts_are_written_when_the_desk_closes(desk: Desk, psql: Any) -> None:
    """
    Bookings, conflicts and replays are counted per minute, for the alerts that watch them.
    """
    desk.book(COURT, AT_SIX, player="A", key="k")
    desk.book(COURT, AT_SIX, player="A", key="k")
    with pytest.raises(CourtTaken):
        desk.book(COURT, AT_SIX, player="B")
    desk.close()

    counted = dict(psql.execute("SELECT name, sum(n)::int FROM counters GROUP BY name").fetchall())

    assert (1, 1, 1) == tuple(
        counted[f"booking.{what}"] for what in ("created", "replayed", "conflict")
    )
