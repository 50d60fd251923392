"""
The database refuses what bypasses the library: every constraint and trigger of the core, tried by
a superuser in psql. Source: DESIGN.md section 3; ACCEPTANCE scenarios 3, 5, 6.
"""

from __future__ import annotations

import inspect
import itertools
import re
import sys
from datetime import timedelta
from decimal import Decimal
from importlib import resources
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from padelops.model import ALLOWED_MOVES, LIVE, ReservationStatus
from padelops.store import constraints, tables
from testbed.rows import EVENING, block_row, column, court_of, insert, one, reservation_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Databases
    from padelops.adapters.embedded_postgres import EmbeddedPostgres

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CORE_TABLES = (
    "clubs", "tariffs", "policies", "courts", "claims", "payment_events", "messages",
    "audit_entries", "audit_seals", "quarantine", "cache_entries", "counters", "operations",
)  # fmt: skip


@pytest.fixture(scope="module")
def connection(
    databases: Databases, postgres_server: EmbeddedPostgres, template: str
) -> Iterator[Any]:
    name = databases.create(template)
    with psycopg.connect(
        postgres_server.admin_url(name), autocommit=True, options="-c timezone=UTC"
    ) as connection:
        yield connection
    databases.done_with(name)


@pytest.fixture
def psql(connection: Any) -> Iterator[Any]:
    """The shared database, in a transaction that is rolled back after each test."""
    with connection.transaction(force_rollback=True):
        yield connection


def refused(psql: Any, statement: str | sql.Composed, values: Any = None) -> str:
    """Run what must be refused, and name the constraint that refused it."""
    with pytest.raises(psycopg.Error) as caught, psql.transaction():
        psql.execute(statement.encode() if isinstance(statement, str) else statement, values)
    diag = caught.value.diag
    return diag.constraint_name or f"{diag.column_name or caught.value.sqlstate}"


def insert_refused(psql: Any, table: str, row: dict[str, Any]) -> str:
    with pytest.raises(psycopg.Error) as caught, psql.transaction():
        insert(psql, table, row)
    diag = caught.value.diag
    return diag.constraint_name or f"{diag.column_name or caught.value.sqlstate}"


def lines(*amounts: str) -> Jsonb:
    return Jsonb([{"kind": "time", "label": "base", "amount": amount} for amount in amounts])


BAD_RESERVATIONS: list[tuple[str, dict[str, Any]]] = [
    ("claims_end_after_start", {"ends_at": EVENING}),
    ("claims_end_after_start", {"ends_at": EVENING - HOUR}),
    ("claims_at_most_a_day", {"ends_at": EVENING + DAY + timedelta(minutes=1)}),
    ("claims_buffer_bounded", {"free_at": EVENING + timedelta(minutes=59)}),
    ("claims_buffer_bounded", {"free_at": EVENING + timedelta(hours=5, minutes=1)}),
    ("claims_whole_minutes", {"starts_at": EVENING + timedelta(seconds=30)}),
    ("claims_whole_minutes", {"ends_at": EVENING + HOUR + timedelta(seconds=1)}),
    ("claims_whole_minutes", {"starts_at": EVENING + timedelta(microseconds=1)}),
    ("claims_sane_years", {"starts_at": EVENING.replace(year=1999)}),
    ("claims_sane_years", {"starts_at": EVENING.replace(year=2100)}),
    ("claims_hold_has_deadline", {"status": "pending"}),
    ("claims_kind_known", {"kind": "party"}),
    ("claims_status_known", {"status": "maybe"}),
    ("claims_price_source_known", {"price_source": "guess"}),
    ("claims_payment_method_known", {"payment_method": "barter"}),
    ("claims_payment_status_known", {"payment_status": "promised"}),
    ("claims_currency_is_iso", {"currency": "eur"}),
    ("claims_currency_is_iso", {"currency": "EURO"}),
    *(
        ("claims_reservation_is_whole", {name: None})
        for name in (
            "player_name", "currency", "total", "lines", "price_source", "payment_method",
            "payment_status",
        )
    ),
    ("claims_total_is_sum_of_lines", {"total": Decimal("20.01")}),
    ("claims_total_is_sum_of_lines", {"lines": lines("10.00", "9.99")}),
    ("claims_total_is_sum_of_lines", {"lines": Jsonb([])}),
    ("claims_amounts_agree", {"total": Decimal(-1), "lines": lines("-1")}),
    ("claims_amounts_agree", {"total": Decimal("NaN"), "lines": lines("NaN")}),
    ("claims_amounts_agree", {"total": Decimal(10**10), "lines": lines("10000000000")}),
    ("claims_amounts_agree", {"captured": Decimal("20.01")}),
    ("claims_amounts_agree", {"captured": Decimal(-1)}),
    ("claims_amounts_agree", {"captured": Decimal("NaN")}),
    ("claims_amounts_agree", {"refund_due": Decimal("20.01")}),
    ("claims_amounts_agree", {"refund_due": Decimal("-0.01")}),
    ("claims_amounts_agree", {"refunded": Decimal("0.01")}),
    ("claims_amounts_agree", {"captured": Decimal(5), "refunded": Decimal(6)}),
    ("claims_amounts_agree", {"captured": Decimal(5), "refunded": Decimal(-1)}),
    ("claims_player_count_bounded", {"player_count": 0}),
    ("claims_player_count_bounded", {"player_count": 101}),
    *(
        ("claims_texts_bounded", {name: "x" * length})
        for name, length in {
            "player_name": 201, "player_email": 255, "player_phone": 41, "notes": 2001,
            "reason": 501, "idempotency_key": 201, "external_ref": 201,
        }.items()
    ),
    ("claims_texts_bounded", {"player_name": ""}),
    ("claims_texts_bounded", {"idempotency_key": ""}),
    ("claims_court_of_club", {"court_id": 2**40}),
    ("claims_tariff_id_fkey", {"tariff_id": 2**40}),
    ("claims_policy_id_fkey", {"policy_id": 2**40}),
    *(
        (name, {"free_at": EVENING + HOUR} | {name: None})
        for name in ("club_id", "court_id", "kind", "status", "starts_at", "ends_at", "free_at")
    ),
    ("captured", {"captured": None}),
    ("version", {"version": None}),
]  # fmt: skip

BAD_BLOCKS: list[tuple[str, dict[str, Any]]] = [
    ("claims_block_is_plain", {"reason": None}),
    ("claims_block_is_plain", {"status": "pending", "hold_until": EVENING}),
    ("claims_block_is_plain", {"total": Decimal(0), "lines": lines("0")}),
    ("claims_block_is_plain", {"captured": Decimal(5)}),
    ("claims_block_is_plain", {"refund_due": Decimal(5)}),
]


@pytest.mark.parametrize(("constraint", "changes"), BAD_RESERVATIONS)
def test_a_reservation_that_breaks_a_rule_is_refused_by_name(
    psql: Any, constraint: str, changes: dict[str, Any]
) -> None:
    """
    A row that psql inserts past the library meets the constraint that forbids it.
    """
    row = reservation_row(psql, **changes)

    assert constraint == insert_refused(psql, "claims", row)


@pytest.mark.parametrize(("constraint", "changes"), BAD_BLOCKS)
def test_a_block_that_breaks_a_rule_is_refused_by_name(
    psql: Any, constraint: str, changes: dict[str, Any]
) -> None:
    """
    A block has a reason and no price, whoever lays it.
    """
    assert constraint == insert_refused(psql, "claims", block_row(psql, **changes))


@pytest.mark.parametrize("bound", ["starts_at", "ends_at", "free_at"])
@pytest.mark.parametrize("value", ["infinity", "-infinity"])
def test_an_endless_claim_is_refused(psql: Any, bound: str, value: str) -> None:
    """
    No claim begins or ends at infinity: it would keep a court for ever.
    """
    row = reservation_row(psql, ends_at=EVENING + HOUR, free_at=EVENING + HOUR) | {bound: value}

    assert insert_refused(psql, "claims", row)
    assert 0 == one(psql, "SELECT count(*) FROM claims")


def test_the_rows_the_cases_start_from_are_accepted(psql: Any) -> None:
    """
    Without a fault the same rows are taken, so each refusal above is for its own reason.
    """
    insert(psql, "claims", reservation_row(psql))
    insert(psql, "claims", block_row(psql, "centro/1"))

    assert 2 == one(psql, "SELECT count(*) FROM claims")


@pytest.mark.parametrize(
    ("start_min", "end_min"),
    [(0, 60), (-30, 30), (30, 90), (15, 45), (-60, 120), (59, 119), (-59, 1)],
)
@pytest.mark.parametrize("kind", ["reservation", "block"])
def test_any_overlap_on_a_court_is_refused(
    psql: Any, kind: str, start_min: int, end_min: int
) -> None:
    """
    Sharing one minute with a live claim is enough, for reservations and blocks alike.
    """
    insert(psql, "claims", reservation_row(psql))
    span: dict[str, Any] = {
        "starts_at": EVENING + timedelta(minutes=start_min),
        "ends_at": EVENING + timedelta(minutes=end_min),
        "free_at": EVENING + timedelta(minutes=end_min),
    }
    rival = {"reservation": reservation_row, "block": block_row}[kind](psql, **span)

    assert constraints.CLAIMS_NO_OVERLAP == insert_refused(psql, "claims", rival)


def test_an_overlap_across_midnight_is_refused(psql: Any) -> None:
    """
    23:30-00:30 and the next day's 00:00-01:00 in Madrid share half an hour.
    """
    midnight = EVENING.replace(hour=23, minute=0)
    insert(psql, "claims", reservation_row(psql, starts_at=midnight - timedelta(minutes=30)))

    rival = reservation_row(psql, starts_at=midnight)

    assert constraints.CLAIMS_NO_OVERLAP == insert_refused(psql, "claims", rival)


def test_back_to_back_and_other_courts_are_accepted(psql: Any) -> None:
    """
    `[start, end)`: the next claim may begin the moment one ends, and courts do not disturb courts.
    """
    for address, hours in [("centro/2", 0), ("centro/2", 1), ("centro/2", -1), ("centro/3", 0)]:
        insert(psql, "claims", reservation_row(psql, address, starts_at=EVENING + hours * HOUR))

    assert 4 == one(psql, "SELECT count(*) FROM claims")


def test_the_buffer_keeps_the_court(psql: Any) -> None:
    """
    A claim keeps its court until `free_at`, not only until it ends.
    """
    free_at = EVENING + HOUR + timedelta(minutes=15)
    insert(psql, "claims", reservation_row(psql, free_at=free_at))

    too_early = reservation_row(psql, starts_at=EVENING + HOUR)

    assert constraints.CLAIMS_NO_OVERLAP == insert_refused(psql, "claims", too_early)
    assert insert(psql, "claims", reservation_row(psql, starts_at=free_at))


@pytest.mark.parametrize("status", [status for status in ReservationStatus if status not in LIVE])
def test_an_ended_claim_keeps_no_court(psql: Any, status: str) -> None:
    """
    Only live claims keep a court: over anything else it can be sold again.
    """
    insert(psql, "claims", reservation_row(psql, status=status))

    assert insert(psql, "claims", reservation_row(psql))


def test_late_money_cannot_take_back_a_resold_court(psql: Any) -> None:
    """
    `expired -> confirmed` is an allowed move, but it goes back under the exclusion constraint.
    """
    late = insert(psql, "claims", reservation_row(psql, status="expired"))
    insert(psql, "claims", reservation_row(psql))

    move = "UPDATE claims SET status = 'confirmed' WHERE id = %s"

    assert constraints.CLAIMS_NO_OVERLAP == refused(psql, move, [late])


def test_one_key_stands_for_one_reservation_of_a_club(psql: Any) -> None:
    """
    A second row with the same key is refused, unless the first came to nothing.
    """
    lapsed = reservation_row(psql, status="expired", idempotency_key="k")
    insert(psql, "claims", lapsed)
    insert(psql, "claims", reservation_row(psql, idempotency_key="k"))
    later = reservation_row(psql, starts_at=EVENING + 3 * HOUR, idempotency_key="k")

    assert constraints.CLAIMS_ONE_PER_KEY == insert_refused(psql, "claims", later)
    assert insert(psql, "claims", reservation_row(psql, "roma/1", idempotency_key="k"))


def test_one_external_reference_stands_for_one_live_claim(psql: Any) -> None:
    """
    An import that runs twice meets its own reservations; a lifted block frees its reference.
    """
    insert(psql, "claims", reservation_row(psql, external_ref="x"))
    block = insert(psql, "claims", block_row(psql, "centro/1", external_ref="b"))
    again = reservation_row(psql, starts_at=EVENING + 3 * HOUR, external_ref="x")
    relaid = block_row(psql, "centro/3", external_ref="b")

    assert "claims_one_per_external_ref" == insert_refused(psql, "claims", again)
    assert "claims_one_per_external_ref" == insert_refused(psql, "claims", relaid)
    psql.execute("UPDATE claims SET status = 'cancelled', ended_at = now() WHERE id = %s", [block])
    assert insert(psql, "claims", relaid)


@pytest.mark.parametrize(
    ("before", "after"),
    [pair for pair in itertools.product(ReservationStatus, repeat=2) if pair[0] != pair[1]],
)
def test_the_database_allows_the_same_moves_as_the_model(
    psql: Any, before: ReservationStatus, after: ReservationStatus
) -> None:
    """
    Of all 30 pairs of statuses psql can make exactly the moves of `model.ALLOWED_MOVES`.
    """
    row = reservation_row(psql, status=before, hold_until=EVENING)
    claim = insert(psql, "claims", row)
    move = "UPDATE claims SET status = %s WHERE id = %s RETURNING status"

    if after in ALLOWED_MOVES[before]:
        assert (after,) == psql.execute(move, [after, claim]).fetchone()
    else:
        assert constraints.CLAIMS_ALLOWED_MOVES == refused(psql, move, [after, claim])


FROZEN: dict[str, Any] = {
    "club_id": 2,
    "court_id": 1,
    "kind": "block",
    "starts_at": EVENING - HOUR,
    "ends_at": EVENING + HOUR + HOUR,
    "free_at": EVENING + HOUR + HOUR,
    "created_at": EVENING,
    "currency": "USD",
    "total": Decimal(1),
    "lines": lines("10", "10"),
    "price_source": "fallback",
    "tariff_id": 1,
    "policy_id": 1,
    "member_tier": "gold",
    "payment_method": "card",
    "idempotency_key": "other",
    "request_digest": "other",
    "external_ref": "other",
}


@pytest.mark.parametrize("name", FROZEN)
def test_court_time_and_terms_are_frozen(psql: Any, name: str) -> None:
    """
    What was sold, when, where and for how much never changes on a row, not even by psql.
    """
    claim = insert(psql, "claims", reservation_row(psql))
    change = sql.SQL("UPDATE claims SET {} = %s WHERE id = %s").format(sql.Identifier(name))

    assert constraints.CLAIMS_TERMS_FROZEN == refused(psql, change, [FROZEN[name], claim])


@pytest.mark.parametrize("amount", ["captured", "refunded"])
def test_money_on_a_claim_changes_by_payment_events_alone(psql: Any, amount: str) -> None:
    """
    Writing an amount onto a reservation by hand is refused; an event is what moves it.
    """
    claim = insert(psql, "claims", reservation_row(psql))
    pay(psql, claim, "captured", "15.00")
    change = sql.SQL("UPDATE claims SET {} = 1 WHERE id = %s").format(sql.Identifier(amount))

    assert "claims_money_by_events" == refused(psql, change, [claim])


def pay(psql: Any, claim: int, kind: str, amount: str, **changes: Any) -> int:
    return insert(psql, "payment_events", payment(psql, claim, kind, amount) | changes)


def payment(psql: Any, claim: int, kind: str, amount: str) -> dict[str, Any]:
    return {
        "club_id": one(psql, "SELECT club_id FROM claims WHERE id = %s", claim),
        "claim_id": claim,
        "kind": kind,
        "amount": Decimal(amount),
        "gateway": "desk",
        "event_key": f"{kind}:{claim}:{amount}",
    }


def test_payment_events_move_the_amounts(psql: Any) -> None:
    """
    Captured and refunded on the reservation are what its events add up to.
    """
    claim = insert(psql, "claims", reservation_row(psql))
    pay(psql, claim, "captured", "20.00")
    psql.execute("UPDATE claims SET refund_due = 8 WHERE id = %s", [claim])
    pay(psql, claim, "refunded", "5.00")
    pay(psql, claim, "refunded", "3.00")

    amounts = psql.execute(
        "SELECT captured, refunded, payment_status, version FROM claims WHERE id = %s", [claim]
    ).fetchone()

    assert (Decimal(20), Decimal(8), "refunded", 5) == amounts


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("payment_events_kind_known", {"kind": "gift"}),
        ("payment_events_amount_positive", {"amount": Decimal(0)}),
        ("payment_events_amount_positive", {"amount": Decimal(-5)}),
        ("payment_events_amount_positive", {"amount": Decimal("NaN")}),
        ("payment_events_amount_positive", {"amount": Decimal(10**10)}),
        ("payment_events_claim_id_fkey", {"claim_id": 2**40}),
        ("payment_events_of_reservation", {"club_id": 2}),
        ("payment_events_club_id_fkey", {"club_id": 2**40}),
        ("payment_events_one_capture", {"kind": "captured"}),
        ("payment_events_once", {"event_key": "taken"}),
        ("claims_amounts_agree", {"amount": Decimal(9)}),
    ],
)
def test_a_payment_event_that_breaks_a_rule_is_refused(
    psql: Any, constraint: str, changes: dict[str, Any]
) -> None:
    """
    Money is captured once, refunded up to what was captured, and belongs to a reservation.
    """
    claim = insert(psql, "claims", reservation_row(psql))
    pay(psql, claim, "captured", "8.00", event_key="taken")
    event = payment(psql, claim, "refunded", "1.00") | changes
    if constraint.endswith("_fkey"):
        # Foreign keys are asked last; the trigger that needs the reservation comes before them.
        psql.execute("ALTER TABLE payment_events DISABLE TRIGGER payment_events_applied")

    assert constraint == insert_refused(psql, "payment_events", event)


def test_more_than_the_price_is_never_captured(psql: Any) -> None:
    """
    A capture above the total is refused by the reservation it would land on.
    """
    claim = insert(psql, "claims", reservation_row(psql))

    event = payment(psql, claim, "captured", "20.01")

    assert "claims_amounts_agree" == insert_refused(psql, "payment_events", event)


def test_imported_amounts_are_what_their_events_add_up_to(psql: Any) -> None:
    """
    An import brings a reservation with its amounts, and in the same transaction their events.
    Events that say something else, amounts without events, and money of a block are refused.
    """
    row = reservation_row(psql) | {"captured": Decimal(9), "refunded": Decimal(4)}
    free = {"court_id": court_of(psql, "centro/1")[0]}

    def bring(captured: str, refunded: str) -> None:
        with psql.transaction():
            claim = insert(psql, "claims", row)
            psql.execute(
                "INSERT INTO payment_events (club_id, claim_id, kind, amount, gateway, event_key)"
                " SELECT club_id, id, what, amount, 'imported', what || id FROM claims,"
                " (VALUES ('captured', %s::numeric), ('refunded', %s)) AS money (what, amount)"
                " WHERE id = %s",
                (captured, refunded, claim),
            )

    for wrong in (("8", "4"), ("9", "5")):
        with pytest.raises(errors.CheckViolation) as caught:
            bring(*wrong)
        assert "claims_money_by_events" == caught.value.diag.constraint_name
    bring("9", "4")
    psql.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as the commit does
    assert "claims_money_by_events" == insert_refused(psql, "claims", row | free)
    another = reservation_row(psql, "centro/4")
    block = insert(psql, "claims", block_row(psql, "centro/3"))
    stranger = payment(psql, block, "captured", "1.00") | {"gateway": "imported"}
    assert "claims_money_by_events" == insert_refused(psql, "payment_events", stranger)
    assert "claims_money_by_events" == insert_refused(
        psql,
        "payment_events",
        payment(psql, insert(psql, "claims", another), "captured", "1.00")
        | {"gateway": "imported"},
    )


def test_a_block_has_no_money(psql: Any) -> None:
    """
    A payment event of a block is refused.
    """
    block = insert(psql, "claims", block_row(psql))

    event = payment(psql, block, "captured", "1.00")

    assert "payment_events_of_reservation" == insert_refused(psql, "payment_events", event)


APPEND_ONLY = {
    "audit_entries": ("UPDATE audit_entries SET actor = 'nobody'", "audit_entries_append_only"),
    "audit_seals": ("UPDATE audit_seals SET entries = 0", "audit_seals_append_only"),
    "tariffs": ("UPDATE tariffs SET terms = '{}'", "tariffs_append_only"),
    "policies": ("UPDATE policies SET terms = '{}'", "policies_append_only"),
    "payment_events": ("UPDATE payment_events SET amount = 1", "payment_events_append_only"),
}


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_what_happened_is_neither_edited_nor_deleted(psql: Any, table: str) -> None:
    """
    Audit entries, seals, frozen terms and payments refuse UPDATE and DELETE, also of a superuser.
    """
    claim = insert(psql, "claims", reservation_row(psql))
    pay(psql, claim, "captured", "1.00")
    psql.execute("INSERT INTO audit_seals VALUES (1, now(), '0', '1', '{}', 0, '', ''::bytea)")
    update, constraint = APPEND_ONLY[table]

    assert constraint == refused(psql, update)
    assert constraint == refused(psql, f"DELETE FROM {table}")


@pytest.mark.parametrize(
    "table",
    ["audit_entries", "audit_seals", "payment_events", "claims", "payment_attempts", "refunds"],
)
def test_no_history_is_truncated(psql: Any, table: str) -> None:
    """
    TRUNCATE is refused, and so is a TRUNCATE that would cascade into these tables.
    """
    assert f"{table}_append_only" == refused(psql, f"TRUNCATE {table} CASCADE")
    assert refused(psql, "TRUNCATE clubs CASCADE").endswith("_append_only")


@pytest.mark.parametrize(
    "table",
    ["messages", "clubs", "courts", "quarantine", "gateway_events"],
)
def test_what_nothing_refers_to_is_not_deleted_either(psql: Any, table: str) -> None:
    """
    A message, a club or court without a booking, a row in quarantine, an event taken in.
    """
    insert(psql, "claims", reservation_row(psql, price_source="tariff"))
    club = insert(psql, "clubs", CLUB)
    insert(psql, "courts", {"club_id": club, "name": "1"})
    psql.execute(
        "INSERT INTO quarantine (source, model, external_ref, record, reason, detail)"
        " VALUES ('f', 'm', 'r', '{}', 'overlap', '')"
    )
    psql.execute("INSERT INTO gateway_events (gateway, event_id, kind) VALUES ('g', 'e', 'k')")
    before = one(psql, f"SELECT count(*) FROM {table}")

    assert f"{table}_append_only" == refused(psql, f"DELETE FROM {table}")
    assert refused(psql, f"TRUNCATE {table} CASCADE").endswith("_append_only")
    assert 0 < before == one(psql, f"SELECT count(*) FROM {table}")


def test_claims_are_never_deleted(psql: Any) -> None:
    """
    Deleting a reservation is refused, and the refusal says what to do instead.
    """
    insert(psql, "claims", reservation_row(psql))

    with pytest.raises(errors.CheckViolation, match="padelops cancel"), psql.transaction():
        psql.execute("DELETE FROM claims")

    assert 1 == one(psql, "SELECT count(*) FROM claims")


CLUB = {"slug": "nuevo", "name": "N", "time_zone": "UTC", "currency": "EUR", "config": Jsonb({})}

BAD_ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("clubs_one_per_slug", "clubs", CLUB | {"slug": "centro"}),
    ("clubs_one_per_external_ref", "clubs", CLUB | {"external_ref": "taken"}),
    ("clubs_slug_is_plain", "clubs", CLUB | {"slug": "Centro!"}),
    ("clubs_slug_is_plain", "clubs", CLUB | {"slug": ""}),
    ("clubs_currency_is_iso", "clubs", CLUB | {"currency": "euro"}),
    ("clubs_tariff_exists", "clubs", CLUB | {"tariff_id": 2**40}),
    ("clubs_policy_exists", "clubs", CLUB | {"policy_id": 2**40}),
    ("tariffs_one_per_digest", "tariffs", {"club_id": 1, "digest": "taken", "terms": Jsonb({})}),
    ("tariffs_club_id_fkey", "tariffs", {"club_id": 2**40, "digest": "x", "terms": Jsonb({})}),
    ("policies_one_per_digest", "policies", {"club_id": 1, "digest": "taken", "terms": Jsonb({})}),
    ("policies_club_id_fkey", "policies", {"club_id": 2**40, "digest": "x", "terms": Jsonb({})}),
    ("courts_one_per_name", "courts", {"club_id": 1, "name": "1"}),
    ("courts_one_per_external_ref", "courts", {"club_id": 1, "name": "9", "external_ref": "taken"}),
    ("courts_club_id_fkey", "courts", {"club_id": 2**40, "name": "9"}),
    ("courts_name_is_plain", "courts", {"club_id": 1, "name": "a/b"}),
    ("courts_name_is_plain", "courts", {"club_id": 1, "name": ""}),
    ("courts_name_is_plain", "courts", {"club_id": 1, "name": "x" * 33}),
]  # fmt: skip


@pytest.mark.parametrize(("constraint", "table", "row"), BAD_ROWS)
def test_a_club_row_that_breaks_a_rule_is_refused_by_name(
    psql: Any, constraint: str, table: str, row: dict[str, Any]
) -> None:
    """
    Clubs, courts and terms have their constraints too.
    """
    taken = {"digest": "taken", "terms": Jsonb({}), "club_id": 1}
    insert(psql, "tariffs", taken)
    insert(psql, "policies", taken)
    insert(psql, "clubs", CLUB | {"slug": "other", "external_ref": "taken"})
    insert(psql, "courts", {"club_id": 1, "name": "8", "external_ref": "taken"})

    assert constraint == insert_refused(psql, table, row)


def test_a_court_of_another_club_cannot_be_claimed(psql: Any) -> None:
    """
    A claim's club is its court's club.
    """
    _, other_club = court_of(psql, "roma/1")

    row = reservation_row(psql) | {"club_id": other_club}

    assert "claims_court_of_club" == insert_refused(psql, "claims", row)


def test_a_claimed_court_cannot_move_to_another_club(psql: Any) -> None:
    """
    The pair of club and court that claims point at is unique and stays.
    """
    insert(psql, "claims", reservation_row(psql, "centro/2"))
    court_id, club_id = court_of(psql, "centro/2")

    move = "UPDATE courts SET club_id = 2, name = 'moved' WHERE id = %s"

    assert "claims_court_of_club" == refused(psql, move, [court_id])
    definition = one(
        psql,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s",
        "courts_belong_to_club",
    )
    assert "UNIQUE (club_id, id)" == definition
    assert club_id


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("messages_kind_known", {"kind": "advert"}),
        ("messages_state_known", {"state": "lost"}),
        ("messages_once", {"dedupe_key": "taken"}),
        ("messages_club_id_fkey", {"club_id": 2**40}),
        ("messages_claim_id_fkey", {"claim_id": 2**40}),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused(
    psql: Any, constraint: str, changes: dict[str, Any]
) -> None:
    """
    Messages are of known kinds and states, belong to a claim, and each exists once.
    """
    claim = insert(psql, "claims", reservation_row(psql))
    message = {"club_id": 1, "claim_id": claim, "kind": "reminder", "dedupe_key": "taken"}
    insert(psql, "messages", message)

    rival = message | {"dedupe_key": "new"} | changes

    assert constraint == insert_refused(psql, "messages", rival)


@pytest.mark.parametrize(
    "values",
    ["0, now(), '0', '1', '{}', 0", "1, now(), '5', '5', '{}', 0", "1, now(), '0', '1', '{}', 1"],
)
def test_a_seal_that_does_not_add_up_is_refused(psql: Any, values: str) -> None:
    """
    A seal has a number, covers some transactions, and keeps 16 bytes for each entry.
    """
    insert_seal = f"INSERT INTO audit_seals VALUES ({values}, '', ''::bytea)"

    assert "audit_seals_follow" == refused(psql, insert_seal)


def test_each_change_has_one_entry_and_no_second_one_fits(psql: Any) -> None:
    """
    Every insert and update of a claim, club or court leaves one audit entry under its version.
    """
    claim = insert(psql, "claims", reservation_row(psql))
    psql.execute("UPDATE claims SET notes = 'late' WHERE id = %s", [claim])
    psql.execute("UPDATE clubs SET name = 'Nuevo' WHERE id = 1")
    psql.execute("UPDATE courts SET in_service = false WHERE id = 1")

    versions = "SELECT version FROM {} WHERE id = %s"
    entries = (
        "SELECT max(version) FROM audit_entries WHERE subject_kind = %s AND subject_id = %s"
        " HAVING count(*) = max(version)"
    )
    for table, kind, subject in [
        ("claims", "reservation", claim),
        ("clubs", "club", 1),
        ("courts", "court", 1),
    ]:
        assert one(psql, versions.format(table), subject) == one(psql, entries, kind, subject)
    second = (
        "INSERT INTO audit_entries (subject_kind, subject_id, version, action, actor, door,"
        " request_id, changes) VALUES ('club', 1, 1, 'created', 'x', 'sql', '', '{}')"
    )
    assert "audit_entries_one_per_change" == refused(psql, second)


def test_an_entry_takes_its_fingerprint_from_its_content(psql: Any) -> None:
    """
    Whatever leaf a writer sends along, the entry gets the one of its own content.
    """
    entry = psql.execute(
        "INSERT INTO audit_entries (subject_kind, action, actor, door, request_id, changes, leaf)"
        " VALUES ('operator', 'forged', 'x', 'sql', '', '{}', '\\x00') RETURNING id"
    ).fetchone()[0]

    assert one(
        psql, "SELECT leaf = audit_leaf(entry) FROM audit_entries entry WHERE id = %s", entry
    )


def test_a_change_by_psql_is_recorded_under_the_login(psql: Any) -> None:
    """
    Whoever sets no actor is recorded as the database login, through the door `sql`.
    """
    claim = insert(psql, "claims", reservation_row(psql))

    found = psql.execute(
        "SELECT actor, door, action FROM audit_entries WHERE subject_id = %s"
        " AND subject_kind = 'reservation'",
        [claim],
    ).fetchone()

    assert (one(psql, "SELECT session_user::text"), "sql", "created") == found


def test_people_are_not_in_the_trail(psql: Any) -> None:
    """
    Of personal data the trail keeps that it changed, never what it was.
    """
    people = {"player_email": "eva@example.com", "player_phone": "600100200", "notes": "secret"}
    claim = insert(psql, "claims", reservation_row(psql, **people))
    psql.execute("UPDATE claims SET player_name = 'Ana', notes = NULL WHERE id = %s", [claim])

    written = column(
        psql,
        "SELECT changes::text FROM audit_entries WHERE subject_kind = 'reservation'"
        " AND subject_id = %s ORDER BY version",
        claim,
    )

    assert not [text for text in written for word in people.values() if word in text]
    assert "Eva" not in "".join(written)
    assert '{"notes": "changed", "player_name": "changed"}' == written[1]


def test_confirmed_and_cancelled_reservations_have_their_message(psql: Any) -> None:
    """
    The message stands in the outbox with the change; imported history and blocks tell nobody.
    """
    booked = insert(psql, "claims", reservation_row(psql, price_source="tariff"))
    hold = insert(
        psql,
        "claims",
        reservation_row(psql, "centro/1", status="pending", hold_until=EVENING),
    )
    insert(psql, "claims", reservation_row(psql, "centro/3"))
    insert(psql, "claims", block_row(psql, "centro/4"))
    psql.execute("UPDATE claims SET status = 'cancelled' WHERE id = %s", [booked])
    psql.execute("UPDATE claims SET status = 'confirmed' WHERE id = %s", [hold])

    sent = psql.execute("SELECT claim_id, kind, state FROM messages ORDER BY id").fetchall()

    assert [
        (booked, "confirmation", "queued"),
        (booked, "cancellation", "queued"),
        (hold, "confirmation", "queued"),
    ] == sent


def test_versions_count_the_changes(psql: Any) -> None:
    """
    A writer cannot set a version: each update adds one, whatever it says.
    """
    claim = insert(psql, "claims", reservation_row(psql))
    for table, subject in [("claims", claim), ("clubs", 1), ("courts", 1)]:
        before = one(psql, f"SELECT version FROM {table} WHERE id = %s", subject)
        psql.execute(f"UPDATE {table} SET version = 99 WHERE id = %s", [subject])

        assert before + 1 == one(psql, f"SELECT version FROM {table} WHERE id = %s", subject)


def test_one_row_of_an_import_stands_in_quarantine_once(psql: Any) -> None:
    """
    An import that runs twice does not fill the quarantine twice.
    """
    row = {
        "source": "demo.json", "external_ref": "7", "model": "reservations.reservation",
        "record": Jsonb({}), "reason": "overlap", "detail": "",
    }  # fmt: skip
    insert(psql, "quarantine", row)

    assert "quarantine_one_per_row" == insert_refused(psql, "quarantine", row)


PROVED_BY = {
    "claims_no_overlap": "test_any_overlap_on_a_court_is_refused",
    "claims_one_per_key": "test_one_key_stands_for_one_reservation_of_a_club",
    "claims_one_per_external_ref": "test_one_external_reference_stands_for_one_live_claim",
    "courts_belong_to_club": "test_a_claimed_court_cannot_move_to_another_club",
    "payment_events_one_capture": "test_a_payment_event_that_breaks_a_rule_is_refused",
    "audit_seals_follow": "test_a_seal_that_does_not_add_up_is_refused",
    "audit_entries_one_per_change": "test_each_change_has_one_entry_and_no_second_one_fits",
    "quarantine_one_per_row": "test_one_row_of_an_import_stands_in_quarantine_once",
    # triggers
    "audit_entries_append_only": "test_what_happened_is_neither_edited_nor_deleted",
    "audit_seals_append_only": "test_what_happened_is_neither_edited_nor_deleted",
    "tariffs_append_only": "test_what_happened_is_neither_edited_nor_deleted",
    "policies_append_only": "test_what_happened_is_neither_edited_nor_deleted",
    "payment_events_append_only": "test_what_happened_is_neither_edited_nor_deleted",
    "audit_entries_no_truncate": "test_no_history_is_truncated",
    "audit_seals_no_truncate": "test_no_history_is_truncated",
    "payment_events_no_truncate": "test_no_history_is_truncated",
    "claims_no_truncate": "test_no_history_is_truncated",
    "claims_no_delete": "test_claims_are_never_deleted",
    "claims_keep_their_history": "test_the_database_allows_the_same_moves_as_the_model",
    "claims_recorded": "test_each_change_has_one_entry_and_no_second_one_fits",
    "clubs_recorded": "test_each_change_has_one_entry_and_no_second_one_fits",
    "courts_recorded": "test_each_change_has_one_entry_and_no_second_one_fits",
    "clubs_count_version": "test_versions_count_the_changes",
    "courts_count_version": "test_versions_count_the_changes",
    "audit_entries_fingerprint": "test_an_entry_takes_its_fingerprint_from_its_content",
    "claims_announced_new": "test_confirmed_and_cancelled_reservations_have_their_message",
    "claims_announced_change": "test_confirmed_and_cancelled_reservations_have_their_message",
    "payment_events_applied": "test_payment_events_move_the_amounts",
    "payment_events_imported": "test_imported_amounts_are_what_their_events_add_up_to",
}
"""The rest of the guards, and the test that breaks when one of them is gone."""


def guards_of_the_core(psql: Any) -> set[str]:
    """The constraints, unique indexes and triggers that the core's migration made."""
    found = column(
        psql,
        """
        SELECT conname FROM pg_constraint
         WHERE conrelid = ANY (%(tables)s::regclass[]) AND contype IN ('c', 'x', 'f', 'u', 't')
        UNION
        SELECT tgname FROM pg_trigger
         WHERE tgrelid = ANY (%(tables)s::regclass[]) AND NOT tgisinternal
        UNION
        SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
         WHERE indrelid = ANY (%(tables)s::regclass[]) AND indisunique AND NOT indisprimary
        """.replace("%(tables)s", "ARRAY[{}]".format(",".join(f"'{t}'" for t in CORE_TABLES))),
    )
    core = resources.files("padelops.store.migrations.versions").joinpath("0001_core.sql")
    text = core.read_text(encoding="utf-8")
    # Unnamed references get names such as claims_tariff_id_fkey; later migrations have own tests.
    return {name for name in found if name.endswith("_fkey") or re.search(rf"\b{name}\b", text)}


def test_every_guard_has_a_test(psql: Any) -> None:
    """
    A constraint or trigger added to the core without a test here is named, and so is one that went.
    """
    tried = {name for name, _ in BAD_RESERVATIONS + BAD_BLOCKS} - {
        "club_id", "court_id", "kind", "status", "starts_at", "ends_at", "free_at", "captured",
        "version",
    }  # fmt: skip
    tried |= {name for name, _, _ in BAD_ROWS} | PROVED_BY.keys()
    for test in (test_a_payment_event_that_breaks_a_rule_is_refused,
                 test_a_message_that_breaks_a_rule_is_refused):  # fmt: skip
        for mark in test.pytestmark:
            tried |= {case[0] for case in mark.args[1]}
    triggers_without_a_row = {"payment_events_of_reservation"}
    existing = guards_of_the_core(psql)

    assert set() == existing - tried
    assert set() == tried - existing - triggers_without_a_row
    tests = {name for name, _ in inspect.getmembers(sys.modules[__name__], inspect.isfunction)}
    assert set() == set(PROVED_BY.values()) - tests


def test_the_names_that_python_knows_are_in_the_database(psql: Any) -> None:
    """
    Constraint names are an interface: `store/constraints.py` and the migrated schema agree.
    """
    keys = [value for name, value in vars(constraints).items() if name.startswith("CLAIMS_")]
    raised = one(psql, "SELECT string_agg(prosrc, ' ') FROM pg_proc WHERE proname = 'keep_history'")
    known = guards_of_the_core(psql)
    columns = column(
        psql,
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'reservations'::regclass"
        " AND attnum > 0",
    )

    assert [] == [name for name in keys if name not in known and f"'{name}'" not in raised]
    assert set() == set(tables.reservations.c.keys()) - set(columns)
