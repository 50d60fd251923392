"""
Folders of data at the top of the repository, such as `alerts/`: installed, they lie in the package.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from padelops.errors import InvalidInput


def data_folder(name: str) -> Path:
    """
    Such a folder: of the installed package, or of the checkout.

    Raises:
        InvalidInput: it is in neither place.
    """
    package = Path(str(resources.files("padelops")))
    for folder in (package / name, package.parents[1] / name):
        if folder.is_dir() and any(folder.glob("*.yaml")):
            return folder
    raise InvalidInput(f"This installation of padelops has no {name}/*.yaml.")
