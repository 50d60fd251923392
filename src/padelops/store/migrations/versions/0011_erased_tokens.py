"""A member's token can be erased with the member."""

from padelops.store.migrations import run_beside

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_beside(__file__)
