"""One state of each circuit breaker for all processes."""

from padelops.store.migrations import run_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_beside(__file__)
