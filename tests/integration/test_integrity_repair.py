"""
`--repair` mends what is safe, by name, leaves the rest to a person, and writes down what it did.
"""

# ruff: noqa: E501 - SQL is easier to read in whole lines

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from padelops.booking.cache import _sealed, _unsealed
from padelops.errors import ExitCode, InvalidInput, LockHeld
from padelops.ops.integrity import Verdict
from padelops.ops.integrity_mends import REPAIRS
from padelops.ops.locks import operator_lock
from testbed.clock import MORNING
from testbed.rows import EVENING, column, insert_hold, one, status_of, without_triggers

if TYPE_CHECKING:
    from padelops import Desk

COURT = "centro/2"
LONG_AGO = MORNING - timedelta(days=1)


def stale_hold(psql: Any, **more: Any) -> int:
    """A hold whose deadline was yesterday, on an evening to come."""
    return insert_hold(psql, COURT, EVENING, LONG_AGO, **more)


def silent(desk: Desk, psql: Any, starts: str = "2026-12-01T20:00") -> int:
    """A booking that nobody was told about."""
    made = desk.book(COURT, starts, player="Ana").reservation.id
    without_triggers(psql, "DELETE FROM messages WHERE claim_id = %s", made)
    return made


def everything(psql: Any) -> list[Any]:
    """All that a repair could change."""
    return [
        psql.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
        for table in ("claims", "messages", "payment_attempts", "audit_entries", "operator_runs")
    ]


def test_planning_changes_nothing(desk: Desk, psql: Any) -> None:
    """
    The dry run names what would be mended, and nothing is written.
    """
    hold, told = stale_hold(psql), silent(desk, psql)
    before = everything(psql)

    steps = desk.repairer().plan(["stale_holds", "missing_messages"])

    assert {f"reservation {hold}", f"reservation {told}"} == {step.subject for step in steps}
    assert before == everything(psql)


def test_a_stale_hold_is_ended_and_the_court_free(desk: Desk, psql: Any) -> None:
    """
    The hold expires with an audit entry of its own and one of the repair, and validation holds.
    """
    hold = stale_hold(psql)

    result = desk.repairer().run(["stale_holds"])

    assert ExitCode.DONE == result.exit_code
    assert "expired" == status_of(psql, hold)
    assert ["created", "expired"] == [entry.action for entry in desk.history(hold)]
    assert [[hold, "repaired", "tester"]] == [
        list(row)
        for row in psql.execute(
            "SELECT subject_id, action, actor FROM audit_entries WHERE subject_kind = 'operator'"
        )
    ]
    checks = ["stale_holds", "states_recorded", "changes_recorded", "contradictory_rows"]
    assert Verdict.OK == desk.validator().validate_all_reservations(checks=checks).verdict


@pytest.mark.parametrize("state", ["started", "authorized"])
def test_a_hold_that_is_being_paid_is_left_alone(desk: Desk, psql: Any, state: str) -> None:
    """
    Money may have moved: the repair says what to ask, and ends nothing.
    """
    hold = stale_hold(psql)
    psql.execute(
        "INSERT INTO payment_attempts (club_id, claim_id, reference, gateway, card, currency, amount,"
        " state, asked_at) SELECT club_id, id, 'r', 'sandbox', 'tok_visa', 'EUR', total, %s, now()"
        " FROM claims WHERE id = %s",
        [state, hold],
    )

    result = desk.repairer().run(["stale_holds"])

    assert ExitCode.PARTLY_DONE == result.exit_code
    assert f"padelops payments reconcile {hold}" in str(result.left[0].left)
    assert "pending" == status_of(psql, hold)


def test_only_games_to_come_are_told_of(desk: Desk, psql: Any, clock: Any) -> None:
    """
    Telling somebody about a game of yesterday would confuse: a person decides.
    """
    past, coming = silent(desk, psql, "2026-12-01T18:00"), silent(desk, psql, "2026-12-05T18:00")
    clock.advance(days=3)

    result = desk.repairer().run(["missing_messages"])

    assert ExitCode.PARTLY_DONE == result.exit_code
    assert [f"reservation {coming}"] == [step.subject for step in result.mended]
    assert [f"reservation {past}"] == [step.subject for step in result.left]
    assert [f"confirmed:{coming}"] == column(psql, "SELECT dedupe_key FROM messages")


def test_a_sequence_is_moved_ahead(desk: Desk, psql: Any) -> None:
    """
    After it the next booking works, which it did not before.
    """
    first = desk.book(COURT, "2026-12-01T18:00", player="Ana").reservation.id
    psql.execute("SELECT setval(pg_get_serial_sequence('claims', 'id'), 1, false)")
    broken = desk.validator().validate_all_reservations(checks=["sequences_ahead"])

    result = desk.repairer().run(["sequences"])

    assert ["sequence claims_id_seq"] == [one.subject for one in broken.outcomes[0].violations]
    assert ExitCode.DONE == result.exit_code
    assert first < desk.book(COURT, "2026-12-02T18:00", player="Ana").reservation.id


def test_the_journal_says_what_was_done(desk: Desk, psql: Any) -> None:
    """
    Each name of a run has its row, with every step as evidence.
    """
    hold = stale_hold(psql)

    result = desk.repairer().run(["stale_holds", "missing_messages"])
    rows = psql.execute(
        "SELECT task, outcome, summary, evidence FROM operator_runs WHERE run_id = %s ORDER BY id",
        [result.run_id],
    ).fetchall()

    assert [("stale_holds", "ok", "1 mended, 0 left"), ("missing_messages", "ok", "0 mended, 0 left")] == [
        row[:3] for row in rows
    ]  # fmt: skip
    assert [f"reservation {hold}"] == [step["subject"] for step in rows[0][3]["steps"]]


def test_money_and_times_are_never_touched(desk: Desk, psql: Any) -> None:
    """
    All repairs together, on a database with everything in it that they mend: amounts and times stay.
    """
    stale_hold(psql)
    silent(desk, psql)
    frozen = "SELECT id, starts_at, ends_at, free_at, total, lines, captured, refund_due, refunded FROM claims ORDER BY id"
    before = psql.execute(frozen).fetchall()

    desk.repairer().run(list(REPAIRS))

    assert before == psql.execute(frozen).fetchall()


def test_two_repairs_never_run_at_once(desk: Desk, psql: Any) -> None:
    """
    Whoever comes second is told who is at it, and mends nothing.
    """
    hold = stale_hold(psql)
    with (
        operator_lock(desk.bulk, "repair", purpose="by hand", origin=desk.origin),
        pytest.raises(LockHeld, match="tester"),
    ):
        desk.repairer().run(["stale_holds"])

    assert "pending" == status_of(psql, hold)


@pytest.mark.parametrize("name", ["no_double_booking", "money_follows_events", "everything", ""])
def test_what_is_not_safe_cannot_be_asked_for(desk: Desk, name: str) -> None:
    """
    Double bookings and money need a person; the refusal says what can be mended.
    """
    with pytest.raises(InvalidInput, match="stale_holds"):
        desk.repairer().plan([name])


def test_a_day_in_the_cache_that_lies_is_found_and_thrown_away(desk: Desk, psql: Any) -> None:
    """
    Somebody wrote into the cache under a true stamp: the check names the day, the repair forgets it.
    """
    day = "2026-12-01"
    free = desk.availability("centro", _date(day))
    key = one(psql, "SELECT key FROM cache_entries")
    good = desk.validator().validate_all_reservations(checks=["cached_days_true"])
    _lie(desk, key)
    lying = desk.validator().validate_all_reservations(checks=["cached_days_true"])

    result = desk.repairer().run(["cached_days"])

    assert (Verdict.OK, Verdict.CRITICAL) == (good.verdict, lying.verdict)
    assert [f"key {key}"] == [one.subject for one in lying.outcomes[0].violations]
    assert "as taken" in lying.outcomes[0].violations[0].evidence["problem"]
    assert ExitCode.DONE == result.exit_code
    assert free.courts == desk.availability("centro", _date(day)).courts


def test_looking_at_the_cache_does_not_fill_it(desk: Desk, psql: Any) -> None:
    """
    A day under an old stamp is harmless, passes, and stays what it is.
    """
    desk.availability("centro", _date("2026-12-01"))
    desk.book(COURT, "2026-12-01T18:00", player="Ana")
    before = psql.execute("SELECT key, stamp, value FROM cache_entries").fetchall()

    report = desk.validator().validate_all_reservations(checks=["cached_days_true"])

    assert Verdict.OK == report.verdict
    assert before == psql.execute("SELECT key, stamp, value FROM cache_entries").fetchall()


def _date(text: str) -> date:
    return date.fromisoformat(text)


def _lie(desk: Desk, key: str) -> None:
    """Write a day with one start less, with a checksum that fits."""
    stamp, value = desk.cache.get(key) or ("", "")
    kept = json.loads(_unsealed(value) or "{}")
    next(iter(kept["courts"].values())).pop()
    desk.cache.put(key, stamp, _sealed(json.dumps(kept, separators=(",", ":"))), ttl_s=600)
