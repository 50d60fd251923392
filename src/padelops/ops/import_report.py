"""
What an import did, in numbers that add up: every row read is imported, was there, differs, waits in
quarantine, or was skipped by name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from padelops.errors import Corrupt, ExitCode

if TYPE_CHECKING:
    from padelops.ops.import_files import ImportFile

IMPORTED = "imported"
ALREADY_THERE = "already_there"
DIFFERS = "differs"
QUARANTINED = "quarantined"
OUTCOMES = (IMPORTED, ALREADY_THERE, DIFFERS, QUARANTINED)

MOST_SHOWN = 20
"""Differing rows in one report; the number is always whole."""


class BooksDoNotBalance(Corrupt):
    """The import's rows do not add up: one of them was lost or counted twice."""

    code = "import_does_not_add_up"


@dataclass(slots=True)
class ImportReport:
    """
    Attributes:
        rows_read: per model.
        outcomes: rows per (model, outcome).
        skipped: rows of models that padelops has no place for.
        ignored: values of fields that padelops has no place for, per `model.field`.
        notes: what was worth noting about the translation of rows.
        differing: the first rows that are here but were brought again saying something else.
        still_open: rows in quarantine at the end, of this and of earlier imports.
    """

    files: list[ImportFile]
    dry_run: bool
    rows_read: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    clubs: list[dict[str, Any]] = field(default_factory=list)
    differing: list[dict[str, Any]] = field(default_factory=list)
    still_open: int = 0

    def settle(self, model: str, outcome: str, reason: str | None = None, rows: int = 1) -> None:
        """So many rows of a model came to this end."""
        self.outcomes[model, outcome] += rows
        if outcome == QUARANTINED:
            self.reasons[reason or "unknown"] += rows

    def differ(self, model: str, ref: str, what: str, identity: int | None = None) -> None:
        """Name a row that is here but says something else now."""
        if len(self.differing) < MOST_SHOWN:
            here = {} if identity is None else {"id": identity}
            self.differing.append({"model": model, "ref": ref, **here, "detail": what})

    def total(self, outcome: str) -> int:
        return sum(rows for (_, ended), rows in self.outcomes.items() if ended == outcome)

    def require_balance(self) -> None:
        """
        Raises:
            BooksDoNotBalance: rows were lost, or counted twice.
        """
        ended: Counter[str] = Counter(self.skipped)
        for (model, _), rows in self.outcomes.items():
            ended[model] += rows
        if ended != self.rows_read:
            wrong = min(
                model for model in ended | self.rows_read if ended[model] != self.rows_read[model]
            )
            raise BooksDoNotBalance(
                f"{wrong}: {self.rows_read[wrong]} rows were read,"
                f" {ended[wrong]} are accounted for.",
                fix="What is in is in; report this with the file's first lines.",
            )

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.PARTLY_DONE if self.total(QUARANTINED) else ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        return {
            "files": [{"name": file.name, "format": file.format} for file in self.files],
            "dry_run": self.dry_run,
            "rows_read": self.rows_read.total(),
            **{outcome: self.total(outcome) for outcome in OUTCOMES},
            "skipped": self.skipped.total(),
            "models": {
                model: {"read": rows}
                | {outcome: self.outcomes[model, outcome] for outcome in OUTCOMES}
                | {"skipped": self.skipped[model]}
                for model, rows in sorted(self.rows_read.items())
            },
            "quarantined_by_reason": dict(sorted(self.reasons.items())),
            "skipped_models": dict(sorted(self.skipped.items())),
            "ignored_fields": dict(sorted(self.ignored.items())),
            "notes": dict(sorted(self.notes.items())),
            "clubs": self.clubs,
            "differing": self.differing,
            "open_in_quarantine": self.still_open,
        }
