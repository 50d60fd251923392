-- What must always hold (DESIGN.md section 3), asked of the tables themselves. Each statement can be
-- pasted into psql with its parameters filled in, and returns one row for each violation:
-- subject (what to look at), evidence (JSON). Constraints make most of these impossible; they are
-- asked all the same, because constraints can be dropped.

-- name: no_double_booking
-- Live claims that begin before an earlier claim on the same court has ended.
WITH live AS (
    SELECT id, kind, club_id, court_id, starts_at, ends_at, free_at, status
      FROM claims
     WHERE status = 'confirmed' OR (status = 'pending' AND (hold_until > %(now)s OR payment_status = 'payment_unknown'))
), ordered AS (
    SELECT live.*,
           max(free_at) OVER (PARTITION BY court_id ORDER BY starts_at, id
                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS taken_until
      FROM live
)
SELECT late.kind || ' ' || late.id AS subject,
       jsonb_build_object('id', late.id, 'court_id', late.court_id, 'starts_at', late.starts_at,
                          'ends_at', late.ends_at, 'clashes_with', rival.ids) AS evidence
  FROM ordered AS late
 CROSS JOIN LATERAL (
    SELECT jsonb_agg(live.id ORDER BY live.id) AS ids
      FROM live
     WHERE live.court_id = late.court_id AND live.id <> late.id
       AND live.starts_at < late.free_at AND late.starts_at < live.free_at
 ) AS rival
 WHERE late.starts_at < late.taken_until AND rival.ids IS NOT NULL
 ORDER BY late.id
 LIMIT %(limit)s;

-- name: one_reservation_per_key
SELECT 'key ' || idempotency_key AS subject,
       jsonb_build_object('key', idempotency_key, 'reservations', jsonb_agg(id ORDER BY id)) AS evidence
  FROM claims
 WHERE idempotency_key IS NOT NULL AND status <> 'expired'
 GROUP BY club_id, idempotency_key
HAVING count(*) > 1
 ORDER BY min(id)
 LIMIT %(limit)s;

-- name: money_follows_events
-- Amounts on a reservation that its payment events do not add up to.
SELECT 'reservation ' || claims.id AS subject,
       jsonb_build_object('id', claims.id, 'captured', claims.captured, 'events_captured', coalesce(events.captured, 0),
                          'refunded', claims.refunded, 'events_refunded', coalesce(events.refunded, 0)) AS evidence
  FROM claims
  FULL JOIN (
    SELECT claim_id,
           coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0) AS captured,
           coalesce(sum(amount) FILTER (WHERE kind = 'refunded'), 0) AS refunded
      FROM payment_events GROUP BY claim_id
  ) AS events ON events.claim_id = claims.id
 WHERE claims.captured <> coalesce(events.captured, 0) OR claims.refunded <> coalesce(events.refunded, 0)
 ORDER BY claims.id
 LIMIT %(limit)s;

-- name: money_within_bounds
-- 0 <= refunded <= captured <= total, one capture for each reservation; what was paid before it was
-- imported is none of ours.
SELECT 'reservation ' || claims.id AS subject,
       jsonb_build_object('id', claims.id, 'total', total, 'captured', captured, 'refunded', refunded,
                          'captures', captures.n) AS evidence
  FROM claims
  LEFT JOIN (SELECT claim_id, count(*) AS n FROM payment_events
              WHERE kind = 'captured' AND gateway <> 'imported' GROUP BY claim_id) AS captures
    ON captures.claim_id = claims.id
 WHERE kind = 'reservation'
   AND (refunded < 0 OR refunded > captured OR captured > total OR refund_due > total OR captures.n > 1)
 ORDER BY claims.id
 LIMIT %(limit)s;

-- name: no_money_without_court
-- Money kept for a hold that came to nothing, and not on its way back either.
SELECT 'reservation ' || id AS subject,
       jsonb_build_object('id', id, 'status', status, 'captured', captured, 'refunded', refunded) AS evidence
  FROM claims
 WHERE kind = 'reservation' AND status IN ('pending', 'expired') AND captured > refunded
   AND NOT EXISTS (SELECT FROM refunds WHERE refunds.claim_id = claims.id AND refunds.state IN ('due', 'unknown'))
 ORDER BY id
 LIMIT %(limit)s;

-- name: confirmed_without_payment
-- Card bookings that stand although no authorization says so.
SELECT 'reservation ' || claims.id AS subject,
       jsonb_build_object('id', claims.id, 'status', claims.status, 'payment_status', claims.payment_status) AS evidence
  FROM claims
 WHERE kind = 'reservation' AND payment_method = 'card' AND status IN ('confirmed', 'completed', 'no_show')
   AND total > 0 AND price_source <> 'imported'
   AND NOT EXISTS (SELECT FROM payment_events WHERE payment_events.claim_id = claims.id AND payment_events.kind = 'authorized')
 ORDER BY claims.id
 LIMIT %(limit)s;

-- name: payments_in_doubt
-- Payments whose outcome nobody has found out for a quarter of an hour: padelops payments reconcile
SELECT 'reservation ' || claim_id AS subject,
       jsonb_build_object('id', claim_id, 'attempt', id, 'state', state, 'since', created_at, 'why', last_error) AS evidence
  FROM payment_attempts
 WHERE state IN ('started', 'unknown') AND created_at < %(now)s - interval '15 minutes'
 ORDER BY id
 LIMIT %(limit)s;

-- name: total_is_sum_of_lines
SELECT 'reservation ' || id AS subject,
       jsonb_build_object('id', id, 'total', total, 'sum', sum_of_lines(lines)) AS evidence
  FROM claims
 WHERE kind = 'reservation' AND total IS DISTINCT FROM sum_of_lines(lines)
 ORDER BY id
 LIMIT %(limit)s;

-- name: message_missing
-- Confirmed or cancelled reservations that nobody was told about.
SELECT 'reservation ' || claims.id AS subject,
       jsonb_build_object('id', claims.id, 'status', claims.status) AS evidence
  FROM claims
 WHERE kind = 'reservation' AND status IN ('confirmed', 'cancelled') AND price_source <> 'imported'
   AND NOT EXISTS (SELECT FROM messages WHERE messages.claim_id = claims.id
                      AND messages.kind = CASE claims.status WHEN 'confirmed' THEN 'confirmation' ELSE 'cancellation' END)
 ORDER BY claims.id
 LIMIT %(limit)s;

-- name: message_twice
SELECT 'message ' || dedupe_key AS subject,
       jsonb_build_object('dedupe_key', dedupe_key, 'messages', jsonb_agg(id ORDER BY id)) AS evidence
  FROM messages
 GROUP BY club_id, dedupe_key
HAVING count(*) > 1
 ORDER BY min(id)
 LIMIT %(limit)s;

-- name: reminded_of_nothing
-- Reminders that were sent although the reservation had been cancelled before.
SELECT 'message ' || messages.id AS subject,
       jsonb_build_object('id', messages.id, 'reservation', claims.id, 'cancelled_at', claims.ended_at,
                          'sent_at', messages.attempted_at) AS evidence
  FROM messages JOIN claims ON claims.id = messages.claim_id
 WHERE messages.kind = 'reminder' AND messages.state = 'delivered' AND claims.status = 'cancelled'
   AND claims.ended_at < messages.attempted_at
 ORDER BY messages.id
 LIMIT %(limit)s;

-- name: stale_holds
-- Holds past their deadline by more than the sweep's rhythm, that nothing explains.
SELECT 'reservation ' || id AS subject,
       jsonb_build_object('id', id, 'hold_until', hold_until, 'payment_status', payment_status) AS evidence
  FROM claims
 WHERE status = 'pending' AND hold_until < %(now)s - interval '5 minutes'
   AND payment_status <> 'payment_unknown'
 ORDER BY id
 LIMIT %(limit)s;

-- name: contradictory_rows
-- Rows whose parts exclude each other.
SELECT kind || ' ' || id AS subject, jsonb_build_object('id', id, 'problem', problem) AS evidence
  FROM (
    SELECT id, kind, CASE
        WHEN starts_at >= ends_at THEN 'it ends before it starts'
        WHEN ends_at - starts_at > interval '24 hours' THEN 'it is longer than a day'
        WHEN free_at < ends_at THEN 'its buffer is negative'
        WHEN status = 'cancelled' AND ended_at IS NULL AND price_source IS DISTINCT FROM 'imported'
            THEN 'it is cancelled, but not since when'
        WHEN kind = 'reservation' AND NOT EXISTS (
            SELECT FROM courts WHERE courts.id = claims.court_id AND courts.club_id = claims.club_id
        ) THEN 'its court is not of its club'
        END AS problem
      FROM claims
  ) AS looked_at
 WHERE problem IS NOT NULL
 ORDER BY id
 LIMIT %(limit)s;

-- name: revisions_agree
-- Courts that are not under their club's revision: nothing could be booked on them.
SELECT 'court ' || courts.id AS subject,
       jsonb_build_object('id', courts.id, 'revision', courts.revision, 'club_revision', clubs.revision) AS evidence
  FROM courts JOIN clubs ON clubs.id = courts.club_id
 WHERE courts.revision <> clubs.revision
 ORDER BY courts.id
 LIMIT %(limit)s;

-- name: guards
-- Constraints, indexes and triggers that are missing, not validated or switched off.
SELECT wanted.kind || ' ' || wanted.name AS subject, jsonb_build_object('table', wanted.relation) AS evidence
  FROM (VALUES
    ('constraint', 'claims', 'claims_no_overlap'), ('constraint', 'claims', 'claims_end_after_start'),
    ('constraint', 'claims', 'claims_at_most_a_day'), ('constraint', 'claims', 'claims_buffer_bounded'),
    ('constraint', 'claims', 'claims_whole_minutes'), ('constraint', 'claims', 'claims_sane_years'),
    ('constraint', 'claims', 'claims_hold_has_deadline'), ('constraint', 'claims', 'claims_reservation_is_whole'),
    ('constraint', 'claims', 'claims_block_is_plain'), ('constraint', 'claims', 'claims_status_known'),
    ('constraint', 'claims', 'claims_total_is_sum_of_lines'), ('constraint', 'claims', 'claims_amounts_agree'),
    ('constraint', 'claims', 'claims_court_of_club'), ('constraint', 'payment_events', 'payment_events_once'),
    ('constraint', 'messages', 'messages_once'),
    ('index', 'claims', 'claims_one_per_key'), ('index', 'claims', 'claims_one_per_external_ref'),
    ('index', 'payment_events', 'payment_events_one_capture'),
    ('index', 'audit_entries', 'audit_entries_one_per_change'),
    ('trigger', 'claims', 'claims_keep_their_history'), ('trigger', 'claims', 'claims_recorded'),
    ('trigger', 'claims', 'claims_announced_new'), ('trigger', 'claims', 'claims_announced_change'),
    ('trigger', 'claims', 'claims_no_delete'), ('trigger', 'claims', 'claims_no_truncate'),
    ('trigger', 'claims', 'claims_amounts_have_events'), ('trigger', 'payment_events', 'payment_events_imported'),
    ('trigger', 'payment_events', 'payment_events_append_only'), ('trigger', 'payment_events', 'payment_events_applied'),
    ('index', 'payment_events', 'payment_events_one_imported_capture'),
    ('constraint', 'payment_attempts', 'payment_attempts_one_per_reference'), ('index', 'payment_attempts', 'payment_attempts_one_open'),
    ('constraint', 'refunds', 'refunds_one_per_claim'), ('trigger', 'payment_attempts', 'payment_attempts_recorded'),
    ('trigger', 'refunds', 'refunds_recorded'),
    ('trigger', 'tariffs', 'tariffs_append_only'), ('trigger', 'policies', 'policies_append_only')
  ) AS wanted (kind, relation, name)
 WHERE NOT CASE wanted.kind
    WHEN 'constraint' THEN EXISTS (
        SELECT FROM pg_constraint
         WHERE conrelid = to_regclass(wanted.relation) AND conname = wanted.name AND convalidated)
    WHEN 'index' THEN EXISTS (
        SELECT FROM pg_index
         WHERE indrelid = to_regclass(wanted.relation) AND indexrelid = to_regclass(wanted.name)
           AND indisvalid AND indisunique)
    ELSE EXISTS (
        SELECT FROM pg_trigger
         WHERE tgrelid = to_regclass(wanted.relation) AND tgname = wanted.name AND tgenabled IN ('O', 'A'))
    END
 ORDER BY 1
 LIMIT %(limit)s;

-- name: priced_reservations
-- Everything a price is computed from, for computing it again; imported prices are what they were.
SELECT claims.id, courts.name AS court, claims.starts_at, claims.ends_at, claims.member_tier, claims.total,
       claims.lines, claims.price_source, claims.tariff_id
  FROM claims JOIN courts ON courts.id = claims.court_id
 WHERE claims.kind = 'reservation' AND claims.price_source <> 'imported' AND claims.id > %(after)s
 ORDER BY claims.id
 LIMIT %(limit)s;

-- name: tariff_terms
SELECT terms FROM tariffs WHERE id = %(tariff_id)s;

-- name: counts
SELECT (SELECT count(*) FROM claims WHERE kind = 'reservation') AS reservations,
       (SELECT count(*) FROM claims WHERE kind = 'block') AS blocks;
