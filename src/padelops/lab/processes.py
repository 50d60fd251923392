"""
Start, watch and end the lab's programs, and touch no other: what died under us is found again.

A program is started in three steps: written down as planned, started with the lab's mark in its
environment, written down with its number and birth. Whoever is killed between two of them leaves a
program that `strays` still finds by its mark.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from padelops.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from padelops.lab.state import Process

MARK = "PADELOPS_LAB_FOLDER"
"""In the environment of everything a lab starts: the folder of the lab."""

BASE_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PYTHONUNBUFFERED": "1"}

PROBE_TIMEOUT_S = 1.0
PAUSE_S = 0.05
PATIENCE_S = 10
"""How long a program may take to end when asked kindly."""
LOG_TAIL_BYTES = 4000

PROC = Path("/proc")


class NotStarted(Unavailable):
    """A program of the lab did not start."""

    code = "lab_not_started"


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """All a program of the lab gets to see; the caller's own environment may hold secrets."""
    path = os.environ.get("PATH", os.defpath)
    return {**BASE_ENVIRONMENT, "PATH": path, MARK: str(folder), **(more or {})}


# --- starting --------------------------------------------------------------------------------


def start(process: Process, *, among: Mapping[str, Process] | None = None) -> Process:
    """
    Start it; away from our terminal, outliving us. Comes back with number and birth.

    `{NAME}` in its command is the number of that process `among` those of the lab.
    """
    numbers = {name: other.pid for name, other in (among or {}).items()}
    process.log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(process.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(  # noqa: S603 - no shell; the lab's own commands
            [part.format_map(numbers) if "{" in part else part for part in process.command],
            env=process.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            umask=0o077,
        )
    except OSError as exc:
        raise NotStarted(f"Cannot run {process.command[0]}: {exc.strerror}.") from exc
    finally:
        os.close(descriptor)
    _children.append(child)
    return process.model_copy(update={"pid": child.pid, "born": birth(child.pid)})


_children: list[subprocess.Popen[bytes]] = []
"""What this very process started: only a parent can clear away what is left of the dead."""


def bury_children() -> None:
    """Clear away programs that we started and that ended since."""
    _children[:] = [child for child in _children if child.poll() is None]


def let_go() -> None:
    """Keep Python from complaining that programs outlive the one who started them."""
    for child in _children:
        if child.returncode is None:
            child.returncode = 0
    _children.clear()


def wait_until_ready(process: Process, *, timeout_s: float) -> None:
    """
    Raises:
        NotStarted: it ended, or does not serve in time; with the last line of its log.
    """
    wait_until(lambda: serves(process), process, timeout_s=timeout_s)


def wait_until(happened: Callable[[], bool], *needed: Process, timeout_s: float) -> None:
    """As `wait_until_ready`, for something else that only happens while these live."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        for process in needed:
            if not alive(process):
                raise NotStarted(
                    f"{process.name} ended: {last_words(process.log)}.",
                    fix=f"Its log: {process.log}",
                )
        if time.monotonic() > deadline:
            late = next((each for each in needed if not serves(each)), needed[0])
            raise NotStarted(
                f"{late.name} is not ready after {timeout_s:.0f} s: {last_words(late.log)}.",
                fix=f"Its log: {late.log}",
            )
        time.sleep(PAUSE_S)


def last_words(log: Path) -> str:
    """The last line of a log, for a sentence."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "it said nothing")
    return "it said nothing"


def serves(process: Process) -> bool:
    """Whether it answers where it should, right now."""
    how, _, where = process.ready.partition(":")
    match how:
        case "tcp":
            return _connects(socket.AF_INET, ("127.0.0.1", int(where)))
        case "unix":
            return _connects(socket.AF_UNIX, where)
        case "http":
            port, _, path = where.partition("/")
            return http_status(int(port), f"/{path}") is not None
        case _:
            return alive(process)


def _connects(family: int, address: tuple[str, int] | str) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.settimeout(PROBE_TIMEOUT_S)
            probe.connect(address)
    except OSError:
        return False
    return True


def http_status(port: int, path: str, *, method: str = "GET") -> int | None:
    """The status that an HTTP server on this machine answers with; None for no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


# --- who is who ------------------------------------------------------------------------------


def birth(pid: int) -> str | None:
    """When a process was born, in words that no other process of that number shares."""
    if PROC.joinpath("self", "stat").exists():
        found = _stat(pid)
        # Ticks since boot: an adjusted clock does not move them, a reboot makes them mean nothing.
        return None if found is None else f"{_boot()}/{found[1]}"
    done = subprocess.run(  # noqa: S603 - no shell; the only argument from outside is a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    return done.stdout.strip() or None


def _boot() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> tuple[str, str] | None:
    """State letter and start time of a process; None for the dead."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold blanks and brackets
    return fields[0], fields[19]


def alive(process: Process) -> bool:
    """Whether this very process runs (or is frozen), not one that got its number."""
    if process.pid is None or process.born is None:
        return False
    bury_children()
    found = _stat(process.pid) if PROC.joinpath("self", "stat").exists() else ("", "")
    return found is not None and found[0] not in {"Z", "X"} and birth(process.pid) == process.born


def frozen(pid: int) -> bool:
    """Whether somebody stopped it (SIGSTOP)."""
    found = _stat(pid)
    return found is not None and found[0] == "T"


def strays(folder: Path) -> list[int]:
    """Every living process that carries the mark of this lab, recorded or not."""
    mark = os.fsencode(f"{MARK}={folder}")
    found = []
    for entry in PROC.glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                pid = int(entry.name)
                state = _stat(pid)
                if pid != os.getpid() and state and state[0] not in {"Z", "X"}:
                    found.append(pid)
    return found


# --- ending ----------------------------------------------------------------------------------


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to this very process; False where it is gone."""
    if not alive(process):
        return False
    with suppress(ProcessLookupError):
        os.kill(process.pid or 0, number)
    return True


def freeze(process: Process) -> None:
    """SIGSTOP, in force when this returns: who is inside a system call stops a moment later."""
    send(process, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE_S
    while process.pid and alive(process) and not frozen(process.pid):
        if time.monotonic() > deadline:
            raise Unavailable(f"{process.name} (pid {process.pid}) cannot be stopped.")
        time.sleep(PAUSE_S)


def end(processes: Iterable[Process], *, at_once: bool = False) -> None:
    """Ask them all to end, then make them; all are gone when this returns."""
    left = [process for process in processes if alive(process)]
    for process in left:
        send(process, signal.SIGKILL if at_once else signal.Signals[f"SIG{process.stop}"])
        send(process, signal.SIGCONT)  # one that was frozen hears nothing else
    deadline = time.monotonic() + PATIENCE_S
    while left := [process for process in left if alive(process)]:
        if time.monotonic() > deadline:
            for process in left:
                send(process, signal.SIGKILL)
        time.sleep(PAUSE_S)


def end_strays(folder: Path) -> int:
    """Kill whatever still carries the lab's mark; how many there were."""
    count = 0
    deadline = time.monotonic() + PATIENCE_S
    while (found := strays(folder)) and time.monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                count += 1
        time.sleep(PAUSE_S)
    return count
