"""What is answered at which address; a module here is found by being here."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from padelops.api.routing import ROUTES, Route


def every_route() -> list[Route]:
    """All routes there are, in the order of their paths."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return sorted(ROUTES, key=lambda one: (one.path, one.method))
