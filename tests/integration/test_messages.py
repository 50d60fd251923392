"""
The outbox on a real database: each message leaves once, whoever dies, cancels or asks again
meanwhile. Source: CRITICAL_PATHS.md, path 7; ACCEPTANCE scenario 22.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from padelops.adapters.spool import SpoolDelivery
from padelops.booking import outbox
from padelops.booking.delivery import (
    Channel,
    Deferred,
    DeliveryUnavailable,
    DeliveryUnknown,
    Envelope,
    Undeliverable,
)
from padelops.booking.delivery_report import Verdict, report
from padelops.booking.message_kinds import KINDS
from padelops.booking.notifications import LEASE, PATIENCE, Round, deliver_due
from padelops.booking.reminders import BATCH, schedule_reminders
from padelops.errors import BreakerOpen, DatabaseUnavailable, InvalidInput, NotFound
from padelops.model import Origin
from padelops.store import messages
from padelops.store.engine import Database
from testbed.clock import MORNING, Clock
from testbed.racing import race
from testbed.rows import EVENING, block_row, column, insert, one, reservation_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from padelops import Desk

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EVERYTHING = frozenset({Channel.EMAIL, Channel.SMS})
OPERATOR = Origin("operator")


class Post:
    """A delivery that keeps what it is given; `trouble` says what happens first."""

    def __init__(self, *, channels: frozenset[Channel] = EVERYTHING) -> None:
        self.channels = channels
        self.sent: list[Envelope] = []
        self.trouble: Callable[[Envelope], None] = lambda _: None

    def deliver(self, envelope: Envelope) -> str:
        self.trouble(envelope)
        self.sent.append(envelope)
        return f"receipt {len(self.sent)}"

    @property
    def kinds(self) -> list[str]:
        return [envelope.kind for envelope in self.sent]


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def book(psql: Any) -> Callable[..., int]:
    """Puts a confirmed reservation into the tables; its messages are due since this morning."""

    def booked(address: str = "centro/2", starts_at: datetime = EVENING, **changes: Any) -> int:
        facts = {
            "starts_at": starts_at,
            "price_source": "tariff",
            "player_email": "ana@example.com",
            "created_at": MORNING - DAY,
        }
        claim = insert(psql, "claims", reservation_row(psql, address, **(facts | changes)))
        due_since_morning(psql)
        return claim

    return booked


def due_since_morning(psql: Any) -> None:
    """The database's clock is the real one; the tests' is not."""
    psql.execute(
        "UPDATE messages SET due_at = %s, next_attempt_at = %s, created_at = %s"
        " WHERE state = 'queued' AND attempts = 0 AND kind <> 'reminder'",
        [MORNING, MORNING, MORNING],
    )


@pytest.fixture
def deliver(desk: Desk, post: Post, clock: Clock) -> Callable[..., Round]:
    """Runs one round of a worker."""

    def run(**changes: Any) -> Round:
        options: dict[str, Any] = {
            "now": clock,
            "worker": "worker-1",
            "chance": lambda: 0.5,
        } | changes
        return deliver_due(desk.database, options.pop("post", post), **options)

    return run


def state_of(psql: Any, claim: int, kind: str = "confirmation") -> tuple[Any, ...]:
    """A message's state, tries and reason."""
    row = psql.execute(
        "SELECT state, attempts, reason FROM messages WHERE claim_id = %s AND kind = %s",
        [claim, kind],
    ).fetchone()
    assert row is not None
    return tuple(row)


def failing(error: Exception, *, times: int = 1000) -> Callable[[Envelope], None]:
    """Trouble for the first so many messages."""
    left = [error] * times

    def trouble(_: Envelope) -> None:
        if left:
            raise left.pop()

    return trouble


# --- the way of a message -------------------------------------------------------------------


def test_a_booking_is_confirmed_once(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], post: Post, clock: Clock
) -> None:
    """
    Delivered with its receipt, and nothing left to do in the next round.
    """
    claim = book()
    clock.advance(seconds=90)

    first, second = deliver(), deliver()

    assert (1, 0) == (first.delivered, second.taken)
    assert ["ana@example.com"] == [envelope.address for envelope in post.sent]
    assert "Reserva confirmada: martes 1 de diciembre de 2026, 18:00, pista 2" == (
        post.sent[0].subject
    )
    assert ("delivered", 1, None) == state_of(psql, claim)
    assert (clock(), "receipt 1", "email", "es", None) == psql.execute(
        "SELECT delivered_at, receipt, channel, language, claimed_by FROM messages"
    ).fetchone()


def test_side_by_side_each_message_goes_to_one_worker(
    psql: Any, another_desk: Callable[..., Desk], book: Callable[..., int], clock: Clock
) -> None:
    """
    Four workers, sixty messages, sixty deliveries.
    """
    for n in range(60):
        book(f"centro/{1 + n % 4}", EVENING + HOUR * (n // 4))
    posts = [Post() for _ in range(4)]
    desks = [another_desk() for _ in posts]

    finishes = race(
        *(
            lambda post=post, desk=desk, n=n: deliver_due(
                desk.database, post, now=clock, worker=f"worker-{n}"
            )
            for n, (post, desk) in enumerate(zip(posts, desks, strict=True))
        )
    )

    sent = Counter(envelope.key for post in posts for envelope in post.sent)
    assert [None] * 4 == [finish.error for finish in finishes]
    assert 60 == len(sent)
    assert {1} == set(sent.values())
    assert 60 == one(psql, "SELECT count(*) FROM messages WHERE state = 'delivered'")
    assert 60 == sum(finish.value.delivered for finish in finishes)


def test_no_transaction_is_open_while_a_message_is_sent(
    raw: Callable[[], Any], book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    The claim is committed before, so a slow mail server holds no lock and no snapshot.
    """
    book()
    looker = raw()
    seen: list[Any] = []

    def look(_: Envelope) -> None:
        seen.append(
            column(
                looker,
                "SELECT state FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'padelops' AND state <> 'idle'",
            )
        )
        seen.append(one(looker, "SELECT claimed_by FROM messages"))

    post.trouble = look
    deliver()

    assert [[], "worker-1"] == seen


def test_the_limit_and_the_stop_sign_are_kept_between_two_messages(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    The message in hand is finished, and none stays claimed.
    """
    for hour in range(5):
        book(starts_at=EVENING + hour * HOUR)

    limited = deliver(limit=2)
    stopped = deliver(stop=lambda: len(post.sent) >= 3)

    assert (2, 1) == (limited.delivered, stopped.delivered)
    assert 3 == one(psql, "SELECT count(*) FROM messages WHERE state = 'delivered'")
    assert 0 == one(psql, "SELECT count(*) FROM messages WHERE claimed_by IS NOT NULL")


@pytest.mark.parametrize("looks", range(7))
def test_a_stop_sign_at_any_moment_leaves_nothing_claimed(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], looks: int
) -> None:
    """
    Whichever look at the sign sees it first: what is in hand goes out, what is not stays free.
    """
    for hour in range(3):
        book(starts_at=EVENING + hour * HOUR)
    signs = iter([False] * looks)

    done = deliver(stop=lambda: next(signs, True))

    assert done.delivered == one(psql, "SELECT count(*) FROM messages WHERE state = 'delivered'")
    assert 0 == one(psql, "SELECT count(*) FROM messages WHERE claimed_by IS NOT NULL")
    assert min(looks, 3) >= done.delivered >= min(looks, 1)


def test_a_transaction_touches_one_club_only(
    psql: Any, raw: Callable[[], Any], book: Callable[..., int], deliver: Callable[..., Round]
) -> None:
    """
    The next message is taken with the last one's outcome only when it is of the same club.
    """
    for hour in range(4):
        book(starts_at=EVENING + hour * HOUR)
        book("roma/1", EVENING + hour * HOUR, currency="MXN")
    watcher = raw()
    watcher.execute(
        "CREATE TABLE touched (tx xid8, club_id bigint);"
        " CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO touched VALUES (pg_current_xact_id(), NEW.club_id); RETURN NEW; END $$;"
        " CREATE TRIGGER touched AFTER UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION touch();"
        " GRANT ALL ON touched TO PUBLIC"
    )

    done = deliver()

    assert 8 == done.delivered
    assert 1 == one(
        psql, "SELECT max(n) FROM (SELECT count(DISTINCT club_id) AS n FROM touched GROUP BY tx) t"
    )


def test_confirmations_do_not_queue_behind_reminders(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    All reminders fall due in the morning; who books then hears at once.
    """
    claim = book()
    for n in range(3):
        row = {"club_id": 1, "claim_id": claim, "kind": "reminder", "dedupe_key": f"r{n}"}
        insert(psql, "messages", row | {"next_attempt_at": MORNING - DAY, "due_at": MORNING - DAY})

    deliver()

    assert ["confirmation", "reminder", "reminder", "reminder"] == post.kinds


# --- failures -------------------------------------------------------------------------------


def test_a_passing_failure_is_tried_again_later(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], post: Post, clock: Clock
) -> None:
    """
    Not before its wait is over, and then delivered.
    """
    claim = book()
    post.trouble = failing(Deferred("deferred", "450 <ana@example.com> later"), times=1)

    first = deliver()
    waiting = state_of(psql, claim)
    detail = one(psql, "SELECT detail FROM messages")
    clock.advance(seconds=29)
    too_early = deliver()
    clock.advance(seconds=1)
    again = deliver()

    assert (1, 0, 1) == (first.retried, too_early.taken, again.delivered)
    assert ("queued", 1, "deferred") == waiting
    assert "450 <a***@example.com> later" == detail
    assert ("delivered", 2, None) == state_of(psql, claim)


def test_after_its_last_try_a_message_has_failed(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], post: Post, clock: Clock
) -> None:
    """
    Eight tries, hours apart in the end, and then its reason stands beside it.
    """
    claim = book(starts_at=EVENING + 10 * DAY)
    post.trouble = failing(DeliveryUnavailable("unreachable"))

    rounds = []
    for _ in range(10):
        rounds.append(deliver())
        clock.advance(hours=2)

    assert [1] * 7 + [0] * 3 == [found.retried for found in rounds]
    assert [0] * 7 + [1, 0, 0] == [found.failed for found in rounds]
    assert ("failed", KINDS["confirmation"].tries, "unreachable") == state_of(psql, claim)


def test_a_permanent_failure_fails_at_once(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    An address that does not exist is not written to eight times.
    """
    claim = book()
    post.trouble = failing(Undeliverable("refused", "550 no such user"))

    done = deliver()

    assert 1 == done.failed
    assert ("failed", 1, "refused") == state_of(psql, claim)


def test_a_doubtful_message_is_sent_once_more_and_no_third_time(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], post: Post, clock: Clock
) -> None:
    """
    When nobody knows twice, a person decides; both sends had the same id.
    """
    claim = book()
    ids: list[str] = []

    def hang_up(envelope: Envelope) -> None:
        ids.append(envelope.id)
        raise DeliveryUnknown("hung_up", "after the mail was sent")

    post.trouble = hang_up
    for _ in range(4):
        deliver()
        clock.advance(hours=2)

    assert 2 == len(ids)
    assert 1 == len(set(ids))
    assert ("failed", 2, "hung_up") == state_of(psql, claim)


def test_a_bug_in_a_channel_stops_one_message_only(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    What nobody expected counts as doubtful, names its type, and the next message goes out.
    """
    broken, fine = book(), book(starts_at=EVENING + HOUR)
    post.trouble = failing(ZeroDivisionError("ana@example.com"), times=1)

    done = deliver()

    assert (1, 1) == (done.retried, done.delivered)
    assert ("queued", 1, "unexpected") == state_of(psql, broken)
    assert "delivered" == state_of(psql, fine)[0]
    assert "ZeroDivisionError" == one(
        psql, "SELECT detail FROM messages WHERE claim_id = %s", broken
    )


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("""UPDATE clubs SET config = config || '{"language": "xx"}'""", "corrupt"),
        ("UPDATE clubs SET config = config - 'language' || '{\"language\": 7}'", "corrupt"),
        ("UPDATE clubs SET time_zone = 'Nowhere/Land'", "invalid_input"),
        ("UPDATE clubs SET time_zone = 'Europe'", "invalid_input"),
    ],
)
def test_a_poisoned_row_is_put_aside_with_its_error(
    psql: Any,
    book: Callable[..., int],
    deliver: Callable[..., Round],
    damage: str,
    reason: str,
) -> None:
    """
    A club's damaged document takes its own messages out of the way, nobody else's.
    """
    poisoned = book()
    psql.execute(damage.encode() + b" WHERE slug = 'centro'")
    fine = book("roma/1", currency="MXN")

    done = deliver()

    assert (1, 1) == (done.failed, done.delivered)
    assert ("failed", 1, reason) == state_of(psql, poisoned)
    assert ("delivered", 1, None) == state_of(psql, fine)


def test_rules_that_nobody_foresaw_to_be_damaged_put_the_row_aside_too(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round]
) -> None:
    """
    Whatever a row holds, the message behind it goes out.
    """
    poisoned = book()
    row = {"club_id": 1, "claim_id": poisoned, "kind": "reminder", "dedupe_key": "reminder:1"}
    insert(psql, "messages", row | {"next_attempt_at": MORNING - DAY})
    psql.execute("""UPDATE clubs SET config = config || '{"reminders": [7]}'""")

    done = deliver()

    assert (1, 1) == (done.failed, done.delivered)
    assert ("failed", 1, "poisoned") == state_of(psql, poisoned, "reminder")


def test_a_message_about_nothing_of_its_club_is_put_aside(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round]
) -> None:
    """
    Written by hand about a block, or under another club: no mail full of holes.
    """
    other = book("roma/1", currency="MXN")
    block = insert(psql, "claims", block_row(psql, "centro/3"))
    row = {"club_id": 1, "kind": "confirmation", "next_attempt_at": MORNING}
    insert(psql, "messages", row | {"claim_id": block, "dedupe_key": "about a block"})
    insert(psql, "messages", row | {"claim_id": other, "dedupe_key": "about another's"})

    done = deliver()

    assert (1, 2) == (done.delivered, done.failed)
    assert {"corrupt"} == set(column(psql, "SELECT reason FROM messages WHERE state = 'failed'"))


def test_an_open_breaker_costs_no_try(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round]
) -> None:
    """
    The round ends, everything waits as it was, and the caller hears when to come back.
    """
    claim = book()
    book(starts_at=EVENING + HOUR)

    @contextmanager
    def closed_door() -> Iterator[None]:
        raise BreakerOpen(retry_after_s=42.0)
        yield

    refused = deliver(guard=closed_door)
    waiting = state_of(psql, claim)
    later = deliver()

    assert (0, 42.0) == (refused.taken, refused.resume_after_s)
    assert ("queued", 0, "breaker_open") == waiting
    assert 2 == later.delivered


# --- looked at again before it is sent ------------------------------------------------------


def test_a_booking_cancelled_meanwhile_is_not_confirmed(
    psql: Any, desk: Desk, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    The player hears of the cancellation alone; a message that is skipped is no failure.
    """
    claim = book()
    desk.cancel(claim)
    due_since_morning(psql)

    done = deliver()

    assert ["cancellation"] == post.kinds
    assert (1, 1, 0) == (done.delivered, done.skipped, done.failed)
    assert ("skipped", 1, "cancelled_meanwhile") == state_of(psql, claim)


def test_a_booking_cancelled_before_its_reminder_gets_none(
    psql: Any,
    desk: Desk,
    book: Callable[..., int],
    deliver: Callable[..., Round],
    post: Post,
    clock: Clock,
) -> None:
    """
    The reminder was queued, and is not sent.
    """
    claim = book()
    schedule_reminders(desk.database, now=clock())
    desk.cancel(claim)
    due_since_morning(psql)
    clock.at = EVENING - HOUR

    deliver()

    assert "reminder" not in post.kinds
    assert ("skipped", 1, "cancelled_meanwhile") == state_of(psql, claim, "reminder")


@pytest.mark.parametrize(
    ("contact", "channels", "becomes"),
    [
        ({"player_email": None}, EVERYTHING, ("skipped", 1, "no_address")),
        (
            {"player_email": None, "player_phone": "+34600123456"},
            frozenset({Channel.EMAIL}),
            ("skipped", 1, "no_channel"),
        ),
        (
            {"player_email": None, "player_phone": "+34600123456"},
            EVERYTHING,
            ("delivered", 1, None),
        ),
        ({"player_phone": "+34600123456"}, frozenset({Channel.SMS}), ("delivered", 1, None)),
    ],
)
def test_a_player_is_reached_by_what_there_is(
    psql: Any,
    book: Callable[..., int],
    deliver: Callable[..., Round],
    contact: dict[str, Any],
    channels: frozenset[Channel],
    becomes: tuple[Any, ...],
) -> None:
    """
    By mail, else by text message; who left no address is nobody's failure.
    """
    claim = book(**contact)

    deliver(post=Post(channels=channels))

    assert becomes == state_of(psql, claim)


# --- whoever dies ---------------------------------------------------------------------------


def send_and_die(database_url: str, spool: Path) -> None:
    """A worker that is killed right after its message has gone out."""

    class Doomed(SpoolDelivery):
        def deliver(self, envelope: Envelope) -> str:
            # Beside the file that a repeated send replaces, a trace of every send.
            super().deliver(envelope)
            (spool / f"{os.getpid()}.sent").write_text(envelope.id)
            os.kill(os.getpid(), signal.SIGKILL)
            return ""

    database = Database(database_url, budget_ms=5000, pool_size=1)
    delivery = Doomed(spool, sender="club@example.org")
    deliver_due(database, delivery, now=Clock(), worker="doomed")


def test_a_worker_that_dies_after_sending_causes_one_extra_send(
    psql: Any,
    database_url: str,
    book: Callable[..., int],
    deliver: Callable[..., Round],
    post: Post,
    clock: Clock,
    tmp_path: Path,
) -> None:
    """
    Nobody takes the message while the claim may be alive; then it goes out again, under its id.
    """
    claim = book()
    process = multiprocessing.get_context("spawn").Process(
        target=send_and_die, args=(database_url, tmp_path)
    )
    process.start()
    process.join(60)

    clock.advance(seconds=LEASE.total_seconds() - 1)
    too_early = deliver()
    clock.advance(seconds=1)
    again = deliver()

    assert -signal.SIGKILL == process.exitcode
    assert (0, 1) == (too_early.taken, again.delivered)
    assert [path.read_text() for path in tmp_path.glob("*.sent")] == [
        envelope.id for envelope in post.sent
    ]
    assert ("delivered", 2, None) == state_of(psql, claim)
    assert 1 == len(list(tmp_path.glob("*/*.eml")))


def test_a_message_that_kills_its_workers_is_put_aside(
    psql: Any, desk: Desk, book: Callable[..., int], deliver: Callable[..., Round], clock: Clock
) -> None:
    """
    Two died with it in hand: nobody knows whether it arrived, and no third one has to find out.
    """
    claim = book()
    for name in ("first", "second"):
        with desk.database.deciding() as tx:
            taken = messages.take(tx, now=clock(), worker=name, claimed_until=clock() + LEASE)
        assert taken is not None
        clock.advance(hours=1)

    done = deliver()

    assert 1 == done.failed
    assert ("failed", 3, "outcome_unknown") == state_of(psql, claim)


def test_a_delivery_is_written_down_even_when_its_claim_ran_out(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], clock: Clock
) -> None:
    """
    It is a fact: whoever has taken the message over meanwhile cannot have it sent a third time.
    """
    claim = book()
    slow, quick = Post(), Post()

    def overtaken(_: Envelope) -> None:
        clock.advance(seconds=LEASE.total_seconds())
        quick.trouble = failing(Deferred("deferred"))
        assert 1 == deliver(post=quick, worker="worker-2").retried

    slow.trouble = overtaken
    done = deliver(post=slow)
    clock.advance(days=1)

    assert 1 == done.delivered
    assert 0 == deliver().taken
    assert ("delivered", 2, None) == state_of(psql, claim)


def test_a_failure_of_an_outdated_try_is_not_written_down(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], clock: Clock
) -> None:
    """
    The message changed hands meanwhile, and what the newer hand said stands.
    """
    claim = book()
    slow, quick = Post(), Post()
    quick.trouble = failing(Deferred("deferred"))

    def overtaken(_: Envelope) -> None:
        clock.advance(seconds=LEASE.total_seconds())
        assert 1 == deliver(post=quick, worker="worker-2").retried
        raise Undeliverable("refused")

    slow.trouble = overtaken
    done = deliver(post=slow)

    assert (0, 1) == (done.failed, done.lost)
    assert ("queued", 2, "deferred") == state_of(psql, claim)


def test_what_was_delivered_stays_delivered_whatever_a_late_worker_says(
    psql: Any, book: Callable[..., int], deliver: Callable[..., Round], clock: Clock
) -> None:
    """
    Also when the late one believes that it failed.
    """
    claim = book()
    slow, quick = Post(), Post()

    def overtaken(_: Envelope) -> None:
        clock.advance(seconds=LEASE.total_seconds())
        assert 1 == deliver(post=quick, worker="worker-2").delivered
        raise Undeliverable("refused")

    slow.trouble = overtaken
    done = deliver(post=slow)

    assert (0, 1) == (done.failed, done.lost)
    assert ("delivered", 2, None) == state_of(psql, claim)


@pytest.fixture
def outage(psql: Any) -> Iterator[Callable[[bool], None]]:
    """Takes this test's database away, and gives it back."""

    def away(gone: bool) -> None:
        psql.execute(
            "UPDATE pg_database SET datallowconn = %s WHERE datname = current_database()",
            [not gone],
        )
        if gone:
            psql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                " AND application_name = 'padelops'"
            )

    yield away
    away(False)


@pytest.mark.parametrize("pauses", [0, 1, 5])
def test_a_database_that_goes_away_for_a_moment_causes_no_extra_send(
    psql: Any,
    book: Callable[..., int],
    deliver: Callable[..., Round],
    post: Post,
    clock: Clock,
    outage: Callable[[bool], None],
    pauses: int,
) -> None:
    """
    The worker that sent the message insists on writing that down.
    """
    claim = book()
    waited: list[float] = []

    def pause(seconds: float) -> None:
        clock.advance(seconds=seconds)
        waited.append(seconds)
        outage(len(waited) < pauses)

    def cut(_: Envelope) -> None:
        outage(True)
        outage(pauses > 0)

    post.trouble = cut
    done = deliver(pause=pause)

    assert 1 == done.delivered
    assert pauses == len(waited)
    assert waited == sorted(waited)
    assert ("delivered", 1, None) == state_of(psql, claim)


def test_a_database_that_stays_away_is_reported(
    psql: Any,
    book: Callable[..., int],
    deliver: Callable[..., Round],
    post: Post,
    clock: Clock,
    outage: Callable[[bool], None],
) -> None:
    """
    After its patience the worker gives up; the claim runs out and the message is taken up again.
    """
    claim = book()
    post.trouble = lambda _: outage(True)
    sent_at = clock()

    with pytest.raises(DatabaseUnavailable):
        deliver(pause=lambda seconds: clock.advance(seconds=seconds) and None)
    gave_up_after = clock() - sent_at
    outage(False)
    post.trouble = lambda _: None
    clock.advance(seconds=LEASE.total_seconds())
    again = deliver()

    assert PATIENCE <= gave_up_after < LEASE
    assert 1 == again.delivered
    assert 2 == len(post.sent)
    assert ("delivered", 2, None) == state_of(psql, claim)


# --- reminders ------------------------------------------------------------------------------


def reminders(psql: Any) -> dict[int, datetime]:
    """When each reservation's reminder is due."""
    rows = psql.execute("SELECT claim_id, due_at FROM messages WHERE kind = 'reminder'").fetchall()
    return dict(rows)


def test_reminders_are_queued_once_whoever_asks_how_often(
    psql: Any, another_desk: Callable[..., Desk], book: Callable[..., int], clock: Clock
) -> None:
    """
    A day ahead, out of the quiet hours; four schedulers at once queue no second one.
    """
    clock.advance(hours=2)
    evening, late = book(), book(starts_at=EVENING + 5 * HOUR)
    far = book(starts_at=EVENING + 5 * DAY)
    desks = [another_desk() for _ in range(4)]

    finishes = race(
        *(lambda desk=desk: schedule_reminders(desk.database, now=clock()) for desk in desks)
    )

    assert [None] * 4 == [finish.error for finish in finishes]
    assert 2 == sum(finish.value.queued for finish in finishes)
    assert {
        evening: EVENING - DAY,
        late: datetime(2026, 12, 1, 7, 0, tzinfo=UTC),
    } == reminders(psql)
    assert far not in reminders(psql)


@pytest.mark.parametrize(
    "changes",
    [
        {"price_source": "imported"},
        {"created_at": EVENING - DAY + timedelta(minutes=1)},
        {"status": "pending", "hold_until": EVENING},
        {"starts_at": MORNING - 25 * HOUR},
    ],
)
def test_who_needs_no_reminder_gets_none(
    psql: Any, desk: Desk, book: Callable[..., int], clock: Clock, changes: dict[str, Any]
) -> None:
    """
    Imported bookings, bookings made when the reminder was already due, holds, yesterday's games.
    """
    book(**changes)

    scheduled = schedule_reminders(desk.database, now=clock())

    assert 0 == scheduled.queued
    assert {} == reminders(psql)


def test_a_reminder_that_nobody_queued_in_time_shows_as_failed(
    psql: Any, desk: Desk, book: Callable[..., int], deliver: Callable[..., Round], clock: Clock
) -> None:
    """
    After an outage the game has begun: the report must not look as if nobody was to be reminded.
    """
    claim = book()
    clock.at = EVENING + timedelta(minutes=5)

    schedule_reminders(desk.database, now=clock())
    clock.at = EVENING + 2 * HOUR
    deliver()

    assert ("failed", 1, "too_late") == state_of(psql, claim, "reminder")


def test_each_club_has_its_own_rules_for_reminders(
    psql: Any, desk: Desk, book: Callable[..., int], clock: Clock
) -> None:
    """
    Hours ahead and quiet hours come from the club's document; 0 hours means none.
    """
    psql.execute(
        "UPDATE clubs SET config = config || %s WHERE slug = 'centro'",
        [Jsonb({"reminders": {"hours_before": 2, "quiet_from": "15:00", "quiet_to": "16:30"}})],
    )
    psql.execute(
        "UPDATE clubs SET config = config || %s WHERE slug = 'roma'",
        [Jsonb({"reminders": {"hours_before": 0}})],
    )
    here = book()
    book("roma/1", currency="MXN")
    clock.at = EVENING - 12 * HOUR

    schedule_reminders(desk.database, now=clock())

    assert {here: datetime(2026, 12, 1, 15, 30, tzinfo=UTC)} == reminders(psql)


def test_a_club_with_damaged_rules_does_not_stop_the_others(
    psql: Any, desk: Desk, book: Callable[..., int], clock: Clock
) -> None:
    """
    It is named, and everybody else is served.
    """
    damaged = Jsonb({"reminders": {"hours_before": "soon"}})
    psql.execute("UPDATE clubs SET config = config || %s WHERE slug = 'centro'", [damaged])
    book()
    there = book("roma/1", currency="MXN")

    scheduled = schedule_reminders(desk.database, now=clock())

    assert ("centro",) == scheduled.unusable
    assert [there] == list(reminders(psql))


def test_more_reminders_than_one_batch_are_all_queued(psql: Any, desk: Desk, clock: Clock) -> None:
    """
    Also past reservations at the front that get none.
    """
    clock.advance(hours=2)
    psql.execute("ALTER TABLE claims DROP CONSTRAINT claims_no_overlap")
    row = reservation_row(psql, price_source="tariff", created_at=MORNING - DAY)
    columns, values = ", ".join(row), ", ".join(["%s"] * len(row))
    query = f"INSERT INTO claims ({columns}) SELECT {values} FROM generate_series(1, %s)"
    late = row | {"created_at": EVENING - DAY + timedelta(minutes=1)}
    quiet = row | {"starts_at": EVENING + 5 * HOUR, "ends_at": EVENING + 6 * HOUR}
    quiet |= {"free_at": EVENING + 6 * HOUR}
    psql.execute(query.encode(), [*late.values(), BATCH + 1])
    psql.execute(query.encode(), [*row.values(), BATCH + 1])
    psql.execute(query.encode(), [*quiet.values(), BATCH + 1])

    scheduled = schedule_reminders(desk.database, now=clock())

    assert 2 * (BATCH + 1) == scheduled.queued == len(reminders(psql))


def test_a_reminder_waits_for_the_end_of_the_quiet_hours(
    psql: Any,
    desk: Desk,
    book: Callable[..., int],
    deliver: Callable[..., Round],
    post: Post,
    clock: Clock,
) -> None:
    """
    Delayed into the night it is put off, without losing a try, and goes out in the morning.
    """
    claim = book(starts_at=EVENING)
    schedule_reminders(desk.database, now=clock())
    deliver()
    clock.at = datetime(2026, 11, 30, 21, 30, tzinfo=UTC)

    at_night = deliver()
    waiting = state_of(psql, claim, "reminder")
    clock.at = datetime(2026, 12, 1, 7, 0, tzinfo=UTC)
    in_the_morning = deliver()

    assert (1, 0) == (at_night.put_off, at_night.delivered)
    assert ("queued", 0, "quiet_hours") == waiting
    assert 1 == in_the_morning.delivered
    assert ["confirmation", "reminder"] == post.kinds


# --- operators ------------------------------------------------------------------------------


def test_what_failed_can_be_tried_again_from_the_start(
    psql: Any, desk: Desk, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    All of a message's tries again, recorded once for each club, and delivered by the worker.
    """
    claims = [book(), book(starts_at=EVENING + HOUR), book("roma/1", currency="MXN")]
    post.trouble = failing(Undeliverable("refused"), times=3)
    deliver()
    entries = one(psql, "SELECT count(*) FROM audit_entries")

    retried = outbox.retry(desk.database, None, origin=OPERATOR, now=MORNING)
    waiting = [state_of(psql, claim)[:2] for claim in claims]
    done = deliver()

    assert 3 == len(retried.ids)
    assert [("queued", 0)] * 3 == waiting
    assert 3 == done.delivered
    assert [("operator", [1, 2]), ("operator", [3])] == psql.execute(
        "SELECT actor, changes -> 'messages' FROM audit_entries"
        " WHERE action = 'messages_retried' ORDER BY club_id"
    ).fetchall()
    assert entries + 2 == one(psql, "SELECT count(*) FROM audit_entries")


def test_a_waiting_message_can_be_hurried(
    psql: Any, desk: Desk, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    It is due now, keeps its count of tries, and what is in doubt stays in doubt.
    """
    claim = book()
    post.trouble = failing(DeliveryUnknown("hung_up"), times=1)
    deliver()
    number = one(psql, "SELECT id FROM messages")

    outbox.retry(desk.database, [number], origin=OPERATOR, now=MORNING)

    assert 1 == one(psql, "SELECT doubts FROM messages")
    assert 1 == deliver().delivered
    assert ("delivered", 2, None) == state_of(psql, claim)


def test_a_dry_run_of_retrying_changes_nothing(
    psql: Any, desk: Desk, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    It names what would be tried again.
    """
    claim = book()
    post.trouble = failing(Undeliverable("refused"))
    deliver()
    before = psql.execute("SELECT * FROM messages").fetchall()

    retried = outbox.retry(desk.database, None, origin=OPERATOR, now=MORNING, dry_run=True)

    assert {"retried": 1, "messages": list(retried.ids), "dry_run": True} == retried.as_json()
    assert before == psql.execute("SELECT * FROM messages").fetchall()
    assert "failed" == state_of(psql, claim)[0]


def test_one_message_that_cannot_be_retried_leaves_all_as_they_are(
    psql: Any, desk: Desk, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    Delivered, skipped, in a worker's hand or not there at all: refused, and nothing is done.
    """
    book()
    deliver()
    book(starts_at=EVENING + HOUR, player_email=None)
    deliver()
    failed = book(starts_at=EVENING + 2 * HOUR)
    post.trouble = failing(Undeliverable("refused"))
    deliver()
    book(starts_at=EVENING + 3 * HOUR)
    with desk.database.deciding() as tx:
        messages.take(tx, now=MORNING, worker="busy", claimed_until=MORNING + LEASE)
    delivered, skipped, to_retry, in_hand = column(psql, "SELECT id FROM messages ORDER BY id")

    for number in (delivered, skipped, in_hand):
        with pytest.raises(outbox.CannotRetry):
            outbox.retry(desk.database, [to_retry, number], origin=OPERATOR, now=MORNING)
    with pytest.raises(NotFound):
        outbox.retry(desk.database, [to_retry, 10**9], origin=OPERATOR, now=MORNING)
    with pytest.raises(InvalidInput):
        outbox.retry(desk.database, [2**63], origin=OPERATOR, now=MORNING)

    assert "failed" == state_of(psql, failed)[0]
    assert 0 == one(psql, "SELECT count(*) FROM audit_entries WHERE action = 'messages_retried'")


def test_the_list_shows_nobodys_address(
    desk: Desk, book: Callable[..., int], deliver: Callable[..., Round]
) -> None:
    """
    Newest first, filtered as asked, with masked addresses only.
    """
    first = book()
    second = book(starts_at=EVENING + HOUR, player_email=None, player_phone="+34 600 123 456")
    deliver()
    third = book(starts_at=EVENING + 2 * HOUR, player_email="bea@example.com")

    everything = outbox.listing(desk.database).as_json()["messages"]
    queued = outbox.listing(desk.database, state="queued").as_json()["messages"]

    assert [third, second, first] == [message["reservation"] for message in everything]
    assert ["b***@example.com", "***456", "a***@example.com"] == [
        message["address"] for message in everything
    ]
    assert [third] == [message["reservation"] for message in queued]
    assert 1 == len(outbox.listing(desk.database, limit=1).messages)
    assert 1 == len(outbox.listing(desk.database, reservation=second).messages)
    assert () == outbox.listing(desk.database, kind="reminder").messages


@pytest.mark.parametrize(
    "wrong", [{"state": "lost"}, {"kind": "advert"}, {"limit": 0}, {"limit": 1001}]
)
def test_a_list_of_nonsense_is_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    """
    With the words that exist.
    """
    with pytest.raises(InvalidInput):
        outbox.listing(desk.database, **wrong)


def test_the_report_counts_what_fell_due(
    psql: Any,
    desk: Desk,
    book: Callable[..., int],
    deliver: Callable[..., Round],
    post: Post,
    clock: Clock,
) -> None:
    """
    Delivered, failed, late, waiting and skipped, with the average time and the reasons.
    """
    clock.advance(seconds=10)
    book()
    book(starts_at=EVENING + HOUR, player_email=None)
    deliver()
    book(starts_at=EVENING + 2 * HOUR)
    post.trouble = failing(Undeliverable("refused"))
    deliver()
    late = book(starts_at=EVENING + 3 * HOUR)
    clock.at = MORNING + HOUR
    waiting = book(starts_at=EVENING + 4 * HOUR)
    psql.execute("UPDATE messages SET due_at = %s WHERE claim_id = %s", [clock.at, waiting])
    clock.advance(minutes=1)

    found = report(desk.database, now=clock()).as_json()
    kinds = {kind["kind"]: kind for kind in found["kinds"]}

    assert ["confirmation", "cancellation", "reminder"] == list(kinds)
    assert {
        "kind": "confirmation",
        "verdict": "critical",
        "rate": 0.3333,
        "goal": 0.99,
        "delivered": 1,
        "failed": 1,
        "late": 1,
        "waiting": 1,
        "skipped": 1,
        "average_s": 10.0,
        "p95_s": 10.0,
    } == kinds["confirmation"]
    assert "unknown" == kinds["reminder"]["verdict"]
    assert "critical" == found["verdict"]
    assert {
        ("failed", "refused", 1),
        ("queued", "never_tried", 1),
        ("skipped", "no_address", 1),
    } == {(why["state"], why["reason"], why["n"]) for why in found["reasons"]}
    assert late


def test_the_report_looks_at_its_days_only(
    desk: Desk, book: Callable[..., int], deliver: Callable[..., Round], clock: Clock
) -> None:
    """
    Yesterday's good delivery does not colour today; with nothing due, the answer is unknown.
    """
    book()
    deliver()
    clock.advance(days=1, seconds=1)

    assert Verdict.UNKNOWN is report(desk.database, now=clock()).verdict
    assert Verdict.OK is report(desk.database, now=clock(), days=2).verdict
    with pytest.raises(InvalidInput):
        report(desk.database, now=clock(), days=0)


def test_a_worker_that_stands_still_turns_the_report_red(
    desk: Desk, book: Callable[..., int], clock: Clock
) -> None:
    """
    Nothing failed, and yet nothing arrived.
    """
    book()
    clock.advance(minutes=16)

    assert Verdict.CRITICAL is report(desk.database, now=clock()).verdict


# --- the tables -----------------------------------------------------------------------------


def test_the_kinds_in_python_are_those_of_the_database(psql: Any) -> None:
    """
    A kind that one side knows and the other does not could be queued and never sent.
    """
    definition = one(
        psql,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s",
        "messages_kind_known",
    )

    assert set(KINDS) == {word for word in definition.split("'") if word in KINDS}
    assert len(KINDS) == definition.count("::text")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'queued', delivered_at = NULL", "messages_keep_their_history"),
        ("state = 'failed', reason = 'x', delivered_at = NULL", "messages_keep_their_history"),
        ("dedupe_key = 'other'", "messages_keep_their_history"),
        ("kind = 'reminder'", "messages_keep_their_history"),
        ("delivered_at = NULL", "messages_delivery_has_time"),
        ("next_attempt_at = 'infinity'", "messages_times_finite"),
        ("attempts = -1", "messages_counts_positive"),
        ("claimed_by = 'me'", "messages_claim_is_whole"),
        ("detail = repeat('x', 301)", "messages_texts_bounded"),
    ],
)
def test_the_database_refuses_to_rewrite_a_delivery(
    psql: Any,
    book: Callable[..., int],
    deliver: Callable[..., Round],
    change: str,
    constraint: str,
) -> None:
    """
    Also by psql: what was delivered stays delivered, and stays about what it is about.
    """
    book()
    deliver()

    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        psql.execute(f"UPDATE messages SET {change}".encode())

    assert constraint == caught.value.diag.constraint_name


def test_an_end_needs_a_reason(psql: Any, book: Callable[..., int]) -> None:
    """
    Failed or skipped without a word helps nobody on call.
    """
    book()

    with pytest.raises(psycopg.errors.CheckViolation, match="messages_end_has_reason"):
        psql.execute("UPDATE messages SET state = 'failed'")


def test_taking_a_message_reads_the_front_of_the_queue_only(psql: Any, desk: Desk) -> None:
    """
    With a hundred thousand delivered ones behind and not yet due ones ahead, an index decides.
    """
    claim = insert(psql, "claims", reservation_row(psql, price_source="tariff"))
    psql.execute(
        "INSERT INTO messages (club_id, claim_id, kind, dedupe_key, state, delivered_at,"
        " next_attempt_at) SELECT 1, %s, 'reminder', 'x' || n, CASE n %% 10 WHEN 0 THEN 'queued'"
        " ELSE 'delivered' END, CASE n %% 10 WHEN 0 THEN NULL ELSE now() END,"
        " now() + interval '1 day' FROM generate_series(1, 20000) AS n",
        [claim],
    )
    psql.execute("ANALYZE messages")

    with desk.database.reading() as tx:
        plan = "\n".join(
            row[0]
            for row in tx.execute(
                b"EXPLAIN " + messages._STEP,
                messages._NOTHING_SETTLED
                | {"now": MORNING, "worker": "w", "claimed_until": MORNING + LEASE, "more": True},
            )
        )

    assert "Index Scan using messages_queue on messages" in plan
    assert "Index Scan using messages_queue_of_reminders on messages" in plan
    assert "Seq Scan on messages" not in plan


def test_a_message_can_be_queued_with_the_change_that_caused_it(
    desk: Desk, book: Callable[..., int], deliver: Callable[..., Round], post: Post
) -> None:
    """
    Once for each key, and gone with the transaction when that is rolled back.
    """
    claim = book(status="pending", hold_until=EVENING, payment_method="card")

    with desk.database.transaction(OPERATOR) as tx:
        first = messages.insert(tx, claim, "payment_pending", "payment_pending:1", due_at=MORNING)
        again = messages.insert(tx, claim, "payment_pending", "payment_pending:1", due_at=MORNING)
    with desk.database.transaction(OPERATOR, keep=False) as tx:
        messages.insert(tx, claim, "payment_failed", "payment_failed:1", due_at=MORNING)
    deliver()

    assert first is not None
    assert again is None
    assert ["payment_pending"] == post.kinds
