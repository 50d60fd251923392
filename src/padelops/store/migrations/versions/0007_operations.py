"""Operations by the minute: how many, how they ended, how long they took."""

from padelops.store.migrations import run_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_beside(__file__)
