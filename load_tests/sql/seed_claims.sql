-- Reservations hour by hour across all courts, as a club's books look after a while: some cancelled,
-- some not turned up, twenty to a player. Triggers are off while this runs.
INSERT INTO claims (
    club_id, court_id, kind, status, starts_at, ends_at, free_at, idempotency_key, request_digest, player_name,
    player_email, currency, total, lines, price_source, tariff_id, policy_id, payment_method, payment_status,
    reason, ended_at
)
SELECT court.club_id, court.id, 'reservation', of.status, of.starts_at, of.starts_at + interval '1 hour',
       of.starts_at + interval '1 hour', 'seed-' || extract(epoch FROM of.starts_at) || '-' || n, repeat('a', 64),
       'Player ' || of.player, 'player' || of.player || '@example.com', 'EUR', 24.00,
       '[{"kind": "time", "label": "base", "amount": "24.00", "minutes": 60, "per_hour": "24.00"}]',
       'tariff', club.tariff_id, club.policy_id, 'desk', of.payment_status,
       CASE of.status WHEN 'cancelled' THEN 'user_requested' END,
       CASE of.status WHEN 'cancelled' THEN of.starts_at - interval '1 day' END
  FROM generate_series(0, %(rows)s::bigint - 1) AS n
 CROSS JOIN (SELECT array_agg(id ORDER BY id) AS ids FROM courts) AS all_courts
  JOIN courts AS court ON court.id = all_courts.ids[1 + n %% cardinality(all_courts.ids)]
  JOIN clubs AS club ON club.id = court.club_id
 CROSS JOIN LATERAL (
    SELECT %(first_start)s::timestamptz + n / cardinality(all_courts.ids) * interval '1 hour' AS starts_at,
           n * 7919 %% greatest(%(rows)s / 20, 1) AS player,
           CASE WHEN n * 31 %% 100 < %(ended_percent)s THEN 'cancelled'
                WHEN n * 31 %% 100 < %(ended_percent)s * 4 / 3 THEN 'no_show'
                ELSE 'confirmed' END AS status,
           CASE WHEN n * 17 %% 10 < 3 THEN 'due' ELSE 'nothing_due' END AS payment_status
 ) AS of;
