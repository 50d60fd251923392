-- Indexes and tables as the server's catalogue has them: what is broken, swollen, unused or missing.

-- name: indexes
-- Every index of the tables in this schema. What a rebuild left behind is known by its name *and* by
-- being invalid: a valid index is somebody's, whatever it is called.
SELECT table_.relname::text AS "table", index_.relname::text AS name, index_.oid::bigint AS oid,
       pg_relation_size(index_.oid) AS size_bytes, indisvalid AND indisready AS valid,
       indisexclusion AS exclusion,
       NOT indisvalid AND index_.relname ~ '_cc(new|old)[0-9]*$' AS leftover
  FROM pg_index
  JOIN pg_class AS index_ ON index_.oid = indexrelid AND index_.relkind = 'i'
  JOIN pg_class AS table_ ON table_.oid = indrelid AND table_.relpersistence <> 't'
 WHERE table_.relnamespace = current_schema()::regnamespace
 ORDER BY table_.relname, index_.relname;

-- name: patience
-- A rebuild waits for transactions that are older than it; but not for a report that runs all night.
SELECT set_config('lock_timeout', %(lock)s, false), set_config('statement_timeout', '0', false);

-- name: act_as
SELECT set_config('padelops.actor', %(actor)s, false), set_config('padelops.door', %(door)s, false);

-- name: tables
-- Rows as ANALYZE found them last or as counted since, whatever is more: the one forgets nothing, the other
-- begins at 0 in a crash or on a standby. Neither knows: then it is unknown, and no empty table.
-- Sizes and dead rows from the statistics; bloat is an estimate from the average width of the columns.
SELECT relation.relname::text AS "table",
       coalesce(nullif(greatest(relation.reltuples::bigint, activity.n_live_tup, 0), 0),
                CASE WHEN pg_relation_size(relation.oid) = 0 THEN 0 END) AS rows,
       pg_table_size(relation.oid) AS table_bytes, pg_indexes_size(relation.oid) AS index_bytes,
       coalesce(activity.n_dead_tup, 0) AS dead_rows,
       greatest(activity.last_vacuum, activity.last_autovacuum) AS vacuumed_at,
       CASE WHEN relation.reltuples > 0 AND widths.width IS NOT NULL THEN
           greatest(0, pg_relation_size(relation.oid)
               - ceil(relation.reltuples * (28 + widths.width) * 100
                      / coalesce((SELECT option_value::int FROM pg_options_to_table(relation.reloptions)
                                   WHERE option_name = 'fillfactor'), 100) / 8168) * 8192)::bigint
       END AS bloat_bytes
  FROM pg_class AS relation
  LEFT JOIN pg_stat_all_tables AS activity ON activity.relid = relation.oid
  LEFT JOIN LATERAL (
        SELECT sum((1 - null_frac) * avg_width) AS width FROM pg_stats
         WHERE schemaname = current_schema() AND tablename = relation.relname) AS widths ON true
 WHERE relation.relkind = 'r' AND relation.relnamespace = current_schema()::regnamespace
 ORDER BY pg_total_relation_size(relation.oid) DESC, relation.relname;

-- name: unused
-- Not read since the statistics began. An index that upholds a rule is in use, read or not.
SELECT usage.relname::text AS "table", usage.indexrelname::text AS name,
       pg_relation_size(usage.indexrelid) AS size_bytes
  FROM pg_stat_user_indexes AS usage
  JOIN pg_index ON pg_index.indexrelid = usage.indexrelid
 WHERE usage.schemaname = current_schema() AND usage.idx_scan = 0
   AND NOT indisunique AND NOT indisexclusion
 ORDER BY size_bytes DESC, name;

-- name: missing
-- Foreign keys whose columns no index begins with: deleting what they refer to reads the whole table.
SELECT conrelid::regclass::text AS "table", conname::text AS name,
       ARRAY(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS key (number, place)
               JOIN pg_attribute ON attrelid = conrelid AND attnum = key.number ORDER BY place) AS columns,
       confrelid::regclass::text AS refers_to
  FROM pg_constraint
 WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
   AND NOT EXISTS (
        SELECT FROM pg_index
         WHERE indrelid = conrelid AND indisvalid AND indpred IS NULL
           AND (indkey::int2[])[0:cardinality(conkey) - 1] @> conkey)
 ORDER BY 1, 2;

-- name: statistics_began
SELECT stats_reset FROM pg_stat_database WHERE datname = current_database();

-- name: has_statements
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements');

-- name: slow_statements
-- The text has $1 in place of values, so it holds nobody's data.
SELECT left(regexp_replace(query, '\s+', ' ', 'g'), 120) AS statement, calls,
       mean_exec_time::float8 AS mean_ms, max_exec_time::float8 AS max_ms, total_exec_time::float8 AS total_ms
  FROM pg_stat_statements
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND calls > 0
   AND query <> '<insufficient privilege>'
 ORDER BY total_exec_time DESC LIMIT %(limit)s;
