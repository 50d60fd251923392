-- name: look
-- What one server says of itself, primary or standby; positions are bytes of log since its beginning.
SELECT current_setting('cluster_name') AS called,
       current_setting('server_version_num')::int / 10000 AS major,
       (SELECT system_identifier FROM pg_control_system())::text AS system,
       here.standby,
       NOT here.standby AND current_setting('transaction_read_only') = 'off' AS writable,
       CASE WHEN here.standby
            THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()), receiver.received_tli)
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
       END AS timeline,
       CASE WHEN here.standby
            THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_flush_lsn()
       END - '0/0'::pg_lsn AS position,
       CASE WHEN here.standby THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END AS replayed,
       CASE WHEN here.standby THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
       END AS replayed_age_s,
       receiver.status AS receiver,
       receiver.conninfo AS follows,
       (SELECT setting FROM pg_settings WHERE name = 'primary_conninfo') AS would_follow,
       current_setting('synchronous_standby_names') AS sync_names,
       (SELECT setting FROM pg_settings WHERE name = 'primary_slot_name') AS slot,
       (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_folder,
       (SELECT count(*) FROM pg_stat_progress_basebackup)::int AS backups,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE') AS may_promote,
       pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all
  FROM (SELECT pg_is_in_recovery() AS standby) AS here
  LEFT JOIN pg_stat_wal_receiver AS receiver ON true;

-- name: may_list_log
SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE') AS may;

-- name: timeline_received
-- The newest timeline of which a server has any log. With its primary dead a standby has no receiver
-- to ask, and its last restart point may be older than the timeline that it followed since.
SELECT max(('x' || left(name, 8))::bit(32)::int) AS timeline
  FROM pg_ls_waldir()
 WHERE name ~ '^[0-9A-F]{24}$';

-- name: followers
-- Who follows this server, and how far each has come; nothing on a server that nobody follows.
SELECT application_name AS name, state, sync_state AS sync,
       flush_lsn - '0/0'::pg_lsn AS position,
       extract(epoch FROM replay_lag)::float8 AS lag_s
  FROM pg_stat_replication
 WHERE state IN ('streaming', 'catchup')
 ORDER BY application_name;

-- name: throw_out_clients
-- Everybody else who is logged in, whichever database they are in, is cut off; how many there were.
SELECT count(*)::int FROM (
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
) AS ended;

-- name: clients_left
-- Sessions from before a moment of this server's own clock.
SELECT count(*)::int FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND backend_start < %(since)s;

-- name: clock
SELECT clock_timestamp();

-- name: promote
-- True once it is a primary, false when it did not become one in time.
SELECT pg_promote(true, %(wait_s)s);

-- name: have_slot
-- A place in the log kept for one standby; made now unless there is one already.
SELECT pg_create_physical_replication_slot(%(name)s)
 WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %(name)s);

-- name: settings
-- The settings in force for a new session of this role, with their units.
SELECT name, setting, unit FROM pg_settings WHERE name = ANY (%(names)s);
