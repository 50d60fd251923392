-- Clubs, their courts, and the terms they sell under.

-- name: by_slug
SELECT clubs.id, clubs.slug, clubs.name, clubs.time_zone, clubs.currency, clubs.revision, clubs.config,
       (SELECT concat(clubs.version, '.', sum(courts.version)) FROM courts WHERE courts.club_id = clubs.id) AS state,
       clubs.tariff_id, tariffs.terms AS tariff, clubs.policy_id, policies.terms AS policy,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', courts.id, 'name', courts.name, 'in_service', courts.in_service, 'attributes', courts.attributes
        ) ORDER BY courts.id), '[]')
          FROM courts WHERE courts.club_id = clubs.id) AS courts
  FROM clubs
  LEFT JOIN tariffs ON tariffs.id = clubs.tariff_id
  LEFT JOIN policies ON policies.id = clubs.policy_id
 WHERE clubs.slug = %(slug)s;

-- name: slugs
SELECT slug FROM clubs ORDER BY slug LIMIT %(limit)s;

-- name: summaries
SELECT clubs.slug, clubs.name, clubs.time_zone, clubs.currency, clubs.revision,
       (SELECT count(*) FROM courts WHERE courts.club_id = clubs.id) AS courts,
       (SELECT count(*) FROM courts WHERE courts.club_id = clubs.id AND courts.in_service) AS in_service
  FROM clubs ORDER BY slug;

-- name: state_of
-- Versions count every change, also one by psql that puts no new revision into force.
SELECT (SELECT concat(clubs.version, '.', sum(courts.version)) FROM courts WHERE courts.club_id = clubs.id)
  FROM clubs WHERE slug = %(slug)s;

-- name: insert_club
INSERT INTO clubs (slug, name, time_zone, currency, config, external_ref)
VALUES (%(slug)s, %(name)s, %(time_zone)s, %(currency)s, %(config)s, %(external_ref)s)
    ON CONFLICT DO NOTHING
RETURNING id;

-- name: lock_club
-- Taken by whoever changes a club; applying the same club twice at once queues here. No stronger lock:
-- a booking's message refers to the club while the booking holds its court, which we lock next.
SELECT id, revision FROM clubs WHERE slug = %(slug)s FOR NO KEY UPDATE;

-- name: lock_courts
-- A claim holds its court's key-share lock until it commits, so this waits for claims under way and
-- holds back new ones: no claim crosses a change of hours, tariff or service.
SELECT id, name, in_service, attributes FROM courts WHERE club_id = %(club_id)s ORDER BY id FOR UPDATE;

-- name: insert_tariff
INSERT INTO tariffs (club_id, digest, terms) VALUES (%(club_id)s, %(digest)s, %(terms)s)
    ON CONFLICT (club_id, digest) DO NOTHING;

-- name: tariff_by_digest
SELECT id FROM tariffs WHERE club_id = %(club_id)s AND digest = %(digest)s;

-- name: insert_policy
INSERT INTO policies (club_id, digest, terms) VALUES (%(club_id)s, %(digest)s, %(terms)s)
    ON CONFLICT (club_id, digest) DO NOTHING;

-- name: policy_by_digest
SELECT id FROM policies WHERE club_id = %(club_id)s AND digest = %(digest)s;

-- name: insert_court
INSERT INTO courts (club_id, name, in_service, attributes, external_ref, revision)
VALUES (%(club_id)s, %(name)s, %(in_service)s, %(attributes)s, %(external_ref)s, %(revision)s);

-- name: update_court
UPDATE courts
   SET in_service = %(in_service)s, attributes = %(attributes)s, revision = %(revision)s
 WHERE id = %(court_id)s;

-- name: set_terms
UPDATE clubs
   SET name = %(name)s, time_zone = %(time_zone)s, currency = %(currency)s, config = %(config)s,
       tariff_id = %(tariff_id)s, policy_id = %(policy_id)s, revision = %(revision)s, updated_at = now()
 WHERE id = %(club_id)s;

-- name: blocks_of
SELECT id, court_id, starts_at, ends_at, reason, external_ref
  FROM claims
 WHERE club_id = %(club_id)s AND kind = 'block' AND status = 'confirmed' AND ends_at > %(now)s
 ORDER BY id;

-- name: live_outside_service
-- Live reservations still to be played on courts that are out of service: somebody must move them.
SELECT claims.id
  FROM claims JOIN courts ON courts.id = claims.court_id
 WHERE courts.club_id = %(club_id)s AND NOT courts.in_service AND claims.kind = 'reservation'
   AND claims.status IN ('pending', 'confirmed') AND claims.ends_at > %(now)s
 ORDER BY claims.id;

-- name: with_past_reservations
SELECT id FROM clubs
 WHERE EXISTS (
    SELECT FROM claims
     WHERE claims.club_id = clubs.id AND claims.kind = 'reservation' AND claims.status = 'confirmed'
       AND claims.ends_at <= %(now)s)
 ORDER BY id;
