-- name: contents
-- What there is now, in one snapshot: enough to tell whether a copy of it is whole.
SELECT (SELECT version_num FROM alembic_version) AS schema,
       (SELECT count(*) FROM claims) AS claims,
       (SELECT count(*) FROM audit_entries) AS entries,
       (SELECT max(at) FROM audit_entries) AS newest,
       current_database() AS database,
       current_user AS role,
       current_setting('server_version_num')::int / 10000 AS major,
       (SELECT system_identifier FROM pg_control_system())::text AS system,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS lsn;

-- name: size
-- Bytes of all databases of the server: what a base backup copies.
SELECT sum(pg_database_size(oid))::bigint FROM pg_database;
