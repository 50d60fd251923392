-- Indicators: each statement gives one row for each combination of its labels, and the value as its
-- last column, named value. Asked every 30 seconds or 5 minutes, so each comes from an index.

-- name: active_reservations
-- Reservations that keep a court, now or later: paid or due ones, and holds that have not run out.
SELECT statuses.status, count(claims.id) AS value
  FROM unnest(ARRAY['confirmed', 'pending']) AS statuses (status)
  LEFT JOIN claims
    ON claims.status = statuses.status AND claims.kind = 'reservation'
   AND claims.starts_at > %(now)s::timestamptz - interval '1 day' AND claims.ends_at > %(now)s
   AND (claims.status = 'confirmed' OR claims.hold_until > %(now)s OR claims.payment_status = 'payment_unknown')
 GROUP BY statuses.status
 ORDER BY statuses.status;

-- name: double_bookings
-- Live claims that begin before an earlier one on their court has ended. While the constraint that
-- makes this impossible stands, those of the next two days are looked at all the same; without it all
-- that is not over yet. The past is `padelops validate`'s.
WITH guard AS (
    SELECT count(*) > 0 AS stands
      FROM pg_constraint
      JOIN pg_index ON pg_index.indexrelid = pg_constraint.conindid
     WHERE conrelid = 'claims'::regclass AND conname = 'claims_no_overlap' AND contype = 'x'
       AND convalidated AND indisvalid AND indisready
)
SELECT count(*) AS value
  FROM (
    SELECT starts_at, max(free_at) OVER (PARTITION BY court_id ORDER BY starts_at, id
                                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS taken_until
      FROM claims
     WHERE starts_at > %(now)s::timestamptz - interval '1 day' AND free_at > %(now)s
       AND starts_at < (SELECT CASE WHEN stands THEN %(now)s::timestamptz + interval '2 days' ELSE 'infinity' END FROM guard)
       AND (status = 'confirmed' OR (status = 'pending' AND (hold_until > %(now)s OR payment_status = 'payment_unknown')))
  ) AS live
 WHERE starts_at < taken_until;

-- name: overlap_guard
-- Whether the exclusion constraint that makes double bookings impossible stands, on an index in use.
SELECT count(*) AS value
  FROM pg_constraint
  JOIN pg_index ON pg_index.indexrelid = pg_constraint.conindid
 WHERE conrelid = 'claims'::regclass AND conname = 'claims_no_overlap' AND contype = 'x'
   AND convalidated AND indisvalid AND indisready;

-- name: stale_holds
SELECT count(*) AS value FROM claims
 WHERE status = 'pending' AND hold_until < %(now)s::timestamptz - interval '5 minutes'
   AND payment_status <> 'payment_unknown';

-- name: quarantined
SELECT count(*) AS value FROM quarantine WHERE resolved_at IS NULL;

-- name: survey_score
SELECT avg(score)::float8 AS value FROM surveys WHERE at > %(now)s::timestamptz - interval '30 days';

-- name: survey_answers
SELECT count(*) AS value FROM surveys WHERE at > %(now)s::timestamptz - interval '30 days';

-- name: breaker_states
SELECT name AS breaker, state AS value FROM breakers ORDER BY name;

-- name: audit_unsealed
SELECT count(*) AS value FROM audit_entries
 WHERE tx >= coalesce((SELECT max(below_tx) FROM audit_seals), '0'::xid8);

-- name: audit_seal_age
SELECT extract(epoch FROM clock_timestamp() - at)::float8 AS value FROM audit_seals ORDER BY id DESC LIMIT 1;

-- name: database_size
SELECT pg_database_size(current_database()) AS value;

-- name: transaction_age
-- Of this role's own transactions, unless it belongs to pg_monitor.
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 AS value
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';

-- name: primary
SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline, 1 AS value WHERE NOT pg_is_in_recovery()
 UNION ALL
SELECT '', 0 WHERE pg_is_in_recovery();

-- name: answer_survey
INSERT INTO surveys (claim_id, club_id, score, at)
SELECT id, club_id, %(score)s, %(now)s FROM claims WHERE id = %(claim_id)s AND kind = 'reservation'
    ON CONFLICT (claim_id) DO UPDATE SET score = excluded.score, at = excluded.at
RETURNING claim_id;
