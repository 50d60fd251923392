"""A file for node_exporter's textfile collector: whole or not there, whoever reads when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.errors import InvalidInput
from padelops.ops.whole_files import write_whole

if TYPE_CHECKING:
    from pathlib import Path


def replace_textfile(path: Path, text: str) -> None:
    """
    Write the text beside the file and move it into place.

    Raises:
        InvalidInput: node_exporter would not read a file of that name.
        OutputFailed: it could not be written; what stood there before still does.
    """
    if path.suffix != ".prom":
        raise InvalidInput("A textfile's name ends in .prom: node_exporter reads no other.")
    write_whole(path, text)
