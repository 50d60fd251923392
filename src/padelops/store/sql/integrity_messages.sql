-- Whether everybody was told, once, and nothing untrue. See integrity_rows.sql for the form.

-- name: untold
-- Confirmed or cancelled reservations that nobody was told about. Imported ones were announced before.
SELECT 'message_missing' AS "check", 'reservation ' || claims.id AS subject,
       jsonb_build_object('id', claims.id, 'status', claims.status, 'starts_at', claims.starts_at) AS evidence
  FROM claims
  LEFT JOIN messages
    ON messages.claim_id = claims.id
   AND messages.kind = CASE claims.status WHEN 'confirmed' THEN 'confirmation' ELSE 'cancellation' END
 WHERE (%(clubs)s::bigint[] IS NULL OR claims.club_id = ANY (%(clubs)s))
   AND claims.kind = 'reservation' AND claims.status IN ('confirmed', 'cancelled') AND claims.price_source <> 'imported'
   AND messages.id IS NULL
 ORDER BY claims.id;

-- name: messages_one_by_one
-- Each message beside its reservation.
SELECT named."check", 'message ' || id AS subject,
       jsonb_build_object('id', id, 'kind', kind, 'state', state, 'reservation', claim_id) || CASE named."check"
           WHEN 'reminded_of_nothing' THEN jsonb_build_object('cancelled_at', ended_at, 'sent_at', attempted_at)
           WHEN 'told_untruly' THEN jsonb_build_object('status', status)
           WHEN 'foreign_rows' THEN jsonb_build_object('club_id', club_id, 'club_of_reservation', claim_club_id)
           ELSE jsonb_build_object('dedupe_key', dedupe_key, 'delivered_at', delivered_at) END AS evidence
  FROM (
    SELECT messages.id, messages.kind, messages.state, messages.claim_id, messages.club_id, messages.dedupe_key,
           messages.attempted_at, messages.delivered_at, claims.ended_at, claims.status,
           claims.club_id AS claim_club_id,
           concat_ws(' ',
               CASE WHEN claims.id IS NULL OR claims.club_id <> messages.club_id THEN 'foreign_rows' END,
               CASE WHEN messages.kind = 'reminder' AND messages.state = 'delivered' AND claims.status = 'cancelled'
                     AND claims.ended_at < messages.attempted_at THEN 'reminded_of_nothing' END,
               CASE WHEN (messages.kind = 'cancellation' AND claims.status <> 'cancelled' AND messages.state <> 'skipped')
                      OR claims.kind <> 'reservation' THEN 'told_untruly' END,
               CASE WHEN messages.dedupe_key <> CASE messages.kind
                        WHEN 'confirmation' THEN 'confirmed:' || messages.claim_id
                        WHEN 'cancellation' THEN 'cancelled:' || messages.claim_id
                        WHEN 'reminder' THEN 'reminder:' || messages.claim_id END THEN 'message_twice' END,
               CASE WHEN (messages.state = 'delivered') <> (messages.delivered_at IS NOT NULL)
                      OR (messages.claimed_by IS NULL) <> (messages.claimed_until IS NULL)
                      OR (messages.state IN ('failed', 'skipped') AND messages.reason IS NULL)
                      OR messages.state NOT IN ('queued', 'delivered', 'failed', 'skipped')
                    THEN 'contradictory_messages' END
           ) AS broken
      FROM messages
      LEFT JOIN claims ON claims.id = messages.claim_id
     WHERE (%(clubs)s::bigint[] IS NULL OR messages.club_id = ANY (%(clubs)s))
  ) AS looked_at
 CROSS JOIN LATERAL unnest(string_to_array(broken, ' ')) AS named ("check")
 WHERE broken LIKE '_%%'
 ORDER BY id;

-- name: told_twice
-- Grouped by a number first: a million texts take five times as long.
SELECT 'message_twice' AS "check", 'message ' || dedupe_key AS subject,
       jsonb_build_object('dedupe_key', dedupe_key, 'club_id', club_id, 'messages', jsonb_agg(id ORDER BY id)) AS evidence
  FROM messages
 WHERE hashtextextended(dedupe_key, club_id) IN (
    SELECT number
      FROM (SELECT hashtextextended(dedupe_key, club_id) AS number FROM messages
             WHERE %(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s)) AS numbered
     GROUP BY number HAVING count(*) > 1)
   AND (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
 GROUP BY club_id, dedupe_key
HAVING count(*) > 1;
