-- Alerts: states, silences, and what indicators ask of them.

-- name: alerts
SELECT rule, labels, state, since, active_at, fired_at, quiet_at, value, problem FROM alerts ORDER BY rule, labels;

-- name: keep_alert
INSERT INTO alerts (rule, labels, state, since, active_at, fired_at, quiet_at, value, problem)
VALUES (%(rule)s, %(labels)s, %(state)s, %(since)s, %(active_at)s, %(fired_at)s, %(quiet_at)s, %(value)s, %(problem)s)
    ON CONFLICT (rule, labels) DO UPDATE
   SET state = excluded.state, since = excluded.since, active_at = excluded.active_at, fired_at = excluded.fired_at,
       quiet_at = excluded.quiet_at, value = excluded.value, problem = excluded.problem;

-- name: forget_alert
DELETE FROM alerts WHERE rule = %(rule)s AND labels = %(labels)s;

-- name: alert_rules
SELECT name, told, told_at, fired_at, checked_at, proved_at, proved_by FROM alert_rules ORDER BY name;

-- name: keep_rule
INSERT INTO alert_rules (name, level, severity, told, told_at, fired_at, checked_at)
VALUES (%(name)s, %(level)s, %(severity)s, %(told)s, %(told_at)s, %(fired_at)s, %(checked_at)s)
    ON CONFLICT (name) DO UPDATE
   SET level = excluded.level, severity = excluded.severity, told = excluded.told, told_at = excluded.told_at,
       fired_at = excluded.fired_at, checked_at = excluded.checked_at;

-- name: keep_proof
-- What a chaos experiment has shown: the alert fired on its fault, and resolved after its runbook.
INSERT INTO alert_rules (name, level, severity, proved_at, proved_by)
VALUES (%(name)s, %(level)s, %(severity)s, %(proved_at)s, %(proved_by)s)
    ON CONFLICT (name) DO UPDATE SET proved_at = excluded.proved_at, proved_by = excluded.proved_by;

-- name: silence
INSERT INTO alert_silences (rule, starts_at, ends_at, reason, actor)
VALUES (%(rule)s, %(starts_at)s, %(ends_at)s, %(reason)s, current_setting('padelops.actor'))
RETURNING id;

-- name: end_silence
UPDATE alert_silences SET ended_at = %(now)s, ended_by = current_setting('padelops.actor')
 WHERE id = %(id)s AND ended_at IS NULL AND ends_at > %(now)s
RETURNING id, rule, starts_at, ends_at, reason, actor, ended_at, ended_by;

-- name: silences
-- Those in force, and those that ended lately.
SELECT id, rule, starts_at, ends_at, reason, actor, ended_at, ended_by FROM alert_silences
 WHERE coalesce(ended_at, ends_at) > %(since)s ORDER BY id DESC LIMIT 200;

-- name: rules_unknown
-- Rules that nobody could judge for five minutes.
SELECT count(DISTINCT rule) AS value FROM alerts
 WHERE state = 'unknown' AND since <= %(now)s::timestamptz - interval '5 minutes';

-- name: outages
-- By level, how long the critical alert that has been firing longest has been; what is silenced is known.
SELECT levels.level, coalesce(extract(epoch FROM %(now)s::timestamptz - min(alerts.fired_at)), 0)::float8 AS value
  FROM generate_series(1, 3) AS levels (level)
  LEFT JOIN alert_rules ON alert_rules.level = levels.level AND alert_rules.severity = 'critical'
   AND NOT EXISTS (SELECT FROM alert_silences
                    WHERE rule = alert_rules.name AND ended_at IS NULL AND %(now)s >= starts_at AND %(now)s < ends_at)
  LEFT JOIN alerts ON alerts.rule = alert_rules.name AND alerts.state = 'firing'
 GROUP BY levels.level ORDER BY levels.level;

-- name: write_notice
INSERT INTO alert_notices (rule, dedup_key, action, level, severity, channels, line, body, at, next_at)
VALUES (%(rule)s, %(dedup_key)s, %(action)s, %(level)s, %(severity)s, %(channels)s, %(line)s, %(body)s, %(at)s, %(at)s);

-- name: claim_notices
-- Whoever claims puts the next try off first: one that dies while sending is tried again, by anybody.
UPDATE alert_notices SET attempts = attempts + 1, next_at = %(next_at)s
 WHERE id IN (SELECT id FROM alert_notices WHERE done_at IS NULL AND next_at <= %(now)s
               ORDER BY level, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id, rule, dedup_key, action, level, severity, channels, line, body, at, sent, attempts;

-- name: note_sending
UPDATE alert_notices SET sent = %(sent)s, problem = %(problem)s, done_at = %(done_at)s, next_at = %(next_at)s
 WHERE id = %(id)s;

-- name: last_look
SELECT max(checked_at) FROM alert_rules;

