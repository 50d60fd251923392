"""
`padelops notifications`: what an engineer on call sees and does, and what cron hears every day.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from testbed.mail_server import MailServer
from testbed.rows import EVENING, column, insert, one, reservation_row

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


@pytest.fixture
def run(database_url: str) -> Callable[..., Ended]:
    """Run `padelops` on this test's database, as ana."""

    def run(*arguments: str, **environment: str) -> Ended:
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ
        }
        done = subprocess.run(
            [sys.executable, "-m", "padelops", *arguments],
            env=kept
            | {"LANG": "C.UTF-8", "PADELOPS_DATABASE_URL": database_url, "PADELOPS_ACTOR": "ana"}
            | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def failed(psql: Any) -> int:
    """A confirmation that the mail server refused a minute ago; its number."""
    row = reservation_row(psql, price_source="tariff", player_email="ana@example.com")
    claim = insert(psql, "claims", row)
    psql.execute(
        "UPDATE messages SET state = 'failed', attempts = 1, reason = 'refused',"
        " detail = '550 no such user', due_at = now() - interval '1 minute'"
    )
    return int(one(psql, "SELECT id FROM messages WHERE claim_id = %s", claim))


def test_the_list_shows_why_and_to_whom_without_telling_the_address(
    run: Callable[..., Ended], failed: int
) -> None:
    """
    For people as a table, for programs as one document; a filter that fits nothing shows nothing.
    """
    table, document = run("notifications", "list"), run("notifications", "list", "--json").document
    none = run("notifications", "list", "--state", "queued", "--json").document

    assert 0 == table.code
    assert "a***@example.com" in table.out
    assert "refused" in table.out
    assert "ana@example.com" not in table.out + json.dumps(document)
    (message,) = document["messages"]
    assert (failed, "failed", "refused", 1) == (
        message["id"],
        message["state"],
        message["reason"],
        message["attempts"],
    )
    assert [] == none["messages"]


def test_what_failed_is_retried_once_it_was_looked_at(
    run: Callable[..., Ended], failed: int, psql: Any
) -> None:
    """
    First what would be, then what is; the second time there is nothing left to retry.
    """
    planned = run("notifications", "retry", "--failed", "--dry-run", "--json")
    before = column(psql, "SELECT state FROM messages")
    done = run("notifications", "retry", str(failed), "--json")
    again = run("notifications", "retry", "--failed", "--json")

    assert ([failed], True) == (planned.document["messages"], planned.document["dry_run"])
    assert ["failed"] == before
    assert (0, [failed]) == (done.code, done.document["messages"])
    assert (0, []) == (again.code, again.document["messages"])
    assert ["queued"] == column(psql, "SELECT state FROM messages")
    assert ["ana"] == column(
        psql, "SELECT actor FROM audit_entries WHERE action = 'messages_retried'"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["retry"], 2, "usage"),
        (["retry", "1", "--failed"], 2, "usage"),
        (["retry", "999999"], 1, "not_found"),
        (["retry", "99999999999999999999"], 2, "invalid_input"),
        (["list", "--state", "lost"], 2, "invalid_input"),
        (["list", "--limit", "0"], 2, "invalid_input"),
        (["report", "--days", "0"], 2, "invalid_input"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    run: Callable[..., Ended], arguments: list[str], code: int, error: str
) -> None:
    """
    With its code, and without a traceback.
    """
    ended = run("notifications", *arguments)

    assert (code, "") == (ended.code, ended.out)
    assert ended.err.startswith(f"padelops: {error}: ")
    assert 1 == ended.err.count("\n")


def test_a_worker_takes_its_leave_of_the_mail_server(run: Callable[..., Ended], psql: Any) -> None:
    """
    Who ends says QUIT: a server that is hung up on logs an error, and keeps its place for a while.
    """
    insert(psql, "claims", reservation_row(psql, price_source="tariff", player_email="a@b.example"))
    with MailServer() as server:
        mail = {"PADELOPS_SMTP_URL": server.url, "PADELOPS_MAIL_FROM": "bookings@club.example"}
        ended = run("worker", "--once", **mail)

    assert 0 == ended.code
    assert (1, 1) == (server.post.connections, server.post.farewells)


def test_a_message_that_was_delivered_is_not_sent_again(
    run: Callable[..., Ended], failed: int, psql: Any
) -> None:
    """
    Not even by an operator: one key, at most one delivery.
    """
    psql.execute("UPDATE messages SET state = 'delivered', delivered_at = now(), reason = NULL")

    ended = run("notifications", "retry", str(failed), "--json")

    assert (1, "cannot_retry") == (ended.code, ended.document["error"]["code"])


@pytest.mark.parametrize(
    ("delivered", "failures", "code", "verdict"),
    [(0, 0, 3, "unknown"), (99, 1, 0, "ok"), (98, 2, 1, "warning"), (89, 11, 2, "critical")],
)
def test_the_report_is_a_check_against_the_goals(
    run: Callable[..., Ended], psql: Any, delivered: int, failures: int, code: int, verdict: str
) -> None:
    """
    0 met, 1 missed, 2 below 90%, 3 nothing to judge; silent under cron only when all is well.
    """
    claim = insert(psql, "claims", reservation_row(psql, starts_at=EVENING))
    psql.execute(
        "INSERT INTO messages (club_id, claim_id, kind, dedupe_key, state, delivered_at, reason,"
        " due_at) SELECT club_id, %(claim)s, 'confirmation', 'n' || n,"
        " CASE WHEN n <= %(delivered)s THEN 'delivered' ELSE 'failed' END,"
        " CASE WHEN n <= %(delivered)s THEN now() END, 'refused', now() - interval '1 minute'"
        " FROM claims, generate_series(1, %(all)s) AS n WHERE claims.id = %(claim)s",
        {"claim": claim, "delivered": delivered, "all": delivered + failures},
    )

    ended = run("notifications", "report", "--json")
    quiet = run("notifications", "report", "--quiet")

    kinds = {kind["kind"]: kind for kind in ended.document["kinds"]}
    assert (code, verdict) == (ended.code, ended.document["verdict"])
    assert verdict == kinds["confirmation"]["verdict"]
    assert [0.99, 0.99, 0.95] == [
        kinds[kind]["goal"] for kind in ("confirmation", "cancellation", "reminder")
    ]
    assert code == quiet.code
    assert (code == 0) == (quiet.out == "")
