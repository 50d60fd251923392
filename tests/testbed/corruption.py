"""
One violation of each kind, done as it could happen: constraints dropped, triggers switched off.

Each takes good rows of its own from the books, so that no two meet, and says which check must name
what. Where a thing cannot be broken without breaking another, it says both.
"""

# ruff: noqa: E501 - SQL is easier to read in whole lines

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testbed.rows import column, one, without_triggers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    Psql = psycopg.Connection[Any]

DROP_GUARDS = """
    DO $$
    DECLARE
        guard record;
    BEGIN
        FOR guard IN
            SELECT conrelid::regclass AS relation, conname FROM pg_constraint
             WHERE connamespace = current_schema()::regnamespace AND contype IN ('c', 'f', 'x', 'u')
               AND conrelid <> 0 AND conname <> 'messages_once' ORDER BY contype = 'u'
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', guard.relation, guard.conname);
        END LOOP;
        FOR guard IN
            SELECT indexrelid::regclass AS relation FROM pg_index
             WHERE indisunique AND NOT indisprimary AND indexrelid <> 'messages_once'::regclass
               AND indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)
        LOOP
            EXECUTE format('DROP INDEX %s', guard.relation);
        END LOOP;
        FOR guard IN
            SELECT attname FROM pg_attribute
             WHERE attrelid = 'claims'::regclass AND attnum > 0 AND attnotnull AND attname <> 'id'
        LOOP
            EXECUTE format('ALTER TABLE claims ALTER %I DROP NOT NULL', guard.attname);
        END LOOP;
    END
    $$
"""
"""Every constraint but the primary keys and the one that queues messages by, every unique index."""

COPY = """
    INSERT INTO claims ({columns})
    SELECT {values} FROM claims WHERE id = %s RETURNING id
"""


ENTRY = "SELECT id FROM audit_entries WHERE subject_kind = 'reservation' AND subject_id = %s"


@dataclass
class Books:
    """Good rows to spoil, each given away once; all of one club, another one is there too."""

    psql: Psql
    _rows: Iterator[int]
    _cards: Iterator[int]
    _cancelled: Iterator[int]

    @classmethod
    def open(cls, psql: Psql, *, every: int) -> Books:
        """Args: every: the distance between two rows, so that they hide among others."""

        def ids(which: str) -> Iterator[int]:
            found = column(
                psql,
                "SELECT id FROM claims WHERE kind = 'reservation' AND idempotency_key LIKE 'books-%'"
                " AND club_id = (SELECT min(id) FROM clubs WHERE slug LIKE 'books-%')"
                f" AND {which} ORDER BY id",
            )
            return iter(found[:: max(1, min(every, len(found) // 60))])

        return cls(
            psql,
            ids("payment_method = 'desk' AND status = 'confirmed'"),
            ids("payment_method = 'card'"),
            ids("status = 'cancelled'"),
        )

    def row(self) -> int:
        """A confirmed reservation that is paid at the desk."""
        return next(self._rows)

    def card(self) -> int:
        """A confirmed reservation that was paid by card."""
        return next(self._cards)

    def cancelled(self) -> int:
        """A cancelled reservation."""
        return next(self._cancelled)

    def spoil(self, statement: str, *values: Any) -> None:
        """Past all triggers."""
        without_triggers(self.psql, statement, *values)

    def set(self, claim: int, assignment: str) -> str:
        """Change one claim past all triggers; its name in findings."""
        self.spoil(f"UPDATE claims SET {assignment} WHERE id = %s", claim)
        return f"reservation {claim}"

    def copied(self, claim: int, **changes: str) -> int:
        """A second claim like this one, by plain INSERT: triggers record and announce it."""
        kept = (
            "club_id", "court_id", "kind", "status", "starts_at", "ends_at", "free_at", "player_name",
            "currency", "total", "lines", "price_source", "tariff_id", "policy_id", "payment_method",
            "payment_status", "reason",
        )  # fmt: skip
        values = {name: name for name in kept} | changes
        statement = COPY.format(columns=", ".join(values), values=", ".join(values.values()))
        return int(one(self.psql, statement, claim))


Findings = dict[str, set[str]]
"""By check, what it must name."""

Corruption = Callable[[Books], Findings]
CORRUPTIONS: dict[str, Corruption] = {}


def corruption(spoil: Corruption) -> Corruption:
    """Add one to the suite, by its function's name."""
    CORRUPTIONS[spoil.__name__] = spoil
    return spoil


@corruption
def two_reservations_overlap(books: Books) -> Findings:
    late = books.copied(books.row(), starts_at="starts_at + interval '15 minutes'", ends_at="ends_at - interval '15 minutes'",
                        free_at="ends_at - interval '15 minutes'", total="12.00",
                        lines="""'[{"kind": "time", "label": "base", "amount": "12.00"}]'::jsonb""")  # fmt: skip
    return {"no_double_booking": {f"reservation {late}"}}


@corruption
def a_block_overlaps(books: Books) -> Findings:
    late = books.copied(
        books.row(), kind="'block'", reason="'lessons'", starts_at="starts_at + interval '30 minutes'",
        ends_at="ends_at - interval '10 minutes'", free_at="ends_at - interval '10 minutes'",
        player_name="NULL", currency="NULL", total="NULL::numeric", lines="NULL::jsonb", price_source="NULL",
        tariff_id="NULL::bigint", policy_id="NULL::bigint", payment_method="NULL", payment_status="NULL",
    )  # fmt: skip
    return {"no_double_booking": {f"block {late}"}}


@corruption
def a_hold_overlaps(books: Books) -> Findings:
    late = books.copied(
        books.row(), status="'pending'", hold_until="'2090-01-01'::timestamptz", starts_at="starts_at + interval '5 minutes'",
        ends_at="ends_at - interval '5 minutes'", free_at="ends_at - interval '5 minutes'", total="20.00",
        lines="""'[{"kind": "time", "label": "base", "amount": "20.00"}]'::jsonb""",
    )  # fmt: skip
    return {"no_double_booking": {f"reservation {late}"}}


@corruption
def a_key_stands_for_two(books: Books) -> Findings:
    key = one(books.psql, "SELECT idempotency_key FROM claims WHERE id = %s", books.row())
    books.set(books.row(), f"idempotency_key = '{key}'")
    return {"one_reservation_per_key": {f"key {key}"}}


@corruption
def an_imported_row_came_twice(books: Books) -> Findings:
    for claim in (books.row(), books.row()):
        books.set(claim, "external_ref = 'old-4711'")
    return {"one_claim_per_import": {"import old-4711"}}


@corruption
def a_reservation_is_gone(books: Books) -> Findings:
    claim = books.row()
    books.spoil("DELETE FROM messages WHERE claim_id = %s", claim)
    books.spoil("DELETE FROM claims WHERE id = %s", claim)
    return {"rows_vanished": {f"reservation {claim}"}}


@corruption
def a_cancellation_is_undone(books: Books) -> Findings:
    claim = books.cancelled()
    where = books.set(claim, "status = 'expired'")
    books.spoil("DELETE FROM messages WHERE claim_id = %s", claim)
    return {"states_recorded": {where}}


@corruption
def an_amount_without_event(books: Books) -> Findings:
    return {
        "money_follows_events": {books.set(books.row(), "captured = 5, payment_status = 'paid'")}
    }


@corruption
def more_taken_than_sold(books: Books) -> Findings:
    claim = books.card()
    books.spoil("UPDATE payment_events SET amount = 30 WHERE claim_id = %s", claim)
    books.spoil("UPDATE payment_attempts SET amount = 30 WHERE claim_id = %s", claim)
    return {"money_within_bounds": {books.set(claim, "captured = 30")}}


@corruption
def paid_without_money(books: Books) -> Findings:
    return {"payment_status_agrees": {books.set(books.row(), "payment_status = 'paid'")}}


@corruption
def captured_twice(books: Books) -> Findings:
    claim = books.card()
    books.spoil(
        "UPDATE payment_events SET amount = 12 WHERE claim_id = %s AND kind = 'captured'", claim
    )
    books.spoil("UPDATE payment_attempts SET amount = 12 WHERE claim_id = %s", claim)
    books.spoil(
        "INSERT INTO payment_events (club_id, claim_id, kind, amount, gateway, event_key)"
        " SELECT club_id, claim_id, kind, amount, gateway, event_key || ' again' FROM payment_events"
        "  WHERE claim_id = %s AND kind = 'captured'",
        claim,
    )
    return {"one_capture": {f"reservation {claim}"}}


@corruption
def money_kept_for_an_expired_hold(books: Books) -> Findings:
    claim = books.card()
    books.psql.execute("ALTER TABLE claims DISABLE TRIGGER claims_keep_their_history")
    books.psql.execute(
        "UPDATE claims SET status = 'expired', ended_at = now(), version = version + 1 WHERE id = %s",
        [claim],
    )
    books.psql.execute("ALTER TABLE claims ENABLE TRIGGER claims_keep_their_history")
    return {"no_money_without_court": {f"reservation {claim}"}}


@corruption
def confirmed_and_never_authorized(books: Books) -> Findings:
    claim = books.row()
    return {"confirmed_without_payment": {books.set(claim, "payment_method = 'card'")}}


@corruption
def a_refund_that_nobody_is_at(books: Books) -> Findings:
    claim = books.card()
    books.psql.execute(
        "UPDATE claims SET status = 'cancelled', ended_at = now(), refund_due = 10,"
        " payment_status = 'refund_due' WHERE id = %s",
        [claim],
    )
    return {"refunds_under_way": {f"reservation {claim}"}}


@corruption
def a_capture_without_event(books: Books) -> Findings:
    claim = books.card()
    books.spoil("DELETE FROM payment_events WHERE claim_id = %s AND kind = 'captured'", claim)
    return {"captures_recorded": {books.set(claim, "captured = 0, payment_status = 'authorized'")}}


@corruption
def a_refund_without_event(books: Books) -> Findings:
    claim = books.card()
    books.psql.execute(
        "INSERT INTO refunds (club_id, claim_id, attempt_id, reference, amount, state)"
        " SELECT club_id, claim_id, id, 'refund-' || id, 5, 'done' FROM payment_attempts WHERE claim_id = %s",
        [claim],
    )
    return {"refunds_recorded": {f"reservation {claim}"}}


@corruption
def a_promise_for_nothing(books: Books) -> Findings:
    claim = books.cancelled()
    books.psql.execute(
        "INSERT INTO payment_attempts (club_id, claim_id, reference, gateway, card, currency, amount, state, asked_at)"
        " SELECT club_id, id, 'promise', 'sandbox', 'tok_visa', 'EUR', total, 'authorized', now() FROM claims WHERE id = %s",
        [claim],
    )
    return {"promises_let_go": {f"reservation {claim}"}}


@corruption
def an_outcome_that_nobody_asks_for(books: Books) -> Findings:
    claim = books.row()
    books.psql.execute(
        "INSERT INTO payment_attempts (club_id, claim_id, reference, gateway, card, currency, amount, state, asked_at, created_at)"
        " SELECT club_id, id, 'doubt', 'sandbox', 'tok_visa', 'EUR', total, 'unknown', now(), '2020-01-01' FROM claims"
        "  WHERE id = %s",
        [claim],
    )
    return {"payments_in_doubt": {f"reservation {claim}"}}


@corruption
def lines_that_do_not_add_up(books: Books) -> Findings:
    return {
        "total_is_sum_of_lines": {
            books.set(
                books.row(), "lines = '[{\"amount\": \"23.00\"}]', price_source = 'fallback'"
            ),
            books.set(books.row(), "lines = '{\"amount\": 1}', price_source = 'fallback'"),
            books.set(books.row(), "lines = '[{\"amount\": \"much\"}]', price_source = 'fallback'"),
            books.set(
                books.row(), 'lines = \'{"0": {"amount": "24.00"}}\', price_source = \'fallback\''
            ),
            books.set(
                books.row(), "lines = lines || '[{\"amount\": \"1\"}]', price_source = 'fallback'"
            ),
            books.set(
                books.row(),
                "lines = '[{\"amount\": \"Infinity\"}]', total = 'Infinity', price_source = 'fallback'",
            ),
        }
    }


@corruption
def a_price_of_no_tariff(books: Books) -> Findings:
    return {
        "price_recomputed": {
            books.set(books.row(), 'total = 20, lines = \'[{"amount": "20"}]\''),
            books.set(books.row(), "tariff_id = NULL"),
        }
    }


@corruption
def a_change_without_entry(books: Books) -> Findings:
    unrecorded, forgotten = books.row(), books.row()
    books.set(unrecorded, "version = 2")
    entry = one(books.psql, ENTRY, forgotten)
    books.spoil("DELETE FROM audit_entries WHERE id = %s", entry)
    # A seal covers the entry that is gone.
    return {
        "changes_recorded": {f"reservation {unrecorded}", f"reservation {forgotten}"},
        "trail_intact": {f"entry {entry}"},
    }


@corruption
def an_edited_entry(books: Books) -> Findings:
    entry = one(books.psql, ENTRY, books.row())
    books.spoil("UPDATE audit_entries SET actor = 'nobody' WHERE id = %s", entry)
    return {"trail_intact": {f"entry {entry}"}}


@corruption
def nobody_was_told(books: Books) -> Findings:
    confirmed, cancelled = books.row(), books.cancelled()
    for claim in (confirmed, cancelled):
        books.spoil("DELETE FROM messages WHERE claim_id = %s", claim)
    return {"message_missing": {f"reservation {confirmed}", f"reservation {cancelled}"}}


def _message(books: Books, claim: int, kind: str, key: str, **more: str) -> str:
    columns = {"state": "'queued'"} | more
    number = one(
        books.psql,
        f"INSERT INTO messages (club_id, claim_id, kind, dedupe_key, {', '.join(columns)})"
        f" SELECT club_id, id, '{kind}', '{key}', {', '.join(columns.values())} FROM claims"
        "  WHERE id = %s RETURNING id",
        claim,
    )
    return f"message {number}"


@corruption
def reminded_of_a_cancelled_game(books: Books) -> Findings:
    claim = books.cancelled()
    late = {
        "state": "'delivered'",
        "attempted_at": "ended_at + interval '1 hour'",
        "delivered_at": "ended_at",
    }
    return {
        "reminded_of_nothing": {_message(books, claim, "reminder", f"reminder:{claim}", **late)}
    }


@corruption
def told_of_no_cancellation(books: Books) -> Findings:
    claim = books.row()
    return {"told_untruly": {_message(books, claim, "cancellation", f"cancelled:{claim}")}}


@corruption
def delivered_at_no_time(books: Books) -> Findings:
    claim = books.row()
    told = _message(books, claim, "reminder", f"reminder:{claim}", state="'delivered'")
    return {"contradictory_messages": {told}}


@corruption
def a_hold_outlives_its_deadline(books: Books) -> Findings:
    claim = books.copied(
        books.cancelled(), status="'pending'", hold_until="'2020-01-01'::timestamptz", reason="NULL",
        payment_status="'pending'",
    )  # fmt: skip
    return {"stale_holds": {f"reservation {claim}"}}


PROBLEMS = {
    "it has no beginning or no end": "free_at = NULL",
    "it ends before it starts": "ends_at = starts_at - interval '1 hour', free_at = starts_at, price_source = 'fallback'",
    "it is longer than a day": "starts_at = starts_at + interval '30 years', ends_at = ends_at + interval '30 years 2 days', free_at = ends_at + interval '30 years 2 days', price_source = 'fallback'",
    "its buffer is not between 0 and 4 hours": "free_at = ends_at - interval '5 minutes'",
    "it is not on whole minutes": "starts_at = starts_at + interval '5 seconds', price_source = 'fallback'",
    "it lies outside the years 2000 to 2099": "starts_at = starts_at - interval '100 years', ends_at = ends_at - interval '100 years', free_at = free_at - interval '100 years', price_source = 'fallback'",
    "it lacks a player, a price or a payment": "player_name = NULL",
    "it is live, but it has ended": "ended_at = now()",
}  # fmt: skip
"""What a claim can say against itself, and how it comes to."""


@corruption
def claims_contradict_themselves(books: Books) -> Findings:
    found = {books.set(books.row(), change) for change in PROBLEMS.values()}
    found.add(books.set(books.cancelled(), "ended_at = NULL"))
    return {"contradictory_rows": found}


@corruption
def statuses_that_are_none(books: Books) -> Findings:
    claim, used = books.row(), books.row()
    books.set(claim, "status = 'maybe'")
    books.psql.execute("UPDATE claims SET status = 'completed' WHERE id = %s", [used])
    return {"contradictory_rows": {f"reservation {claim}", f"reservation {used}"}}


@corruption
def blocks_and_holds_that_are_none(books: Books) -> Findings:
    block = one(books.psql, "SELECT min(id) FROM claims WHERE kind = 'block'")
    books.spoil("UPDATE claims SET reason = NULL WHERE id = %s", block)
    hold = books.copied(
        books.cancelled(), status="'pending'", payment_status="'pending'", reason="NULL"
    )
    return {"contradictory_rows": {f"block {block}", f"reservation {hold}"}}


@corruption
def rows_of_another_club(books: Books) -> Findings:
    other = "(SELECT max(id) FROM clubs WHERE slug LIKE 'books-%%')"
    court = books.row()
    books.spoil(
        "UPDATE claims SET court_id = (SELECT max(courts.id) FROM courts), starts_at = starts_at + interval '40 years',"
        " ends_at = ends_at + interval '40 years', free_at = free_at + interval '40 years' WHERE id = %s",
        court,
    )
    tariff = books.set(
        books.row(),
        f"tariff_id = (SELECT min(id) FROM tariffs WHERE club_id = {other}), price_source = 'fallback'",
    )
    policy = books.set(
        books.row(), f"policy_id = (SELECT min(id) FROM policies WHERE club_id = {other})"
    )
    party = books.set(
        books.row(), f"party_id = (SELECT max(id) FROM claims WHERE club_id = {other})"
    )
    found = {f"reservation {court}", tariff, policy, party}
    for relation, name, claim in (
        ("payment_attempts", "payment", books.card()),
        ("payment_events", "payment event", books.card()),
        ("messages", "message", books.row()),
    ):
        number = one(books.psql, f"SELECT min(id) FROM {relation} WHERE claim_id = %s", claim)
        entry = f"UPDATE {relation} SET club_id = {other} WHERE id = %s"
        books.spoil(entry, number)
        found.add(f"{name} {number}")
    return {"foreign_rows": found}


@corruption
def orphans(books: Books) -> Findings:
    lost = 10**12
    message = _message(books, books.row(), "payment_pending", "orphan")
    books.spoil("UPDATE messages SET claim_id = %s WHERE dedupe_key = 'orphan'", lost)
    refund = one(
        books.psql,
        "INSERT INTO refunds (club_id, claim_id, attempt_id, reference, amount)"
        " SELECT club_id, id, %s, 'orphan', 5 FROM claims WHERE id = %s RETURNING id",
        lost,
        books.row(),
    )
    return {"foreign_rows": {message, f"refund {refund}"}}


@corruption
def rows_of_no_club(books: Books) -> Findings:
    number = one(
        books.psql,
        "INSERT INTO tariffs (club_id, digest, terms) VALUES (10^12, 'x', '{}') RETURNING id",
    )
    return {"rows_without_club": {f"tariffs {number}"}}


@corruption
def a_court_of_another_revision(books: Books) -> Findings:
    court = one(books.psql, "SELECT max(id) FROM courts")
    books.spoil("UPDATE courts SET revision = revision + 1 WHERE id = %s", court)
    return {"revisions_agree": {f"court {court}"}}


@corruption
def a_sequence_behind(books: Books) -> Findings:
    books.psql.execute("SELECT setval(pg_get_serial_sequence('policies', 'id'), 1)")
    return {"sequences_ahead": {"sequence policies_id_seq"}}


@corruption
def told_twice(books: Books) -> Findings:
    claim, other = books.row(), books.row()
    # Last of all: without it, a claim that is inserted cannot queue its message.
    books.psql.execute("ALTER TABLE messages DROP CONSTRAINT messages_once")
    _message(books, claim, "confirmation", f"confirmed:{claim}")
    wrong = _message(books, other, "confirmation", "confirmed:again")
    return {"message_twice": {f"message confirmed:{claim}", wrong}}
