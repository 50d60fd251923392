-- Reservations as people ask for them.

-- name: by_id
SELECT id, club_id, club, time_zone, court_id, court, status, starts_at, ends_at, hold_until, party_id, idempotency_key,
       player_name, player_email, player_phone, player_count, notes, member_tier, currency, total, lines,
       price_source, tariff_id, policy_id, payment_method, payment_status, captured, refund_due, refunded, reason,
       external_ref, created_at, ended_at, version
  FROM reservations
 WHERE id = %(id)s;

-- name: by_party
SELECT id, club_id, club, time_zone, court_id, court, status, starts_at, ends_at, hold_until, party_id, idempotency_key,
       player_name, player_email, player_phone, player_count, notes, member_tier, currency, total, lines,
       price_source, tariff_id, policy_id, payment_method, payment_status, captured, refund_due, refunded, reason,
       external_ref, created_at, ended_at, version
  FROM reservations
 WHERE party_id = %(party_id)s
 ORDER BY id;

-- name: lock
SELECT id FROM claims WHERE id = %(id)s AND kind = 'reservation' FOR UPDATE;

-- name: insert_payment_event
-- Money that changed hands, once per key; the amounts on the reservation follow by trigger.
INSERT INTO payment_events (club_id, claim_id, kind, amount, gateway, gateway_ref, event_key)
VALUES (%(club_id)s, %(claim_id)s, %(kind)s, %(amount)s, %(gateway)s, %(gateway_ref)s, %(event_key)s)
    ON CONFLICT DO NOTHING
RETURNING id;

-- name: policy_of
SELECT terms FROM policies WHERE id = %(policy_id)s;
