"""Messages on their way: attempts, channels, reminders."""

from padelops.store.migrations import run_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_beside(__file__)
