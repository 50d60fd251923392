-- What alert rules have come to, who was told, and which of them are silenced.

-- One alert: a rule, and the labels of what it is about, as JSON with sorted names. A row is written
-- over as the alert lives; what it did before stands in the notices.
CREATE TABLE alerts (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule      text NOT NULL,
    labels    text NOT NULL,
    state     text NOT NULL,
    since     timestamptz NOT NULL,
    active_at timestamptz,
    fired_at  timestamptz,
    quiet_at  timestamptz,
    value     double precision,
    problem   text,
    CONSTRAINT alerts_one_per_thing UNIQUE (rule, labels),
    CONSTRAINT alerts_rule_is_plain CHECK (rule ~ '^[a-z][a-z0-9_]{2,59}$'),
    CONSTRAINT alerts_state_known CHECK (state IN ('pending', 'firing', 'unknown', 'resolved')),
    CONSTRAINT alerts_firing_has_begun CHECK (state <> 'firing' OR fired_at IS NOT NULL),
    CONSTRAINT alerts_texts_bounded CHECK (octet_length(labels) <= 2000 AND length(problem) <= 500)
) WITH (fillfactor = 70);
CREATE INDEX alerts_open ON alerts (state) WHERE state IN ('firing', 'unknown');

-- One rule: whether people have been told that it fires, and when it was last seen to work. `told` is
-- what keeps a page from being sent twice; it changes in the transaction that writes the notice.
CREATE TABLE alert_rules (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    level      integer NOT NULL,
    severity   text NOT NULL,
    told       boolean NOT NULL DEFAULT false,
    told_at    timestamptz,
    fired_at   timestamptz,
    checked_at timestamptz,
    proved_at  timestamptz,
    proved_by  text,
    CONSTRAINT alert_rules_one_per_name UNIQUE (name),
    CONSTRAINT alert_rules_name_is_plain CHECK (name ~ '^[a-z][a-z0-9_]{2,59}$'),
    CONSTRAINT alert_rules_level_known CHECK (level BETWEEN 1 AND 3),
    CONSTRAINT alert_rules_severity_known CHECK (severity IN ('critical', 'warning', 'none')),
    CONSTRAINT alert_rules_proof_is_whole CHECK ((proved_at IS NULL) = (proved_by IS NULL)),
    CONSTRAINT alert_rules_texts_bounded CHECK (length(proved_by) BETWEEN 1 AND 200)
) WITH (fillfactor = 70);

-- Who wanted not to be told of a rule, until when, and why. Never changed but to end it sooner.
CREATE TABLE alert_silences (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule       text NOT NULL,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    reason     text NOT NULL,
    actor      text NOT NULL,
    ended_at   timestamptz,
    ended_by   text,
    CONSTRAINT alert_silences_rule_is_plain CHECK (rule ~ '^[a-z][a-z0-9_]{2,59}$'),
    CONSTRAINT alert_silences_end_follows CHECK (ends_at > starts_at),
    CONSTRAINT alert_silences_have_an_end CHECK (ends_at <= starts_at + interval '30 days'),
    CONSTRAINT alert_silences_reason_given CHECK (length(reason) BETWEEN 3 AND 400),
    CONSTRAINT alert_silences_actor_given CHECK (length(actor) BETWEEN 1 AND 500),
    CONSTRAINT alert_silences_ending_is_whole CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE INDEX alert_silences_open ON alert_silences (rule, ends_at) WHERE ended_at IS NULL;
CREATE TRIGGER alert_silences_no_delete BEFORE DELETE ON alert_silences
    FOR EACH ROW EXECUTE FUNCTION refuse_change('it says who was not told of what; end it instead: padelops alerts silence --end');
CREATE TRIGGER alert_silences_no_truncate BEFORE TRUNCATE ON alert_silences
    EXECUTE FUNCTION refuse_change('they say who was not told of what');

-- What people are to be told, written with the change it is about and sent afterwards. A channel that
-- is down is tried again, and another one meanwhile; `sent` names those that took it.
CREATE TABLE alert_notices (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule         text NOT NULL,
    dedup_key    text NOT NULL,
    action       text NOT NULL,
    level        integer NOT NULL,
    severity     text NOT NULL,
    channels     text[] NOT NULL,
    line         text NOT NULL,
    body         text NOT NULL,
    at           timestamptz NOT NULL,
    sent         text[] NOT NULL DEFAULT '{}',
    attempts     integer NOT NULL DEFAULT 0,
    next_at      timestamptz NOT NULL,
    problem      text,
    done_at      timestamptz,
    CONSTRAINT alert_notices_action_known CHECK (action IN ('page', 'resolve')),
    CONSTRAINT alert_notices_level_known CHECK (level BETWEEN 1 AND 3),
    CONSTRAINT alert_notices_have_a_way CHECK (cardinality(channels) BETWEEN 1 AND 3),
    CONSTRAINT alert_notices_channels_known CHECK (
        channels <@ ARRAY['pager', 'sms', 'email'] AND sent <@ ARRAY['pager', 'sms', 'email']
    ),
    CONSTRAINT alert_notices_texts_bounded CHECK (
        length(line) <= 1000 AND octet_length(body) <= 20000 AND length(problem) <= 500 AND length(dedup_key) <= 200
    )
) WITH (fillfactor = 70);
CREATE INDEX alert_notices_due ON alert_notices (next_at) WHERE done_at IS NULL;
CREATE INDEX alert_notices_by_rule ON alert_notices (rule, id DESC);
