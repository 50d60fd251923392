-- Claims on court time. Lock order, for everything that takes more than one lock:
-- court rows in id order, then claims in id order. A single claim takes one court's key-share lock
-- and one place in the exclusion constraint.

-- name: insert_reservation
-- Claim one court for one slot, or nothing at all: one statement, one round trip, one transaction.
-- No row back means that something stood in the way: a rival's claim, the same key, an expired hold,
-- or a court that changed since its terms were read. ON CONFLICT waits for a rival's transaction and
-- does not deadlock, where a plain INSERT on the constraint does (DESIGN.md section 8).
WITH origin AS MATERIALIZED (
    SELECT set_config('padelops.actor', %(actor)s, true),
           set_config('padelops.door', %(door)s, true),
           set_config('padelops.request_id', %(request_id)s, true),
           -- What is left of the operation's time: this may be its second wait, or its third.
           set_config('lock_timeout', %(lock_timeout)s, true)
), court AS (
    SELECT courts.id, courts.club_id
      FROM courts, origin
     WHERE courts.id = %(court_id)s AND courts.revision = %(revision)s AND courts.in_service
       FOR KEY SHARE OF courts
)
INSERT INTO claims (
    club_id, court_id, kind, status, starts_at, ends_at, free_at, hold_until, party_id, idempotency_key,
    request_digest, player_name, player_email, player_phone, player_count, notes, member_tier, currency, total,
    lines, price_source, tariff_id, policy_id, payment_method, payment_status
)
SELECT club_id, id, 'reservation', %(status)s, %(starts_at)s, %(ends_at)s, %(free_at)s, %(hold_until)s,
       %(party_id)s, %(idempotency_key)s, %(request_digest)s, %(player_name)s, %(player_email)s,
       %(player_phone)s, %(player_count)s, %(notes)s, %(member_tier)s, %(currency)s, %(total)s, %(lines)s,
       %(price_source)s, %(tariff_id)s, %(policy_id)s, %(payment_method)s, %(payment_status)s
  FROM court
    ON CONFLICT DO NOTHING
RETURNING id, created_at, version;

-- name: insert_block
-- Claim one court for the club itself, or nothing where a live claim overlaps.
INSERT INTO claims (club_id, court_id, kind, status, starts_at, ends_at, free_at, reason, external_ref, party_id)
SELECT club_id, id, 'block', 'confirmed', %(starts_at)s, %(ends_at)s, %(ends_at)s, %(reason)s, %(external_ref)s,
       %(party_id)s
  FROM courts
 WHERE id = %(court_id)s
    ON CONFLICT DO NOTHING
RETURNING id;

-- name: retire_expired
-- End the holds that ran out and stand in the way. Both clocks must agree that they ran out, so a
-- process whose clock is fast cannot take a court from somebody who is still paying. A hold whose
-- payment outcome is unknown stays: its money may have moved.
WITH waiting AS MATERIALIZED (
    SELECT set_config('lock_timeout', coalesce(%(lock_timeout)s, current_setting('lock_timeout')), true)
)
UPDATE claims
   SET status = 'expired', ended_at = %(now)s, reason = 'hold_expired'
 WHERE id IN (
    SELECT id
      FROM claims, waiting
     WHERE court_id = %(court_id)s AND status = 'pending' AND kind = 'reservation'
       AND starts_at < %(free_at)s AND free_at > %(starts_at)s
       AND starts_at > %(starts_at)s - interval '28 hours'
       AND hold_until <= least(%(now)s, clock_timestamp())
       AND payment_status <> 'payment_unknown'
     ORDER BY id
       FOR UPDATE OF claims
 )
RETURNING id;

-- name: by_key
-- The reservation that an idempotency key stands for, unless it came to nothing.
SELECT id, request_digest
  FROM claims
 WHERE club_id = %(club_id)s AND idempotency_key = %(idempotency_key)s AND status <> 'expired';

-- name: court_state
SELECT revision, in_service FROM courts WHERE id = %(court_id)s;

-- name: of_courts
-- The live claims that touch a window, oldest first. A claim lasts 24 hours at the most and its buffer
-- 4, so the index is read from 28 hours before the window instead of from the beginning of time.
-- `expires_at` is set for holds that the next booking would retire. The club's state comes along, also
-- where nothing is claimed: it says whether the hours and prices that the caller knows are in force.
WITH club AS MATERIALIZED (
    SELECT (SELECT concat(clubs.version, '.', sum(courts.version)) FROM courts WHERE courts.club_id = clubs.id) AS state
      FROM clubs WHERE id = %(club_id)s
)
SELECT club.state, court_id, starts_at, free_at,
       CASE WHEN status = 'pending' AND payment_status <> 'payment_unknown'
            THEN hold_until END AS expires_at,
       coalesce(hold_until <= clock_timestamp(), false) AS overdue
  FROM club
  LEFT JOIN claims
    ON court_id = ANY (%(court_ids)s)
   AND starts_at > %(window_start)s - interval '28 hours' AND starts_at < %(window_end)s
   AND free_at > %(window_start)s
   AND status IN ('pending', 'confirmed')
 ORDER BY court_id, starts_at;

-- name: stamp_of_courts
-- A number that every change to these courts' claims in the window makes larger: claims are never
-- deleted or moved, and each change adds one to a version. Equal stamps mean an equal answer.
-- `origin` tells apart databases that share a cache, or did: a server from its copy in another one, by
-- the cluster's number and the courts' moments of creation; and a server from what it was before a
-- restore or a promotion, which may have lost changes and begun to count anew from there, by its
-- timeline. Only a snapshot put back under the very same server looks the same: purge the cache then.
SELECT (SELECT concat(clubs.version, '.', (SELECT sum(courts.version) FROM courts WHERE courts.club_id = clubs.id))
          FROM clubs WHERE id = %(club_id)s) AS state,
       coalesce(sum(version), 0)::bigint AS versions,
       concat_ws('.', (SELECT sum(extract(epoch FROM created_at)) FROM courts WHERE id = ANY (%(court_ids)s)),
                 (SELECT system_identifier FROM pg_control_system()),
                 CASE WHEN pg_is_in_recovery()
                      THEN (SELECT 'standby-' || min_recovery_end_timeline FROM pg_control_recovery())
                      ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END) AS origin
  FROM claims
 WHERE court_id = ANY (%(court_ids)s)
   AND starts_at > %(window_start)s - interval '28 hours' AND starts_at < %(window_end)s;

-- name: end_reservation
-- Cancel a live reservation; no row back means that somebody else ended it first.
UPDATE claims
   SET status = 'cancelled', ended_at = %(now)s, reason = %(reason)s, refund_due = %(refund_due)s,
       payment_status = %(payment_status)s
 WHERE id = %(id)s AND kind = 'reservation' AND status IN ('pending', 'confirmed')
RETURNING id;

-- name: end_block
UPDATE claims
   SET status = 'cancelled', ended_at = %(now)s
 WHERE id = %(id)s AND kind = 'block' AND status = 'confirmed'
RETURNING id;

-- name: complete_past
-- A reservation whose time is over was used.
UPDATE claims
   SET status = 'completed', ended_at = ends_at
 WHERE id IN (
    SELECT id FROM claims
     WHERE club_id = %(club_id)s AND kind = 'reservation' AND status = 'confirmed' AND ends_at <= %(now)s
     ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
 )
RETURNING id;
