-- Pages: calls to people on their way.

-- name: write
INSERT INTO pages (dedupe_key, incident_id, role, action, severity, alarm, channels, line, body, at, next_at)
VALUES (%(dedupe_key)s, %(incident_id)s, %(role)s, %(action)s, %(severity)s, %(alarm)s, %(channels)s, %(line)s, %(body)s, %(at)s, %(at)s)
    ON CONFLICT (dedupe_key) DO NOTHING
RETURNING id;

-- name: claim
-- Whoever claims a page has it until its lease ends, by the database's clock: one that dies while sending
-- is followed by somebody else.
UPDATE pages SET attempts = attempts + 1, claimed_until = clock_timestamp() + %(lease)s
 WHERE id IN (SELECT id FROM pages
               WHERE state = 'queued' AND next_at <= %(now)s
                 AND (claimed_until IS NULL OR claimed_until <= clock_timestamp())
                 AND (%(incident_id)s::bigint IS NULL OR incident_id = %(incident_id)s)
               ORDER BY (severity <> 'critical'), id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, incident_id, role, action, severity, alarm, channels, line, body, at, sent, attempts;

-- name: settle
UPDATE pages
   SET sent = %(sent)s, problem = %(problem)s, state = %(state)s, next_at = %(next_at)s, claimed_until = NULL,
       done_at = CASE WHEN %(state)s = 'queued' THEN NULL ELSE %(now)s::timestamptz END
 WHERE id = %(id)s;

-- name: of_incident
SELECT id, role, action, channels, line, at, sent, attempts, next_at, problem, state
  FROM pages WHERE incident_id = %(incident_id)s ORDER BY id LIMIT 200;

-- name: roles_paged
-- Whose pager was set off by an incident, and has to be told that it is over.
SELECT DISTINCT role, alarm FROM pages WHERE incident_id = %(incident_id)s AND action = 'trigger' ORDER BY role;

-- name: drop_waiting
-- Calls that somebody has answered need not go out any more.
UPDATE pages SET state = CASE WHEN sent = '{}' THEN 'skipped' ELSE 'delivered' END, problem = %(problem)s, done_at = %(now)s
 WHERE incident_id = %(incident_id)s AND action = 'trigger' AND state = 'queued'
   AND (claimed_until IS NULL OR claimed_until <= clock_timestamp());
