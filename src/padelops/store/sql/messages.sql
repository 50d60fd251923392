-- The outbox on its way: taking a message, saying what became of it, reminders, and the report.

-- name: step
-- Say what became of the message in hand, and take the next: one statement, one commit. Either half may
-- be left out (no `id`, no `more`); both at once only within one club, so that no transaction touches two.
--
-- Said by whoever still holds the message. That it was delivered is a fact and is recorded even when the
-- lease ran out meanwhile, so that nobody sends it once more.
--
-- The next is the one that is due longest; reminders only when nothing else is due. A claim that ran out
-- says that its worker died with the message in hand, perhaps after sending it: one more doubt.
-- Joined from the left all the way: a row that fits nothing must still come out, to be put aside.
WITH settled AS (
    UPDATE messages
       SET state = %(state)s,
           attempts = CASE WHEN %(given_back)s THEN greatest(attempts - 1, 0) ELSE attempts END,
           doubts = doubts + CASE WHEN %(doubt)s THEN 1 ELSE 0 END,
           next_attempt_at = coalesce(%(next_attempt_at)s, next_attempt_at),
           delivered_at = %(delivered_at)s,
           channel = coalesce(%(channel)s, channel), language = coalesce(%(language)s, language),
           receipt = %(receipt)s, reason = %(reason)s, detail = %(detail)s,
           claimed_by = NULL, claimed_until = NULL
     WHERE id = %(id)s
       AND ((state = 'queued' AND lease = %(lease)s)
            OR (%(delivered_at)s::timestamptz IS NOT NULL AND state IN ('queued', 'failed')))
    RETURNING id
), next AS (
    SELECT coalesce(
        (SELECT id FROM messages
          WHERE state = 'queued' AND kind <> 'reminder' AND next_attempt_at <= %(now)s
            AND (claimed_until IS NULL OR claimed_until <= %(now)s) AND id IS DISTINCT FROM %(id)s
          ORDER BY next_attempt_at, messages.id LIMIT 1 FOR UPDATE SKIP LOCKED),
        (SELECT id FROM messages
          WHERE state = 'queued' AND kind = 'reminder' AND next_attempt_at <= %(now)s
            AND (claimed_until IS NULL OR claimed_until <= %(now)s) AND id IS DISTINCT FROM %(id)s
          ORDER BY next_attempt_at, messages.id LIMIT 1 FOR UPDATE SKIP LOCKED)
    ) AS id
     WHERE %(more)s
), taken AS (
    UPDATE messages
       SET lease = lease + 1, attempts = attempts + 1, attempted_at = %(now)s,
           doubts = doubts + CASE WHEN claimed_until IS NULL THEN 0 ELSE 1 END,
           claimed_by = %(worker)s, claimed_until = %(claimed_until)s
      FROM next
     WHERE messages.id = next.id AND messages.club_id = coalesce(%(club_id)s, messages.club_id)
    RETURNING messages.id, messages.club_id, claim_id, messages.kind, dedupe_key, lease, attempts, doubts,
              messages.created_at
)
SELECT EXISTS (SELECT FROM settled) AS settled,
       taken.id, taken.club_id, taken.claim_id, taken.kind, taken.dedupe_key, taken.lease, taken.attempts,
       taken.doubts, taken.created_at, clubs.slug AS club, clubs.name AS club_name, clubs.time_zone,
       clubs.config ->> 'language' AS language, clubs.config -> 'reminders' AS reminders, courts.name AS court,
       claims.club_id AS claim_club_id, claims.kind AS claim_kind, claims.status, claims.starts_at, claims.ends_at,
       claims.player_name, claims.player_email, claims.player_phone, claims.currency, claims.total, claims.captured,
       claims.refund_due, claims.refunded, claims.payment_method, claims.payment_status, claims.reason
  FROM (VALUES (true)) AS always
  LEFT JOIN taken ON true
  LEFT JOIN clubs ON clubs.id = taken.club_id
  LEFT JOIN claims ON claims.id = taken.claim_id
  LEFT JOIN courts ON courts.id = claims.court_id;

-- name: reminder_clubs
SELECT id, slug, time_zone, config -> 'reminders' AS reminders FROM clubs ORDER BY id;

-- name: unreminded
-- Confirmed reservations of one club that have no reminder yet. Imported ones were announced by the
-- system that they come from, and are reminded of there.
SELECT claims.id, claims.starts_at, claims.created_at
  FROM claims
 WHERE claims.club_id = %(club_id)s AND claims.kind = 'reservation' AND claims.status = 'confirmed'
   AND claims.price_source <> 'imported'
   AND claims.starts_at > %(after)s AND claims.starts_at <= %(until)s
   AND claims.created_at <= claims.starts_at - %(notice)s::interval
   AND (claims.starts_at, claims.id) > (%(after_start)s, %(after_id)s)
   AND NOT EXISTS (SELECT FROM messages
                    WHERE messages.club_id = claims.club_id AND messages.dedupe_key = 'reminder:' || claims.id)
 ORDER BY claims.starts_at, claims.id
 LIMIT %(limit)s;

-- name: insert_reminders
-- Whoever was cancelled since they were read gets none.
INSERT INTO messages (club_id, claim_id, kind, dedupe_key, due_at, next_attempt_at)
SELECT claims.club_id, claims.id, 'reminder', 'reminder:' || claims.id, wanted.due_at, wanted.due_at
  FROM unnest(%(claim_ids)s::bigint[], %(due_ats)s::timestamptz[]) AS wanted (claim_id, due_at)
  JOIN claims ON claims.id = wanted.claim_id AND claims.club_id = %(club_id)s AND claims.status = 'confirmed'
    ON CONFLICT (club_id, dedupe_key) DO NOTHING;

-- name: insert
-- Tell a reservation's player something, once for each key.
INSERT INTO messages (club_id, claim_id, kind, dedupe_key, due_at, next_attempt_at)
SELECT claims.club_id, claims.id, %(kind)s, %(dedupe_key)s, %(due_at)s, %(due_at)s
  FROM claims WHERE claims.id = %(claim_id)s
    ON CONFLICT (club_id, dedupe_key) DO NOTHING
RETURNING id;

-- name: listing
SELECT messages.id, clubs.slug AS club, messages.claim_id AS reservation, messages.kind, messages.state,
       messages.dedupe_key, messages.attempts, messages.doubts, messages.due_at, messages.next_attempt_at,
       messages.attempted_at, messages.delivered_at, messages.claimed_by, messages.channel, messages.receipt,
       messages.reason, messages.detail,
       CASE WHEN messages.channel = 'sms' THEN claims.player_phone
            ELSE coalesce(claims.player_email, claims.player_phone) END AS address
  FROM messages
  JOIN clubs ON clubs.id = messages.club_id
  LEFT JOIN claims ON claims.id = messages.claim_id
 WHERE (%(state)s::text IS NULL OR messages.state = %(state)s)
   AND (%(kind)s::text IS NULL OR messages.kind = %(kind)s)
   AND (%(reservation)s::bigint IS NULL OR messages.claim_id = %(reservation)s)
 ORDER BY messages.id DESC
 LIMIT %(limit)s;

-- name: clubs_of
SELECT messages.club_id, array_agg(messages.id ORDER BY messages.id) AS ids
  FROM messages WHERE messages.id = ANY (%(ids)s) GROUP BY messages.club_id ORDER BY messages.club_id;

-- name: states_of
SELECT id, state, coalesce(claimed_until > %(now)s, false) FROM messages WHERE id = ANY (%(ids)s) ORDER BY id;

-- name: failed
SELECT messages.club_id, array_agg(messages.id ORDER BY messages.id) AS ids
  FROM messages WHERE messages.state = 'failed' GROUP BY messages.club_id ORDER BY messages.club_id;

-- name: requeue
-- What failed starts afresh: all its tries, and no doubts. What still waits is only hurried, and what a
-- worker has in hand is left there.
UPDATE messages
   SET state = 'queued', next_attempt_at = %(now)s,
       attempts = CASE state WHEN 'failed' THEN 0 ELSE attempts END,
       doubts = CASE state WHEN 'failed' THEN 0 ELSE doubts END
 WHERE id = ANY (%(ids)s) AND club_id = %(club_id)s
   AND (state = 'failed' OR (state = 'queued' AND (claimed_until IS NULL OR claimed_until <= %(now)s)))
RETURNING id;

-- name: rates
-- What became of the messages that fell due in a stretch of time. `late` ones should have arrived.
SELECT kind,
       count(*) FILTER (WHERE state = 'delivered') AS delivered,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       count(*) FILTER (WHERE state = 'queued' AND due_at < %(late_before)s) AS late,
       count(*) FILTER (WHERE state = 'queued' AND due_at >= %(late_before)s) AS waiting,
       count(*) FILTER (WHERE state = 'skipped') AS skipped,
       avg(seconds) AS average_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95_s
  FROM messages
 CROSS JOIN LATERAL (
    -- Never below 0: the clocks of the worker and of the database are two.
    SELECT CASE WHEN delivered_at < due_at THEN 0 ELSE extract(epoch FROM delivered_at - due_at) END::float8 AS seconds
 ) AS taken
 WHERE due_at >= %(since)s AND due_at < %(until)s
 GROUP BY kind;

-- name: reasons
SELECT kind, state, coalesce(reason, 'never_tried') AS reason, count(*) AS n, min(id) AS example
  FROM messages
 WHERE due_at >= %(since)s AND due_at < %(until)s
   AND (state IN ('failed', 'skipped') OR (state = 'queued' AND due_at < %(late_before)s))
 GROUP BY 1, 2, 3
 ORDER BY n DESC, 1, 2, 3
 LIMIT %(limit)s;
