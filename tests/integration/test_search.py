"""
Critical path 8: pages of reservations, none twice and none skipped, while others are written.
"""

from __future__ import annotations

import base64
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from padelops import SearchRequest
from padelops.errors import CursorMismatch, InvalidInput, NotFound
from testbed.rows import EVENING, block_row, column, insert, reservation_row

if TYPE_CHECKING:
    from padelops import Desk, Page

PEOPLE = ["Ana Ruiz", "100% Padel", "a_b", "axb", "O'Brien", "Back\\slash", "Zoë 🎾", "ANA maria"]


def ids(page: Page) -> list[int]:
    return [reservation.id for reservation in page.reservations]


@pytest.fixture
def people(psql: Any) -> list[int]:
    """A reservation for each of PEOPLE, an hour apart on one court; ids in that order."""
    return [
        insert(
            psql,
            "claims",
            reservation_row(
                psql,
                starts_at=EVENING + timedelta(hours=n),
                player_name=name,
                player_email=f"P{n}@Example.com",
                player_phone=f"60010020{n}",
            ),
        )
        for n, name in enumerate(PEOPLE)
    ]


def every_page(desk: Desk, between: Any = None, **criteria: Any) -> list[int]:
    """All pages one after the other, calling `between` before each further one."""
    found: list[int] = []
    cursor = None
    while True:
        page = desk.search(SearchRequest(**criteria, cursor=cursor))
        found += ids(page)
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor
        if between:
            between(len(found))


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9])
def test_pages_add_up_to_everything(desk: Desk, people: list[int], limit: int) -> None:
    """
    Pages of any size, joined, are the whole in order; the last one has no cursor.
    """
    assert people == every_page(desk, limit=limit)


def test_pages_while_rows_are_inserted(desk: Desk, psql: Any, people: list[int]) -> None:
    """
    Rows inserted before, between and behind the pages repeat no row and make none be skipped.
    """

    def meanwhile(seen: int) -> None:
        for court, hours in (("centro/1", seen), ("centro/3", -seen), ("centro/4", 40 + seen)):
            start = EVENING + timedelta(hours=hours)
            insert(psql, "claims", reservation_row(psql, court, starts_at=start))

    found = every_page(desk, meanwhile, limit=2)

    assert len(found) == len(set(found))
    assert people == [reservation for reservation in found if reservation in people]


def test_rows_that_start_together(desk: Desk, psql: Any) -> None:
    """
    Four courts at one moment: the id breaks the tie across page borders.
    """
    made = [insert(psql, "claims", reservation_row(psql, f"centro/{n}")) for n in (3, 1, 4, 2)]

    assert made == every_page(desk, limit=1)


def test_rows_that_change_between_pages(desk: Desk, people: list[int]) -> None:
    """
    A cancellation between two pages of confirmed ones takes that row out, and no other.
    """
    found = every_page(
        desk, lambda seen: desk.cancel(people[-1]) if seen == 2 else None,
        limit=2, status=("confirmed",),
    )  # fmt: skip

    assert people[:-1] == found


@pytest.mark.parametrize(
    ("criteria", "names"),
    [
        ({"name": "%"}, ["100% Padel"]),
        ({"name": "_"}, ["a_b"]),
        ({"name": "a_b"}, ["a_b"]),
        ({"name": "\\"}, ["Back\\slash"]),
        ({"name": "'"}, ["O'Brien"]),
        ({"name": "ana"}, ["Ana Ruiz", "ANA maria"]),
        ({"name": "🎾"}, ["Zoë 🎾"]),
        ({"name": "' OR '1'='1"}, []),
        ({"email": "p2@EXAMPLE.com"}, ["a_b"]),
        ({"email": "%@example.com"}, []),
        ({"phone": "600100203"}, ["axb"]),
        ({"phone": "60010020_"}, []),
        ({"club": "centro", "court": "2", "name": "ruiz"}, ["Ana Ruiz"]),
        ({"club": "centro", "court": "3"}, []),
        ({"club": "roma"}, []),
        ({"status": ("cancelled", "no_show")}, []),
        ({"payment_status": ("due",), "name": "x"}, ["axb"]),
        ({"payment_status": ("paid",)}, []),
    ],
)
def test_text_is_taken_literally(
    desk: Desk, people: list[int], criteria: dict[str, Any], names: list[str]
) -> None:
    """
    `%`, `_`, quotes and backslashes find themselves and nothing else.
    """
    page = desk.search(SearchRequest(**criteria))

    assert names == [reservation.player_name for reservation in page.reservations]
    assert len(people) == len(PEOPLE)


def test_days_are_the_club_s(desk: Desk, psql: Any) -> None:
    """
    A day runs from the club's midnight to the next, both days included; UTC without a club.
    """
    midnight = EVENING.replace(hour=23)  # 00:00 on 2026-12-02 in Madrid
    made = insert(psql, "claims", reservation_row(psql, starts_at=midnight))

    def found(day: int, **more: Any) -> list[int]:
        when = date(2026, 12, day)
        return ids(desk.search(SearchRequest(since=when, until=when, **more)))

    assert ([], [made]) == (found(1, club="centro"), found(2, club="centro"))
    assert ([made], []) == (found(1), found(2))


def test_blocks_are_not_reservations(desk: Desk, psql: Any) -> None:
    """
    A block is never among the reservations that a search finds.
    """
    insert(psql, "claims", block_row(psql))

    assert [] == ids(desk.search(SearchRequest(club="centro")))


CHANGES: list[dict[str, Any]] = [
    {"club": "centro"}, {"status": ("confirmed",)}, {"name": "a"}, {"since": date(2026, 12, 1)},
    {"email": "x@example.com"},
]  # fmt: skip


@pytest.mark.parametrize("changed", CHANGES)
def test_a_cursor_belongs_to_its_criteria(
    desk: Desk, people: list[int], changed: dict[str, Any]
) -> None:
    """
    Used with another filter it is refused; another page size is fine.
    """
    page = desk.search(SearchRequest(limit=2))

    with pytest.raises(CursorMismatch):
        desk.search(SearchRequest(limit=2, cursor=page.next_cursor, **changed))
    assert people[2:] == ids(desk.search(SearchRequest(cursor=page.next_cursor)))


def forged(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["", " ", "abc", "%%%", "é", "\0", "\ud800", "A" * 10_000_000, forged("x"), forged("a.b.c"),
     forged("{fingerprint}.99999999999999999999.1"), forged("{fingerprint}.1.0"),
     forged("{fingerprint}.1.-1"), forged("{fingerprint}.1.99999999999999999999"),
     forged("{fingerprint}.-99999999999999.1"), forged("0.0.0"), forged("a.1.2.3")],
)  # fmt: skip
def test_a_cursor_that_is_none(desk: Desk, people: list[int], cursor: str) -> None:
    """
    Whatever is not a cursor of ours is refused as such, without a crash.
    """
    genuine = desk.search(SearchRequest(limit=1)).next_cursor or ""
    fingerprint = base64.urlsafe_b64decode(genuine + "==").decode().split(".")[0]
    if "{" in (text := base64.urlsafe_b64decode(cursor.encode("ascii", "ignore")[:200] + b"===")
               .decode("ascii", "ignore")):  # fmt: skip
        cursor = forged(text.replace("{fingerprint}", fingerprint))

    with pytest.raises(CursorMismatch):
        desk.search(SearchRequest(cursor=cursor))
    assert len(people)


@pytest.mark.parametrize(
    "bad",
    [
        {"limit": 0}, {"limit": -1}, {"limit": 501}, {"limit": 10**20},
        {"status": ("maybe",)}, {"status": "confirmed"}, {"status": ("\0",)},
        {"payment_status": ("\0",)}, {"court": "1"}, {"name": ""}, {"name": "\0"},
        {"name": "x" * 10_000_000}, {"name": "\ud800"}, {"email": "\0"}, {"phone": "\0"},
        {"since": date(2026, 12, 2), "until": date(2026, 12, 1)},
        {"since": date.min}, {"until": date.max}, {"since": date(9999, 12, 31)},
        {"club": "centro", "since": date.min}, {"club": "centro", "until": date.max},
    ],
)  # fmt: skip
def test_a_search_that_makes_no_sense(desk: Desk, bad: dict[str, Any]) -> None:
    """
    Bad criteria are refused in one line.
    """
    with pytest.raises(InvalidInput) as caught:
        desk.search(SearchRequest(**bad))

    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "bad",
    [{"club": "nowhere"}, {"club": "\0"}, {"club": "\ud800"}, {"club": "centro", "court": "9"}],
)
def test_a_search_in_what_is_not_there(desk: Desk, bad: dict[str, Any]) -> None:
    """
    An unknown club or court is named, instead of an empty page.
    """
    with pytest.raises(NotFound):
        desk.search(SearchRequest(**bad))


def test_deep_pages_read_no_more_than_the_first(desk: Desk, psql: Any) -> None:
    """
    The plan of a page is an index scan from its cursor, so page 400 costs what page 1 costs.
    """
    psql.execute(
        "INSERT INTO claims (club_id, court_id, kind, status, starts_at, ends_at, free_at,"
        " player_name, currency, total, lines, price_source, payment_method, payment_status)"
        " SELECT 1, 1 + n %% 4, 'reservation', 'completed', start, start + interval '1 hour',"
        " start + interval '1 hour', 'P', 'EUR', 0, '[]', 'imported', 'desk', 'nothing_due'"
        " FROM (SELECT n, timestamptz '2020-01-01' + n * interval '1 hour' AS start"
        " FROM generate_series(1, %s) n) AS made",
        [4000],
    )
    psql.execute("ANALYZE claims")
    middle = column(psql, "SELECT id FROM claims ORDER BY starts_at, id")[2000]
    plan = "\n".join(
        column(
            psql,
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT id FROM reservations WHERE"
            f" (starts_at, id) > ((SELECT starts_at FROM claims WHERE id = {middle}), {middle})"
            " ORDER BY starts_at, id LIMIT 51",
        )
    )

    assert "claims_by_start" in plan
    assert "Sort" not in plan
    found = every_page(desk, limit=500)
    assert 4000 == len(found) == len(set(found))
