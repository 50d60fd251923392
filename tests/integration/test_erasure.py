"""
Critical path 9: a person can be erased, what happened cannot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from padelops.errors import InvalidInput
from padelops.ops.erasure import StillToPlay
from testbed.invariants import broken
from testbed.rows import column, one

if TYPE_CHECKING:
    from padelops import Desk
    from testbed.clock import Clock

ANA = "Ana.Ruiz@example.com"


def played(desk: Desk, clock: Clock, **who: Any) -> int:
    made = desk.book("centro/2", "2026-12-01T18:00", minutes=60, player="Ana Ruiz", **who)
    clock.advance(days=10)
    return made.reservation.id


def quarantined(psql: Any, ref: str, record: str) -> None:
    psql.execute(
        "INSERT INTO quarantine (source, model, external_ref, record, reason, detail)"
        " VALUES ('dump.json', 'reservations.reservation', %s, %s, 'overlap', 'it is taken')",
        (ref, record),
    )


def test_nothing_tells_any_more_who_it_was(desk: Desk, clock: Clock, psql: Any) -> None:
    """
    Neither the reservation nor the quarantine nor a card's token, in whatever case or spelling the
    address stands; others keep theirs. The sealed trail still verifies.
    """
    made = played(desk, clock, email=ANA, phone="+34 600 000 000")
    quarantined(psql, "a", '{"fields": {"player_email": " ana.ruiz@EXAMPLE.com", "x": "\\u0000"}}')
    quarantined(psql, "b", '{"fields": {"player_email": "mariana.ruiz@example.com"}}')
    desk.seal_audit()
    tried = desk.erase_player(ANA.lower(), dry_run=True)
    kept = desk.show(made)
    erased = desk.erase_player(ANA.lower())
    row = desk.show(made)

    assert (1, 1) == (tried.reservations, tried.quarantined)
    assert (1, 1) == (erased.reservations, erased.quarantined)
    assert "Ana Ruiz" == kept.player_name
    assert ("erased", None, None, None) == (
        row.player_name, row.player_email, row.player_phone, row.notes,
    )  # fmt: skip
    assert ["{}"] == column(psql, "SELECT record::text FROM quarantine WHERE external_ref = 'a'")
    assert one(psql, "SELECT resolved_at FROM quarantine WHERE external_ref = 'a'")
    assert one(
        psql, "SELECT record::text LIKE '%%mariana%%' FROM quarantine WHERE resolved_at IS NULL"
    )
    assert desk.verify_audit().intact
    assert [] == broken(psql)
    assert 0 == desk.erase_player(ANA).reservations


def test_who_is_still_to_play_is_not_erased(desk: Desk) -> None:
    """
    The club must know who comes: the refusal names the reservations, and nothing is changed.
    """
    made = desk.book(
        "centro/2", "2026-12-01T18:00", minutes=60, player="Ana Ruiz", email=ANA
    ).reservation
    with pytest.raises(StillToPlay) as caught:
        desk.erase_player(ANA)

    assert [made.id] == caught.value.facts["reservations"]
    assert ANA == desk.show(made.id).player_email


@pytest.mark.parametrize("address", ["", "*", "%", "ana", "a@b@c", "x" * 400 + "@example.com"])
def test_what_is_no_address_erases_nobody(desk: Desk, address: str) -> None:
    """
    No pattern, no empty text: one person at a time.
    """
    with pytest.raises(InvalidInput):
        desk.erase_player(address)
