"""
Clubs that an import brings: made when they are new, left as they are when they are here.

Somebody may have edited a club since it was first imported, so an import never changes one: it
adds courts that are missing, and reports what the dump says differently.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

from padelops.booking import club_changes
from padelops.booking.club_file import ClubFile
from padelops.booking.clubs import club_of
from padelops.ops.import_fields import BadRow, key_of, moment_of
from padelops.ops.import_files import PADELYZER
from padelops.ops.import_report import ALREADY_THERE, DIFFERS, IMPORTED, QUARANTINED
from padelops.ops.padelyzer import digest_of_text
from padelops.ops.padelyzer_clubs import CLUB, COURT, OldClub, add, club_key
from padelops.store import clubs as club_rows
from padelops.store import imports, quarantine

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.model import Origin
    from padelops.ops.django_dump import Record
    from padelops.ops.import_report import ImportReport
    from padelops.ops.import_terms import ImportTerms
    from padelops.store.engine import Database
    from padelops.store.import_session import ImportSession


@dataclass(slots=True)
class ClubArrivals:
    """The records of clubs, courts and schedules of one import, and what becomes of them."""

    database: Database
    session: ImportSession
    terms: ImportTerms
    report: ImportReport
    origin: Origin
    now: datetime
    _in: list[Record] = field(default_factory=list)
    _bad: list[tuple[Record, BadRow]] = field(default_factory=list)

    def arrive(self, records: list[Record]) -> None:
        """
        Make the new clubs, complete the others, and say of every record what became of it.

        Raises:
            InvalidInput: the command line says another zone or currency than a club has.
        """
        # Another import may have made one of them while this one was reading.
        self.terms.learn(imports.known_clubs(self.session.tx))
        clubs = self._grouped(records)
        readable = [club for club in clubs.values() if self._is_read_right(club)]
        for club in readable:
            slug = self._slug_of(club)
            if slug is not None:
                self._complete(club, slug)
            elif club.record is None:
                self._refuse(_records(club), "unknown_club", f"there is no club {club.key} here")
            else:
                self._make(club, club.record)
        self._write_down()

    def _is_read_right(self, club: OldClub) -> bool:
        """Whether the club's rows were read in its zone and currency, if it is here."""
        known = self.terms.club_with_slug(self._slug_of(club) or "")
        if known is None:
            return True
        try:
            self.terms.require_same(known, known_before=known.external_ref is not None)
        except BadRow as exc:
            self._refuse(_records(club), exc.reason, exc.detail)
            return False
        return True

    def _grouped(self, records: list[Record]) -> dict[str, OldClub]:
        """By club, the newest version of each record first; the others are settled here."""
        clubs: dict[str, OldClub] = {}
        kept: dict[tuple[str, str], str] = {}
        for record in sorted(records, key=_newest_first):
            digest = digest_of_text(record.text)
            identity = (record.model, repr(record.pk))
            if record.pk is not None and identity in kept:
                if kept[identity] == digest:
                    self.report.settle(record.model, ALREADY_THERE)
                else:
                    self._differs(record, "a newer version of the row is in the same import")
                continue
            kept[identity] = digest
            try:
                key = club_key(record)
                add(clubs.setdefault(key, OldClub(key)), record)
            except BadRow as exc:
                self._bad.append((record, exc))
        return dict(sorted(clubs.items()))

    def _slug_of(self, club: OldClub) -> str | None:
        """The slug of the club if it is here: by its reference, or made by hand under its slug."""
        slug = imports.slug_of_ref(self.session.tx, club.key)
        if slug is not None or club.record is None:
            return slug
        try:
            wanted = club.slug()
        except BadRow:
            return None  # said when it is made
        free = imports.slug_is_free(self.session.tx, wanted)
        taken = not free and imports.ref_of_slug(self.session.tx, wanted) is not None
        return None if free or taken else wanted

    def _make(self, club: OldClub, record: Record) -> None:
        try:
            file = self._new_file(club)
        except BadRow as exc:
            self._bad.append((record, exc))
            others = [other for other in _records(club) if other is not record]
            self._refuse(others, "unknown_club", f"its club {club.key} could not be made")
            return
        if record.fields.get("slug") != file.slug:
            self._note(f"a slug became {file.slug}")
        club_changes.apply_club(
            self.database, file, origin=self.origin, now=self.now, dry_run=self.session.preview
        )
        if self.session.preview:
            imports.preview_club(
                self.session.tx, file.slug, file.name, file.time_zone, file.currency
            )
            imports.preview_courts(self.session.tx, file.slug, [one.name for one in file.courts])
        self._link(club, file.slug, {name: court.key for name, court in club.courts.items()})
        self._tell_of(file.slug, [court.name for court in file.courts], created=True)
        for one in _records(club):
            self._is_in(one, IMPORTED)

    def _new_file(self, club: OldClub) -> ClubFile:
        terms = self.terms
        file = club.file(time_zone=terms.time_zone, currency=terms.currency, note=self._note)
        if not imports.slug_is_free(self.session.tx, file.slug):
            raise BadRow("slug_taken", f"another club is called {file.slug} here")
        return file

    def _complete(self, club: OldClub, slug: str) -> None:
        """Add the courts that are missing, and compare the rest."""
        refs = imports.refs_of_courts(self.session.tx, slug)
        strangers = [
            court for name, court in club.courts.items() if refs.get(name) not in (None, court.key)
        ]
        for court in strangers:
            name = court.terms.name
            self._refuse(
                [court.record], "court_number_taken", f"{slug}/{name} is another court here"
            )
            del club.courts[name]
        new = [terms for terms in club.court_terms() if terms.name not in refs]
        names = [terms.name for terms in new]
        if new and self.session.preview:
            imports.preview_courts(self.session.tx, slug, names)
        elif new:
            club_changes.add_courts(self.database, slug, new, origin=self.origin)
        if new:
            self._tell_of(slug, names, created=False)
        self._link(club, slug, {name: court.key for name, court in club.courts.items()})
        self._compare(club, slug, names)

    def _link(self, club: OldClub, slug: str, courts: dict[str, str]) -> None:
        with self.session.batch() as tx:
            imports.link_club(tx, slug, club.key, courts)

    def _compare(self, club: OldClub, slug: str, new: list[str]) -> None:
        """Settle each record of a club that is here by whether it says what is here."""
        with self.database.reading() as tx:
            row = club_rows.by_slug(tx, slug)
        if row is None:
            raise LookupError(f"club {slug} vanished, though clubs are never deleted")
        club_of(row)  # refuses a damaged document in its own words
        file = ClubFile.model_validate(row.config)
        if club.record is not None:
            try:
                wanted = club.file(
                    time_zone=file.time_zone, currency=file.currency, note=_not_again
                )
            except BadRow as exc:
                self._bad.append((club.record, exc))
            else:
                told = {"name": wanted.name, "rules": wanted.rules}
                self._told(club.record, told, {"name": file.name, "rules": file.rules})
        here = {court["name"]: court for court in row.courts}
        prices = {court.name: court.hourly_price for court in file.courts}
        for terms in club.court_terms():
            record, name = club.courts[terms.name].record, terms.name
            if name in new:
                self._is_in(record, IMPORTED)
                continue
            told = {"price": terms.hourly_price, "in service": terms.in_service}
            told["attributes"] = dict(terms.attributes)
            stands = {"price": prices.get(name), "in service": here[name]["in_service"]}
            self._told(record, told, stands | {"attributes": here[name]["attributes"]})
        weekly = file.document()["hours"]["weekly"]
        for day, schedule in club.schedules.items():
            hours = ", ".join(weekly.get(day, [])) or "closed"
            self._told(schedule.record, {day: schedule.hours or hours}, {day: hours})

    def _told(self, record: Record, told: dict[str, Any], here: dict[str, Any]) -> None:
        different = [name for name, value in told.items() if value != here[name]]
        if different:
            self._differs(record, ", ".join(different))
            self._in.append(record)
        else:
            self._is_in(record, ALREADY_THERE)

    def _is_in(self, record: Record, outcome: str) -> None:
        self.report.settle(record.model, outcome)
        self._in.append(record)

    def _differs(self, record: Record, what: str) -> None:
        self.report.settle(record.model, DIFFERS)
        self.report.differ(record.model, _ref(record), what)

    def _refuse(self, records: list[Record], reason: str, detail: str) -> None:
        self._bad += ((record, BadRow(reason, detail)) for record in records)

    def _note(self, text: str) -> None:
        self.report.notes[text] += 1

    def _tell_of(self, slug: str, courts: list[str], *, created: bool) -> None:
        self.report.clubs.append({"club": slug, "created": created, "courts": courts})

    def _write_down(self) -> None:
        """What could not go in goes to quarantine; entries of what is in by now are closed."""
        with self.session.batch() as tx:
            for record in self._in:
                ref = _ref(record)
                quarantine.resolve(tx, model=record.model, scope="", ref=ref, now=self.now)
            for record, why in self._bad:
                self.report.settle(record.model, QUARANTINED, why.reason)
                quarantine.put(
                    tx,
                    source=record.source,
                    model=record.model,
                    scope="",
                    ref=_ref(record),
                    record=record.text,
                    context=self.terms.context(PADELYZER),
                    reason=why.reason,
                    detail=why.detail,
                )


def _records(club: OldClub) -> list[Record]:
    found = [] if club.record is None else [club.record]
    found += [court.record for court in club.courts.values()]
    return found + [schedule.record for schedule in club.schedules.values()]


def _ref(record: Record) -> str:
    """What the record is called in quarantine: its pk, or its content where that is none."""
    try:
        key = key_of({"pk": record.pk}, "pk")
    except BadRow:
        key = None
    return key or f"content-{digest_of_text(record.text)}"


def _newest_first(record: Record) -> tuple[int, float, str]:
    """Clubs before what belongs to them, and of two versions the newer one."""
    order = {CLUB: 0, COURT: 1}.get(record.model, 2)
    try:
        moment = moment_of(record.fields, "updated_at", UTC)
    except BadRow:
        moment = None
    return order, -(moment.timestamp() if moment else 0), record.text


def _not_again(_: str) -> None:
    """What is worth noting about a club was noted when it was made."""
