-- The sandbox gateway's own books. Never in a transaction with the core's tables.

-- name: begin_request
-- A rival with the same key that is still at work is waited for; no row means that the key is known.
INSERT INTO sandbox_requests (key, digest, created_at) VALUES (%(key)s, %(digest)s, %(now)s)
    ON CONFLICT (key) DO NOTHING
RETURNING key;

-- name: request
SELECT digest, answer FROM sandbox_requests WHERE key = %(key)s;

-- name: answer_request
UPDATE sandbox_requests SET answer = %(answer)s WHERE key = %(key)s;

-- name: insert_payment
INSERT INTO sandbox_payments (reference, status, currency, amount, card, decline_code, created_at)
VALUES (%(reference)s, %(status)s, %(currency)s, %(amount)s, %(card)s, %(decline_code)s, %(now)s)
RETURNING id, reference, status, currency, amount, captured, refunded, card, decline_code, created_at;

-- name: lock_payment
SELECT id, reference, status, currency, amount, captured, refunded, card, decline_code, created_at
  FROM sandbox_payments WHERE id = %(id)s
   FOR UPDATE;

-- name: move_payment
UPDATE sandbox_payments
   SET status = %(status)s, decline_code = %(decline_code)s,
       captured = CASE WHEN %(status)s = 'captured' THEN amount ELSE 0 END
 WHERE id = %(id)s
RETURNING id, reference, status, currency, amount, captured, refunded, card, decline_code, created_at;

-- name: insert_refund
INSERT INTO sandbox_refunds (payment_id, reference, amount, failed, created_at)
VALUES (%(payment_id)s, %(reference)s, %(amount)s, %(failed)s, %(now)s)
RETURNING id, payment_id, reference, amount, failed;

-- name: add_refunded
UPDATE sandbox_payments SET refunded = refunded + %(amount)s WHERE id = %(id)s;

-- name: payments_under
SELECT id, reference, status, currency, amount, captured, refunded, card, decline_code, created_at
  FROM sandbox_payments WHERE reference = %(reference)s ORDER BY id;

-- name: payments_after
SELECT id, reference, status, currency, amount, captured, refunded, card, decline_code, created_at
  FROM sandbox_payments WHERE id > %(after)s ORDER BY id LIMIT %(limit)s;

-- name: refunds_of
SELECT id, payment_id, reference, amount, failed
  FROM sandbox_refunds WHERE payment_id = ANY(%(payment_ids)s) ORDER BY id;

-- name: insert_event
INSERT INTO sandbox_events (kind, payment_id, created_at) VALUES (%(kind)s, %(payment_id)s, %(now)s);

-- name: events
SELECT event.id, event.kind, event.payment_id, payment.reference, event.created_at, event.sent
  FROM sandbox_events AS event JOIN sandbox_payments AS payment ON payment.id = event.payment_id
 WHERE event.sent = 0 OR %(sent_too)s
 ORDER BY event.id
 LIMIT %(limit)s;

-- name: count_sent
UPDATE sandbox_events SET sent = sent + 1 WHERE id = %(id)s;

-- name: set_fault
INSERT INTO sandbox_faults (operation, kind, latency_ms, remaining, created_at)
VALUES (%(operation)s, %(kind)s, %(latency_ms)s, %(remaining)s, %(now)s)
RETURNING id, operation, kind, latency_ms, remaining, fired;

-- name: faults
SELECT id, operation, kind, latency_ms, remaining, fired FROM sandbox_faults ORDER BY id;

-- name: clear_faults
DELETE FROM sandbox_faults WHERE %(operation)s::text IS NULL OR operation = %(operation)s;

-- name: take_fault
-- The oldest fault that is still to happen to this operation happens now, to nobody else.
UPDATE sandbox_faults SET remaining = remaining - 1, fired = fired + 1
 WHERE id = (
    SELECT id FROM sandbox_faults
     WHERE operation IN (%(operation)s, 'any') AND (remaining IS NULL OR remaining > 0)
     ORDER BY id LIMIT 1
       FOR UPDATE
 )
RETURNING id, operation, kind, latency_ms, remaining, fired;

-- name: outage
-- Whether nothing is to be reached at all, without counting it as having happened.
SELECT EXISTS (
    SELECT FROM sandbox_faults WHERE kind = 'outage' AND (remaining IS NULL OR remaining > 0)
);
