"""
Books as clubs have them after a while, written in bulk: claims, payments, messages and the trail.

Everything is as the library and its triggers would have left it, so validation has nothing to say;
that it takes seconds for a hundred thousand rows is what the detour is for.
"""

# ruff: noqa: E501 - SQL is easier to read in whole lines

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    Psql = psycopg.Connection[Any]

FIRST_START = datetime(2026, 12, 7, tzinfo=UTC)
PRICE = "24.00"

CLAIMS = """
    INSERT INTO claims (
        club_id, court_id, kind, status, starts_at, ends_at, free_at, idempotency_key, request_digest, player_name,
        player_email, currency, total, lines, price_source, tariff_id, policy_id, payment_method, payment_status,
        captured, reason, ended_at
    )
    SELECT court.club_id, court.id, of.kind, of.status, of.starts_at, of.starts_at + interval '1 hour',
           of.starts_at + interval '1 hour', CASE of.kind WHEN 'reservation' THEN 'books-' || n END,
           CASE of.kind WHEN 'reservation' THEN repeat('a', 64) END,
           CASE of.kind WHEN 'reservation' THEN 'Player ' || n %% 5000 END,
           CASE of.kind WHEN 'reservation' THEN 'player' || n %% 5000 || '@example.com' END,
           CASE of.kind WHEN 'reservation' THEN 'EUR' END, CASE of.kind WHEN 'reservation' THEN 24.00 END,
           CASE of.kind WHEN 'reservation' THEN
               '[{"kind": "time", "label": "base", "amount": "24.00", "minutes": 60, "per_hour": "24.00"}]'::jsonb END,
           CASE of.kind WHEN 'reservation' THEN 'tariff' END,
           CASE of.kind WHEN 'reservation' THEN club.tariff_id END,
           CASE of.kind WHEN 'reservation' THEN club.policy_id END,
           CASE WHEN of.kind = 'reservation' THEN CASE WHEN of.card THEN 'card' ELSE 'desk' END END,
           CASE WHEN of.kind = 'reservation' THEN CASE WHEN of.card THEN 'paid' WHEN of.status = 'cancelled' THEN 'nothing_due' ELSE 'due' END END,
           CASE WHEN of.card THEN 24.00 ELSE 0 END,
           CASE WHEN of.kind = 'block' THEN 'lessons' WHEN of.status = 'cancelled' THEN 'user_requested' END,
           CASE of.status WHEN 'cancelled' THEN of.starts_at - interval '1 day' END
      FROM generate_series(0, %(rows)s::bigint - 1) AS n
     CROSS JOIN (SELECT array_agg(courts.id ORDER BY courts.id) AS ids
                   FROM courts JOIN clubs ON clubs.id = club_id WHERE slug LIKE 'books-%%') AS all_courts
      JOIN courts AS court ON court.id = all_courts.ids[1 + n %% cardinality(all_courts.ids)]
      JOIN clubs AS club ON club.id = court.club_id
     CROSS JOIN LATERAL (
        SELECT %(first_start)s::timestamptz + n / cardinality(all_courts.ids) * interval '1 hour' AS starts_at,
               CASE WHEN n %% 50 = 7 THEN 'block' ELSE 'reservation' END AS kind,
               CASE WHEN n %% 20 = 1 THEN 'cancelled' ELSE 'confirmed' END AS status,
               n %% 50 <> 7 AND n %% 20 <> 1 AND n %% 5 = 3 AS card
     ) AS of
     ORDER BY n
"""
ATTEMPTS = """
    INSERT INTO payment_attempts (club_id, claim_id, reference, gateway, card, currency, amount, state, asked_at)
    SELECT club_id, id, 'books-' || id, 'sandbox', 'tok_visa', 'EUR', total, 'captured', created_at
      FROM claims WHERE payment_method = 'card' AND idempotency_key LIKE 'books-%'
"""
EVENTS = """
    INSERT INTO payment_events (club_id, claim_id, kind, amount, gateway, event_key)
    SELECT club_id, id, happened.kind, total, 'sandbox', happened.kind || ':books-' || id
      FROM claims, unnest(ARRAY['authorized', 'captured']) AS happened (kind)
     WHERE payment_method = 'card' AND idempotency_key LIKE 'books-%'
"""
MESSAGES = """
    INSERT INTO messages (club_id, claim_id, kind, dedupe_key, state, delivered_at, attempts, attempted_at)
    SELECT club_id, id, CASE status WHEN 'confirmed' THEN 'confirmation' ELSE 'cancellation' END, status || ':' || id,
           'delivered', created_at, 1, created_at
      FROM claims WHERE kind = 'reservation' AND idempotency_key LIKE 'books-%'
"""
TRAIL = """
    INSERT INTO audit_entries (club_id, subject_kind, subject_id, version, action, actor, door, request_id, changes)
    SELECT club_id, kind, id, 1, 'created', 'books', 'library', '',
           jsonb_strip_nulls(to_jsonb(claims) - ARRAY['player_name', 'player_email', 'player_phone', 'notes'])
      FROM claims
     WHERE NOT EXISTS (SELECT FROM audit_entries AS there
                        WHERE there.subject_kind = claims.kind AND there.subject_id = claims.id)
     ORDER BY id
"""
PAYMENT_TRAIL = """
    INSERT INTO audit_entries (club_id, subject_kind, subject_id, version, action, actor, door, request_id, changes)
    SELECT club_id, 'payment', id, 1, 'created', 'books', 'library', '', jsonb_strip_nulls(to_jsonb(attempts) - 'card')
      FROM payment_attempts AS attempts WHERE reference LIKE 'books-%'
     ORDER BY id
"""


def club(slug: str, *, courts: int) -> dict[str, Any]:
    """A club that is open day and night, at one price."""
    return {
        "slug": slug,
        "name": f"Club {slug}",
        "time_zone": "Europe/Madrid",
        "currency": "EUR",
        "tax": {"percent": "21", "mode": "inclusive"},
        "default_hourly_price": PRICE,
        "courts": [{"name": str(number + 1)} for number in range(courts)],
        "hours": {"weekly": {"mon-sun": "00:00-24:00"}},
        "rules": {
            "slot_step_minutes": 60,
            "min_minutes": 60,
            "max_minutes": 120,
            "default_minutes": 60,
            "advance_days": 3650,
        },
    }


def fill(admin: Psql, rows: int, first_start: datetime = FIRST_START) -> None:
    """
    Fill the courts of all clubs named `books-…`, hour by hour.

    Args:
        admin: a superuser; triggers are off for what they would do one by one, and on for the
            trail's fingerprints.
    """
    admin.execute("SET session_replication_role = replica")
    admin.execute(CLAIMS, {"rows": rows, "first_start": first_start})
    for statement in (ATTEMPTS, EVENTS, MESSAGES):
        admin.execute(statement.encode())
    admin.execute("RESET session_replication_role")
    for statement in (TRAIL, PAYMENT_TRAIL):
        admin.execute(statement.encode())
    admin.execute("ANALYZE")
