"""
A node's PostgreSQL seen as a process: Patroni starts it, so only its own pid file tells its number.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from padelops.adapters.postmaster import Postmaster
from padelops.lab.processes import PAUSE_S, PROC

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

END_TIMEOUT_S = 4
SHARED_MEMORY_LINE = 6
"""Of `postmaster.pid`, from 0. Source: PostgreSQL's miscadmin.h, LOCK_FILE_LINE_SHMEM_KEY."""


def postmaster(data: Path) -> int | None:
    """The number of the PostgreSQL that serves this data folder; None where none lives."""
    found = Postmaster.read(data)
    return found.pid if found and found.lives() else None


def family(pid: int) -> list[int]:
    """A process and its children: a frozen or killed postmaster does not pass a signal on."""
    found = [pid]
    for entry in PROC.glob("[0-9]*"):
        with suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end(folders: Sequence[Path]) -> int:
    """
    End the PostgreSQL of each data folder at once, with its children and its shared memory.

    Returns:
        How many there were.
    """
    memories = [memory for folder in folders if (memory := _shared_memory(folder)) is not None]
    living = {folder: pid for folder in folders if (pid := postmaster(folder)) is not None}
    families = {folder: family(pid) for folder, pid in living.items()}
    for folder, pid in living.items():
        # An immediate shutdown, which clears up after itself; whoever is frozen is woken for it.
        signal_all([pid], signal.SIGQUIT)
        signal_all(families[folder], signal.SIGCONT)
    deadline = time.monotonic() + END_TIMEOUT_S
    while left := [folder for folder, pid in living.items() if postmaster(folder) == pid]:
        if time.monotonic() > deadline:
            for folder in left:
                signal_all([*families[folder], *family(living[folder])], signal.SIGKILL)
        time.sleep(PAUSE_S)
    for memory in memories:
        # What a killed server left behind; harmless where it is gone already.
        with suppress(OSError):
            subprocess.run(  # noqa: S603 - no shell; a number
                ["/usr/bin/ipcrm", "-m", str(memory)], capture_output=True, timeout=10, check=False
            )
    return len(living)


def _shared_memory(data: Path) -> int | None:
    try:
        line = (data / "postmaster.pid").read_text().splitlines()[SHARED_MEMORY_LINE]
        return int(line.split()[1])
    except (OSError, IndexError, ValueError):
        return None
