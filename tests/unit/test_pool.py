"""
The pool never lends more connections than it may, never lends a broken one, never loses room.
"""

from __future__ import annotations

import os

import pytest

from padelops.store.pool import Pool, PoolExhausted


class Line:
    """A connection to nowhere."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


def pool_of(size: int) -> Pool[Line]:
    return Pool(Line, size=size, timeout_s=0.01)


def test_the_connection_used_last_is_lent_first() -> None:
    """
    One caller at a time always gets the same connection, however many lie ready.
    """
    pool = pool_of(3)
    first, second = pool.take(), pool.take()
    pool.give_back(first)
    pool.give_back(second)

    assert second is pool.take()
    assert first is pool.take()


def test_no_more_than_its_size_are_lent() -> None:
    """
    Who comes when all are lent waits, and is told when nothing comes back in time.
    """
    pool = pool_of(2)
    lent = [pool.take(), pool.take()]

    with pytest.raises(PoolExhausted):
        pool.take()
    pool.give_back(lent[0])
    assert lent[0] is pool.take()


def test_a_broken_connection_makes_room_for_a_new_one() -> None:
    """
    What comes back closed is never lent again, and its place is.
    """
    pool = pool_of(1)
    broken = pool.take()
    broken.close()
    pool.give_back(broken)

    assert 0 == pool.idle
    assert not pool.take().closed


def test_a_connection_that_cannot_be_made_takes_no_room() -> None:
    """
    After any number of failures to connect the pool is as large as before.
    """
    answers: list[OSError | Line] = [OSError("refused"), OSError("refused"), Line()]

    def connect() -> Line:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    pool = Pool(connect, size=1, timeout_s=0.01)
    for _ in range(2):
        with pytest.raises(OSError, match="refused"):
            pool.take()

    assert not pool.take().closed


def test_closing_what_is_idle_leaves_what_is_lent() -> None:
    """
    A caller in the middle of its work keeps its connection when the others are closed.
    """
    pool = pool_of(2)
    lent, idle = pool.take(), pool.take()
    pool.give_back(idle)
    pool.close_idle()

    assert (False, True) == (lent.closed, idle.closed)


def test_a_forked_child_leaves_its_parents_connections_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Two processes on one connection read each other's answers; closing it ends it for both.
    """
    pool = pool_of(1)
    parents = pool.take()
    pool.give_back(parents)
    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert 0 == pool.idle
    assert parents is not pool.take()
    assert not parents.closed
