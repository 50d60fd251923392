-- name: age_s
-- Seconds since the commit that was replayed last; 0 on a server that takes writes itself.
SELECT CASE WHEN pg_is_in_recovery()
            THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
            ELSE 0
       END;
