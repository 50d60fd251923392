"""Imported reservations come with their amounts; what they paid before and pay here adds up."""

from padelops.store.migrations import run_beside

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_beside(__file__)
