"""A file for node_exporter's textfile collector: whole or not there, whoever reads when."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from padelops.errors import InvalidInput, OutputFailed


def checked(path: Path) -> None:
    """
    Raises:
        InvalidInput: node_exporter would not read a file of that name.
    """
    if path.suffix != ".prom":
        raise InvalidInput("A textfile's name ends in .prom: node_exporter reads no other.")


def replace_textfile(path: Path, text: str) -> None:
    """
    Write the text beside the file and move it into place.

    Raises:
        OutputFailed: it could not be written; what stood there before still does.
    """
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                # mkstemp lets only us read it; the collector is somebody else.
                os.fchmod(file.fileno(), 0o644)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise OutputFailed(f"{path} could not be written: {exc.strerror or exc}.") from exc
