"""
Writes down what the migrations make: `make schema-shape` runs this after a new migration.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pydantic import SecretStr

import padelops
from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.settings import Settings
from padelops.store.engine import Database
from padelops.store.schema_shape import SHAPE_FILE, shape_of, written
from padelops.wiring import upgrade_schema


def main() -> None:
    """Migrate an empty database and replace the file."""
    home = Path(tempfile.mkdtemp(prefix="padelops-shape-", dir="/tmp"))
    home.chmod(0o755)
    server = EmbeddedPostgres(home / "pg", durable=False)
    try:
        url = server.ensure_running()
        upgrade_schema(Settings(database_url=SecretStr(url), home=home))
        database = Database(url, budget_ms=None, pool_size=1)
        with database.reading() as tx:
            text = written(shape_of(tx))
        database.close()
    finally:
        server.stop("immediate")
        shutil.rmtree(home, ignore_errors=True)
    Path(padelops.__file__).with_name("store").joinpath(SHAPE_FILE).write_text(
        text, encoding="utf-8"
    )


if __name__ == "__main__":
    main()
