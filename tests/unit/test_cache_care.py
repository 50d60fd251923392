"""
What a purge refuses: nothing that could mean everything.
"""

from __future__ import annotations

import pytest

from padelops.errors import SafetyGate
from padelops.ops.cache_care import checked_pattern


@pytest.mark.parametrize("pattern", ["", "*", "**", " ", "*:*", "_*", " * "])
def test_everything_is_refused(pattern: str) -> None:
    """
    An empty pattern and whatever consists of wildcards and separators.
    """
    with pytest.raises(SafetyGate, match="everything"):
        checked_pattern(pattern)


@pytest.mark.parametrize("pattern", ["reservation_*", "*:centro:*", "search"])
def test_what_names_something_is_taken(pattern: str) -> None:
    """
    CRITICAL_PATHS.md's own pattern, and one club's.
    """
    assert pattern == checked_pattern(pattern)
