"""Messages, clubs, courts and quarantined rows are never deleted; people can be erased."""

from padelops.store.migrations import run_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_beside(__file__)
