-- Incidents: one open for each key, how long each has waited, and its timeline.

-- name: open
INSERT INTO incidents (dedup_key, level, title, impact, eta, channels, opened_at, due_at)
VALUES (%(dedup_key)s, %(level)s, %(title)s, %(impact)s, %(eta)s, %(channels)s, %(opened_at)s, %(due_at)s)
    ON CONFLICT (dedup_key) WHERE status <> 'resolved' DO NOTHING
RETURNING id;

-- name: start_clock
INSERT INTO incident_clocks (incident_id, waited_s, witness, ticks, looked_at)
VALUES (%(id)s, %(waited_s)s, %(witness)s, %(ticks)s, clock_timestamp());

-- name: by_id
SELECT incidents.*, waited_s, rung FROM incidents JOIN incident_clocks ON incident_id = incidents.id
 WHERE incidents.id = %(id)s;

-- name: lock
SELECT incidents.*, waited_s, rung FROM incidents JOIN incident_clocks ON incident_id = incidents.id
 WHERE incidents.id = %(id)s FOR UPDATE OF incidents;

-- name: by_key
SELECT incidents.*, waited_s, rung FROM incidents JOIN incident_clocks ON incident_id = incidents.id
 WHERE dedup_key = %(dedup_key)s AND status <> 'resolved';

-- name: listing
SELECT incidents.*, waited_s, rung FROM incidents JOIN incident_clocks ON incident_id = incidents.id
 WHERE %(all)s OR status <> 'resolved'
 ORDER BY (status = 'resolved'), level, incidents.id DESC
 LIMIT %(limit)s;

-- name: change
UPDATE incidents
   SET level = coalesce(%(level)s, level), impact = coalesce(%(impact)s, impact), status = coalesce(%(status)s, status),
       eta = coalesce(%(eta)s, eta), due_at = coalesce(%(due_at)s, due_at),
       channels = coalesce(%(channels)s, channels),
       acknowledged_at = coalesce(acknowledged_at, %(acknowledged_at)s),
       acknowledged_by = coalesce(acknowledged_by, %(acknowledged_by)s), resolved_at = %(resolved_at)s
 WHERE id = %(id)s;

-- name: step
-- Count on for everybody who waits. Seconds of the same witness are believed; between two witnesses only
-- what the database's clock says, and of that no more than a bounded step.
UPDATE incident_clocks
   SET waited_s = waited_s + CASE
           WHEN witness = %(witness)s THEN greatest(%(ticks)s - ticks, 0)
           ELSE greatest(least(extract(epoch FROM clock_timestamp() - looked_at), %(most_s)s), 0) END,
       witness = %(witness)s, ticks = %(ticks)s, looked_at = clock_timestamp()
 WHERE incident_id IN (SELECT id FROM incidents
                        WHERE status <> 'resolved' AND acknowledged_at IS NULL
                        ORDER BY id FOR UPDATE SKIP LOCKED)
   AND (witness <> %(witness)s OR ticks < %(ticks)s)
RETURNING incident_id;

-- name: waiting
SELECT incidents.*, waited_s, rung FROM incidents JOIN incident_clocks ON incident_id = incidents.id
 WHERE status <> 'resolved' AND acknowledged_at IS NULL ORDER BY level, incidents.id;

-- name: climb
-- Whoever comes second finds the rung taken.
UPDATE incident_clocks SET rung = %(to)s WHERE incident_id = %(id)s AND rung = %(from)s RETURNING incident_id;

-- name: add_event
INSERT INTO incident_events (incident_id, at, kind, actor, told, source)
SELECT %(id)s, %(at)s, %(kind)s, coalesce(%(actor)s, origin.actor), %(told)s, %(source)s FROM audit_origin() AS origin
    ON CONFLICT (incident_id, source) DO NOTHING
RETURNING id;

-- name: events
SELECT id, at, kind, actor, told FROM incident_events WHERE incident_id = %(id)s ORDER BY at, id LIMIT %(limit)s;

-- name: open_ids
SELECT id, dedup_key, opened_at FROM incidents WHERE status <> 'resolved' ORDER BY id;

-- name: collect
-- What others have written down during an incident, taken into its timeline once: alerts, runs of
-- runbooks and maintenance, breakers, and what operators did. From five minutes before it was opened.
INSERT INTO incident_events (incident_id, at, kind, actor, told, source)
SELECT %(id)s, found.at, found.kind, found.actor, left(found.told, 2000), found.source
  FROM (SELECT alert_notices.at, 'alert', 'alerts',
               CASE action WHEN 'page' THEN 'Alert fires: ' ELSE 'Alert is over: ' END || line, 'notice:' || id
          FROM alert_notices
        UNION ALL
        SELECT started_at, CASE WHEN action = 'runbook' THEN 'runbook' WHEN action = 'failover' THEN 'failover' ELSE 'operator' END,
               actor, format('%%s %%s begins', action, task), 'run:' || id
          FROM operator_runs
        UNION ALL
        SELECT ended_at, CASE WHEN action = 'runbook' THEN 'runbook' WHEN action = 'failover' THEN 'failover' ELSE 'operator' END,
               actor, format('%%s %%s: %%s. %%s', action, task, outcome, coalesce(summary, '')), 'ran:' || id
          FROM operator_runs WHERE ended_at IS NOT NULL
        UNION ALL
        SELECT audit_entries.at, 'operator', actor,
               format('%%s %%s: %%s', subject_kind, coalesce(subject_id::text, ''), action), 'audit:' || id
          FROM audit_entries
         WHERE audit_entries.at BETWEEN %(since)s AND %(until)s
           AND (subject_kind = 'breaker' OR (subject_kind = 'operator' AND door IN ('cli', 'sql')))
       ) AS found (at, kind, actor, told, source)
 WHERE found.at BETWEEN %(since)s AND %(until)s
 ORDER BY found.at
 LIMIT %(limit)s
    ON CONFLICT (incident_id, source) DO NOTHING;

-- name: new_level_1_alerts
-- Level-1 alerts that page and have no incident yet.
SELECT id, dedup_key, rule, line, channels, at FROM alert_notices
 WHERE level = 1 AND severity = 'critical' AND action = 'page' AND at > %(since)s
   AND NOT EXISTS (SELECT FROM incident_events WHERE source = 'notice:' || alert_notices.id)
 ORDER BY id LIMIT %(limit)s;

-- name: has_source
-- Whether something was taken into any timeline already.
SELECT EXISTS (SELECT FROM incident_events WHERE source = %(source)s);

-- name: operations_around
-- What processes counted around an incident, by the minute and the path.
SELECT minute, path, sum(calls)::bigint,
       coalesce(sum(calls) FILTER (WHERE outcome IN ('unavailable', 'unknown', 'failed')), 0)::bigint,
       1000 * sum(seconds) / sum(calls)
  FROM operations WHERE minute BETWEEN %(since)s AND %(until)s
 GROUP BY minute, path ORDER BY minute, path LIMIT %(limit)s;
