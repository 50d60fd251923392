-- What operators run for long: who holds which lock, and a record of every run.

-- The lock itself is an advisory lock of the holder's session, so that it ends with the process
-- whatever becomes of it. The row only says who that is: it is believed while `backend_pid` is
-- the session that has the lock, and what a dead holder left in it is written over by the next one.
CREATE TABLE operator_locks (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    host        text,
    pid         integer,
    actor       text,
    purpose     text,
    backend_pid integer,
    since       timestamptz,
    CONSTRAINT operator_locks_one_per_name UNIQUE (name),
    CONSTRAINT operator_locks_name_is_plain CHECK (name ~ '^[a-z][a-z0-9_.-]{0,62}$'),
    CONSTRAINT operator_locks_texts_bounded CHECK (
        length(host) <= 255 AND length(actor) <= 500 AND length(purpose) <= 200
    )
) WITH (fillfactor = 50);

-- One row for each piece of work: a task of the daily maintenance, an index built anew. `run_id` is
-- shared by the pieces of one invocation. A row without an end is under way, or its process died:
-- whoever holds the lock next closes it as abandoned.
CREATE TABLE operator_runs (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id     uuid NOT NULL,
    action     text NOT NULL,
    task       text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    outcome    text,
    summary    text,
    actor      text NOT NULL,
    host       text NOT NULL,
    pid        integer NOT NULL,
    evidence   jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT operator_runs_names_are_plain CHECK (
        action ~ '^[a-z][a-z0-9_.-]{0,62}$' AND task ~ '^[a-z][a-z0-9_./-]{0,199}$'
    ),
    CONSTRAINT operator_runs_outcome_known CHECK (
        outcome IN ('ok', 'warning', 'critical', 'unknown', 'failed', 'abandoned')
    ),
    CONSTRAINT operator_runs_end_is_whole CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT operator_runs_end_follows CHECK (ended_at >= started_at),
    CONSTRAINT operator_runs_times_finite CHECK (isfinite(started_at) AND isfinite(ended_at)),
    CONSTRAINT operator_runs_texts_bounded CHECK (
        length(summary) <= 500 AND length(actor) BETWEEN 1 AND 500 AND length(host) <= 255
        AND octet_length(evidence::text) <= 4000000
    )
);
CREATE INDEX operator_runs_by_task ON operator_runs (action, task, id DESC);
CREATE INDEX operator_runs_by_run ON operator_runs (run_id);
CREATE INDEX operator_runs_open ON operator_runs (action) WHERE ended_at IS NULL;

-- What was found is not rewritten afterwards; old runs are forgotten as a whole.
CREATE TRIGGER operator_runs_keep_their_end BEFORE UPDATE ON operator_runs
    FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL)
    EXECUTE FUNCTION refuse_change('what a run found is never changed; run it again');
