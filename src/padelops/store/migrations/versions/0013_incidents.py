"""Incidents, what happened in them, and the pages that call people."""

from padelops.store.migrations import run_beside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_beside(__file__)
