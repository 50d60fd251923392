"""
The operating system's user that the embedded server runs as.

PostgreSQL refuses to run as root. What root starts therefore runs as the owner of the data, or of
its home, or else as `postgres` or `nobody`; everybody else's server runs as themselves.
"""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from padelops.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}
"""All the programs get to see. The caller's environment may hold secrets, and its PG* variables
and language would change what the programs do and say."""


@dataclass(frozen=True)
class Account:
    """The operating system's user that the server runs as and that owns the data."""

    uid: int
    gid: int
    name: str

    @classmethod
    def of(cls, uid: int) -> Self | None:
        """The account with this number, or None where it has no name on this machine."""
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return None
        return cls(entry.pw_uid, entry.pw_gid, entry.pw_name)

    @classmethod
    def for_root(cls) -> Self:
        """Who runs PostgreSQL when root asks for it."""
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid, entry.pw_name)
        raise DatabaseUnavailable(
            "PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody'.",
            fix="Add a system user named postgres, or run padelops as an ordinary user.",
            reason="no_account",
        )

    @property
    def is_another(self) -> bool:
        """Whether becoming this account takes a switch of users, which only root may do."""
        return self.uid != os.geteuid()

    def own(self, path: Path) -> None:
        """Give the account something that root has just made for it."""
        if self.is_another:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def popen_arguments(self) -> dict[str, Any]:
        """
        How a program is started: as this account, away from the terminal, without our files.

        The session of its own keeps Ctrl-C and a closing terminal from reaching the server.
        """
        switch = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return {
            "cwd": "/",
            "env": ENVIRONMENT,
            "start_new_session": True,
            "umask": 0o077,
            **(switch if self.is_another else {}),
        }


def refuse_strangers(data: Path) -> None:
    """
    Refuse to touch another user's database; root may, and acts as its owner.

    Raises:
        DatabaseUnavailable: names the owner.
    """
    try:
        owner = data.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return
    if os.geteuid() in {0, owner}:
        return
    account = Account.of(owner)
    name = account.name if account else str(owner)
    raise DatabaseUnavailable(
        f"The database in {data.parent} belongs to the user '{name}'.",
        fix=f"Run as {name} or root, or set PADELOPS_HOME to a folder of your own.",
        reason="wrong_user",
    )


def account_for(data: Path) -> Account:
    """
    As whom the server of this data folder runs, whether it exists or is still to be made.

    Raises:
        DatabaseUnavailable: there is no such user.
    """
    me = os.geteuid()
    if me == 0:
        for folder in (data, data.parent):
            with suppress(FileNotFoundError):
                owner = folder.stat().st_uid
                if owner != 0 and (account := Account.of(owner)):
                    return account
        return Account.for_root()
    myself = Account.of(me)
    if myself is None:
        raise DatabaseUnavailable(
            f"The user number {me} has no name on this machine; PostgreSQL needs one.",
            fix="Add it to /etc/passwd, or set PADELOPS_DATABASE_URL to a running server.",
            reason="no_account",
        )
    return myself
