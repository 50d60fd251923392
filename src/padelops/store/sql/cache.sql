-- The cache on the database itself: nothing to set up, lost on a crash, never trusted without its stamp.

-- name: get
SELECT stamp, value FROM cache_entries WHERE key = %(key)s AND expires_at > clock_timestamp();

-- name: put
INSERT INTO cache_entries (key, stamp, value, expires_at)
VALUES (%(key)s, %(stamp)s, %(value)s, clock_timestamp() + make_interval(secs => %(ttl_s)s))
    ON CONFLICT (key) DO UPDATE
   SET stamp = excluded.stamp, value = excluded.value, expires_at = excluded.expires_at;

-- name: count_like
SELECT count(*) FROM cache_entries WHERE key LIKE %(pattern)s ESCAPE '\';

-- name: keys_like
SELECT key FROM cache_entries
 WHERE key LIKE %(pattern)s ESCAPE '\' AND expires_at > clock_timestamp()
 ORDER BY expires_at DESC, key
 LIMIT %(limit)s;

-- name: purge_like
DELETE FROM cache_entries
 WHERE key IN (SELECT key FROM cache_entries WHERE key LIKE %(pattern)s ESCAPE '\' LIMIT %(batch)s);

-- name: contents
-- An entry runs out a fixed time after it was put there, so that says how old it is.
SELECT split_part(key, ':', 1) AS kind, count(*)::int AS entries,
       sum(octet_length(key) + octet_length(stamp) + octet_length(value))::bigint AS size_bytes,
       greatest(0, extract(epoch FROM clock_timestamp() - min(expires_at)) + %(ttl_s)s)::float8 AS oldest_s,
       greatest(0, extract(epoch FROM clock_timestamp() - max(expires_at)) + %(ttl_s)s)::float8 AS newest_s
  FROM (SELECT * FROM cache_entries WHERE expires_at > clock_timestamp() LIMIT %(most)s) AS kept
 GROUP BY 1 ORDER BY 1;

-- name: sweep
DELETE FROM cache_entries WHERE expires_at <= clock_timestamp();
