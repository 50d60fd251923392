"""
A reservation's story at the terminal: what changed, in words for people.
"""

from __future__ import annotations

from padelops.cli.commands.audit import story_table


def test_what_was_not_there_before_is_a_dash() -> None:
    """Not Python's word for it."""
    entry = {
        "id": 2, "at": "2026-12-01T18:00:00+00:00", "action": "cancelled", "actor": "ana",
        "door": "cli", "changes": {"reason": [None, "user_requested"], "notes": None},
    }  # fmt: skip

    (row,) = story_table({"entries": [entry]}).rows

    assert "reason - -> user_requested, notes -" == row[-1]
