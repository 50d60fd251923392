"""
Changing a club to what its file says: the difference first, then all of it or nothing.

The club's courts are locked against claims while the change is made, so no booking is priced under
one tariff and stored under another, and no block is laid over a booking under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.booking.club_file import ClubFile, digest_of
from padelops.booking.club_time import parse_start, zone
from padelops.errors import CourtTaken
from padelops.model import LONGEST_CLAIM, Slot
from padelops.store import claims
from padelops.store import clubs as club_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from padelops.booking.club_file import CourtTerms
    from padelops.model import Origin
    from padelops.store.engine import Database, Tx


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a difference: `None` before is new, `None` after is gone."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Applied:
    """
    What applying a club file did, or in a dry run would do.

    Attributes:
        stranded: ids of live reservations on courts that are now out of service.
    """

    slug: str
    created: bool
    changes: tuple[Change, ...]
    stranded: tuple[int, ...]
    dry_run: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "club": self.slug,
            "created": self.created,
            "changed": bool(self.changes),
            "changes": [
                {"what": change.what, "before": change.before, "after": change.after}
                for change in self.changes
            ],
            "stranded_reservations": list(self.stranded),
            "dry_run": self.dry_run,
        }


@dataclass(frozen=True, slots=True)
class _Piece:
    """One court's share of a block, a day at the longest."""

    court: str
    slot: Slot
    reason: str
    ref: str


def apply_club(
    database: Database, file: ClubFile, *, origin: Origin, now: datetime, dry_run: bool = False
) -> Applied:
    """
    Make the club what its file says, in one transaction.

    Courts that the file no longer names go out of service; nothing is ever deleted. A dry run does
    the same on the real thing and rolls back.

    Raises:
        CourtTaken: a block would lie on a live reservation; names the reservations' time.
    """
    with database.transaction(origin, keep=not dry_run) as tx:
        created = club_rows.insert(
            tx,
            slug=file.slug,
            name=file.name,
            time_zone=file.time_zone,
            currency=file.currency,
            config=file.document(),
        )
        club_id, revision = _locked(tx, file.slug)
        courts = {court.name: court for court in club_rows.lock_courts(tx, club_id)}
        row = club_rows.by_slug(tx, file.slug)
        stored = {} if created or row is None else row.config
        before = _flat(
            _with_service(stored, {name: court.in_service for name, court in courts.items()})
        )
        after = _flat(file.document())
        changes = [
            Change(what, before.get(what), after.get(what))
            for what in sorted(before.keys() | after.keys())
            if before.get(what) != after.get(what)
        ]
        if changes:
            _put_into_force(tx, file, club_id, revision + (not created), courts)
        changes += _lay_blocks(tx, file, club_id, now=now)
        stranded = club_rows.live_outside_service(tx, club_id, now=now)

    return Applied(file.slug, created, tuple(changes), tuple(stranded), dry_run)


def add_courts(
    database: Database, slug: str, courts: Iterable[CourtTerms], *, origin: Origin
) -> list[str]:
    """
    Give a club the courts that it does not have yet, and change nothing else; their names.

    Whatever somebody changed meanwhile stays: the club is read after it is locked.
    """
    with database.transaction(origin) as tx:
        club_id, revision = _locked(tx, slug)
        there = {court.name: court for court in club_rows.lock_courts(tx, club_id)}
        new = [court for court in courts if court.name not in there]
        row = club_rows.by_slug(tx, slug)
        if row is None or not new:
            return []
        document = _with_service(
            row.config, {name: court.in_service for name, court in there.items()}
        )
        file = ClubFile.model_validate(document)
        file = file.model_copy(update={"courts": [court.terms() for court in (*file.courts, *new)]})
        _put_into_force(tx, file, club_id, revision + 1, there)
    return [court.name for court in new]


def _locked(tx: Tx, slug: str) -> tuple[int, int]:
    locked = club_rows.lock(tx, slug)
    if locked is None:
        raise LookupError(f"club {slug} vanished while it was being changed")
    return locked


def _put_into_force(
    tx: Tx,
    file: ClubFile,
    club_id: int,
    revision: int,
    courts: dict[str, club_rows.CourtRow],
) -> None:
    tariff = file.frozen_tariff()
    policy = file.cancellation.model_dump(mode="json")
    club_rows.set_terms(
        tx,
        club_id,
        name=file.name,
        time_zone=file.time_zone,
        currency=file.currency,
        config=file.document(),
        tariff_id=club_rows.freeze_tariff(tx, club_id, tariff.digest(), tariff.terms()),
        policy_id=club_rows.freeze_policy(tx, club_id, digest_of(policy), policy),
        revision=revision,
    )
    wanted = {court.name: court for court in file.courts}
    for name, terms in wanted.items():
        if name not in courts:
            club_rows.insert_court(
                tx,
                club_id,
                name=name,
                in_service=terms.in_service,
                attributes=dict(terms.attributes),
                revision=revision,
            )
    for name, court in courts.items():
        declared = wanted.get(name)
        club_rows.update_court(
            tx,
            court.id,
            in_service=declared is not None and declared.in_service,
            attributes=court.attributes if declared is None else dict(declared.attributes),
            revision=revision,
        )


def _lay_blocks(tx: Tx, file: ClubFile, club_id: int, *, now: datetime) -> list[Change]:
    """Lift the blocks that the file no longer holds, then claim the new ones."""
    wanted = {piece.ref: piece for piece in _pieces(file) if piece.slot.ends_at > now}
    live = {
        block.external_ref: block
        for block in club_rows.blocks_of(tx, club_id, now=now)
        if block.external_ref and block.external_ref.startswith(_REF)
    }
    changes = []
    for ref, block in live.items():
        if ref not in wanted:
            claims.end_block(tx, block.id, now=now)
            changes.append(Change(ref, block.reason, None))

    ids = {court.name: court.id for court in club_rows.lock_courts(tx, club_id)}
    new = sorted(
        (piece for ref, piece in wanted.items() if ref not in live),
        key=lambda piece: (ids[piece.court], piece.slot),
    )
    for piece in new:
        court_id = ids[piece.court]
        claims.retire_expired(tx, court_id, piece.slot.starts_at, piece.slot.ends_at, now=now)
        laid = claims.insert_block(
            tx, court_id, piece.slot, reason=piece.reason, external_ref=piece.ref
        )
        if laid is None:
            raise CourtTaken(
                f"A block cannot be laid on {file.slug}/{piece.court}: it is booked between"
                f" {piece.slot.starts_at:%Y-%m-%d %H:%M} and {piece.slot.ends_at:%Y-%m-%d %H:%M}"
                " UTC.",
                fix="Cancel or move those reservations first: padelops search"
                f" --club {file.slug} --court {piece.court}",
                court=f"{file.slug}/{piece.court}",
            )
        changes.append(Change(piece.ref, None, piece.reason))
    return changes


_REF = "block:"


def _pieces(file: ClubFile) -> Iterator[_Piece]:
    local = zone(file.time_zone)
    for block in file.blocks:
        starts_at, ends_at = parse_start(block.starts, local), parse_start(block.ends, local)
        for court in block.courts or tuple(court.name for court in file.courts):
            for slot in in_pieces(starts_at, ends_at):
                span = f"{slot.starts_at:%Y%m%dT%H%M}-{slot.ends_at:%Y%m%dT%H%M}"
                ref = f"{_REF}{block.ref}:{court}:{span}"
                yield _Piece(court, slot, block.reason, ref)


def in_pieces(starts_at: datetime, ends_at: datetime) -> Iterator[Slot]:
    """A stretch of any length as slots of a day at the most, the longest a claim may be."""
    while starts_at < ends_at:
        until = min(ends_at, starts_at + LONGEST_CLAIM)
        yield Slot(starts_at, until)
        starts_at = until


def _with_service(document: dict[str, Any], in_service: dict[str, bool]) -> dict[str, Any]:
    """The stored document with each court's service as it is now: somebody may have changed it."""
    courts = [
        court | {"in_service": in_service.get(court["name"], court["in_service"])}
        for court in document.get("courts", [])
    ]
    return document | {"courts": courts} if document else {}


def _flat(document: Any, path: str = "") -> dict[str, Any]:
    """A document as `path -> value`, lists of named things by their names."""
    if isinstance(document, dict) and document:
        pairs = [(f"{path}.{key}" if path else key, value) for key, value in document.items()]
    elif isinstance(document, list) and all(
        isinstance(item, dict) and "name" in item for item in document
    ):
        pairs = [(f"{path}[{item['name']}]", item) for item in document]
    else:
        return {path: document}
    return {key: value for at, inner in pairs for key, value in _flat(inner, at).items()}
