-- A cancellation without policy or refund: lock, change, commit; the triggers record and announce it.
\set n :n + 1
\set id :first_id + :n * :clients + :client_id
BEGIN;
SELECT set_config('padelops.actor', :actor, true),
       set_config('padelops.door', :door, true),
       set_config('padelops.request_id', :request_id, true);
SELECT status FROM claims WHERE id = :id FOR UPDATE;
UPDATE claims
   SET status = 'cancelled', ended_at = now(), reason = 'user_requested', payment_status = 'nothing_due'
 WHERE id = :id AND kind = 'reservation' AND status IN ('pending', 'confirmed')
RETURNING id;
COMMIT;
