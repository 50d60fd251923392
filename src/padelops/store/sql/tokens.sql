-- Tokens for the HTTP door.

-- name: insert
INSERT INTO api_tokens (handle, digest, name, role, club_id, player_email, member_tier, bookings_per_minute, expires_at)
VALUES (%(handle)s, %(digest)s, %(name)s, %(role)s, (SELECT id FROM clubs WHERE slug = %(club)s), %(player_email)s,
        %(member_tier)s, %(bookings_per_minute)s, %(expires_at)s)
RETURNING id;

-- name: by_handle
SELECT api_tokens.id, handle, digest, api_tokens.name, role, status, clubs.slug AS club, player_email, member_tier,
       bookings_per_minute, api_tokens.created_at, expires_at, revoked_at
  FROM api_tokens LEFT JOIN clubs ON clubs.id = api_tokens.club_id
 WHERE handle = %(handle)s;

-- name: listing
SELECT api_tokens.id, handle, digest, api_tokens.name, role, status, clubs.slug AS club, player_email, member_tier,
       bookings_per_minute, api_tokens.created_at, expires_at, revoked_at
  FROM api_tokens LEFT JOIN clubs ON clubs.id = api_tokens.club_id
 WHERE %(revoked)s OR status = 'active'
 ORDER BY api_tokens.id DESC
 LIMIT %(limit)s;

-- name: revoke
UPDATE api_tokens
   SET status = 'revoked', revoked_at = %(now)s
 WHERE handle = %(handle)s AND status = 'active'
RETURNING id;
