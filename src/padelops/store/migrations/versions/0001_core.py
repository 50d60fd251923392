"""The booking core: clubs, claims, money, messages, the audit trail."""

from padelops.store.migrations import run_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_beside(__file__)
