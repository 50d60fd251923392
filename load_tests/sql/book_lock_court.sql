-- The same table, constraint and triggers as padelops', with the court's row locked first as in
-- CRITICAL_PATHS.md, path 1: lock, look for an overlap, insert, commit.
\set n :n + 1
\set starts :first_start + 3600 * (:n * :clients + :client_id)
BEGIN;
SELECT set_config('padelops.actor', :actor, true),
       set_config('padelops.door', :door, true),
       set_config('padelops.request_id', :request_id, true);
SELECT club_id FROM courts WHERE id = :first_court FOR UPDATE;
SELECT count(*) AS overlaps
  FROM claims
 WHERE court_id = :first_court AND status IN ('pending', 'confirmed')
   AND starts_at > to_timestamp(:starts) - interval '28 hours' AND starts_at < to_timestamp(:starts + 3600)
   AND free_at > to_timestamp(:starts) \gset
\if :overlaps = 0
INSERT INTO claims (
    club_id, court_id, kind, status, starts_at, ends_at, free_at, idempotency_key, request_digest, player_name,
    player_email, currency, total, lines, price_source, tariff_id, policy_id, payment_method, payment_status
)
VALUES (
    :club_id, :first_court, 'reservation', :status, to_timestamp(:starts), to_timestamp(:starts + 3600),
    to_timestamp(:starts + 3600), :key || '-' || :client_id || '-' || :n, :request_digest, :player_name,
    :player_email, :currency, :total, :lines, :price_source, :tariff_id, :policy_id, :payment_method, :payment_status
)
RETURNING id, created_at, version;
\endif
COMMIT;
