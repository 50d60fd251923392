"""
As whom a lab's PostgreSQL runs: never as root, which PostgreSQL refuses.

Root's lab runs inside a user namespace, where root looks like the ordinary user that it is mapped
to: no folder changes its mode or its owner, and a virtual environment below root's home stays
readable. Where namespaces are forbidden, the programs become that user for real.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from padelops.adapters.postgres_account import Account, account_for
from padelops.adapters.postgres_programs import Programs, bindirs_in_wheel
from padelops.lab.parts import PartMissing

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM_TIMEOUT_S = 60
REACHES = "import psycopg, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
"""Patroni starts Python again, by then without any of root's rights."""


@dataclass(frozen=True)
class Runner:
    """How a command becomes one that PostgreSQL accepts: what to put before it."""

    account: Account
    prefix: tuple[str, ...]
    programs: Programs
    switches: bool = False
    """Whether files must belong to `account` for its programs to reach them."""

    @classmethod
    def of(cls, folder: Path, *, bindir: Path | None) -> Runner:
        """
        Raises:
            PartMissing: no way to run as somebody else works here; says which would.
            DatabaseUnavailable: PostgreSQL's programs are missing or too old.
        """
        programs = Programs.at(bindir or bindirs_in_wheel()[0])
        if os.geteuid() != 0:
            return cls(account_for(folder), (), programs)
        account = Account.for_root()
        mapped = as_user(account)
        if _works(mapped):
            return cls(account, mapped, programs)
        became = (
            "setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--",
        )  # fmt: skip
        if not _works(became):
            raise PartMissing(
                f"PostgreSQL refuses to run as root, and '{account.name}' cannot run "
                f"{sys.executable}.",
                fix="Run the lab as an ordinary user, or allow user namespaces.",
            )
        reachable = programs.reachable_by(account, folder.parent / "programs")
        return cls(account, became, reachable, switches=True)

    def command(self, *arguments: str | Path) -> tuple[str, ...]:
        return (*self.prefix, *(os.fspath(argument) for argument in arguments))

    def run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """One of PostgreSQL's programs, to its end; the caller looks at the return code."""
        return subprocess.run(  # noqa: S603 - no shell; the lab's own commands
            self.command(self.programs.bindir / program, *arguments),
            capture_output=True, text=True, errors="replace", check=False, cwd="/",
            timeout=PROGRAM_TIMEOUT_S, env={"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"},
        )  # fmt: skip

    def give(self, path: Path) -> None:
        """Let the programs reach what we have just made for them."""
        if self.switches:
            for inside in (path, *path.rglob("*")) if path.is_dir() else (path,):
                self.account.own(inside)


def as_user(account: Account) -> tuple[str, ...]:
    """What to put before a command so that whoever runs it looks to it like this user."""
    return ("unshare", "--user", f"--map-user={account.uid}", f"--map-group={account.gid}", "--")


def _works(prefix: tuple[str, ...]) -> bool:
    if shutil.which(prefix[0]) is None:
        return False
    done = subprocess.run(  # noqa: S603 - no shell; fixed arguments
        [*prefix, sys.executable, "-c", REACHES],
        capture_output=True, timeout=PROGRAM_TIMEOUT_S, check=False, cwd="/",
    )  # fmt: skip
    return done.returncode == 0
