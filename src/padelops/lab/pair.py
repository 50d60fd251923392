"""A plain primary and its standby, without anybody who would promote it."""

from __future__ import annotations


def is_leader(writable: bool) -> bool:
    return writable
