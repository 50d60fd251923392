"""
Pages while the database is away: the one alert that cannot be written down where it belongs.

What has been told stands in a file instead, written before anything is sent, so that nobody is
paged every 30 seconds; each host has its own, and the services tell copies by the dedup key. Once
the database answers again, whoever was told hears that it is over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from padelops.errors import OutputFailed
from padelops.ops.alert_notices import body_of, log, row_of
from padelops.ops.alert_states import State
from padelops.ops.alerts import notice_of
from padelops.ops.whole_files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from padelops.ops.alert_notices import Courier
    from padelops.ops.alerts import Board, Notice

FILE = "alerts-told.json"


class Offline:
    """What this host has told people without the database."""

    def __init__(self, folder: Path, courier: Courier) -> None:
        self._path = folder / FILE
        self._courier = courier

    def page(self, board: Board) -> tuple[Notice, ...]:
        """Tell people of what fires and they have not heard of; what was tried."""
        told, tried = self._read(), []
        for status in board.rules:
            firing = status.in_state(State.FIRING)
            if not firing or not status.rule.channels:
                continue
            notice = notice_of(status, firing, board.at)
            known = told.setdefault(
                status.name, {"at": board.at.isoformat(), "level": notice.level, "sent": []}
            )
            reached = {channel for channel in notice.channels if self._courier.reaches(channel)}
            if known["sent"] and set(known["sent"]) >= reached:
                continue
            self._write(told)
            line = f"{notice.severity.upper()}: {notice.line}"
            row = row_of(notice, "page", line, body_of(notice, line), sent=known["sent"])
            known["sent"], _ = self._courier.hand_over(row)
            self._write(told)
            tried.append(notice)
        return tuple(tried)

    def is_over(self, board: Board) -> tuple[Notice, ...]:
        """The database answers again: tell those who were told that it is over."""
        told = self._read()
        if not told:
            return ()
        ended = []
        for status in board.rules:
            if status.name in told and not status.in_state(State.FIRING):
                notice = notice_of(status, (), board.at)
                line = f"RESOLVED: {notice.rule}: {notice.summary}"
                self._courier.hand_over(row_of(notice, "resolve", line, body_of(notice, line)))
                ended.append(notice)
        self._path.unlink(missing_ok=True)
        return tuple(ended)

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, told: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_whole(self._path, json.dumps(told), mode=0o600)
        except OutputFailed as exc:
            # Rather a page too many than none.
            log.warning("alerts: %s", exc)
