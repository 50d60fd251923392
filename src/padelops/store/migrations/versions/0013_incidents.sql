-- Incidents, what happened in them, and the pages that call people.

-- One open incident for each key: whatever raises the same trouble again finds it there.
CREATE TABLE incidents (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedup_key       text NOT NULL,
    level           integer NOT NULL,
    title           text NOT NULL,
    impact          text NOT NULL,
    status          text NOT NULL DEFAULT 'investigating',
    eta             text NOT NULL DEFAULT 'unknown',
    channels        text[] NOT NULL,
    opened_at       timestamptz NOT NULL,
    due_at          timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at     timestamptz,
    version         integer NOT NULL DEFAULT 1,
    CONSTRAINT incidents_level_known CHECK (level BETWEEN 1 AND 3),
    CONSTRAINT incidents_status_known CHECK (
        status IN ('investigating', 'mitigating', 'resolved') AND (status = 'resolved') = (resolved_at IS NOT NULL)
    ),
    CONSTRAINT incidents_acknowledged_by_somebody CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL)),
    CONSTRAINT incidents_have_a_way CHECK (
        cardinality(channels) BETWEEN 1 AND 3 AND channels <@ ARRAY['pager', 'sms', 'email']
    ),
    CONSTRAINT incidents_times_finite CHECK (isfinite(opened_at) AND isfinite(due_at) AND isfinite(resolved_at)),
    CONSTRAINT incidents_texts_bounded CHECK (
        length(dedup_key) BETWEEN 1 AND 200 AND length(title) BETWEEN 1 AND 200 AND length(impact) BETWEEN 1 AND 500
        AND length(eta) BETWEEN 1 AND 200 AND length(acknowledged_by) <= 500
    )
);
CREATE UNIQUE INDEX incidents_one_open_per_key ON incidents (dedup_key) WHERE status <> 'resolved';

CREATE FUNCTION keep_incident() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.status = 'resolved' OR (NEW.id, NEW.dedup_key, NEW.opened_at) IS DISTINCT FROM (OLD.id, OLD.dedup_key, OLD.opened_at)
    THEN
        RAISE EXCEPTION 'incident %: how it began, and how it ended, is never changed', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'incidents_frozen', TABLE = 'incidents';
    END IF;
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER incidents_kept BEFORE UPDATE ON incidents FOR EACH ROW EXECUTE FUNCTION keep_incident();
CREATE TRIGGER incidents_recorded AFTER INSERT OR UPDATE ON incidents
    FOR EACH ROW EXECUTE FUNCTION record_change('incident');
CREATE TRIGGER incidents_no_delete BEFORE DELETE ON incidents
    FOR EACH ROW EXECUTE FUNCTION refuse_change('resolve it instead: padelops incident resolve ID');
CREATE TRIGGER incidents_no_truncate BEFORE TRUNCATE ON incidents
    EXECUTE FUNCTION refuse_change('resolve them instead: padelops incident resolve ID');

-- How long an incident has waited for somebody, counted in steps and not read off a clock: `witness` says
-- whose steady seconds `ticks` are (a machine since its start), so that a clock that jumps calls nobody.
CREATE TABLE incident_clocks (
    incident_id bigint PRIMARY KEY REFERENCES incidents,
    waited_s    double precision NOT NULL DEFAULT 0,
    rung        integer NOT NULL DEFAULT 0,
    witness     text NOT NULL,
    ticks       double precision NOT NULL,
    looked_at   timestamptz NOT NULL,
    CONSTRAINT incident_clocks_count_up CHECK (waited_s >= 0 AND rung >= 0),
    CONSTRAINT incident_clocks_texts_bounded CHECK (length(witness) BETWEEN 1 AND 300)
) WITH (fillfactor = 50);

-- The timeline. `source` names what an entry was taken from, so that it is taken once.
CREATE TABLE incident_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint NOT NULL REFERENCES incidents,
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    actor       text NOT NULL,
    told        text NOT NULL,
    source      text,
    CONSTRAINT incident_events_taken_once UNIQUE (incident_id, source),
    CONSTRAINT incident_events_kind_known CHECK (
        kind IN ('incident', 'page', 'alert', 'runbook', 'failover', 'operator', 'response')
    ),
    CONSTRAINT incident_events_time_finite CHECK (isfinite(at)),
    CONSTRAINT incident_events_texts_bounded CHECK (
        length(actor) BETWEEN 1 AND 500 AND length(told) BETWEEN 1 AND 2000 AND length(source) BETWEEN 1 AND 300
    )
);
CREATE INDEX incident_events_in_order ON incident_events (incident_id, at, id);
CREATE TRIGGER incident_events_append_only BEFORE UPDATE OR DELETE ON incident_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change('what happened is never changed or deleted');
CREATE TRIGGER incident_events_no_truncate BEFORE TRUNCATE ON incident_events
    EXECUTE FUNCTION refuse_change('what happened is never changed or deleted');

-- Calls to people, each written with what it is about and sent afterwards. The people's addresses are not
-- here: they are looked up when a page is sent, so that a corrected number counts at once.
CREATE TABLE pages (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedupe_key    text NOT NULL,
    incident_id   bigint REFERENCES incidents,
    role          text NOT NULL,
    action        text NOT NULL,
    severity      text NOT NULL,
    alarm         text NOT NULL,
    channels      text[] NOT NULL,
    line          text NOT NULL,
    body          text NOT NULL,
    at            timestamptz NOT NULL,
    sent          text[] NOT NULL DEFAULT '{}',
    attempts      integer NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL,
    claimed_until timestamptz,
    problem       text,
    done_at       timestamptz,
    state         text NOT NULL DEFAULT 'queued',
    CONSTRAINT pages_one_per_key UNIQUE (dedupe_key),
    CONSTRAINT pages_action_known CHECK (action IN ('trigger', 'acknowledge', 'resolve', 'update')),
    CONSTRAINT pages_severity_known CHECK (severity IN ('critical', 'warning', 'info')),
    CONSTRAINT pages_state_known CHECK (state IN ('queued', 'delivered', 'failed', 'skipped') AND (state = 'queued') = (done_at IS NULL)),
    CONSTRAINT pages_have_a_way CHECK (
        cardinality(channels) BETWEEN 1 AND 3 AND channels <@ ARRAY['pager', 'sms', 'email']
        AND (state <> 'delivered' OR cardinality(sent) > 0)
    ),
    CONSTRAINT pages_texts_bounded CHECK (
        length(dedupe_key) BETWEEN 1 AND 300 AND length(role) BETWEEN 1 AND 60 AND length(alarm) BETWEEN 1 AND 255
        AND length(line) BETWEEN 1 AND 1000 AND length(body) <= 20000 AND length(problem) <= 1000
    )
) WITH (fillfactor = 70);
CREATE INDEX pages_due ON pages (next_at) WHERE state = 'queued';
CREATE INDEX pages_of_incident ON pages (incident_id);
