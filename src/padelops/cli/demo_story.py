"""
The main job, told on a real database: what `padelops demo` does, one chapter after another.

Each chapter works through the desk as any script would, and says which command does the same.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any

from padelops.adapters.sandbox_faults import FaultKind, Operation, SandboxFaults
from padelops.booking.club_time import local
from padelops.booking.outbox import listing
from padelops.cli.commands.audit import story_table
from padelops.cli.integrity_views import verdict_pieces
from padelops.cli.reservation_views import day_grid, lines_table, reservation_record
from padelops.cli.tables import Table
from padelops.errors import NotFound, PadelopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.cli.tables import Piece
    from padelops.wiring import Desk

RACERS = 50
EVENING = "18:00"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading, the command that does the same, what it looks like, and the facts as JSON."""

    title: str
    command: str
    pieces: list[Piece]
    facts: dict[str, Any]


def chapters(desk: Desk, *, width: int | None) -> Iterator[Chapter]:
    """The whole story, told as it happens."""
    yield _clubs(desk)
    day = _free_day(desk)
    yield _day(desk, day, width)
    booked, chapter = _booking(desk, day)
    yield chapter
    yield _race(desk, day)
    yield _cancellation(desk, booked)
    yield _card(desk, day)
    yield _trouble(desk, day)
    yield _messages(desk)
    yield _history(desk, booked)
    yield _validation(desk)


def _clubs(desk: Desk) -> Chapter:
    with resources.as_file(resources.files("padelops.demo") / "clubs.yaml") as path:
        applied = desk.apply_club_file(path)
    clubs = [club.as_json() for club in desk.clubs()]
    table = Table(
        ["club", "zone", "currency", "courts"],
        [[club["club"], club["time_zone"], club["currency"], club["courts"]] for club in clubs],
    )
    return Chapter(
        "Three clubs in three zones and currencies",
        "padelops club apply src/padelops/demo/clubs.yaml",
        [table],
        {"clubs": clubs, "changes": sum(len(one.changes) for one in applied)},
    )


def _free_day(desk: Desk) -> date:
    """The first Friday whose evening is still free, so that the demo can be repeated."""
    today = local(desk.now(), desk.catalogue.club("centro").zone).date()
    friday = today + timedelta(days=(4 - today.weekday()) % 7 or 7)
    for week in range(8):
        day = friday + timedelta(weeks=week)
        found = desk.availability("centro", day, minutes=120).as_json()
        evening = f"{day}T{EVENING}"
        free = {
            court["court"]
            for court in found["courts"]
            if any(start["starts_at"].startswith(evening) for start in court["free"])
        }
        if {"centro/1", "centro/2", "centro/3", "centro/4"} <= free:
            return day
    raise NotFound(
        "Every coming Friday evening at centro is booked by earlier demos.",
        fix="Start afresh with another PADELOPS_HOME.",
    )


def _day(desk: Desk, day: date, width: int | None) -> Chapter:
    found = desk.availability("centro", day).as_json()
    header, grid = list(day_grid(found, width=width))[:2]
    if isinstance(grid, Table):
        from_five = [row for row in grid.rows if str(row[0]) >= "17:00"]
        grid = Table(grid.columns, from_five)
    return Chapter(
        "What is free, from five in the afternoon, with prices",
        f"padelops availability centro {day}",
        [header, grid],
        {"date": str(day), "free": {c["court"]: len(c["free"]) for c in found["courts"]}},
    )


def _booking(desk: Desk, day: date) -> tuple[int, Chapter]:
    booking = desk.book(
        "centro/2",
        f"{day}T17:30",
        minutes=90,
        player="Ana Ruiz",
        email="ana@example.com",
        member="gold",
    )
    document = booking.as_json()
    chapter = Chapter(
        "A booking, priced to the minute across the peak's beginning",
        f'padelops book centro/2 {day}T17:30 --minutes 90 --player "Ana Ruiz" --member gold'
        " --email ana@example.com",
        [
            reservation_record(document, title=f"Reservation {document['id']}"),
            lines_table(document["lines"], document["currency"], document["total"]),
        ],
        document,
    )
    return booking.reservation.id, chapter


def _race(desk: Desk, day: date) -> Chapter:
    """Overlapping slots, all at the same moment: the database lets one of them through."""
    barrier = threading.Barrier(RACERS)
    answers: Counter[str] = Counter()

    def racer(number: int) -> None:
        start = ("18:00", "18:30", "19:00")[number % 3]
        barrier.wait()
        try:
            desk.book("centro/3", f"{day}T{start}", minutes=90, player=f"Racer {number + 1}")
        except PadelopsError as exc:
            answers[exc.code] += 1
        else:
            answers["booked"] += 1

    _all_at_once(racer)
    return Chapter(
        f"{RACERS} clients at once want overlapping slots on one court",
        f"padelops book centro/3 {day}T18:00 ... ({RACERS} times)",
        [Table(["answer", "clients"], sorted(answers.items()))],
        dict(answers),
    )


def _all_at_once(racer: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=racer, args=(number,)) for number in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _cancellation(desk: Desk, reservation_id: int) -> Chapter:
    desk.settle_at_desk(reservation_id)
    cancellation = desk.cancel(reservation_id)
    document = cancellation.as_json()
    currency = document["currency"]
    return Chapter(
        "Paid at the desk, then cancelled: the refund follows the policy it was booked under",
        f"padelops payments settle {reservation_id}; padelops cancel {reservation_id}",
        [
            Table(
                ["paid", "to give back", "kept"],
                [[f"{document[name]} {currency}" for name in ("captured", "refund", "kept")]],
            )
        ],
        {name: document[name] for name in ("id", "status", "captured", "refund", "kept")},
    )


def _card(desk: Desk, day: date) -> Chapter:
    """One card that is charged, and one that is declined: its hold is released at once."""
    answers: list[tuple[str, str, str]] = []
    paid = desk.book(
        "centro/1",
        f"{day}T{EVENING}",
        player="Leo Paz",
        email="leo@example.com",
        pay="card",
        card="tok_visa",
    )
    try:
        desk.book(
            "centro/4",
            f"{day}T{EVENING}",
            player="Eva Gil",
            email="eva@example.com",
            pay="card",
            card="tok_chargeDeclinedInsufficientFunds",
        )
    except PadelopsError as exc:
        answers.append(("tok_chargeDeclinedInsufficientFunds", exc.code, "the court is free again"))
    desk.worker().until_idle(lambda: False)
    captured = desk.show(paid.reservation.id)
    answers.insert(0, ("tok_visa", captured.payment_status, f"{captured.captured} EUR captured"))
    return Chapter(
        "Two cards: one is charged by the worker, one is declined",
        f"padelops book centro/1 {day}T{EVENING} ... --pay card --card tok_visa;"
        " padelops worker --once",
        [Table(["card", "outcome", "so"], answers)],
        {card: outcome for card, outcome, _ in answers},
    )


def _trouble(desk: Desk, day: date) -> Chapter:
    """A gateway that is away, and one that charges but never answers."""
    faults = SandboxFaults(desk.database, desk.now)
    faults.set(Operation.ANY, FaultKind.OUTAGE)
    try:
        queued = _troubled(desk, "centro/4", day)
    finally:
        faults.clear()
    retried = desk.retry_payment(queued.facts["reservation_id"], reason="the gateway is back")

    faults.set(Operation.AUTHORIZE, FaultKind.TIMEOUT_AFTER_WORK, times=1)
    try:
        unknown = _troubled(desk, "centro/2", day)
    finally:
        faults.clear()
    settled = desk.reconcile_payment(unknown.facts["reservation_id"])

    desk.worker().until_idle(lambda: False)
    rows = [
        ("away", queued.code, "padelops payments retry", retried),
        ("no answer", unknown.code, "padelops payments reconcile", settled),
    ]
    return Chapter(
        "A gateway that is away, and one that charges and never answers",
        "padelops sandbox fault authorize timeout_after_work --times 1; padelops book ...",
        [
            Table(
                ["gateway", "booking's answer", "settled by", "status", "payment"],
                [
                    [gateway, code, command, str(one.status), desk.show(one.id).payment_status]
                    for gateway, code, command, one in rows
                ],
            )
        ],
        {gateway: [code, str(one.status)] for gateway, code, _, one in rows},
    )


def _troubled(desk: Desk, court: str, day: date) -> PadelopsError:
    """What a card booking answers while the gateway is in trouble."""
    try:
        desk.book(
            court,
            f"{day}T{EVENING}",
            player="Leo Paz",
            email="leo@example.com",
            pay="card",
            card="tok_visa",
        )
    except PadelopsError as exc:
        return exc
    raise LookupError("the fault did not happen")


def _messages(desk: Desk) -> Chapter:
    listed = listing(desk.bulk, limit=8).as_json()["messages"]
    columns = ["kind", "reservation", "state", "reason"]
    return Chapter(
        "What the players were told: written to the spool folder, as no mail server is set",
        "padelops notifications list",
        [
            Table(
                ["message", "reservation", "state", "why"],
                [[message[column] for column in columns] for message in listed],
            )
        ],
        {"messages": [message["kind"] for message in listed]},
    )


def _history(desk: Desk, reservation_id: int) -> Chapter:
    entries = [entry.as_json() for entry in desk.history(reservation_id)]
    return Chapter(
        "Its story: one entry for each change, written by the database itself",
        f"padelops audit history {reservation_id}",
        [story_table({"entries": entries})],
        {"entries": [entry["action"] for entry in entries]},
    )


def _validation(desk: Desk) -> Chapter:
    desk.seal_audit()
    report = desk.validator().validate_all_reservations()
    return Chapter(
        "Every invariant, asked of the data",
        "padelops audit seal; padelops validate",
        list(verdict_pieces(report)),
        {"verdict": report.verdict.name.lower(), "reservations": report.reservations},
    )
