"""
Data integrity verification: every invariant of the design, asked of the data as it is now.

`IntegrityValidator(...).validate_all_reservations()` looks at everything from one read-only
snapshot, which several connections share, and repairs nothing. A check that could not run is
reported as such and makes the verdict "unknown"; it never counts as passed.

Source: CRITICAL_PATHS.md, "Data integrity verification"; DESIGN.md section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeAlias

from padelops.errors import InvalidInput, NotFound, NotPermitted
from padelops.ops.integrity_checks import CHECKS
from padelops.ops.integrity_hands import PATIENCE_S, Hands
from padelops.ops.integrity_questions import QUESTIONS, Question, Scope
from padelops.ops.integrity_report import MOST_KEPT, Outcome, Report
from padelops.ops.integrity_tally import Job, Unfinished
from padelops.ops.verdict import Verdict
from padelops.store import integrity as tables
from padelops.store import schema_shape
from padelops.store.engine import explained

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from pathlib import Path

    from padelops.ops.integrity_questions import CachedDays
    from padelops.ops.integrity_tally import Answer
    from padelops.store.engine import Database
    from padelops.store.integrity import ClubRows

__all__ = ["CHECKS", "IntegrityValidator", "Outcome", "Report", "Verdict"]

SAMPLE = 10_000
"""Prices computed again unless told otherwise: a fault in one price of a thousand shows."""

PIECE_ROWS = 2_000_000
"""Claims of clubs that are looked at together. Clubs' rows lie mixed in the tables, so each piece
reads them all: few pieces are fast, many lose less when they are interrupted."""

Watch: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Shows how far a long step is: called with its title and its number of steps."""


def unwatched(_title: str, _steps: int) -> AbstractContextManager[Callable[[int], object]]:
    """Nobody looks on."""
    return nullcontext(lambda _: None)


class IntegrityValidator:
    """
    Asks every check about one database.

    Args:
        database: a pool without a time limit for statements (`desk.bulk`).
        cached_days: compares the cache with the tables; without it that check is skipped.
        notes: folder for what an interrupted run has found so far; without it none can be resumed.
        piece_rows: see `PIECE_ROWS`.
        patience_s: how long one statement may take before the server counts as lost.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime],
        cached_days: CachedDays | None = None,
        notes: Path | None = None,
        piece_rows: int = PIECE_ROWS,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._database = database
        self._clock = clock
        self._cached_days = cached_days
        self._notes = notes
        self._piece_rows = piece_rows
        self._patience_s = patience_s

    def validate_all_reservations(
        self,
        *,
        clubs: Collection[str] = (),
        checks: Collection[str] = (),
        sample: int | None = SAMPLE,
        seed: int = 0,
        resume: bool = False,
        watch: Watch = unwatched,
    ) -> Report:
        """
        Run every check, or those that were chosen.

        Args:
            clubs: slugs; what is no matter of one club is then skipped, and said to be.
            checks: names; the others are left out.
            sample: how many prices to compute again, and how many sealed entries of the trail to
                compare with their fingerprints, drawn by lot; None for all.
            seed: draws the same prices again.
            resume: go on with what an interrupted run had not asked yet, with its seed and sample.

        Raises:
            DatabaseUnavailable: not one check could run.
            NotPermitted: the role may not read everything; nothing was looked at.
            NotFound: no such club. InvalidInput: no such check.
        """
        unknown = sorted(set(checks) - CHECKS.keys())
        if unknown:
            raise InvalidInput(
                f"There is no check {unknown[0]}.", fix="See them all: padelops validate --list"
            )
        now = self._clock()
        hands = Hands(self._database, self._cached_days, patience_s=self._patience_s)
        try:
            with explained():
                server = hands.lead()
                self._may_read(hands, server.role)
                chosen = _chosen(tables.clubs(hands.leader), clubs)
            past = Unfinished(self._notes, server.identity, sample=sample, seed=seed, clubs=clubs)
            if resume:
                past.take_up()
            jobs = _jobs(chosen, whole=not clubs, piece_rows=self._piece_rows, checks=checks)
            answers = past.known(jobs)
            left = [job for job in jobs if job.key not in answers]
            rows = sum(club.reservations + club.blocks for club in chosen)
            with watch(f"Checking {rows} claims", sum(job.weight for job in left)) as advance:
                for answer in hands.ask(left, now=now, sample=past.sample, seed=past.seed):
                    answers[answer.job.key] = answer
                    past.note(answer)
                    advance(answer.job.weight)
        finally:
            hands.close()
        report = Report(
            at=now,
            reservations=sum(club.reservations for club in chosen),
            blocks=sum(club.blocks for club in chosen),
            outcomes=_outcomes(list(answers.values()), whole=not clubs, checks=checks),
            clubs=tuple(sorted(clubs)),
            sample=past.sample,
            seed=past.seed,
            snapshots=past.snapshots,
        )
        if not report.not_run:
            past.forget()
        return report

    def _may_read(self, hands: Hands, role: str) -> None:
        lacking = tables.unreadable(hands.leader, schema_shape.relations())
        if lacking:
            names = ", ".join(lacking)
            raise NotPermitted(
                f"The role {role} may not read {names}.",
                fix=f"Let their owner run: {tables.grant(lacking, role)}",
                role=role,
                missing=lacking,
            )


def _chosen(everything: Sequence[ClubRows], slugs: Collection[str]) -> list[ClubRows]:
    if not slugs:
        return list(everything)
    by_slug = {club.slug: club for club in everything}
    for slug in slugs:
        if slug not in by_slug:
            raise NotFound(f"There is no club {slug}.", fix="See them all: padelops club list")
    return [by_slug[slug] for slug in sorted(set(slugs))]


def _jobs(
    chosen: Sequence[ClubRows], *, whole: bool, piece_rows: int, checks: Collection[str]
) -> list[Job]:
    """Every question with the clubs that it is asked of; what is asked once comes first."""
    pieces = _pieces(chosen, piece_rows)
    rows = sum(club.reservations + club.blocks for club in chosen)
    all_of_them = None if whole else tuple(club.id for club in chosen)
    wanted = [one for one in QUESTIONS if not checks or set(checks) & set(one.checks)]
    once = [
        Job(question, all_of_them, 1 + rows // 10)
        for question in wanted
        if question.scope is Scope.CHOSEN or (question.scope is Scope.DATABASE and whole)
    ]
    by_club = [
        Job(
            question,
            # One piece that is everything needs no list: it also meets rows of no club.
            None if whole and len(pieces) == 1 else tuple(club.id for club in piece),
            1 + sum(club.reservations + club.blocks for club in piece),
        )
        for piece in pieces
        for question in wanted
        if question.scope is Scope.CLUBS
    ]
    return [*once, *by_club]


def _pieces(clubs: Sequence[ClubRows], piece_rows: int) -> list[list[ClubRows]]:
    """Clubs together until they have enough rows."""
    pieces: list[list[ClubRows]] = [[]]
    rows = 0
    for club in clubs:
        size = club.reservations + club.blocks
        if pieces[-1] and rows + size > piece_rows:
            pieces.append([])
            rows = 0
        pieces[-1].append(club)
        rows += size
    return pieces


def _outcomes(
    answers: Sequence[Answer], *, whole: bool, checks: Collection[str]
) -> tuple[Outcome, ...]:
    """What all answers together say about each check."""
    outcomes = []
    for name, check in CHECKS.items():
        if checks and name not in checks:
            continue
        mine = [answer for answer in answers if name in answer.job.question.checks]
        found = [answer.found[name] for answer in mine if name in answer.found]
        outcomes.append(
            Outcome(
                check,
                found=sum(tally.count for tally in found),
                violations=tuple(one for tally in found for one in tally.first)[:MOST_KEPT],
                failure=next((answer.failure for answer in mine if answer.failure), None),
                skipped=_why_skipped(mine, _asking(name), whole=whole),
                seconds=sum(answer.seconds / len(answer.job.question.checks) for answer in mine),
            )
        )
    return tuple(outcomes)


def _asking(check: str) -> list[Question]:
    return [question for question in QUESTIONS if check in question.checks]


def _why_skipped(
    answers: Sequence[Answer], questions: Sequence[Question], *, whole: bool
) -> str | None:
    if answers and all(answer.skipped for answer in answers):
        return answers[0].skipped
    if not answers and not whole and all(one.scope is Scope.DATABASE for one in questions):
        return "it is no matter of one club"
    return None
