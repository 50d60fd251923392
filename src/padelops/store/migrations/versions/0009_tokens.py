"""Tokens for the HTTP door."""

from padelops.store.migrations import run_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_beside(__file__)
