-- Reservations as people ask for them.

-- name: by_id
SELECT id, club_id, club, time_zone, court_id, court, status, starts_at, ends_at, hold_until, party_id, idempotency_key,
       player_name, player_email, player_phone, player_count, notes, member_tier, currency, total, lines,
       price_source, tariff_id, policy_id, payment_method, payment_status, captured, refund_due, refunded, reason,
       external_ref, created_at, ended_at, version
  FROM reservations
 WHERE id = %(id)s;

-- name: by_id_within
-- One statement for what is not there and what is not theirs, so that neither can be told from the other.
SELECT id, club_id, club, time_zone, court_id, court, status, starts_at, ends_at, hold_until, party_id, idempotency_key,
       player_name, player_email, player_phone, player_count, notes, member_tier, currency, total, lines,
       price_source, tariff_id, policy_id, payment_method, payment_status, captured, refund_due, refunded, reason,
       external_ref, created_at, ended_at, version
  FROM reservations
 WHERE id = %(id)s AND (%(club)s::text IS NULL OR club = %(club)s)
   AND (%(email)s::text IS NULL OR lower(player_email) = lower(%(email)s));

-- name: by_party
SELECT id, club_id, club, time_zone, court_id, court, status, starts_at, ends_at, hold_until, party_id, idempotency_key,
       player_name, player_email, player_phone, player_count, notes, member_tier, currency, total, lines,
       price_source, tariff_id, policy_id, payment_method, payment_status, captured, refund_due, refunded, reason,
       external_ref, created_at, ended_at, version
  FROM reservations
 WHERE party_id = %(party_id)s
 ORDER BY id;

-- name: lock
-- What is read is what the row is once the lock is there, also after a wait.
SELECT claims.id, claims.club_id, clubs.slug AS club, clubs.time_zone, claims.court_id, courts.name AS court,
       claims.status, claims.starts_at, claims.ends_at, claims.hold_until, claims.party_id, claims.idempotency_key,
       claims.player_name, claims.player_email, claims.player_phone, claims.player_count, claims.notes,
       claims.member_tier, claims.currency, claims.total, claims.lines, claims.price_source, claims.tariff_id,
       claims.policy_id, claims.payment_method, claims.payment_status, claims.captured, claims.refund_due,
       claims.refunded, claims.reason, claims.external_ref, claims.created_at, claims.ended_at, claims.version
  FROM claims JOIN clubs ON clubs.id = claims.club_id JOIN courts ON courts.id = claims.court_id
 WHERE claims.id = %(id)s AND claims.kind = 'reservation'
   FOR UPDATE OF claims;

-- name: insert_payment_event
-- Money that changed hands, once per key; the amounts on the reservation follow by trigger.
INSERT INTO payment_events (club_id, claim_id, kind, amount, gateway, gateway_ref, event_key)
VALUES (%(club_id)s, %(claim_id)s, %(kind)s, %(amount)s, %(gateway)s, %(gateway_ref)s, %(event_key)s)
    ON CONFLICT DO NOTHING
RETURNING id;

-- name: policy_of
SELECT terms FROM policies WHERE id = %(policy_id)s;
