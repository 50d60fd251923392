"""
Every check by name: the invariant that it keeps, its question, and what to do when it is broken.

A check is a row here; how it is asked stands in `integrity_questions.py`. DESIGN.md section 3 names
the invariants; those the database enforces are asked all the same, because constraints can be
dropped, and triggers switched off.
"""

from __future__ import annotations

from dataclasses import dataclass

from padelops.ops.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """
    One question that must have one answer.

    Attributes:
        advice: what a person should do about a violation.
        repair: the name under which `--repair` mends it, where that is safe.
    """

    name: str
    invariant: str
    question: str
    advice: str
    severity: Verdict = Verdict.CRITICAL
    repair: str | None = None


_SHOW = "Look at both: padelops show ID, padelops audit history ID."
_MONEY = "Compare with the gateway: padelops payments list, then reconcile ID."
_TAMPERED = "Somebody went past the triggers: padelops audit verify, then ask who was in psql."
_SCHEMA = "Put it back as the migration in store/migrations has it, then validate again."

_ALL = (
    Check(
        "no_double_booking",
        "no_double_booking",
        "Do two live claims share a court at any moment?",
        f"Move or cancel one of each pair by hand. {_SHOW}",
    ),
    Check(
        "one_reservation_per_key",
        "nothing_invented",
        "Does one idempotency key stand for two reservations?",
        f"One of them was asked for once only: cancel the other. {_SHOW}",
    ),
    Check(
        "one_claim_per_import",
        "nothing_invented",
        "Did one imported row become two claims?",
        f"Cancel the one that was not asked for. {_SHOW}",
    ),
    Check(
        "rows_vanished",
        "nothing_lost",
        "Is there a row for everything that the trail says was created?",
        "Restore the row from a backup; its story is in padelops audit history ID.",
    ),
    Check(
        "states_recorded",
        "nothing_lost",
        "Is each claim in the state that the trail recorded last?",
        _TAMPERED,
    ),
    Check(
        "money_follows_events",
        "money_matches",
        "Do amounts add up to what happened to the money?",
        _MONEY,
    ),
    Check(
        "money_within_bounds",
        "money_matches",
        "Is 0 <= refunded <= captured <= total?",
        _MONEY,
    ),
    Check(
        "payment_status_agrees",
        "money_matches",
        "Does the payment's status fit its amounts?",
        _MONEY,
    ),
    Check(
        "one_capture",
        "money_matches",
        "Was any reservation's money taken twice?",
        "Give one capture back at the gateway, then reconcile: padelops payments reconcile ID.",
    ),
    Check(
        "no_money_without_court",
        "money_matches",
        "Is money kept for a hold that came to nothing?",
        "Give it back: padelops payments list, then retry ID.",
    ),
    Check(
        "confirmed_without_payment",
        "money_matches",
        "Does a card booking stand without an authorization?",
        f"It was never paid for. {_MONEY}",
    ),
    Check(
        "refunds_under_way",
        "money_matches",
        "Is every refund that is owed done, or on its way?",
        "Hurry it: padelops payments retry ID.",
        Verdict.WARNING,
    ),
    Check(
        "captures_recorded",
        "money_matches",
        "Has every capture its payment event?",
        _MONEY,
    ),
    Check(
        "refunds_recorded",
        "money_matches",
        "Has every refund that is done its payment event?",
        _MONEY,
    ),
    Check(
        "promises_let_go",
        "money_matches",
        "Is money still promised for a court that was given up?",
        "Let it go: padelops payments reconcile ID.",
    ),
    Check(
        "payments_in_doubt",
        "money_matches",
        "Has nobody found out for a quarter of an hour what became of a payment?",
        "Ask the gateway: padelops payments reconcile ID. Is a worker running?",
        Verdict.WARNING,
    ),
    Check(
        "total_is_sum_of_lines",
        "price_exact",
        "Is each total the sum of its lines?",
        f"Compare with the tariff and agree a price with the player. {_SHOW}",
    ),
    Check(
        "price_recomputed",
        "price_exact",
        "Does the frozen tariff give the price that was sold?",
        f"Compare with padelops price, and agree a price with the player. {_SHOW}",
    ),
    Check(
        "changes_recorded",
        "audit_complete",
        "Has each change exactly one audit entry?",
        _TAMPERED,
    ),
    Check(
        "trail_intact",
        "audit_complete",
        "Was an entry of the trail edited, deleted or slipped in?",
        _TAMPERED,
    ),
    Check(
        "message_missing",
        "messages_match",
        "Has each confirmed or cancelled reservation its message?",
        "Queue those of games to come: padelops validate --repair missing_messages.",
        repair="missing_messages",
    ),
    Check(
        "message_twice",
        "messages_match",
        "Does one dedupe key stand for one message?",
        "Delete nothing; keep the worker from sending the second: padelops notifications list.",
    ),
    Check(
        "reminded_of_nothing",
        "messages_match",
        "Was anybody reminded of a game that was cancelled?",
        "Call the player. Are the clocks of the workers right?",
    ),
    Check(
        "told_untruly",
        "messages_match",
        "Does a message tell of a cancellation that is none?",
        "Call the player.",
    ),
    Check(
        "contradictory_messages",
        "messages_match",
        "Do a message's state and its times agree?",
        "Compare with the mail server's log: padelops notifications list.",
    ),
    Check(
        "stale_holds",
        "no_stale_hold",
        "Does a hold outlive its deadline without a reason?",
        "Run a worker, or: padelops validate --repair stale_holds.",
        Verdict.WARNING,
        repair="stale_holds",
    ),
    Check(
        "cached_days_true",
        "availability_true",
        "Does the cache agree with the tables?",
        "Throw those days away: padelops validate --repair cached_days.",
        repair="cached_days",
    ),
    Check(
        "contradictory_rows",
        "all",
        "Does a claim contradict itself?",
        _SHOW,
    ),
    Check(
        "foreign_rows",
        "all",
        "Do rows that belong together belong to one club?",
        "Find out what wrote them: padelops audit history ID. Nothing here is safe to guess.",
    ),
    Check(
        "rows_without_club",
        "all",
        "Is there a club for every row?",
        "Restore the club from a backup; its rows are useless without.",
    ),
    Check(
        "revisions_agree",
        "all",
        "Is every court under its club's revision? Else nothing can be booked on it.",
        "Apply the club's file again: padelops club apply FILE.",
    ),
    Check(
        "sequences_ahead",
        "all",
        "Is every sequence ahead of its table? Else the next insert fails.",
        "Move them ahead: padelops validate --repair sequences.",
        repair="sequences",
    ),
    Check(
        "columns_kept",
        "schema",
        "Is each table and column what the migrations make?",
        _SCHEMA,
    ),
    Check(
        "constraints_hold",
        "schema",
        "Is each constraint there, and validated?",
        _SCHEMA,
    ),
    Check(
        "indexes_valid",
        "schema",
        "Is each index there, and valid?",
        f"{_SCHEMA} An invalid index: drop it, then create it CONCURRENTLY.",
    ),
    Check(
        "triggers_on",
        "schema",
        "Is each trigger there, and switched on?",
        _SCHEMA,
    ),
    Check(
        "functions_unchanged",
        "schema",
        "Is each function's body what the migrations make?",
        _SCHEMA,
    ),
)

CHECKS: dict[str, Check] = {check.name: check for check in _ALL}
"""In the order of DESIGN.md section 3, then what holds the database itself together."""

if len(CHECKS) < len(_ALL):
    raise ValueError("two checks have one name")
