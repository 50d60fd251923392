"""
Killed at every step of a card payment: what is left is finished, once, by whoever works next.

For each point at which a process can be made to die, a real process is killed there by SIGKILL.
Then time passes and workers work; and then our books, the bank's books and the validator must all
agree: exactly one charge or none, exactly one refund.

Source: ACCEPTANCE scenario 13; CRITICAL_PATHS.md, paths 2 and 5.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import padelops
from padelops.booking.card_payments import PaymentQueued, PaymentUnknown
from testbed.clock import MORNING
from testbed.money import COURT, PRICE, STARTS, Money
from testbed.rows import one

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops import Desk
    from testbed.clock import Clock

CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from padelops import fault_points
from testbed.workers import desk_on
from testbed.money import COURT, STARTS

_, _, database_url, at, act, claim_id, later_s = sys.argv
fault_points.arm(at)
with desk_on(database_url) as desk:
    desk.now.advance(seconds=float(later_s))
    if act == "book":
        desk.book(COURT, STARTS, minutes=60, player="Doomed", pay="card", card="tok_visa", key="k")
    elif act == "cancel":
        desk.cancel(int(claim_id))
    elif act == "release":
        desk.release_payment(int(claim_id), reason="doomed")
    elif act == "retry":
        desk.retry_payment(int(claim_id), reason="doomed")
    else:
        desk.worker().until_idle(lambda: False)
"""
"""What is killed: a process that does one thing at a desk, with one point armed."""

BOOKING = ("held", "attempt_written", "asking", "authorized", "confirmed")
"""Between the hold and the customer's answer."""
CAPTURING = ("asked", "before_capture", "captured", "written")
"""Between the worker's first question and its last word about a capture."""
VOIDING = ("before_void", "voided", "written")
REFUNDING = ("refund_asked", "before_refund", "refunded", "refund_written")
CANCELLING = ("cancelling", "cancelled")
"""Just before, and just after, the cancellation's commit."""
RELEASING = CANCELLING
RETRYING = ("asking", "authorized", "confirmed")

PAID = ("confirmed", "paid", PRICE, "0.00")
GONE = ("expired", "nothing_due", "0.00", "0.00")
NEVER_ASKED = ("expired", "pending", "0.00", "0.00")


@pytest.fixture
def money(desk: Desk, clock: Clock, psql: Any) -> Money:
    return Money(desk, clock, psql)


@pytest.fixture
def killed(database_url: str, money: Money) -> Callable[..., None]:
    """Runs a process that is killed at a point, and makes sure that it was."""

    def killed(at: str, act: str, claim_id: int = 0) -> None:
        later_s = (money.clock() - MORNING).total_seconds()
        tests = str(Path(__file__).parents[1])
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                CHILD,
                tests,
                database_url,
                at,
                act,
                str(claim_id),
                f"{later_s}",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert -signal.SIGKILL == done.returncode, done.stderr

    return killed


def test_every_point_is_in_the_matrix() -> None:
    """A new step of a payment comes with its crash."""
    source = Path(padelops.__file__).parent
    points = {
        point
        for file in source.rglob("*.py")
        for point in re.findall(r'fault_points\.reach\("(\w+)"\)', file.read_text())
    }

    assert points == {*BOOKING, *CAPTURING, *VOIDING, *REFUNDING, *CANCELLING}


@pytest.mark.parametrize("at", BOOKING)
def test_killed_while_booking(money: Money, killed: Callable[..., None], at: str) -> None:
    """Paid and confirmed if the bank was asked, else free again; never charged without a court."""
    killed(at, "book")
    claim_id = one(money.psql, "SELECT max(id) FROM claims")
    money.finish()

    expected = {"held": NEVER_ASKED, "attempt_written": GONE, "asking": GONE}.get(at, PAID)
    assert expected == money.stands(claim_id)
    assert [("captured", PRICE, "0.00")] * (expected == PAID) == money.bank()
    assert [] == money.problems()


@pytest.mark.parametrize("at", BOOKING)
def test_killed_while_booking_and_asked_again(
    money: Money, killed: Callable[..., None], at: str
) -> None:
    """The customer comes back with the key, after the grace: one booking, one charge."""
    killed(at, "book")
    money.time_passes(minutes=2)
    wish: dict[str, Any] = {"player": "Doomed", "key": "k"}
    try:
        made = money.book(**wish)
    except PaymentUnknown:
        money.work()
        made = money.book(**wish)
    if made.status == "expired":  # found out only now that the bank never saw it
        made = money.book(**wish)
    money.finish()

    assert PAID == money.stands(made.id)
    assert [("captured", PRICE, "0.00")] == money.bank()
    assert [] == money.problems()


@pytest.mark.parametrize("at", CAPTURING)
def test_killed_while_capturing(money: Money, killed: Callable[..., None], at: str) -> None:
    """Taken once, whether or not the dead worker had taken it."""
    made = money.book()
    killed(at, "work")
    money.finish()

    assert PAID == money.stands(made.id)
    assert [("captured", PRICE, "0.00")] == money.bank()
    assert [] == money.problems()


@pytest.mark.parametrize("at", VOIDING)
def test_killed_while_voiding(money: Money, killed: Callable[..., None], at: str) -> None:
    """Let go, whether or not the dead worker had let it go."""
    made = money.book()
    money.desk.cancel(made.id, reason="weather")
    killed(at, "work")
    money.finish()

    assert ("cancelled", "voided", "0.00", "0.00") == money.stands(made.id)
    assert [("voided", "0.00", "0.00")] == money.bank()
    assert [] == money.problems()


@pytest.mark.parametrize("at", REFUNDING)
def test_killed_while_refunding(money: Money, killed: Callable[..., None], at: str) -> None:
    """Given back once, whether or not the dead worker had given it back."""
    made = money.book()
    money.work()
    money.desk.cancel(made.id)
    killed(at, "work")
    money.finish()

    assert ("cancelled", "refunded", PRICE, "26.80") == money.stands(made.id)
    assert [("captured", PRICE, "26.80")] == money.bank()
    assert 1 == one(money.psql, "SELECT count(*) FROM sandbox_refunds")
    assert [] == money.problems()


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("at", CANCELLING)
def test_killed_while_cancelling(
    money: Money, killed: Callable[..., None], at: str, captured: bool
) -> None:
    """Cancelled with its refund, or neither; asked again, the answer is the same."""
    made = money.book()
    if captured:
        money.work()
    killed(at, "cancel", made.id)
    after = money.stands(made.id)[0]
    again = money.desk.cancel(made.id)
    money.finish()

    assert ("confirmed" if at == "cancelling" else "cancelled") == after
    assert ("26.80", at == "cancelled") == (f"{again.refund}", again.replayed)
    assert ("cancelled", "refunded", PRICE, "26.80") == money.stands(made.id)
    assert [("captured", PRICE, "26.80")] == money.bank()
    assert [] == money.problems()


def queued(money: Money) -> int:
    """A hold whose payment waits for a person, the gateway being back."""
    breaker = money.desk.breakers["payment_processing"]
    breaker.force_open(actor="ana", reason="the bank has trouble")
    with pytest.raises(PaymentQueued):
        money.desk.book(COURT, STARTS, minutes=60, player="Eva", pay="card", card="tok_visa")
    breaker.reset(actor="ana", reason="the bank is back")
    return int(one(money.psql, "SELECT max(id) FROM claims"))


@pytest.mark.parametrize("at", RETRYING)
def test_killed_while_a_person_retries(money: Money, killed: Callable[..., None], at: str) -> None:
    """The retry is written down before the bank is asked, so the worker can find out about it."""
    claim_id = queued(money)
    killed(at, "retry", claim_id)
    money.finish()

    assert (GONE if at == "asking" else PAID) == money.stands(claim_id)
    assert 1 == len(money.notes("payment_retry"))
    assert [] == money.problems()


@pytest.mark.parametrize("at", RELEASING)
def test_killed_while_a_person_releases(money: Money, killed: Callable[..., None], at: str) -> None:
    """Released with its reason, or neither."""
    claim_id = queued(money)
    killed(at, "release", claim_id)

    released = at == "cancelled"
    assert ("cancelled" if released else "pending") == money.stands(claim_id)[0]
    assert released == bool(money.notes("payment_release"))
    assert [] == money.disagreements()
