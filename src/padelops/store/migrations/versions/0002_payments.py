"""Card payments: attempts, events, the gateway's webhooks."""

from padelops.store.migrations import run_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_beside(__file__)
