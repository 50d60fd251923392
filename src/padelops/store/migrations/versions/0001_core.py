"""The booking core: clubs, claims, money, messages, the audit trail."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    # Straight to the driver: in SQL text, `%` and `:` stand for themselves.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None  # noqa: S101 - Alembic runs online only
    driver.execute(Path(__file__).with_suffix(".sql").read_bytes())
