-- The least safe booking: one row in one statement, and nothing that would refuse a second one.
\set n :n + 1
\set court_id :first_court + :client_id
\set starts :first_start + 3600 * :n
INSERT INTO unguarded (court_id, starts_at, ends_at, player_name, player_email, total, status)
VALUES (:court_id, to_timestamp(:starts), to_timestamp(:starts + 3600), :player_name, :player_email, :total, :status)
RETURNING id;
