"""What operators run for long: who holds which lock, and a record of every run."""

from padelops.store.migrations import run_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_beside(__file__)
