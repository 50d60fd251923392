"""Erasing a person from the rows that name them; what happened stays, and the trail with it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("erasure")


def clubs_of_player(tx: Tx, email: str) -> list[int]:
    """The clubs in which somebody of this address has booked."""
    return [row[0] for row in tx.execute(_SQL["clubs_of_player"], {"email": email}).fetchall()]


def still_to_come(tx: Tx, email: str, *, now: datetime, limit: int) -> list[int]:
    """Their reservations that are still to be played."""
    values = {"email": email, "now": now, "limit": limit}
    return [row[0] for row in tx.execute(_SQL["still_to_come"], values).fetchall()]


def erase_reservations(tx: Tx, club_id: int, email: str, *, now: datetime) -> list[int]:
    """Empty name, address, phone and notes of what is over, and the cards' tokens; the ids."""
    values = {"club_id": club_id, "email": email, "now": now}
    ids = [row[0] for row in tx.execute(_SQL["erase_reservations"], values).fetchall()]
    tx.execute(_SQL["erase_cards"], {"claim_ids": ids})
    return ids


def erase_tokens(tx: Tx, email: str, *, now: datetime) -> int:
    """Revoke and empty the tokens of a member of this address; how many those were."""
    return tx.execute(_SQL["erase_tokens"], {"email": email, "now": now}).rowcount


def erase_quarantined(tx: Tx, email: str, *, now: datetime) -> int:
    """Empty the quarantined rows that hold this address; how many those were."""
    # As a whole JSON text, in either spelling: ana@x.example is not mariana@x.example.
    spellings = {json.dumps(email, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    pattern = rf'"\s*(?:{"|".join(re.escape(one) for one in sorted(spellings))})\s*"'
    return tx.execute(_SQL["erase_quarantined"], {"pattern": pattern, "now": now}).rowcount
