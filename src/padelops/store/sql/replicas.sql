-- A replica that answers reads.

-- name: staleness
-- An upper bound, in seconds: whatever the primary committed after the last transaction that was replayed here
-- is missing here. A quiet primary makes it look older than it is, which only sends readers to the primary.
-- NULL where nothing was replayed yet; 0 on a primary.
SELECT CASE WHEN pg_is_in_recovery()
            THEN greatest(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0)::float8
            ELSE 0 END;
