"""
Critical path 9 (level 3): every change is recorded once, and nobody can quietly change the record.

Entries are written by triggers in the transaction that makes the change, so a change by psql is
recorded as well and a change whose entry fails does not happen. Seals chain the entries of finished
transactions; `verify` compares everything again and names what was edited, deleted or slipped in.

What seals alone cannot show is a trail whose end was cut off together with its seals: things whose
version says more than their entries show that, and so does a head digest kept elsewhere.

Source: CRITICAL_PATHS.md, path 9; DESIGN.md section 4.9.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.errors import InvalidInput, NotFound, SafetyGate
from padelops.store import audit as trail
from padelops.store.engine import explained
from padelops.store.integrity import begin_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from padelops.model import Origin
    from padelops.store.audit import Entry, SealCheck
    from padelops.store.engine import Database, Tx

LEAF_BYTES = 16
SEAL_ENTRIES = 100_000
"""Entries in one seal at the most, so that memory stays bounded however long nobody sealed."""
MOST_FINDINGS = 1000
SUBJECTS = ("reservation", "block", "club", "court", "breaker", "token", "incident")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with the trail; `where` names it, such as `entry 4711`."""

    where: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """
    What `verify` found.

    Attributes:
        head: digest of the last seal, hexadecimal: keep it elsewhere as an anchor.
        unsealed: entries that no seal covers yet; `unsealed_since` is the oldest one's time.
    """

    seals: int
    sealed_entries: int
    head: str | None
    unsealed: int
    unsealed_since: datetime | None
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        since = self.unsealed_since
        return {
            "intact": self.intact,
            "seals": self.seals,
            "sealed_entries": self.sealed_entries,
            "head": self.head,
            "unsealed": self.unsealed,
            "unsealed_since": None if since is None else since.isoformat(),
            "findings": [
                {"where": found.where, "problem": found.problem} for found in self.findings
            ],
        }


def history(database: Database, subject_kind: str, subject_id: int) -> list[Entry]:
    """
    The story of one thing, first change to last.

    Raises:
        InvalidInput: no such kind of thing. NotFound: it has no entries.
    """
    if subject_kind not in SUBJECTS:
        raise InvalidInput(f"Histories are kept of: {', '.join(SUBJECTS)}.")
    with database.reading() as tx:
        entries = trail.history(tx, subject_kind, subject_id)
    if not entries:
        raise NotFound(f"The audit trail knows no {subject_kind} {subject_id}.")
    return entries


def seal(database: Database, *, origin: Origin) -> list[trail.Seal]:
    """
    Seal the entries of all finished transactions; the new seals, none when all was sealed.

    Raises:
        SafetyGate: this database was restored from a dump and counts its transactions anew.
    """
    made: list[trail.Seal] = []
    while True:
        with database.transaction(origin) as tx:
            trail.lock_seals(tx)
            if trail.horizon_is_behind(tx):
                raise SafetyGate(
                    "This database is younger than its own seals: it was restored from a dump.",
                    fix="Restore with pg_basebackup, which keeps transaction numbers.",
                )
            sealed = trail.seal_next(tx, limit=SEAL_ENTRIES)
        if sealed is None:
            return made
        made.append(sealed)


def verify(database: Database, *, anchor: str | None = None) -> Verification:
    """
    Check the whole trail in one snapshot: seals, entries, completeness, and the triggers.

    Args:
        anchor: a head digest noted earlier; it must still be in the chain.
    """
    tx = database.connect()
    try:
        with explained():
            begin_snapshot(tx)
            checks = trail.check_seals(tx)
            found = [*findings(tx, checks), *_unanchored(checks, anchor)]
            unsealed, since = trail.unsealed(tx)
    finally:
        tx.close()
    return Verification(
        seals=len(checks),
        sealed_entries=sum(check.entries for check in checks),
        head=checks[-1].digest if checks else None,
        unsealed=unsealed,
        unsealed_since=since,
        findings=tuple(found[:MOST_FINDINGS]),
    )


def findings(tx: Tx, checks: list[SealCheck] | None = None) -> Iterator[Finding]:
    """Everything wrong with the trail, as the snapshot of `tx` shows it."""
    yield from _guards(tx)
    yield from tampering(tx, checks)
    yield from _incomplete(tx)


def tampering(
    tx: Tx, checks: list[SealCheck] | None = None, *, sample: int | None = None, seed: int = 0
) -> Iterator[Finding]:
    """
    Entries that were edited, deleted or slipped in, and seals that do not follow.

    Args:
        sample: about how many sealed entries are compared with their own fingerprint, which is what
            takes long; None for all. Fingerprints are compared with the seals one by one.
    """
    named = set()
    for finding in _edited(tx, sample, seed):
        named.add(finding.where)
        yield finding
    for check in trail.check_seals(tx) if checks is None else checks:
        yield from (finding for finding in _broken(tx, check) if finding.where not in named)


def export(
    database: Database, *, since: datetime | None = None, until: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Every entry, by id, a thousand at a time."""
    after = 0
    while True:
        with database.reading() as tx:
            rows = trail.export_page(tx, after=after, since=since, until=until, limit=1000)
        yield from rows
        if not rows:
            return
        after = rows[-1]["id"]


def _guards(tx: Tx) -> Iterator[Finding]:
    for guard in trail.missing_guards(tx):
        yield Finding(f"trigger {guard}", "it is missing or switched off: changes go unrecorded")


def _broken(tx: Tx, check: SealCheck) -> Iterator[Finding]:
    if not check.follows:
        yield Finding(f"seal {check.id}", "the seal before it is missing")
    if not check.chained and check.follows:
        yield Finding(f"seal {check.id}", "its digest does not follow from what it says it covers")
    if check.intact:
        return
    leaves, ids, today = trail.sealed_leaves(tx, check.id)
    sealed = {
        entry_id: leaves[at * LEAF_BYTES : (at + 1) * LEAF_BYTES] for at, entry_id in enumerate(ids)
    }
    found = dict(today)
    for entry_id in sorted(sealed.keys() | found.keys()):
        if entry_id not in found:
            yield Finding(f"entry {entry_id}", f"deleted after seal {check.id} covered it")
        elif entry_id not in sealed:
            yield Finding(f"entry {entry_id}", f"slipped in after seal {check.id} was made")
        elif not hmac.compare_digest(found[entry_id], sealed[entry_id]):
            yield Finding(f"entry {entry_id}", f"edited after seal {check.id} covered it")


def _edited(tx: Tx, sample: int | None, seed: int) -> Iterator[Finding]:
    for entry_id in trail.edited(tx, limit=MOST_FINDINGS, sample=sample, seed=seed):
        yield Finding(f"entry {entry_id}", "edited after it was written")


def _incomplete(tx: Tx) -> Iterator[Finding]:
    for thing in trail.incomplete(tx, limit=MOST_FINDINGS):
        yield Finding(
            f"{thing.subject_kind} {thing.subject_id}",
            f"changed {thing.changes} times, but the trail has {thing.entries} entries for it"
            if thing.entries != thing.changes
            else "its entries do not match its changes one by one",
        )


def _unanchored(checks: list[SealCheck], anchor: str | None) -> Iterator[Finding]:
    if anchor is not None and not any(
        hmac.compare_digest(check.digest.encode(), anchor.lower().encode(errors="replace"))
        for check in checks
    ):
        yield Finding(
            "chain", "the digest noted earlier is not in it: seals were cut off or rewritten"
        )
