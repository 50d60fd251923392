"""A real streaming standby of a test's server."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from padelops.adapters.embedded_postgres import EmbeddedPostgres
from padelops.adapters.postgres_account import account_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def standby_of(
    primary: EmbeddedPostgres, parent: Path, *options: str
) -> Iterator[EmbeddedPostgres]:
    """
    A hot standby that follows `primary`; gone at the end.

    Args:
        parent: where its home is made.
        options: more of pg_basebackup's, such as a slot.
    """
    home = parent / f"standby-{uuid4().hex[:4]}"
    server = EmbeddedPostgres(home, bindir=primary._given_bindir, durable=False)
    home.mkdir(mode=0o755)
    account = account_for(primary.data)
    host = primary.status().socket_folder
    backup = [
        str(primary.bindir / "pg_basebackup"), "-D", str(server.data), "-R", "-X", "stream",
        "-c", "fast", "-d", f"host={host} user=postgres", *options,
    ]  # fmt: skip
    try:
        subprocess.run(backup, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})
        (server.data / "postmaster.pid").unlink(missing_ok=True)
        for path in (server.data, *server.data.rglob("*")):
            account.own(path)
        server.ensure_running()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(home, ignore_errors=True)
