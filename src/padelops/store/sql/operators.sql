-- What operators run for long: who holds which lock, and a record of every run.

-- name: lock_session
-- This session lasts as long as its process: no server setting may end it for being idle, and a host
-- that vanished without a word is noticed in half a minute instead of two hours. Who holds a lock is
-- news of this server only, so that nobody waits for a standby to say it.
SELECT set_config('idle_session_timeout', '0', false),
       set_config('tcp_keepalives_idle', '10', false),
       set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '4', false),
       set_config('synchronous_commit', 'local', false);

-- name: know_lock
INSERT INTO operator_locks (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING;

-- name: take_lock
SELECT pg_try_advisory_lock(%(class)s, id) FROM operator_locks WHERE name = %(name)s;

-- name: own_lock
-- The server's clock, so that ages are right whatever the holder's machine believes.
UPDATE operator_locks
   SET host = %(host)s, pid = %(pid)s, actor = %(actor)s, purpose = %(purpose)s,
       backend_pid = pg_backend_pid(), since = clock_timestamp()
 WHERE name = %(name)s;

-- name: release_locks
SELECT pg_advisory_unlock_all();

-- name: lock_is_mine
SELECT EXISTS (
    SELECT FROM pg_locks AS held
      JOIN operator_locks AS lock ON held.objid = lock.id::oid
     WHERE held.locktype = 'advisory' AND held.objsubid = 2 AND held.granted AND held.pid = pg_backend_pid()
       AND held.classid = %(class)s::integer::oid AND lock.name = %(name)s
);

-- name: lock_holders
-- The sessions that have a lock now. What the row says is shown only where it is about that session.
SELECT lock.name, known.host, known.pid, known.actor, known.purpose, known.since,
       greatest(extract(epoch FROM clock_timestamp() - known.since), 0)::float8 AS age_s
  FROM pg_locks AS held
  JOIN operator_locks AS lock ON held.objid = lock.id::oid
  LEFT JOIN operator_locks AS known ON known.id = lock.id AND known.backend_pid = held.pid
 WHERE held.locktype = 'advisory' AND held.objsubid = 2 AND held.granted
   AND held.classid = %(class)s::integer::oid
   AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (%(name)s::text IS NULL OR lock.name = %(name)s)
 ORDER BY lock.name;

-- name: begin_run
INSERT INTO operator_runs (run_id, action, task, started_at, actor, host, pid)
SELECT %(run_id)s, %(action)s, %(task)s, %(started_at)s, origin.actor, %(host)s, %(pid)s
  FROM audit_origin() AS origin
RETURNING id;

-- name: end_run
UPDATE operator_runs
   SET ended_at = greatest(%(ended_at)s, started_at), outcome = %(outcome)s, summary = %(summary)s,
       evidence = %(evidence)s
 WHERE id = %(id)s AND ended_at IS NULL;

-- name: abandon_runs
-- Only for whoever holds the action's lock: a run without an end is then nobody's any more.
UPDATE operator_runs
   SET ended_at = greatest(%(now)s, started_at), outcome = 'abandoned', summary = 'Its process ended in the middle.'
 WHERE action = %(action)s AND ended_at IS NULL
RETURNING id, run_id, action, task, started_at, ended_at, outcome, summary, actor, host, pid, evidence;

-- name: runs
SELECT id, run_id, action, task, started_at, ended_at, outcome, summary, actor, host, pid, evidence
  FROM operator_runs
 WHERE action = %(action)s
   AND (%(run_id)s::uuid IS NULL OR run_id = %(run_id)s)
   AND (%(tasks)s::text[] IS NULL OR task = ANY(%(tasks)s))
 ORDER BY id DESC
 LIMIT %(limit)s;

-- name: last_runs
-- The last run of each task that ended in one of these ways.
SELECT DISTINCT ON (task)
       id, run_id, action, task, started_at, ended_at, outcome, summary, actor, host, pid, '{}'::jsonb AS evidence
  FROM operator_runs
 WHERE action = %(action)s AND outcome = ANY(%(outcomes)s::text[])
 ORDER BY task, id DESC;

-- name: forget_runs
-- The last run of each task stays, however old: it says when that was done.
DELETE FROM operator_runs
 WHERE ended_at < %(before)s
   AND id NOT IN (SELECT max(id) FROM operator_runs WHERE ended_at IS NOT NULL GROUP BY action, task, outcome);
