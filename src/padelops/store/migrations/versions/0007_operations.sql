-- Operations by the minute, from all processes: how many, how they ended, how long they took.

-- A histogram is one number for each bucket, by position; its bounds are operations.BOUNDS_S.
CREATE FUNCTION add_buckets(bigint[], bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ARRAY(SELECT one + another FROM unnest($1, $2) WITH ORDINALITY AS pair (one, another, place) ORDER BY place);

CREATE TABLE operations (
    minute  timestamptz NOT NULL,
    path    text NOT NULL,
    outcome text NOT NULL,
    code    text NOT NULL DEFAULT '',
    calls   bigint NOT NULL,
    seconds float8 NOT NULL,
    buckets bigint[] NOT NULL,
    PRIMARY KEY (minute, path, outcome, code),
    CONSTRAINT operations_outcome_known
        CHECK (outcome IN ('ok', 'refused', 'degraded', 'unavailable', 'unknown', 'failed')),
    CONSTRAINT operations_texts_bounded CHECK (length(path) BETWEEN 1 AND 60 AND length(code) <= 60),
    CONSTRAINT operations_buckets_whole CHECK (array_ndims(buckets) = 1 AND array_length(buckets, 1) = 16),
    CONSTRAINT operations_add_up CHECK (calls > 0 AND seconds >= 0 AND seconds < 'infinity')
);

-- Which timeline of which cluster counts. A failover may lose the last counts: a counter that goes
-- back a little would look to Prometheus as if it had started again and run up to its old height at
-- once. So counters start at 0 with each timeline, which it understands.
CREATE FUNCTION counting_epoch() RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE WHEN NOT pg_is_in_recovery() THEN
        (SELECT system_identifier FROM pg_control_system()) || ':' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
    END;

-- The same in all, so that counters never go back when minutes are forgotten.
CREATE TABLE operation_totals (
    epoch   text NOT NULL,
    path    text NOT NULL,
    outcome text NOT NULL,
    code    text NOT NULL,
    calls   bigint NOT NULL,
    seconds float8 NOT NULL,
    buckets bigint[] NOT NULL,
    PRIMARY KEY (epoch, path, outcome, code)
) WITH (fillfactor = 50);

CREATE TABLE counter_totals (
    epoch text NOT NULL,
    name  text NOT NULL,
    n     bigint NOT NULL,
    PRIMARY KEY (epoch, name)
) WITH (fillfactor = 50);

INSERT INTO counter_totals (epoch, name, n) SELECT counting_epoch(), name, sum(n) FROM counters GROUP BY name;

-- The last batch of each process: one whose answer was lost is sent again, and counts once.
CREATE TABLE count_batches (
    process text PRIMARY KEY,
    batch   bigint NOT NULL,
    at      timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX count_batches_by_time ON count_batches (at);

-- What players said about a game they booked, from 1 to 5; the last word counts.
CREATE TABLE surveys (
    claim_id bigint PRIMARY KEY REFERENCES claims,
    club_id  bigint NOT NULL REFERENCES clubs,
    score    smallint NOT NULL,
    at       timestamptz NOT NULL,
    CONSTRAINT surveys_score_in_range CHECK (score BETWEEN 1 AND 5)
);
CREATE INDEX surveys_by_time ON surveys (at);
