"""Each migration is a small Python file with its SQL beside it, under the same name."""

from __future__ import annotations

from pathlib import Path

from alembic import op


def run_beside(migration: str) -> None:
    """Run the `.sql` file beside a migration, on the bare driver: `%` and `:` mean themselves."""
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise TypeError("migrations run on a live connection only")
    driver.execute(Path(migration).with_suffix(".sql").read_bytes())
