"""A connection string without its password, for a command line, which everybody can read."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.adapters.postgres_account import Account


@contextmanager
def without_password(conninfo: str, folder: Path, account: Account) -> Iterator[str]:
    """
    The same address with its password in a file, which only the account may read and which is gone
    at the end.

    A password file that the address names is copied: it may be ours alone, and libpq passes over
    one that it cannot read.
    """
    parameters = conninfo_to_dict(conninfo)
    password = parameters.pop("password", None)
    if password is not None:
        escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
        content = f"*:*:*:*:{escaped}\n"
    elif account.is_another and (given := parameters.get("passfile")):
        try:
            content = Path(str(given)).read_text()
        except OSError:
            yield conninfo
            return
    else:
        yield conninfo
        return
    file = folder / f".pass-{os.getpid()}"
    file.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as to:
            to.write(content)
        account.own(file)
        yield make_conninfo("", **(parameters | {"passfile": str(file)}))
    finally:
        file.unlink(missing_ok=True)
