"""Alerts: what each rule has come to, who was told, and what is silenced."""

from padelops.store.migrations import run_beside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_beside(__file__)
