-- What must always hold (DESIGN.md section 3), asked of the claims: time, keys, prices, holds.
--
-- Every statement of the integrity_*.sql files returns one row for each violation: the check's name, what
-- to look at, and the evidence as JSON. Constraints make most of these impossible; they are asked all the
-- same, because constraints can be dropped. `padelops validate --show-sql CHECK` prints one ready for psql.
--
-- A statement answers several checks where one reading of a table can: the tables are large.
-- Parameters: now; clubs, the ids to look at, or NULL for everything.

-- name: double_bookings
-- Live claims that begin before an earlier claim on the same court is over. Reservations and blocks alike.
WITH ordered AS (
    SELECT id, kind, court_id, starts_at, ends_at, free_at, status,
           max(free_at) OVER (PARTITION BY court_id ORDER BY starts_at, id
                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS taken_until
      FROM claims
     WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
       AND (status = 'confirmed'
            OR (status = 'pending' AND (hold_until > %(now)s::timestamptz OR payment_status = 'payment_unknown')))
)
SELECT 'no_double_booking' AS "check", late.kind || ' ' || late.id AS subject,
       jsonb_build_object('id', late.id, 'status', late.status, 'court_id', late.court_id,
                          'starts_at', late.starts_at, 'free_at', late.free_at, 'clashes_with', rival.ids) AS evidence
  FROM ordered AS late
 CROSS JOIN LATERAL (
    SELECT jsonb_agg(other.id ORDER BY other.id) AS ids
      FROM claims AS other
     WHERE other.court_id = late.court_id AND other.id <> late.id
       AND other.starts_at < late.free_at AND late.starts_at < other.free_at
       AND (other.status = 'confirmed'
            OR (other.status = 'pending'
                AND (other.hold_until > %(now)s::timestamptz OR other.payment_status = 'payment_unknown')))
 ) AS rival
 WHERE late.starts_at < late.taken_until AND rival.ids IS NOT NULL
 ORDER BY late.id;

-- name: keys_used_twice
-- One key, one reservation; one row of an import, one claim. Grouped by a number first: a million texts
-- take five times as long.
SELECT 'one_reservation_per_key' AS "check", 'key ' || idempotency_key AS subject,
       jsonb_build_object('key', idempotency_key, 'club_id', club_id,
                          'reservations', jsonb_agg(id ORDER BY id)) AS evidence
  FROM claims
 WHERE hashtextextended(idempotency_key, club_id) IN (
    SELECT number
      FROM (SELECT hashtextextended(idempotency_key, club_id) AS number FROM claims
             WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
               AND idempotency_key IS NOT NULL AND status <> 'expired') AS numbered
     GROUP BY number HAVING count(*) > 1)
   AND (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
   AND idempotency_key IS NOT NULL AND status <> 'expired'
 GROUP BY club_id, idempotency_key
HAVING count(*) > 1
 UNION ALL
SELECT 'one_claim_per_import', 'import ' || external_ref,
       jsonb_build_object('external_ref', external_ref, 'club_id', club_id, 'claims', jsonb_agg(id ORDER BY id))
  FROM claims
 WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
   AND external_ref IS NOT NULL AND (kind = 'reservation' OR status = 'confirmed')
 GROUP BY club_id, external_ref
HAVING count(*) > 1;

-- name: claims_one_by_one
-- What each claim says of itself. Damaged lines count as a sum that is not a number.
SELECT named."check", coalesce(kind, 'claim') || ' ' || id AS subject,
       jsonb_build_object('id', id) || CASE named."check"
           WHEN 'contradictory_rows' THEN jsonb_build_object('status', status, 'problem', problem)
           WHEN 'total_is_sum_of_lines' THEN jsonb_build_object('total', total, 'lines', lines)
           WHEN 'stale_holds' THEN jsonb_build_object('hold_until', hold_until, 'payment_status', payment_status)
           ELSE jsonb_build_object('payment_status', payment_status, 'total', total, 'captured', captured,
                                   'refund_due', refund_due, 'refunded', refunded) END AS evidence
  FROM (
    SELECT claims.*, contradiction.problem,
           concat_ws(' ',
               CASE WHEN contradiction.problem IS NOT NULL THEN 'contradictory_rows' END,
               -- Most have one line that reads as the total does; to add lines up takes five times as long.
               CASE WHEN kind = 'reservation'
                     AND (lines -> 1 IS NOT NULL OR lines -> 0 ->> 'amount' IS DISTINCT FROM total::text
                          OR total IN ('Infinity', '-Infinity'))
                     AND total IS DISTINCT FROM CASE jsonb_typeof(lines) WHEN 'array' THEN (
                        SELECT coalesce(sum(CASE WHEN line ->> 'amount' ~ '^-?[0-9]+([.][0-9]+)?$'
                                                 THEN (line ->> 'amount')::numeric ELSE 'NaN' END), 0)
                          FROM jsonb_array_elements(lines) AS line) END
                    THEN 'total_is_sum_of_lines' END,
               CASE WHEN status = 'pending' AND hold_until < %(now)s::timestamptz - interval '5 minutes'
                     AND payment_status IS DISTINCT FROM 'payment_unknown'
                    THEN 'stale_holds' END,
               CASE WHEN kind = 'reservation' AND (
                        total < 0 OR captured < 0 OR captured > total OR refunded < 0 OR refunded > captured
                        OR refund_due < 0 OR refund_due > total OR captured IS NULL OR refunded IS NULL)
                    THEN 'money_within_bounds' END,
               CASE WHEN (payment_status IN ('paid', 'partly_refunded') AND captured = 0 AND total > 0)
                      OR (payment_status = 'refunded' AND refunded = 0 AND refund_due > 0)
                      OR (payment_status IN ('due', 'pending', 'authorized', 'queued', 'declined', 'voided', 'nothing_due')
                          AND captured > refunded
                          -- Paid in part before it was imported: the rest is due.
                          AND NOT (payment_status = 'due' AND price_source = 'imported' AND captured < total))
                    THEN 'payment_status_agrees' END
           ) AS broken
      FROM claims
     CROSS JOIN LATERAL (SELECT CASE
            WHEN starts_at IS NULL OR ends_at IS NULL OR free_at IS NULL THEN 'it has no beginning or no end'
            WHEN starts_at >= ends_at THEN 'it ends before it starts'
            WHEN ends_at - starts_at > interval '24 hours' THEN 'it is longer than a day'
            WHEN free_at < ends_at OR free_at - ends_at > interval '4 hours' THEN 'its buffer is not between 0 and 4 hours'
            WHEN date_bin('1 minute', starts_at, '2000-01-01 00:00:00+00') <> starts_at
              OR date_bin('1 minute', ends_at, '2000-01-01 00:00:00+00') <> ends_at
                THEN 'it is not on whole minutes'
            WHEN starts_at < '2000-01-01 00:00:00+00' OR ends_at > '2100-01-01 00:00:00+00'
                THEN 'it lies outside the years 2000 to 2099'
            WHEN status IS NULL OR status NOT IN ('pending', 'confirmed', 'cancelled', 'expired', 'completed', 'no_show')
                THEN 'its status is unknown'
            WHEN kind IS NULL OR kind NOT IN ('reservation', 'block') THEN 'it is neither a reservation nor a block'
            WHEN status = 'pending' AND hold_until IS NULL THEN 'it is a hold without a deadline'
            WHEN kind = 'reservation' AND (player_name IS NULL OR currency IS NULL OR total IS NULL OR lines IS NULL
                 OR price_source IS NULL OR payment_method IS NULL OR payment_status IS NULL)
                THEN 'it lacks a player, a price or a payment'
            WHEN kind = 'block' AND (reason IS NULL OR total IS NOT NULL OR captured <> 0 OR refund_due <> 0
                 OR status = 'pending') THEN 'it is a block with a price or without a reason'
            WHEN price_source IS DISTINCT FROM 'imported' AND status IN ('cancelled', 'expired') AND ended_at IS NULL
                THEN 'it is over, but not since when'
            WHEN price_source IS DISTINCT FROM 'imported' AND status IN ('pending', 'confirmed') AND ended_at IS NOT NULL
                THEN 'it is live, but it has ended'
            WHEN price_source IS DISTINCT FROM 'imported' AND status IN ('completed', 'no_show')
                 AND starts_at > %(now)s::timestamptz THEN 'it was used before it began'
            END AS problem OFFSET 0) AS contradiction
     WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
  ) AS looked_at
 CROSS JOIN LATERAL unnest(string_to_array(broken, ' ')) AS named ("check")
 WHERE broken LIKE '_%%'
 ORDER BY id;

-- name: priced_sample
-- Reservations drawn by lot: the same seed draws the same ones, also on a copy of the database. Imported
-- prices are what they were, and a fallback is computed from no tariff.
SELECT claims.id, courts.name AS court, claims.starts_at, claims.ends_at, claims.member_tier, claims.total,
       claims.lines, claims.tariff_id
  FROM (
    SELECT id FROM claims
     WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
       AND kind = 'reservation' AND price_source = 'tariff'
     ORDER BY hashint8extended(id, %(seed)s), id
     LIMIT %(sample)s
  ) AS drawn
  JOIN claims ON claims.id = drawn.id
  LEFT JOIN courts ON courts.id = claims.court_id
 ORDER BY claims.id;

-- name: priced_all
SELECT claims.id, courts.name AS court, claims.starts_at, claims.ends_at, claims.member_tier, claims.total,
       claims.lines, claims.tariff_id
  FROM claims
  LEFT JOIN courts ON courts.id = claims.court_id
 WHERE (%(clubs)s::bigint[] IS NULL OR claims.club_id = ANY (%(clubs)s))
   AND claims.kind = 'reservation' AND claims.price_source = 'tariff';

-- name: tariff_terms
SELECT id, terms FROM tariffs ORDER BY id;
