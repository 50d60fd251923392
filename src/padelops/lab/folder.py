"""
One lab's folder: all it has on disk, and the lock that lets one command at a time change it.

    FOLDER/state.json     what runs, with process numbers and births; written whole or not at all
    FOLDER/lock           held by `up` and `down`; the kernel gives it back when its holder dies
    FOLDER/log/NAME.log   what each process says
    FOLDER/nodes/NAME/    a node: its configuration and its data
    FOLDER/pgpass         the passwords of this lab, made at random; nobody else may read it
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from padelops.adapters.postmaster import socket_place
from padelops.errors import InvalidInput, LockHeld
from padelops.lab.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARK = "padelops-lab"
"""Stands in each lab's folder, so that `down` never deletes a folder that is something else."""


@dataclass(frozen=True)
class Folder:
    """Where one lab lives. Cheap to make; nothing is created before `create`."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "log"

    @property
    def pgpass(self) -> Path:
        return self.path / "pgpass"

    @property
    def sockets(self) -> Path:
        """Of what listens on no port; in /tmp where the lab's own path is too long for one."""
        owner = self.path.stat().st_uid if self.path.exists() else os.geteuid()
        return socket_place(self.path, owner)

    def passwords(self) -> dict[str, str]:
        """The password of each login."""
        lines = (line.split(":") for line in self.pgpass.read_text().splitlines())
        return {login: word for _, _, _, login, word in lines}

    def node(self, name: str) -> Path:
        return self.path / "nodes" / name

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """
        Make the folder, for us alone.

        Raises:
            InvalidInput: something else is there.
        """
        if self.path.exists() and not self.is_lab() and any(self.path.iterdir()):
            raise InvalidInput(
                f"{self.path} is not empty and is no lab.", fix="Name another with --folder."
            )
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / MARK).touch()
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def is_lab(self) -> bool:
        return (self.path / MARK).exists()

    def empty(self) -> None:
        """Forget everything but the lock, which we hold."""
        for inside in self.path.iterdir():
            if inside.name in {"lock", MARK}:
                continue
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside)
            else:
                inside.unlink()

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        self.empty()
        for name in (MARK, "lock"):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody keeps something of their own there
            self.path.rmdir()

    # --- state -----------------------------------------------------------------------------

    def read(self) -> State | None:
        """
        What the last `up` wrote down; None where there is no lab.

        Raises:
            InvalidInput: the file is damaged, or another padelops wrote it.
        """
        file = self.path / "state.json"
        try:
            return State.model_validate_json(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValidationError, UnicodeDecodeError) as exc:
            raise InvalidInput(
                f"{file} cannot be read: it is damaged, or another version of padelops wrote it.",
                fix="End the lab with the padelops that started it, or run: padelops lab down",
            ) from exc

    def write(self, state: State) -> None:
        """Write the state down: a reader sees the old one or the new one."""
        self.keep("state.json", state.model_dump_json(indent=2))

    def keep(self, name: str, text: str) -> Path:
        """A file that only we may read, whole or not at all."""
        file = self.path / name
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            written.write(text)
        draft.rename(file)
        return file

    @contextmanager
    def alone(self, *, timeout_s: float = 0) -> Iterator[None]:
        """
        Be the only one who changes this lab.

        Raises:
            LockHeld: another `up` or `down` is at it.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + timeout_s
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
                        raise LockHeld(
                            f"Another command is changing this lab{holder and f' ({holder})'}.",
                            fix="Wait for it, then try again.",
                        ) from None
                time.sleep(0.05)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}".encode(), 0)
            yield
        finally:
            os.close(descriptor)
