"""
The invariants of DESIGN.md section 3, asked of the tables by SQL written for the tests alone.

The product's validator is not used here on purpose: two ways of asking have to be wrong together
before a fault stays hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

QUESTIONS = {
    "no_double_booking": """
        SELECT a.id, b.id FROM claims a JOIN claims b ON a.court_id = b.court_id AND a.id < b.id
         WHERE a.status IN ('pending', 'confirmed') AND b.status IN ('pending', 'confirmed')
           AND a.starts_at < b.free_at AND b.starts_at < a.free_at""",
    "nothing_invented": """
        SELECT club_id, idempotency_key FROM claims
         WHERE idempotency_key IS NOT NULL AND status <> 'expired'
         GROUP BY 1, 2 HAVING count(*) > 1""",
    "price_exact": """
        SELECT id, total FROM claims WHERE kind = 'reservation' AND total IS DISTINCT FROM (
            SELECT sum((line ->> 'amount')::numeric) FROM jsonb_array_elements(lines) line)""",
    "money_matches": """
        SELECT claims.id, captured, refund_due, refunded FROM claims LEFT JOIN (
            SELECT claim_id, sum(amount) FILTER (WHERE kind = 'captured') AS taken,
                   sum(amount) FILTER (WHERE kind = 'refunded') AS given
              FROM payment_events GROUP BY claim_id) AS events ON claim_id = claims.id
         WHERE captured <> coalesce(taken, 0) OR refunded <> coalesce(given, 0)
            OR NOT 0 <= refunded OR refunded > captured
            -- What would have gone back of a sum that was let go is owed to nobody.
            OR (refund_due > captured AND payment_status NOT IN ('authorized', 'voided'))""",
    "audit_complete": """
        SELECT claims.id, claims.version, array_agg(entry.version ORDER BY entry.version)
          FROM claims LEFT JOIN audit_entries entry
            ON entry.subject_kind = claims.kind AND entry.subject_id = claims.id
         GROUP BY claims.id, claims.version
        HAVING array_agg(entry.version ORDER BY entry.version)
               IS DISTINCT FROM ARRAY(SELECT generate_series(1, claims.version))""",
    "messages_match: told": """
        SELECT id, status FROM claims
         WHERE kind = 'reservation' AND price_source <> 'imported'
           AND status IN ('confirmed', 'cancelled')
           AND NOT EXISTS (SELECT FROM messages WHERE claim_id = claims.id AND messages.kind =
               CASE status WHEN 'confirmed' THEN 'confirmation' ELSE 'cancellation' END)""",
    "messages_match: once": """
        SELECT claim_id, kind FROM messages GROUP BY 1, 2 HAVING count(*) > 1""",
    "messages_match: true": """
        SELECT messages.id FROM messages JOIN claims ON claims.id = claim_id
         WHERE (messages.kind = 'cancellation' AND status <> 'cancelled')
            OR claims.kind <> 'reservation'""",
    "cancelled_has_an_end": """
        SELECT id FROM claims WHERE status IN ('cancelled', 'expired') AND ended_at IS NULL""",
}


def broken(psql: psycopg.Connection[Any]) -> list[str]:
    """Every violation of every invariant, as text; empty when all hold."""
    return [
        f"{name}: {row}"
        for name, question in QUESTIONS.items()
        for row in psql.execute(question.encode()).fetchall()
    ]
