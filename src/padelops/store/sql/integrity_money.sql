-- Whether money is where the books say: claims beside their payment events, attempts and refunds.
-- See integrity_rows.sql for the form.

-- name: money_of_claims
-- Amounts derive from events; nothing is kept without a court; a card booking stands on an authorization.
WITH happened AS (
    SELECT claim_id,
           coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0) AS captured,
           coalesce(sum(amount) FILTER (WHERE kind = 'refunded'), 0) AS refunded,
           -- What was paid before it was imported is none of ours.
           count(*) FILTER (WHERE kind = 'captured' AND gateway <> 'imported') AS captures,
           bool_or(kind = 'authorized') AS authorized
      FROM payment_events
     WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
     GROUP BY claim_id
)
SELECT named."check", kind || ' ' || id AS subject,
       jsonb_build_object('id', id, 'status', status, 'payment_status', payment_status, 'captured', captured,
                          'refund_due', refund_due, 'refunded', refunded, 'events_captured', events_captured,
                          'events_refunded', events_refunded, 'captures', captures) AS evidence
  FROM (
    SELECT claims.id, claims.kind, claims.status, claims.payment_status, claims.captured, claims.refund_due,
           claims.refunded, coalesce(happened.captured, 0) AS events_captured,
           coalesce(happened.refunded, 0) AS events_refunded, coalesce(happened.captures, 0) AS captures,
           concat_ws(' ',
               CASE WHEN claims.captured <> coalesce(happened.captured, 0)
                      OR claims.refunded <> coalesce(happened.refunded, 0)
                    THEN 'money_follows_events' END,
               CASE WHEN happened.captures > 1 THEN 'one_capture' END,
               CASE WHEN claims.status IN ('pending', 'expired') AND claims.captured > claims.refunded
                     AND NOT EXISTS (SELECT FROM refunds
                                      WHERE refunds.claim_id = claims.id AND refunds.state IN ('due', 'unknown'))
                    THEN 'no_money_without_court' END,
               CASE WHEN claims.payment_method = 'card' AND claims.status IN ('confirmed', 'completed', 'no_show')
                     AND claims.total > 0 AND claims.price_source <> 'imported' AND happened.authorized IS NOT TRUE
                    THEN 'confirmed_without_payment' END,
               CASE WHEN claims.payment_method = 'card' AND claims.status = 'cancelled'
                     AND claims.price_source <> 'imported'
                     AND claims.refunded < least(claims.refund_due, claims.captured)
                     AND NOT EXISTS (SELECT FROM refunds
                                      WHERE refunds.claim_id = claims.id AND refunds.state IN ('due', 'unknown'))
                    THEN 'refunds_under_way' END
           ) AS broken
      FROM claims
      LEFT JOIN happened ON happened.claim_id = claims.id
     WHERE (%(clubs)s::bigint[] IS NULL OR claims.club_id = ANY (%(clubs)s))
  ) AS looked_at
 CROSS JOIN LATERAL unnest(string_to_array(broken, ' ')) AS named ("check")
 WHERE broken LIKE '_%%'
 ORDER BY id;

-- name: attempts_and_refunds
-- What was asked of a gateway beside what is recorded of it.
SELECT 'payments_in_doubt' AS "check", 'reservation ' || claim_id AS subject,
       jsonb_build_object('id', claim_id, 'attempt', id, 'state', state, 'since', created_at, 'why', last_error) AS evidence
  FROM payment_attempts
 WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
   AND state IN ('started', 'unknown') AND created_at < %(now)s::timestamptz - interval '15 minutes'
 UNION ALL
SELECT 'captures_recorded', 'reservation ' || attempts.claim_id,
       jsonb_build_object('id', attempts.claim_id, 'attempt', attempts.id, 'amount', attempts.amount)
  FROM payment_attempts AS attempts
 WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
   AND attempts.state = 'captured'
   AND NOT EXISTS (SELECT FROM payment_events AS events
                    WHERE events.claim_id = attempts.claim_id AND events.kind = 'captured'
                      AND events.amount = attempts.amount)
 UNION ALL
SELECT 'refunds_recorded', 'reservation ' || refunds.claim_id,
       jsonb_build_object('id', refunds.claim_id, 'refund', refunds.id, 'amount', refunds.amount)
  FROM refunds
 WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
   AND refunds.state = 'done'
   AND NOT EXISTS (SELECT FROM payment_events AS events
                    WHERE events.claim_id = refunds.claim_id AND events.kind = 'refunded')
 UNION ALL
-- Money promised for a court that is given up, and nobody at letting it go.
SELECT 'promises_let_go', 'reservation ' || attempts.claim_id,
       jsonb_build_object('id', attempts.claim_id, 'attempt', attempts.id, 'status', claims.status)
  FROM payment_attempts AS attempts
  JOIN claims ON claims.id = attempts.claim_id
 WHERE (%(clubs)s::bigint[] IS NULL OR attempts.club_id = ANY (%(clubs)s))
   AND attempts.state = 'authorized' AND attempts.next_step IS NULL AND claims.status IN ('cancelled', 'expired');
