"""
Critical path 9: every change is recorded with it, and nobody can quietly change the record.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from padelops.errors import InvalidInput, NotFound, PadelopsError, SafetyGate
from testbed.racing import race
from testbed.rows import EVENING, column, insert, one, reservation_row, without_triggers

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops import Desk

COURT = "centro/2"


@pytest.fixture
def trail(desk: Desk) -> list[int]:
    """Three reservations' worth of entries; their ids, oldest first."""
    made = [
        desk.book(COURT, f"2026-12-0{day}T18:00", player="A").reservation.id for day in (1, 2, 3)
    ]
    desk.cancel(made[0])
    return made


def entries_of(psql: Any, reservation: int) -> list[int]:
    return column(
        psql,
        "SELECT id FROM audit_entries WHERE subject_kind = 'reservation' AND subject_id = %s"
        " ORDER BY id",
        reservation,
    )


def named(desk: Desk, **more: Any) -> list[str]:
    """What a verification complains about."""
    return [finding.where for finding in desk.verify_audit(**more).findings]


@pytest.mark.parametrize("sealed", [False, True])
def test_an_untouched_trail_is_intact(desk: Desk, trail: list[int], sealed: bool) -> None:
    """
    Sealed or not yet, a trail that nobody touched has no findings.
    """
    if sealed:
        desk.seal_audit()

    found = desk.verify_audit()

    assert found.intact
    assert sealed == (found.unsealed == 0)
    assert found.sealed_entries + found.unsealed >= len(trail)


def test_a_change_whose_entry_fails_does_not_happen(desk: Desk, psql: Any) -> None:
    """
    When the audit insert is refused, booking, cancelling and paying change nothing.
    """
    made = desk.book(COURT, "2026-12-01T18:00", player="A").reservation
    psql.execute("ALTER TABLE audit_entries ADD CONSTRAINT full_disk CHECK (false) NOT VALID")

    for call in (
        partial(desk.book, COURT, "2026-12-02T18:00", player="B"),
        partial(desk.book, ("centro/1", COURT), "2026-12-03T18:00", player="B"),
        partial(desk.cancel, made.id),
        partial(desk.settle_at_desk, made.id),
    ):
        with pytest.raises(PadelopsError):
            call()
    psql.execute("ALTER TABLE audit_entries DROP CONSTRAINT full_disk")

    assert made == desk.show(made.id)
    assert [made.id] == column(psql, "SELECT id FROM claims")
    assert [] == column(psql, "SELECT id FROM payment_events")
    assert desk.verify_audit().intact


EDITS = [
    "UPDATE audit_entries SET actor = 'somebody else' WHERE id = %s",
    "UPDATE audit_entries SET at = at - interval '1 day' WHERE id = %s",
    "UPDATE audit_entries SET changes = changes || '{\"total\": 1}' WHERE id = %s",
    "UPDATE audit_entries SET door = 'cli', request_id = 'x' WHERE id = %s",
    "UPDATE audit_entries SET action = 'completed' WHERE id = %s",
    "UPDATE audit_entries SET leaf = '\\x00' WHERE id = %s",
]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("sealed", [False, True])
def test_an_edited_entry_is_named(
    desk: Desk, psql: Any, trail: list[int], edit: str, sealed: bool
) -> None:
    """
    Whatever a superuser with triggers switched off edits on an entry, verify names that entry.
    """
    if sealed:
        desk.seal_audit()
    entry = entries_of(psql, trail[1])[0]
    without_triggers(psql, edit, entry)

    assert [f"entry {entry}"] == named(desk)


def test_an_edit_with_a_new_fingerprint_breaks_the_seal(
    desk: Desk, psql: Any, trail: list[int]
) -> None:
    """
    A forger who recomputes the entry's own fingerprint still contradicts the seal.
    """
    desk.seal_audit()
    entry = entries_of(psql, trail[1])[0]
    without_triggers(psql, EDITS[0], entry)
    without_triggers(psql, "UPDATE audit_entries e SET leaf = audit_leaf(e) WHERE id = %s", entry)

    assert [f"entry {entry}"] == named(desk)


def test_a_deleted_entry_is_noticed(desk: Desk, psql: Any, trail: list[int]) -> None:
    """
    Before it is sealed the reservation's count gives it away; afterwards it is named as well.
    """
    first, second = entries_of(psql, trail[1])[0], entries_of(psql, trail[2])[0]
    without_triggers(psql, "DELETE FROM audit_entries WHERE id = %s", first)
    unsealed = named(desk)
    desk.seal_audit()
    without_triggers(psql, "DELETE FROM audit_entries WHERE id = %s", second)

    assert [f"reservation {trail[1]}"] == unsealed
    assert {f"reservation {trail[1]}", f"reservation {trail[2]}", f"entry {second}"} == set(
        named(desk)
    )


def test_a_deleted_operator_note_is_named_once_sealed(desk: Desk, psql: Any) -> None:
    """
    Entries without a subject of their own are covered by seals like all others.
    """
    psql.execute(
        "INSERT INTO audit_entries (subject_kind, action, actor, door, request_id, changes)"
        " VALUES ('operator', 'purged', 'x', 'cli', '', '{}')"
    )
    desk.seal_audit()
    note = one(psql, "SELECT max(id) FROM audit_entries")
    without_triggers(psql, "DELETE FROM audit_entries WHERE id = %s", note)

    assert [f"entry {note}"] == named(desk)


def test_an_entry_slipped_in_is_named(desk: Desk, psql: Any, trail: list[int]) -> None:
    """
    An entry dated back into a sealed transaction is named, whatever subject it claims.
    """
    desk.seal_audit()
    without_triggers(
        psql,
        "INSERT INTO audit_entries (tx, subject_kind, action, actor, door, request_id, changes,"
        " leaf) SELECT tx, 'operator', 'forged', 'x', 'cli', '', '{}', '' FROM audit_entries"
        " WHERE id = %s",
        entries_of(psql, trail[0])[0],
    )

    assert f"entry {one(psql, 'SELECT max(id) FROM audit_entries')}" in named(desk)


def test_a_reservation_removed_with_its_whole_story(
    desk: Desk, psql: Any, trail: list[int]
) -> None:
    """
    Row and entries deleted together: the seal still names every entry that is gone.
    """
    desk.seal_audit()
    gone = entries_of(psql, trail[2])
    for table, key in [
        ("messages", "claim_id"), ("audit_entries", "subject_id"), ("claims", "id"),
    ]:  # fmt: skip
        kind = " AND subject_kind = 'reservation'" if table == "audit_entries" else ""
        without_triggers(psql, f"DELETE FROM {table} WHERE {key} = %s{kind}", trail[2])

    assert [f"entry {entry}" for entry in gone] == named(desk)


def test_a_change_made_with_triggers_off(desk: Desk, psql: Any, trail: list[int]) -> None:
    """
    A row changed behind the trail's back has a version that its entries do not explain.
    """
    without_triggers(
        psql, "UPDATE claims SET status = 'no_show', version = version + 1 WHERE id = %s", trail[1]
    )

    assert [f"reservation {trail[1]}"] == named(desk)


@pytest.mark.parametrize("kind", ["seal", "digest", "leaves", "bounds"])
def test_a_seal_that_was_touched_is_named(
    desk: Desk, psql: Any, trail: list[int], kind: str
) -> None:
    """
    A seal in the middle that is deleted or edited breaks the chain behind it.
    """
    desk.seal_audit()
    for day in (4, 5):
        desk.book(COURT, f"2026-12-0{day}T18:00", player="A")
        desk.seal_audit()
    without_triggers(
        psql,
        {
            "seal": "DELETE FROM audit_seals WHERE id = 2",
            "digest": "UPDATE audit_seals SET digest = sha256(digest) WHERE id = 2",
            "leaves": "UPDATE audit_seals SET leaves = sha256(leaves) || leaves || ''"
            " , entries = entries + 2 WHERE id = 2",
            "bounds": "UPDATE audit_seals SET below_tx = (below_tx::text::bigint - 1)::text::xid8"
            " WHERE id = 2",
        }[kind],
    )

    assert {"seal 2", "seal 3"} & set(named(desk))
    assert len(trail)


def test_a_tail_cut_off_with_its_seals(desk: Desk, psql: Any, trail: list[int]) -> None:
    """
    Entries cut off with the seals that covered them contradict their reservations; and where those
    were rewritten too, the digest that was noted elsewhere is missing from the chain.
    """
    desk.seal_audit()
    desk.cancel(trail[1])
    desk.seal_audit()
    anchor = desk.verify_audit().head
    without_triggers(
        psql, "DELETE FROM audit_entries WHERE id = %s", entries_of(psql, trail[1])[-1]
    )
    without_triggers(psql, "DELETE FROM audit_seals WHERE id = 2")
    contradicted = named(desk)
    without_triggers(
        psql, "UPDATE claims SET status = 'confirmed', version = 1 WHERE id = %s", trail[1]
    )
    rewritten = named(desk)

    assert [f"reservation {trail[1]}"] == contradicted
    assert [] == rewritten
    assert ["chain"] == named(desk, anchor=anchor)


def test_a_chain_rewritten_from_the_start(desk: Desk, psql: Any, trail: list[int]) -> None:
    """
    Whoever edits an entry, drops all seals and seals anew is convicted by the anchor alone.
    """
    desk.seal_audit()
    anchor = desk.verify_audit().head
    entry = entries_of(psql, trail[0])[0]
    without_triggers(psql, EDITS[0], entry)
    without_triggers(psql, "UPDATE audit_entries e SET leaf = audit_leaf(e) WHERE id = %s", entry)
    without_triggers(psql, "DELETE FROM audit_seals")
    desk.seal_audit()

    assert [] == named(desk)
    assert ["chain"] == named(desk, anchor=anchor)


@pytest.mark.parametrize("anchor", ["", "no digest", "\ud800", "é" * 64])
def test_an_anchor_that_is_none(desk: Desk, trail: list[int], anchor: str) -> None:
    """
    Any text that is not a digest of the chain is reported as such, without a crash.
    """
    desk.seal_audit()

    assert ["chain"] == named(desk, anchor=anchor)
    assert len(trail)


def test_an_anchor_of_any_age_is_found(desk: Desk, trail: list[int]) -> None:
    """
    A digest noted at any seal stays in the chain, in either case of its letters.
    """
    desk.seal_audit()
    anchor = desk.verify_audit().head
    assert anchor is not None
    desk.cancel(trail[1])
    desk.seal_audit()

    assert [] == named(desk, anchor=anchor.upper())


@pytest.mark.parametrize(
    "trigger",
    ["audit_entries.audit_entries_append_only", "audit_entries.audit_entries_no_truncate",
     "audit_seals.audit_seals_append_only", "claims.claims_recorded", "claims.claims_no_delete",
     "claims.claims_keep_their_history", "clubs.clubs_recorded", "courts.courts_recorded",
     "audit_entries.audit_entries_fingerprint", "audit_seals.audit_seals_no_truncate"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["DISABLE TRIGGER {}", "ENABLE REPLICA TRIGGER {}", "drop"])
def test_a_guard_that_is_off_is_named(desk: Desk, psql: Any, trigger: str, how: str) -> None:
    """
    A trigger of the trail that was dropped or switched off is a finding by itself.
    """
    table, name = trigger.split(".")
    statement = f"ALTER TABLE {table} {how.format(name)}"
    psql.execute(statement if how != "drop" else f"DROP TRIGGER {name} ON {table}")

    assert [f"trigger {trigger}"] == named(desk)


def test_a_transaction_under_way_is_not_sealed(
    desk: Desk, raw: Callable[[], Any], psql: Any, trail: list[int]
) -> None:
    """
    Entries of a transaction that is still open are left for the next seal, and none is ever missed,
    although others with higher numbers were sealed before.
    """
    slow = raw()
    with slow.transaction():
        late = insert(slow, "claims", reservation_row(slow, "centro/1"))
        desk.cancel(trail[1])
        desk.seal_audit()
    between = desk.verify_audit()
    desk.seal_audit()
    after = desk.verify_audit()

    assert between.intact
    assert between.unsealed >= len(entries_of(psql, late))
    assert (True, 0) == (after.intact, after.unsealed)


def test_sealing_at_once(desk: Desk, trail: list[int]) -> None:
    """
    Four sealers at the same moment make one chain that follows.
    """
    finishes = race(*[desk.seal_audit] * 4)

    assert [None] * 4 == [finish.error for finish in finishes]
    assert 1 == sum(len(finish.value) for finish in finishes)
    assert desk.verify_audit().intact
    assert len(trail)


def test_sealing_while_others_write(desk: Desk) -> None:
    """
    Seals made in the middle of bookings and cancellations verify, and miss nothing in the end.
    """

    def churn(court: int) -> None:
        for n in range(6):
            made = desk.book(f"centro/{court}", f"2026-12-0{1 + n}T16:00", player="A")
            desk.cancel(made.reservation.id)

    def seal() -> None:
        for _ in range(8):
            desk.seal_audit()

    finishes = race(partial(churn, 1), partial(churn, 2), partial(churn, 3), seal)
    desk.seal_audit()
    found = desk.verify_audit()

    assert [None] * 4 == [finish.error for finish in finishes]
    assert (True, 0) == (found.intact, found.unsealed)


def test_long_trails_are_sealed_in_parts(
    desk: Desk, psql: Any, trail: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A bounded number of entries per seal: several seals, one chain, nothing left out or twice.
    """
    monkeypatch.setattr("padelops.booking.audit.SEAL_ENTRIES", 2)

    made = desk.seal_audit()
    found = desk.verify_audit()

    assert len(made) > 2
    assert one(psql, "SELECT count(*) FROM audit_entries") == found.sealed_entries
    assert found.intact
    assert len(trail)


def test_sealing_with_nothing_new(desk: Desk, trail: list[int]) -> None:
    """
    Sealing twice makes one seal.
    """
    assert 1 == len(desk.seal_audit())
    assert [] == desk.seal_audit()
    assert len(trail)


def test_a_database_restored_from_a_dump_is_not_sealed(
    desk: Desk, psql: Any, trail: list[int]
) -> None:
    """
    Where the transaction counter is behind the seals, sealing would cover the future: refused.
    """
    desk.seal_audit()
    without_triggers(psql, "UPDATE audit_seals SET below_tx = '9000000000000'::xid8")

    with pytest.raises(SafetyGate):
        desk.seal_audit()
    assert len(trail)


def test_the_story_of_a_reservation(desk: Desk, psql: Any) -> None:
    """
    A history tells each change once, in order, by whom and what from and to.
    """
    made = desk.book(COURT, "2026-12-01T18:00", player="A").reservation.id
    desk.settle_at_desk(made)
    psql.execute("UPDATE claims SET notes = 'brings balls' WHERE id = %s", [made])
    desk.cancel(made)

    story = desk.history(made)

    assert [1, 2, 3, 4] == [entry.version for entry in story]
    assert ["created", "payment_paid", "changed", "cancelled"] == [e.action for e in story]
    assert ["tester", "tester", "postgres", "tester"] == [entry.actor for entry in story]
    assert ["confirmed", "cancelled"] == story[3].changes["status"]
    assert {"notes": "changed"} == story[2].changes


def test_histories_of_what_is_not_there(desk: Desk) -> None:
    """
    An unknown kind is refused, an unknown subject is not found.
    """
    with pytest.raises(InvalidInput):
        desk.history(1, subject="claims; --")
    with pytest.raises(NotFound):
        desk.history(1, subject="reservation")
    assert desk.history(1, subject="club")


def test_an_export_is_complete_and_bounded(desk: Desk, psql: Any, trail: list[int]) -> None:
    """
    All entries come once, by id; a day's bounds leave out what lies outside.
    """
    every = list(desk.export_audit())
    today = one(psql, "SELECT now()::date")

    assert column(psql, "SELECT id FROM audit_entries ORDER BY id") == [row["id"] for row in every]
    assert [] == list(desk.export_audit(since=today + timedelta(days=2)))
    assert [] == list(desk.export_audit(until=today - timedelta(days=2)))
    assert len(every) > len(trail)


def test_erasing_a_person_keeps_the_chain(desk: Desk, psql: Any) -> None:
    """
    A player's data can be erased from the row; the sealed trail never held it and still verifies.
    """
    made = desk.book(COURT, "2026-12-01T18:00", player="Eva Gil", email="eva@example.com")
    desk.seal_audit()
    psql.execute(
        "UPDATE claims SET player_name = 'erased', player_email = NULL WHERE id = %s",
        [made.reservation.id],
    )
    desk.seal_audit()

    assert desk.verify_audit().intact
    assert 0 == one(
        psql, "SELECT count(*) FROM audit_entries WHERE changes::text ~* 'eva|example.com'"
    )
    assert EVENING == desk.show(made.reservation.id).starts_at
