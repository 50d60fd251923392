-- Which schema a database has, and the lock of whoever moves it.

-- name: version
SELECT version_num FROM alembic_version;

-- name: upgrade_lock
SELECT pg_advisory_lock(%(key)s);

-- name: server_version
SELECT current_setting('server_version');
