"""
The names that SQL and Python share: what search reads.

The migrations create the tables; a test proves that these names are in the migrated database.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

metadata = MetaData()

reservations = Table(
    "reservations",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("club_id", BigInteger),
    Column("club", Text),
    Column("time_zone", Text),
    Column("court_id", BigInteger),
    Column("court", Text),
    Column("status", Text),
    Column("starts_at", TIMESTAMP(timezone=True)),
    Column("ends_at", TIMESTAMP(timezone=True)),
    Column("hold_until", TIMESTAMP(timezone=True)),
    Column("party_id", BigInteger),
    Column("idempotency_key", Text),
    Column("player_name", Text),
    Column("player_email", Text),
    Column("player_phone", Text),
    Column("player_count", Integer),
    Column("notes", Text),
    Column("member_tier", Text),
    Column("currency", Text),
    Column("total", Numeric),
    Column("lines", JSONB),
    Column("price_source", Text),
    Column("tariff_id", BigInteger),
    Column("policy_id", BigInteger),
    Column("payment_method", Text),
    Column("payment_status", Text),
    Column("captured", Numeric),
    Column("refund_due", Numeric),
    Column("refunded", Numeric),
    Column("reason", Text),
    Column("external_ref", Text),
    Column("created_at", TIMESTAMP(timezone=True)),
    Column("ended_at", TIMESTAMP(timezone=True)),
    Column("version", Integer),
)
"""The view `reservations`: one row for each reservation, with its club's slug and court's name."""
