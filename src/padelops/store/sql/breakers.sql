-- The circuit breakers' shared state: one row a breaker, and a report of each process about each.

-- name: bound
-- A connection for breakers only: nobody may wait long for the state of what saves them waiting.
SELECT set_config('statement_timeout', %(statement_ms)s, false),
       set_config('lock_timeout', %(lock_ms)s, false);

-- name: exchange
-- Leave one process's report and read what stands: the state, and the sums of the other processes.
WITH report AS (
    INSERT INTO breaker_reports (breaker, process, generation, at, calls, failures, slow)
    SELECT %(breaker)s, %(process)s, %(generation)s, %(at)s, %(calls)s, %(failures)s, %(slow)s
     WHERE %(calls)s > 0
        ON CONFLICT (breaker, process) DO UPDATE
       SET generation = excluded.generation, at = excluded.at, calls = excluded.calls,
           failures = excluded.failures, slow = excluded.slow
), lapsed AS (
    -- What somebody else is about to remove is passed over: two who tidy up must not wait for each other.
    DELETE FROM breaker_reports
     WHERE (breaker, process) IN (
        SELECT breaker, process FROM breaker_reports
         WHERE breaker = %(breaker)s
           AND CASE process WHEN %(process)s THEN %(calls)s = 0 ELSE at < %(since)s END
           FOR UPDATE SKIP LOCKED
     )
), standing AS (
    SELECT * FROM breakers WHERE name = %(breaker)s
)
SELECT (SELECT to_jsonb(standing)::text FROM standing),
       coalesce(sum(calls), 0)::bigint, coalesce(sum(failures), 0)::bigint, coalesce(sum(slow), 0)::bigint
  FROM breaker_reports
 WHERE breaker = %(breaker)s AND process <> %(process)s AND at >= %(since)s
   AND generation = coalesce((SELECT generation FROM standing), 0);

-- name: standing
SELECT to_jsonb(breakers)::text FROM breakers WHERE name = %(breaker)s;

-- name: insert
-- The first state of a breaker; nothing if a rival was quicker. A change of state waits for this
-- server's disk and for no standby: the one that does not answer may be why the breaker opens, and no
-- timeout ends that wait (DESIGN.md section 8).
WITH origin AS MATERIALIZED (
    SELECT set_config('padelops.actor', %(actor)s, true),
           set_config('padelops.door', %(door)s, true),
           set_config('padelops.request_id', '', true),
           set_config('synchronous_commit', 'local', true)
)
INSERT INTO breakers (name, stamp, state, generation, changed_at, retry_at, actor, reason, leases, successes)
SELECT new.name, new.stamp, new.state, new.generation, new.changed_at, new.retry_at, new.actor, new.reason,
       new.leases, new.successes
  FROM origin, jsonb_populate_record(NULL::breakers, %(record)s::jsonb) AS new
    ON CONFLICT (name) DO NOTHING
RETURNING to_jsonb(breakers)::text;

-- name: replace
-- The next state of a breaker, if nothing has replaced the one that it was decided on.
WITH origin AS MATERIALIZED (
    SELECT set_config('padelops.actor', %(actor)s, true),
           set_config('padelops.door', %(door)s, true),
           set_config('padelops.request_id', '', true),
           set_config('synchronous_commit', 'local', true)
)
UPDATE breakers
   SET stamp = new.stamp, state = new.state, generation = new.generation, changed_at = new.changed_at,
       retry_at = new.retry_at, actor = new.actor, reason = new.reason, leases = new.leases,
       successes = new.successes
  FROM origin, jsonb_populate_record(NULL::breakers, %(record)s::jsonb) AS new
 WHERE breakers.name = %(breaker)s AND breakers.stamp = %(expected)s
RETURNING to_jsonb(breakers)::text;
