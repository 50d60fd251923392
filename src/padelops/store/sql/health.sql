-- What a database tells about itself, and about the work that waits in it. Each answer comes from
-- an index or from a view of the server's memory: health is asked every 30 seconds.

-- name: server
SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS standby,
       current_setting('transaction_read_only') = 'on' AS read_only, clock_timestamp() AS clock,
       current_user AS role;

-- name: write_probe
-- One transaction, one round trip: a real row is written to a real table and never
-- seen by anybody. The commit waits for the disk and the synchronous standby like a booking's; a row
-- of its own for each connection, because rivals would wait for a shared one as long as that takes.
-- The name keeps us from counting ourselves among those who wait.
SET application_name = 'padelops health';
INSERT INTO counters (minute, name, n)
VALUES (date_trunc('minute', now(), 'UTC'), 'health.probe.' || pg_backend_pid(), 1);
DELETE FROM counters
 WHERE minute = date_trunc('minute', now(), 'UTC') AND name = 'health.probe.' || pg_backend_pid();

-- name: small_memory
SELECT set_config('work_mem', '64kB', false);

-- name: find_room
-- More than work_mem holds, so the rows go to a temporary file: on the same disk as the tables, and
-- without a trace in the catalogue.
SELECT count(*) FROM generate_series(1, 100000);

-- name: data_folder
-- The setting is kept from those who may not read it; the view leaves it out instead of failing.
SELECT setting FROM pg_settings WHERE name = 'data_directory';

-- name: replication
WITH place AS (
    SELECT pg_is_in_recovery() AS standby,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn
), senders AS (
    SELECT count(*)::int AS senders,
           count(*) FILTER (WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming')::int AS synchronous,
           -- What a role may not see is NULL: "no lag" and "not allowed to know" must not look alike.
           count(*) FILTER (WHERE state IS NULL)::int AS hidden,
           max(pg_wal_lsn_diff(place.lsn, replay_lsn))::float8 AS lag_bytes,
           max(extract(epoch FROM replay_lag))::float8 AS lag_s
      FROM place LEFT JOIN pg_stat_replication ON pid IS NOT NULL
     WHERE pid IS NOT NULL
)
SELECT place.standby, current_setting('synchronous_standby_names') AS wanted,
       senders.senders, senders.synchronous, senders.hidden, senders.lag_bytes, senders.lag_s,
       ARRAY(SELECT slot_name::text FROM pg_replication_slots
              WHERE slot_type = 'physical' AND NOT active ORDER BY slot_name) AS idle_slots,
       (SELECT count(*)::int FROM pg_stat_wal_receiver) AS receivers,
       coalesce(pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn(), false) AS caught_up,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS applied_s
  FROM place, senders;

-- name: waiting
-- pg_locks can be read by everybody. Whose commits wait is only told about this role's own
-- connections, unless it belongs to pg_monitor; padelops' bookings are its own.
WITH locks AS (
    SELECT pid, min(coalesce(waitstart, clock_timestamp())) AS since
      FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid() GROUP BY pid
), commits AS (
    SELECT query_start AS since FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name <> 'padelops health'
)
SELECT (SELECT count(*)::int FROM locks) AS locks,
       (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - since)), 0)::float8 FROM locks) AS lock_s,
       ARRAY(SELECT DISTINCT blocker FROM locks, unnest(pg_blocking_pids(pid)) AS blocker
              WHERE blocker NOT IN (SELECT pid FROM locks) AND blocker > 0 ORDER BY blocker LIMIT 5) AS blockers,
       (SELECT count(*)::int FROM commits) AS commits,
       (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - since)), 0)::float8 FROM commits) AS commit_s;

-- name: connections
-- The tightest of the server's limit, the database's and the role's.
WITH there AS (
    SELECT datid, usesysid FROM pg_stat_activity
     WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
), limits AS (
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS allowed,
           (SELECT count(*) FROM there)::int AS used
     UNION ALL
    SELECT datconnlimit, (SELECT count(*) FROM there WHERE datid = pg_database.oid)::int
      FROM pg_database WHERE datname = current_database() AND datconnlimit >= 0
     UNION ALL
    SELECT rolconnlimit, (SELECT count(*) FROM there WHERE usesysid = pg_roles.oid)::int
      FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0
)
SELECT allowed, used FROM limits ORDER BY allowed - used LIMIT 1;

-- name: breakers
SELECT name, state, reason, actor, extract(epoch FROM clock_timestamp() - changed_at)::float8 AS seconds
  FROM breakers WHERE state <> 'closed' ORDER BY id;

-- name: heartbeat
SELECT (array_agg(worker ORDER BY at DESC))[1] AS worker,
       extract(epoch FROM %(now)s::timestamptz - max(at))::float8 AS seconds,
       count(*) FILTER (WHERE at > %(now)s::timestamptz - interval '2 minutes')::int AS workers
  FROM worker_heartbeats;

-- name: outbox
-- Counting ends at ten thousand: beyond that the number is no news.
SELECT (SELECT count(*)::int FROM (
            SELECT FROM messages WHERE state = 'queued' AND kind <> 'reminder' AND next_attempt_at <= %(now)s
             LIMIT 10000) AS bookings)
       + (SELECT count(*)::int FROM (
            SELECT FROM messages WHERE state = 'queued' AND kind = 'reminder' AND next_attempt_at <= %(now)s
             LIMIT 10000) AS reminders) AS due,
       greatest(0, extract(epoch FROM %(now)s - least(
           (SELECT min(next_attempt_at) FROM messages WHERE state = 'queued' AND kind <> 'reminder'),
           (SELECT min(next_attempt_at) FROM messages WHERE state = 'queued' AND kind = 'reminder')
       )))::float8 AS oldest_s,
       (SELECT count(*)::int FROM (
            SELECT FROM messages WHERE state = 'failed' AND attempted_at > %(now)s::timestamptz - interval '1 day'
             LIMIT 10000) AS failed) AS failed;

-- name: payments
WITH attempts AS (
    SELECT state, next_step, next_step_at, asked_at FROM payment_attempts WHERE next_step IS NOT NULL
)
SELECT count(*) FILTER (WHERE state IN ('started', 'unknown'))::int AS unknown,
       coalesce(extract(epoch FROM %(now)s - min(asked_at) FILTER (WHERE state IN ('started', 'unknown'))), 0)::float8 AS unknown_s,
       count(*) FILTER (WHERE state = 'queued')::int AS queued,
       count(*) FILTER (WHERE next_step = 'review' AND state <> 'queued')::int AS review,
       count(*) FILTER (WHERE next_step <> 'review' AND next_step_at <= %(now)s)::int AS overdue,
       coalesce(extract(epoch FROM %(now)s - min(next_step_at) FILTER (WHERE next_step <> 'review' AND next_step_at <= %(now)s)), 0)::float8 AS overdue_s,
       (SELECT count(*)::int FROM (SELECT FROM refunds WHERE state IN ('failed', 'unknown') LIMIT 10000) AS failed) AS refunds_failed
  FROM attempts;
