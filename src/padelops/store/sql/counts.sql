-- What processes counted, by the minute, and in all since this server's timeline began.

-- name: begin_batch
-- A batch counts once, however often it is sent; no row back means that it has been counted. Waits
-- for this server's disk and for no standby: counts are not worth a worker that hangs.
WITH origin AS MATERIALIZED (SELECT set_config('synchronous_commit', 'local', true))
INSERT INTO count_batches (process, batch, at)
SELECT %(process)s, %(batch)s, clock_timestamp() FROM origin
    ON CONFLICT (process) DO UPDATE SET batch = excluded.batch, at = excluded.at
 WHERE count_batches.batch < excluded.batch
RETURNING batch;

-- name: add_operations
-- In key order, so that two processes which flush at once wait for each other in line.
INSERT INTO operations (minute, path, outcome, code, calls, seconds, buckets)
SELECT minute, path, outcome, code, calls, seconds, buckets
  FROM jsonb_to_recordset(%(rows)s) AS added
       (minute timestamptz, path text, outcome text, code text, calls bigint, seconds float8, buckets bigint[])
 ORDER BY minute, path, outcome, code
    ON CONFLICT (minute, path, outcome, code) DO UPDATE
   SET calls = operations.calls + excluded.calls,
       seconds = operations.seconds + excluded.seconds,
       buckets = add_buckets(operations.buckets, excluded.buckets);

-- name: add_operation_totals
INSERT INTO operation_totals (epoch, path, outcome, code, calls, seconds, buckets)
SELECT counting_epoch(), path, outcome, code, sum(calls), sum(seconds),
       ARRAY[sum(buckets[1]), sum(buckets[2]), sum(buckets[3]), sum(buckets[4]), sum(buckets[5]), sum(buckets[6]), sum(buckets[7]), sum(buckets[8]),
             sum(buckets[9]), sum(buckets[10]), sum(buckets[11]), sum(buckets[12]), sum(buckets[13]), sum(buckets[14]), sum(buckets[15]), sum(buckets[16])]::bigint[]
  FROM jsonb_to_recordset(%(rows)s) AS added
       (path text, outcome text, code text, calls bigint, seconds float8, buckets bigint[])
 GROUP BY path, outcome, code
 ORDER BY path, outcome, code
    ON CONFLICT (epoch, path, outcome, code) DO UPDATE
   SET calls = operation_totals.calls + excluded.calls,
       seconds = operation_totals.seconds + excluded.seconds,
       buckets = add_buckets(operation_totals.buckets, excluded.buckets);

-- name: add_counters
INSERT INTO counters (minute, name, n)
SELECT minute, name, n FROM jsonb_to_recordset(%(rows)s) AS added (minute timestamptz, name text, n bigint)
 ORDER BY minute, name
    ON CONFLICT (minute, name) DO UPDATE SET n = counters.n + excluded.n;

-- name: add_counter_totals
INSERT INTO counter_totals (epoch, name, n)
SELECT counting_epoch(), name, sum(n) FROM jsonb_to_recordset(%(rows)s) AS added (name text, n bigint)
 GROUP BY name
 ORDER BY name
    ON CONFLICT (epoch, name) DO UPDATE SET n = counter_totals.n + excluded.n;

-- name: operations_within
-- For each length in seconds, what ended in so long a stretch before a moment: whole minutes, and the
-- one under way.
SELECT lengths.seconds, path, outcome, code, sum(calls)::bigint, sum(operations.seconds),
       ARRAY[sum(buckets[1]), sum(buckets[2]), sum(buckets[3]), sum(buckets[4]), sum(buckets[5]), sum(buckets[6]), sum(buckets[7]), sum(buckets[8]),
             sum(buckets[9]), sum(buckets[10]), sum(buckets[11]), sum(buckets[12]), sum(buckets[13]), sum(buckets[14]), sum(buckets[15]), sum(buckets[16])]::bigint[]
  FROM unnest(%(lengths)s::bigint[]) AS lengths (seconds)
  JOIN operations
    ON minute >= date_trunc('minute', %(now)s::timestamptz - make_interval(secs => lengths.seconds), 'UTC')
   AND minute BETWEEN %(since)s AND %(now)s
 GROUP BY 1, 2, 3, 4
 ORDER BY 1, 2, 3, 4;

-- name: counters_within
SELECT lengths.seconds, name, sum(n)::bigint
  FROM unnest(%(lengths)s::bigint[]) AS lengths (seconds)
  JOIN counters
    ON minute >= date_trunc('minute', %(now)s::timestamptz - make_interval(secs => lengths.seconds), 'UTC')
   AND minute BETWEEN %(since)s AND %(now)s
 GROUP BY 1, 2
 ORDER BY 1, 2;

-- name: operation_totals
SELECT path, outcome, code, calls, seconds, buckets FROM operation_totals
 WHERE epoch = counting_epoch() ORDER BY path, outcome, code;

-- name: counter_totals
SELECT name, n FROM counter_totals WHERE epoch = counting_epoch() ORDER BY name;

-- name: roll_up
-- What is older than any window of minutes looks at is kept by the hour, up to a day at a time.
WITH fine AS (
    DELETE FROM operations
     WHERE minute < %(before)s AND minute <> date_trunc('hour', minute, 'UTC')
       AND minute < (SELECT min(minute) FROM operations
                      WHERE minute < %(before)s AND minute <> date_trunc('hour', minute, 'UTC')) + interval '1 day'
    RETURNING *
)
INSERT INTO operations (minute, path, outcome, code, calls, seconds, buckets)
SELECT date_trunc('hour', minute, 'UTC'), path, outcome, code, sum(calls), sum(seconds),
       ARRAY[sum(buckets[1]), sum(buckets[2]), sum(buckets[3]), sum(buckets[4]), sum(buckets[5]), sum(buckets[6]), sum(buckets[7]), sum(buckets[8]),
             sum(buckets[9]), sum(buckets[10]), sum(buckets[11]), sum(buckets[12]), sum(buckets[13]), sum(buckets[14]), sum(buckets[15]), sum(buckets[16])]::bigint[]
  FROM fine
 GROUP BY 1, 2, 3, 4
 ORDER BY 1, 2, 3, 4
    ON CONFLICT (minute, path, outcome, code) DO UPDATE
   SET calls = operations.calls + excluded.calls,
       seconds = operations.seconds + excluded.seconds,
       buckets = add_buckets(operations.buckets, excluded.buckets);

-- name: forget_operations
-- A day at a time, so that whoever comes back after a year locks little at once.
DELETE FROM operations
 WHERE minute < %(before)s AND minute < (SELECT min(minute) FROM operations) + interval '1 day';

-- name: forget_counters
DELETE FROM counters
 WHERE minute < %(before)s AND minute < (SELECT min(minute) FROM counters) + interval '1 day';

-- name: forget_batches
DELETE FROM count_batches WHERE at < %(before)s;

-- name: forget_operation_epochs
-- What was counted before a failover is no counter's value any more.
DELETE FROM operation_totals WHERE epoch <> counting_epoch();

-- name: forget_counter_epochs
DELETE FROM counter_totals WHERE epoch <> counting_epoch();

-- name: operations_by_step
-- The same stretch cut into steps of equal length, the first of them number 0: a course over time.
SELECT path, outcome,
       floor(extract(epoch FROM minute - date_trunc('minute', %(now)s::timestamptz - make_interval(secs => %(length)s), 'UTC'))
        / %(step)s)::bigint AS step,
       sum(calls)::bigint, sum(operations.seconds),
       ARRAY[sum(buckets[1]), sum(buckets[2]), sum(buckets[3]), sum(buckets[4]), sum(buckets[5]), sum(buckets[6]), sum(buckets[7]), sum(buckets[8]),
             sum(buckets[9]), sum(buckets[10]), sum(buckets[11]), sum(buckets[12]), sum(buckets[13]), sum(buckets[14]), sum(buckets[15]), sum(buckets[16])]::bigint[]
  FROM operations
 WHERE minute >= date_trunc('minute', %(now)s::timestamptz - make_interval(secs => %(length)s), 'UTC') AND minute <= %(now)s
 GROUP BY 1, 2, 3
 ORDER BY 3, 1, 2;
