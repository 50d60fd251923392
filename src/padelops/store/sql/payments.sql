-- Card payments: attempts, refunds, events, leases. Lock order: the claim's row, then its attempt,
-- then its refund; a lease is taken and given back outside of these.

-- name: insert_attempt
-- Only for a hold that still stands and for which nobody else is asking: two requests with the same
-- key never ask twice.
INSERT INTO payment_attempts (club_id, claim_id, reference, gateway, card, currency, amount, next_step, next_step_at, asked_at)
SELECT club_id, id, %(reference)s, %(gateway)s, %(card)s, currency, total, 'reconcile', %(next_step_at)s, %(asked_at)s
  FROM claims WHERE id = %(claim_id)s AND status = 'pending'
    ON CONFLICT DO NOTHING
RETURNING id;

-- name: attempt
SELECT id, club_id, claim_id, reference, gateway, gateway_ref, card, currency, amount, state, next_step,
       next_step_at, review_of, tries, last_error, asked_at, created_at, updated_at
  FROM payment_attempts WHERE id = %(id)s;

-- name: attempt_by_reference
SELECT id, club_id, claim_id, reference, gateway, gateway_ref, card, currency, amount, state, next_step,
       next_step_at, review_of, tries, last_error, asked_at, created_at, updated_at
  FROM payment_attempts WHERE reference = %(reference)s;

-- name: last_attempt
SELECT id, club_id, claim_id, reference, gateway, gateway_ref, card, currency, amount, state, next_step,
       next_step_at, review_of, tries, last_error, asked_at, created_at, updated_at
  FROM payment_attempts WHERE claim_id = %(claim_id)s ORDER BY id DESC LIMIT 1;

-- name: lock_attempt
SELECT id FROM payment_attempts WHERE id = %(id)s FOR UPDATE;

-- name: move_attempt
UPDATE payment_attempts
   SET state = %(state)s, gateway_ref = coalesce(%(gateway_ref)s, gateway_ref), next_step = %(next_step)s,
       next_step_at = %(next_step_at)s, review_of = %(review_of)s, tries = %(tries)s, last_error = %(last_error)s,
       asked_at = coalesce(%(asked_at)s, asked_at), updated_at = now()
 WHERE id = %(id)s;

-- name: wake_attempt
-- Look again now: a webhook or a person says that something may have happened, also to what was given
-- up. What is open is asked about, whatever it waited for; a promised sum keeps its step.
UPDATE payment_attempts
   SET next_step = CASE state WHEN 'authorized' THEN coalesce(next_step, 'reconcile') ELSE 'reconcile' END,
       next_step_at = %(now)s, updated_at = now()
 WHERE id = %(id)s AND state IN ('started', 'unknown', 'authorized', 'never_arrived')
RETURNING id;

-- name: due_attempts
-- What is to be done now and nobody is at, oldest first.
SELECT attempts.id
  FROM payment_attempts AS attempts
  LEFT JOIN leases ON leases.kind = 'payment' AND leases.subject_id = attempts.id AND leases.until > clock_timestamp()
 WHERE attempts.next_step IN ('reconcile', 'capture', 'void') AND attempts.next_step_at <= %(now)s
   AND leases.subject_id IS NULL
 ORDER BY attempts.next_step_at, attempts.id
 LIMIT %(limit)s;

-- name: due_refunds
SELECT refunds.id
  FROM refunds
  JOIN payment_attempts AS attempts ON attempts.id = refunds.attempt_id
  LEFT JOIN leases ON leases.kind = 'refund' AND leases.subject_id = refunds.id AND leases.until > clock_timestamp()
 WHERE refunds.state IN ('due', 'unknown') AND refunds.due_at <= %(now)s AND attempts.state = 'captured'
   AND leases.subject_id IS NULL
 ORDER BY refunds.due_at, refunds.id
 LIMIT %(limit)s;

-- name: lease
-- One worker at a time, for a while; no row back means that another one is at it.
INSERT INTO leases (kind, subject_id, holder, until)
VALUES (%(kind)s, %(subject_id)s, %(holder)s, clock_timestamp() + make_interval(secs => %(seconds)s))
    ON CONFLICT (kind, subject_id) DO UPDATE
   SET holder = excluded.holder, until = excluded.until
 WHERE leases.until <= clock_timestamp()
RETURNING subject_id;

-- name: release_lease
DELETE FROM leases WHERE kind = %(kind)s AND subject_id = %(subject_id)s AND holder = %(holder)s;

-- name: insert_refund
INSERT INTO refunds (club_id, claim_id, attempt_id, reference, amount, due_at)
SELECT club_id, claim_id, id, %(reference)s, %(amount)s, %(now)s FROM payment_attempts WHERE id = %(attempt_id)s
    ON CONFLICT DO NOTHING
RETURNING id;

-- name: refund
SELECT id, club_id, claim_id, attempt_id, reference, amount, state, gateway_ref, due_at, tries, last_error
  FROM refunds WHERE id = %(id)s;

-- name: refund_of_claim
SELECT id, club_id, claim_id, attempt_id, reference, amount, state, gateway_ref, due_at, tries, last_error
  FROM refunds WHERE claim_id = %(claim_id)s;

-- name: move_refund
UPDATE refunds
   SET state = %(state)s, gateway_ref = coalesce(%(gateway_ref)s, gateway_ref), due_at = %(due_at)s,
       reference = coalesce(%(reference)s, reference), tries = %(tries)s, last_error = %(last_error)s
 WHERE id = %(id)s AND state IN ('due', 'unknown', 'failed')
RETURNING id;

-- name: drop_refund
UPDATE refunds SET state = 'dropped', last_error = 'nothing was taken'
 WHERE claim_id = %(claim_id)s AND state IN ('due', 'unknown', 'failed');

-- name: confirm
-- The hold becomes a booking. An expired one goes back under the exclusion constraint, which refuses
-- it where the court was sold again meanwhile.
UPDATE claims SET status = 'confirmed', hold_until = NULL, ended_at = NULL, reason = NULL
 WHERE id = %(id)s AND status IN ('pending', 'expired')
RETURNING id;

-- name: release_hold
UPDATE claims SET status = 'expired', ended_at = %(now)s, reason = %(reason)s
 WHERE id = %(id)s AND status = 'pending'
RETURNING id;

-- name: extend_hold
UPDATE claims SET hold_until = least(starts_at, %(until)s) WHERE id = %(id)s AND status = 'pending';

-- name: set_payment_status
UPDATE claims SET payment_status = %(payment_status)s
 WHERE id = %(id)s AND payment_status <> %(payment_status)s;

-- name: expired_holds
-- Holds past their deadline that nothing explains; those with a payment under way are asked about first.
SELECT claims.id
  FROM claims
 WHERE status = 'pending' AND hold_until <= least(%(now)s, clock_timestamp()) AND payment_status <> 'payment_unknown'
   AND NOT EXISTS (
        SELECT FROM payment_attempts AS attempts
         WHERE attempts.claim_id = claims.id AND attempts.state IN ('started', 'unknown', 'authorized'))
 ORDER BY hold_until
 LIMIT %(limit)s;

-- name: lapse_queued
-- A queued attempt whose hold is gone will not be made any more.
UPDATE payment_attempts SET state = 'never_arrived', last_error = 'the hold ran out', updated_at = now()
 WHERE claim_id = %(claim_id)s AND state = 'queued';

-- name: lapse_orphans
-- The same, where a rival ended the hold and not the sweep.
UPDATE payment_attempts AS attempts SET state = 'never_arrived', last_error = 'the hold ran out', updated_at = now()
  FROM claims
 WHERE claims.id = attempts.claim_id AND attempts.state = 'queued' AND claims.status <> 'pending';

-- name: insert_event
INSERT INTO gateway_events (gateway, event_id, kind, reference, club_id)
SELECT %(gateway)s, %(event_id)s, %(kind)s, %(reference)s,
       (SELECT club_id FROM payment_attempts WHERE reference = %(reference)s)
    ON CONFLICT DO NOTHING
RETURNING event_id;

-- name: attention
-- What a person should look at: queued, unknown, in review, or failing again and again.
SELECT attempts.id AS attempt, attempts.claim_id AS reservation, clubs.slug AS club, claims.status, claims.payment_status,
       attempts.state, attempts.next_step, attempts.amount, attempts.currency, attempts.tries, attempts.last_error,
       attempts.created_at, refunds.state AS refund, refunds.last_error AS refund_error
  FROM payment_attempts AS attempts
  JOIN claims ON claims.id = attempts.claim_id
  JOIN clubs ON clubs.id = attempts.club_id
  LEFT JOIN refunds ON refunds.attempt_id = attempts.id
 WHERE %(all)s OR attempts.state IN ('queued', 'unknown', 'started') OR attempts.next_step = 'review'
    OR (attempts.next_step IS NOT NULL AND attempts.tries > 0) OR claims.payment_status = 'payment_unknown'
    OR refunds.state IN ('unknown', 'failed') OR (refunds.state = 'due' AND refunds.tries > 0)
    OR (attempts.state = 'authorized' AND attempts.last_error IS NOT NULL)
 ORDER BY attempts.id DESC
 LIMIT %(limit)s;

-- name: heartbeat
INSERT INTO worker_heartbeats (worker, started_at, at, done)
VALUES (%(worker)s, %(now)s, %(now)s, %(done)s)
    ON CONFLICT (worker) DO UPDATE SET at = excluded.at, done = worker_heartbeats.done + excluded.done;

-- name: forget_heartbeats
DELETE FROM worker_heartbeats WHERE at < %(before)s;

-- name: queue_message
-- Tell the customer, once, in the transaction that made it necessary.
INSERT INTO messages (club_id, claim_id, kind, dedupe_key)
SELECT club_id, id, %(kind)s, %(kind)s || ':' || %(attempt_id)s FROM claims WHERE id = %(claim_id)s
    ON CONFLICT (club_id, dedupe_key) DO NOTHING;
