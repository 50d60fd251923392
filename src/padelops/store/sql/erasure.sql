-- Erasing a person: what is known of them is emptied, what happened stays.

-- name: clubs_of_player
SELECT DISTINCT club_id FROM claims WHERE lower(player_email) = lower(%(email)s) ORDER BY club_id;

-- name: still_to_come
-- Reservations of theirs that are still to be played.
SELECT id FROM claims
 WHERE lower(player_email) = lower(%(email)s) AND status IN ('pending', 'confirmed') AND ends_at > %(now)s
 ORDER BY id LIMIT %(limit)s;

-- name: erase_reservations
UPDATE claims
   SET player_name = 'erased', player_email = NULL, player_phone = NULL, notes = NULL
 WHERE id IN (
    SELECT id FROM claims
     WHERE club_id = %(club_id)s AND lower(player_email) = lower(%(email)s)
       AND (status NOT IN ('pending', 'confirmed') OR ends_at <= %(now)s)
     ORDER BY id FOR UPDATE
 )
RETURNING id;

-- name: erase_cards
-- The tokens of their cards, unless a payment is still under way.
UPDATE payment_attempts SET card = 'erased'
 WHERE claim_id = ANY (%(claim_ids)s) AND next_step IS NULL AND card <> 'erased';

-- name: erase_tokens
-- Their way in through the HTTP door ends with what is known of them.
UPDATE api_tokens
   SET name = 'erased', player_email = 'erased', status = 'revoked', revoked_at = coalesce(revoked_at, %(now)s)
 WHERE lower(player_email) = lower(%(email)s);

-- name: erase_quarantined
-- The row as it came is all there is of it, so nothing can be imported from it any more. It is looked
-- for as text: a record is kept letter by letter, and may be JSON that cannot be taken apart.
UPDATE quarantine
   SET record = '{}', detail = '', reason = 'erased', resolved_at = coalesce(resolved_at, %(now)s)
 WHERE record::text ~* %(pattern)s;
