-- What maintenance asks of the database.

-- name: first_use
SELECT at FROM audit_entries ORDER BY id LIMIT 1;

-- name: troubles
-- What the server itself has counted against this database since its statistics were reset.
SELECT deadlocks, conflicts, coalesce(checksum_failures, 0) AS checksum_failures, xact_rollback AS rollbacks,
       sessions_abandoned, sessions_fatal, sessions_killed, temp_bytes
  FROM pg_stat_database WHERE datname = current_database();

-- name: failed_messages
SELECT kind, coalesce(reason, 'unknown') AS reason, count(*) AS messages
  FROM messages
 WHERE state = 'failed' AND attempted_at >= %(since)s
 GROUP BY kind, reason ORDER BY messages DESC, kind, reason
 LIMIT %(limit)s;

-- name: breaker_changes
SELECT changes ->> 'breaker' AS breaker, action AS state, at, actor, changes ->> 'reason' AS reason
  FROM audit_entries
 WHERE subject_kind = 'breaker' AND at >= %(since)s
 ORDER BY id DESC
 LIMIT %(limit)s;

-- name: table_sizes
SELECT relname AS table, pg_total_relation_size(relid) AS bytes, n_live_tup AS live_rows, n_dead_tup AS dead_rows
  FROM pg_stat_user_tables
 ORDER BY bytes DESC, relname
 LIMIT %(limit)s;

-- name: bookings_by_month
SELECT to_char(date_trunc('month', created_at, 'UTC'), 'YYYY-MM') AS month, count(*) AS reservations
  FROM claims
 WHERE kind = 'reservation' AND created_at >= %(since)s
 GROUP BY 1 ORDER BY 1;

-- name: role_rights
SELECT rolname AS role, rolsuper AS superuser, rolcreaterole AS makes_roles, rolcreatedb AS makes_databases,
       rolreplication AS replicates, rolbypassrls AS passes_row_security,
       current_setting('password_encryption') AS password_encryption, current_setting('ssl') AS ssl
  FROM pg_roles WHERE rolname = session_user;
