"""What validation found, for people, for pipes (JSON lines) and for CI (JUnit XML)."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from padelops.cli.tables import Piece
    from padelops.ops.integrity_repair import Mended, Step
    from padelops.ops.integrity_report import Outcome, Report

MOST_SHOWN = 50
"""Violations on a screen; --json and --format have more."""

MOST_NAMED = 10
"""Of each kind, before a person agrees to a repair; --dry-run has all of them."""

MOST_SEED = 2**31


def verdict_pieces(report: Report) -> Iterator[Piece]:
    """The checks that did not hold with their evidence, what to do, and one line for all."""
    from padelops.cli.tables import Table

    yield Table(
        ["check", "invariant", "verdict", "found"],
        [
            [
                outcome.check,
                outcome.definition.invariant,
                "skipped" if outcome.skipped else outcome.verdict.word,
                "-"
                if outcome.skipped or (outcome.failure and not outcome.found)
                else outcome.found,
            ]
            for outcome in report.outcomes
        ],
    )
    broken = [
        [outcome.check, found.subject, found.evidence]
        for outcome in report.outcomes
        for found in outcome.violations
    ]
    if broken:
        yield Table(["check", "where", "evidence"], broken[:MOST_SHOWN], title="Violations")
        if report.found > MOST_SHOWN:
            yield f"{report.found} in all; --json and --format jsonl name more of them."
    for outcome in report.outcomes:
        if outcome.found:
            yield f"{outcome.check}: {outcome.definition.advice}"
        if outcome.failure:
            yield f"{outcome.check} could not run: {outcome.failure}"
    yield from _last_lines(report)


def _last_lines(report: Report) -> Iterator[str]:
    skipped = [outcome for outcome in report.outcomes if outcome.skipped]
    if skipped:
        yield f"Skipped: {', '.join(f'{one.check} ({one.skipped})' for one in skipped)}."
    if report.sample is not None and any(one.check == "price_recomputed" for one in report):
        yield (
            f"Prices and sealed entries: {report.sample} of each drawn with --seed {report.seed};"
            " --sample all asks each."
        )
    if report.snapshots > 1:
        yield f"Resumed: the answers come from {report.snapshots} moments."
    if report.not_run:
        yield "Incomplete. Go on with what is left: padelops validate --resume"
    of = f" of {', '.join(report.clubs)}" if report.clubs else ""
    yield (
        f"{report.reservations} reservations, {report.blocks} blocks{of}: {report.verdict.word}"
        f"{', incomplete' if report.not_run else ''}."
    )


def json_lines(report: Report) -> str:
    """One line for each violation and each check that could not run, and one for the verdict."""
    lines: list[dict[str, Any]] = []
    for outcome in report.outcomes:
        about = {"check": outcome.check, "invariant": outcome.definition.invariant}
        lines += [
            {"type": "violation", **about, "severity": outcome.verdict.word, **found.as_json()}
            for found in outcome.violations
        ]
        if outcome.failure:
            lines.append({"type": "not_run", **about, "failure": outcome.failure})
    document = report.as_json()
    del document["checks"]
    lines.append({"type": "summary", **document})
    return "\n".join(json.dumps(line, default=str) for line in lines)


def junit(report: Report) -> str:
    """
    One test for each check: broken is a failure, not run is an error, not asked is skipped.

    ASCII alone, so that no locale can break it.
    """
    tests = ET.Element(
        "testsuite",
        name="padelops validate",
        tests=str(len(report.outcomes)),
        failures=str(sum(bool(outcome.found) for outcome in report)),
        errors=str(sum(bool(outcome.failure and not outcome.found) for outcome in report)),
        skipped=str(sum(bool(outcome.skipped) for outcome in report)),
        time=f"{sum(outcome.seconds for outcome in report):.3f}",
        timestamp=report.at.isoformat(timespec="seconds"),
    )
    for outcome in report.outcomes:
        _test(tests, outcome)
    written: bytes = ET.tostring(tests, encoding="us-ascii", xml_declaration=True)
    return written.decode("ascii")


def _test(tests: ET.Element, outcome: Outcome) -> None:
    case = ET.SubElement(
        tests,
        "testcase",
        classname=f"padelops.{outcome.definition.invariant}",
        name=outcome.check,
        time=f"{outcome.seconds:.3f}",
    )
    if outcome.found:
        told = ET.SubElement(
            case,
            "failure",
            type=outcome.verdict.word,
            message=f"{outcome.found} found. {outcome.definition.advice}",
        )
        told.text = "\n".join(
            f"{found.subject}: {_plain(found.evidence)}" for found in outcome.violations
        )
    elif outcome.failure:
        ET.SubElement(case, "error", type="unknown", message=_allowed(outcome.failure))
    elif outcome.skipped:
        ET.SubElement(case, "skipped", message=outcome.skipped)


def _plain(evidence: Mapping[str, Any]) -> str:
    return json.dumps(evidence, default=str)  # control characters escaped: XML has no word for them


def _allowed(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "table": verdict_pieces,
    "jsonl": json_lines,
    "junit": junit,
}


def catalogue() -> dict[str, Any]:
    """Every check, as `--list` tells of it."""
    from padelops.ops.integrity_checks import CHECKS

    return {
        "checks": [
            {
                "check": check.name,
                "invariant": check.invariant,
                "severity": check.severity.word,
                "question": check.question,
                "advice": check.advice,
                "repair": check.repair,
            }
            for check in CHECKS.values()
        ]
    }


def catalogue_table(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        ["check", "invariant", "question", "repair"],
        [[row[name] for name in ("check", "invariant", "question", "repair")]
         for row in document["checks"]],
    )  # fmt: skip
    yield "A check's SQL: padelops validate --show-sql CHECK | psql"


def sql_document(check: str) -> dict[str, Any]:
    """
    Raises:
        InvalidInput: there is no such check.
    """
    from padelops.ops.integrity_checks import CHECKS
    from padelops.ops.integrity_questions import sql_of
    from padelops.wiring import utc_now

    if check not in CHECKS:
        raise InvalidInput(
            f"There is no check {check}.", fix="See them all: padelops validate --list"
        )
    return {
        "check": check,
        "question": CHECKS[check].question,
        "statements": sql_of(check, now=utc_now()),
    }


def sql_text(document: Mapping[str, Any]) -> str:
    """A script for psql: what is not SQL is a comment."""
    statements = document["statements"] or [
        "-- It compares the cache with computed days, not by SQL."
    ]
    return f"-- {document['question']}\n\n" + "\n\n".join(statements)


def sample_size(text: str) -> int | None:
    """
    How many prices; None for all.

    Raises:
        InvalidInput: neither a number nor `all`.
    """
    if text == "all":
        return None
    if text.isdecimal() and text.isascii() and int(text) < MOST_SEED:
        return int(text)
    raise InvalidInput(f"--sample is a number or all, not {text[:20]}.")


def seed_of(given: int | None) -> int:
    """The seed that was given, or one by lot; it is printed either way."""
    return secrets.randbelow(MOST_SEED) if given is None else given


def what_would_be_done(steps: Sequence[Step]) -> Iterator[str]:
    """What a repair is about to do, for whoever is asked to agree."""
    from padelops.ops.integrity_mends import REPAIRS

    for name in dict.fromkeys(step.repair for step in steps):
        mine = [step.subject for step in steps if step.repair == name]
        more = f" and {len(mine) - MOST_NAMED} more" if len(mine) > MOST_NAMED else ""
        yield f"{name}: {REPAIRS[name].promise}: {', '.join(mine[:MOST_NAMED])}{more}"


def mended_pieces(result: Mended) -> Iterator[Piece]:
    """What was mended, what was not and why, and what a second look found."""
    from padelops.cli.tables import Table

    done = "would be mended" if result.dry_run else "mended"
    yield Table(
        ["repair", "what", "evidence"],
        [[step.repair, step.subject, step.evidence] for step in result.mended[:MOST_SHOWN]],
        title=f"{len(result.mended)} {done}",
        nothing="Nothing to mend.",
    )
    if len(result.mended) > MOST_SHOWN:
        yield f"{len(result.mended) - MOST_SHOWN} more with --json."
    if result.left:
        yield Table(
            ["repair", "what", "why not"],
            [[step.repair, step.subject, step.left] for step in result.left[:MOST_SHOWN]],
            title=f"{len(result.left)} left for a person",
        )
    if result.unchecked:
        yield f"Not checked again: {', '.join(result.unchecked)}. Run: padelops validate"
    elif result.remaining:
        yield f"{result.remaining} remain. Run it again to go on."
    if result.run_id is not None:
        yield f"On record as run {result.run_id}."
