"""Members see and cancel their own, staff their club's, operators all; nobody else a thing."""

from __future__ import annotations

import hashlib
import statistics
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from padelops.api.access import KNOWN_S
from padelops.api.rate_limits import BURST_S, RateLimits
from padelops.api.routes import every_route
from padelops.errors import InvalidInput, NotFound
from padelops.ops.tokens import Role, Token
from testbed.api_client import ApiClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from padelops.api.app import App
    from padelops.wiring import Desk
    from testbed.clock import Clock

ANA, LEO = "ana@example.com", "leo@example.com"
STRANGER, OPERATOR, STAFF, OTHERS = "stranger", "operator", "staff of centro", "staff of roma"
OWNER, RIVAL, BOUND = "Ana", "Leo", "Ana bound to roma"
EVERYBODY = (OPERATOR, STAFF, OTHERS, OWNER, RIVAL, BOUND)


@pytest.fixture
def give(desk: Desk) -> Callable[..., str]:
    """Makes a token; its text."""

    def give(role: Role, **more: Any) -> str:
        name = str(more.pop("name", role.value))
        return desk.tokens.create(name, role, origin=desk.origin, now=desk.now(), **more).text

    return give


@pytest.fixture
def callers(app: App, give: Callable[..., str]) -> dict[str, ApiClient]:
    """Everybody who could come, by who they are."""
    return {
        STRANGER: ApiClient(app),
        OPERATOR: ApiClient(app, give(Role.OPERATOR)),
        STAFF: ApiClient(app, give(Role.STAFF, club="centro")),
        OTHERS: ApiClient(app, give(Role.STAFF, club="roma")),
        OWNER: ApiClient(app, give(Role.MEMBER, email=ANA, member_tier="gold")),
        RIVAL: ApiClient(app, give(Role.MEMBER, email=LEO)),
        BOUND: ApiClient(app, give(Role.MEMBER, email=ANA, club="roma")),
    }


@pytest.fixture
def hers(desk: Desk) -> int:
    """A reservation of Ana's at centro, made at the desk."""
    return desk.book(
        "centro/2", "2026-12-04T17:30", player="Ana Ruiz", email="Ana@Example.com"
    ).reservation.id


def test_each_role_against_each_route(callers: dict[str, ApiClient], hers: int) -> None:
    """
    Who gets what at every address there is; a route that is not in here fails the test.
    """
    path = f"/v1/reservations/{hers}"
    wish = {"court": "centro/3", "starts_at": "2026-12-05T10:00", "dry_run": True}
    body = {**wish, "player": {"name": "Somebody"}}
    all_ok = dict.fromkeys(EVERYBODY, 200)
    theirs = all_ok | {OTHERS: 404, RIVAL: 404, BOUND: 404}
    expected: dict[str, tuple[str, str, Any, dict[str, int]]] = {
        "show": ("GET", path, None, theirs | {STRANGER: 401}),
        "cancel": (
            "POST", f"{path}/cancel", {"dry_run": True}, theirs | {STRANGER: 401},
        ),
        "search": ("GET", "/v1/reservations", None, all_ok | {STRANGER: 401}),
        "book": (
            "POST", "/v1/reservations", body,
            all_ok | {OTHERS: 403, BOUND: 403, STRANGER: 401},
        ),
        "clubs": ("GET", "/v1/clubs", None, all_ok | {STRANGER: 401}),
        "quote": ("GET", "/v1/quotes", None, all_ok | {STRANGER: 401}),
        "availability_of_club": (
            "GET", "/v1/clubs/centro/availability", None, all_ok | {STRANGER: 401},
        ),
        "availability_of_court": (
            "GET", "/v1/clubs/centro/courts/1/availability", None, all_ok | {STRANGER: 401},
        ),
        "live": ("GET", "/health/live", None, all_ok | {STRANGER: 200}),
        "ready": ("GET", "/health/ready", None, all_ok | {STRANGER: 200}),
        "metrics": ("GET", "/metrics", None, all_ok | {STRANGER: 200}),
        "webhook": (
            "POST", "/webhooks/stripe", {}, dict.fromkeys((*EVERYBODY, STRANGER), 403),
        ),
        "openapi": ("GET", "/openapi.json", None, all_ok | {STRANGER: 200}),
    }  # fmt: skip
    asked = {"quote": {"court": "centro/2", "starts_at": "2026-12-04T10:00"}}

    assert {route.name for route in every_route()} == set(expected)
    for name, (method, address, sent, statuses) in expected.items():
        got = {
            who: caller(method, address, sent, **asked.get(name, {})).status
            for who, caller in callers.items()
        }
        assert statuses == got, name


def test_a_search_finds_only_what_is_theirs(callers: dict[str, ApiClient], desk: Desk) -> None:
    """
    Whatever is asked for, the scope of the token is asked for too.
    """
    mine = desk.book("centro/2", "2026-12-04T17:30", player="Ana", email=ANA).reservation.id
    his = desk.book("centro/3", "2026-12-04T17:30", player="Leo", email=LEO).reservation.id
    roma = desk.book("roma/1", "2026-12-04T17:30", player="Ana", email=ANA).reservation.id

    def found(who: str, **query: Any) -> list[int] | str:
        answer = callers[who]("GET", "/v1/reservations", **query)
        if answer.status != 200:
            return answer.code
        return sorted(one["id"] for one in answer.document["reservations"])

    assert [mine, his, roma] == found(OPERATOR)
    assert [mine, his] == found(STAFF)
    assert [roma] == found(OTHERS)
    assert [mine, roma] == found(OWNER)
    assert [mine] == found(OWNER, club="centro")
    assert [roma] == found(BOUND)
    assert [his] == found(RIVAL)
    assert "not_permitted" == found(STAFF, club="roma") == found(STAFF, club="nowhere")
    assert "not_permitted" == found(OWNER, email=LEO)
    assert [] == found(RIVAL, name="Ana")


def test_a_cursor_is_good_for_its_token_and_search_only(
    callers: dict[str, ApiClient], app: App, give: Callable[..., str], desk: Desk
) -> None:
    """
    Used by another token, with another filter, cut short or forged, it opens nothing.
    """
    for hour in (10, 12, 14):
        desk.book("centro/2", f"2026-12-04T{hour}:00", player="Ana", email=ANA)
    page = callers[STAFF]("GET", "/v1/reservations", limit=1)
    cursor = page.document["next_cursor"]
    colleague = ApiClient(app, give(Role.STAFF, club="centro", name="second"))

    def status(caller: ApiClient, cursor: str, **query: Any) -> int:
        return caller("GET", "/v1/reservations", cursor=cursor, limit=1, **query).status

    assert 200 == status(callers[STAFF], cursor)
    assert {400} == {
        status(colleague, cursor),
        status(callers[OPERATOR], cursor),
        status(callers[OPERATOR], cursor, club="centro"),
        status(callers[STAFF], cursor, status="confirmed"),
        status(callers[STAFF], cursor[:-1]),
        status(callers[STAFF], cursor[1:]),
        status(callers[STAFF], cursor.partition(".")[0]),
        status(callers[STAFF], "A" + cursor),
        status(callers[STAFF], "." * 20),
    }


def test_what_is_not_theirs_is_told_as_what_is_not_there(
    callers: dict[str, ApiClient], hers: int
) -> None:
    """
    The very same words, whether an id is free or somebody else's.
    """

    def words(number: int) -> list[Any]:
        told = []
        for method, tail, body in (("GET", "", None), ("POST", "/cancel", {})):
            answer = callers[RIVAL](method, f"/v1/reservations/{number}{tail}", body)
            document = answer.document | {"request_id": ""}
            told.append((answer.status, str(document).replace(str(number), "N")))
        return told

    assert words(hers + 1000) == words(hers)
    assert "confirmed" == callers[OWNER]("GET", f"/v1/reservations/{hers}").document["status"]


def test_what_is_not_theirs_takes_as_long_as_what_is_not_there(
    callers: dict[str, ApiClient], hers: int
) -> None:
    """
    One statement either way: the medians are of one class, far from that of a real answer's.
    """

    def took_s(number: int) -> float:
        began = time.perf_counter()
        callers[RIVAL]("GET", f"/v1/reservations/{number}")
        return time.perf_counter() - began

    pairs = [(took_s(hers), took_s(hers + 1000 + nth)) for nth in range(60)]
    ratio = statistics.median(theirs / absent for theirs, absent in pairs)

    assert 0.5 < ratio < 2


def test_forged_tokens_are_refused_alike(
    app: App, give: Callable[..., str], callers: dict[str, ApiClient]
) -> None:
    """
    Cut, changed, of another's handle, or in another scheme: one answer for all.
    """
    text = give(Role.STAFF, club="centro")
    other = give(Role.OPERATOR)
    handle, secret = text.split("_", 2)[1:]
    wrong = [
        "", " ", "x", text[:-1], text + "A", text[1:], text.upper(), "padel__", f"padel_{handle}_",
        f"padel_{handle}_{'A' * 43}", f"padel_{other.split('_')[1]}_{secret}", secret, "\x00" * 50,
        text.replace("padel", "pad3l"), "é" * 62, "A" * 150,
    ]  # fmt: skip

    def said(value: str) -> tuple[int, Any]:
        answer = ApiClient(app)("GET", "/v1/clubs", headers={"authorization": value})
        return answer.status, answer.document | {"request_id": ""}

    answers = [said(f"Bearer {one}") for one in wrong] + [said(f"Basic {text}"), said(text)]

    assert [said("")] * len(answers) == answers
    assert 401 == answers[0][0]
    assert 200 == callers[STAFF]("GET", "/v1/clubs").status


def test_a_member_books_for_the_member_alone(callers: dict[str, ApiClient]) -> None:
    """
    The address and the tier are the token's; somebody else's, or a discount, is not for the asking.
    """
    member = callers[OWNER]
    made = member.book()
    others = member.book(starts_at="2026-12-05T10:00", player={"name": "Leo", "email": LEO})
    tier = member.book(starts_at="2026-12-05T10:00", member_tier="junior")

    assert (201, ANA, "gold") == (
        made.status, made.document["player"]["email"], made.document["member_tier"]
    )  # fmt: skip
    assert (403, 403) == (others.status, tier.status)


def test_a_member_cannot_take_a_reason_that_pays_everything_back(
    callers: dict[str, ApiClient], hers: int
) -> None:
    """
    Weather and the club's own doing are for the club to claim.
    """
    path = f"/v1/reservations/{hers}/cancel"

    assert 403 == callers[OWNER]("POST", path, {"reason": "weather"}).status
    assert 200 == callers[OWNER]("POST", path, {"reason": "duplicate"}).status


def test_members_cannot_meet_on_a_key(callers: dict[str, ApiClient]) -> None:
    """
    Two members may use the same key; each gets and replays an own reservation.
    """
    ana = callers[OWNER].book(key="1")
    leo = callers[RIVAL].book(starts_at="2026-12-05T10:00", key="1")
    again = callers[OWNER].book(key="1")
    as_told = callers[OWNER].book(key=ana.document["key"])

    assert (201, 201) == (ana.status, leo.status)
    assert ana.document["id"] == again.document["id"] == as_told.document["id"]


def test_a_revoked_or_expired_token_is_a_stranger(
    app: App, desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Expiry counts at once, a revocation once what the process remembers has lapsed.
    """
    made = desk.tokens.create(
        "a day",
        Role.OPERATOR,
        expires_at=clock() + timedelta(days=1),
        origin=desk.origin,
        now=clock(),
    )
    caller = ApiClient(app, made.text)
    before = caller("GET", "/v1/clubs").status
    clock.advance(days=1)
    expired = caller("GET", "/v1/clubs").status
    clock.advance(days=-1)
    desk.tokens.revoke(made.token.handle, origin=desk.origin, now=clock())
    later = time.monotonic() + KNOWN_S
    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert (200, 401, 401) == (before, expired, caller("GET", "/v1/clubs").status)


def test_a_token_books_only_so_fast(app: App, give: Callable[..., str]) -> None:
    """
    Beyond its rate it hears 429 and when to come back; reading goes on, and so do others.
    """
    caller = ApiClient(app, give(Role.STAFF, club="centro", bookings_per_minute=12))
    statuses = [caller.book(dry_run=True).status for _ in range(3)]
    refused = caller.book(dry_run=True)

    assert [200, 200, 429] == statuses
    assert (429, "rate_limited", True) == (
        refused.status, refused.code, refused.document["retryable"]
    )  # fmt: skip
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert 200 == caller("GET", "/v1/clubs").status
    assert (
        200 == ApiClient(app, give(Role.STAFF, club="centro", name="b")).book(dry_run=True).status
    )


def test_processes_share_one_rate(tmp_path: Path) -> None:
    """
    Two workers let through together what one would.
    """
    workers = [RateLimits(tmp_path / "rates"), RateLimits(tmp_path / "rates")]
    rate, seconds = 60, 30
    passed = sum(
        workers[tick % 2].spend("t", rate, now=1000 + tick / 10) == 0
        for tick in range(seconds * 10)
    )

    assert abs(passed - (BURST_S + seconds)) <= 1
    assert 0 == workers[0].spend("t", None, now=1000)


def test_an_erased_member_is_nobody(
    callers: dict[str, ApiClient], desk: Desk, psql: psycopg.Connection[Any]
) -> None:
    """
    The token ends with the person: revoked, nameless, and never named in the trail.
    """
    made = callers[OWNER].book().document["id"]
    callers[OWNER]("POST", f"/v1/reservations/{made}/cancel", {})
    entry = desk.history(made)[0].as_json()
    desk.erase_player("ANA@example.com")
    rows = psql.execute(
        "SELECT name, player_email, status FROM api_tokens WHERE player_email <> %s", [LEO]
    ).fetchall()

    assert [("erased", "erased", "revoked")] * 2 == rows
    assert entry["actor"].startswith("member:")
    assert "Ana" not in entry["actor"]
    assert (
        None
        is psql.execute(
            "SELECT 1 FROM audit_entries WHERE changes::text ILIKE '%ana@example%'"
        ).fetchone()
    )
    assert desk.verify_audit().intact


def test_the_secret_is_nowhere(desk: Desk, psql: psycopg.Connection[Any]) -> None:
    """
    The table has a hash, the audit trail not even that; both name who made and ended the token.
    """
    made = desk.tokens.create("kiosk", Role.STAFF, club="roma", origin=desk.origin, now=desk.now())
    desk.tokens.revoke(made.token.handle, origin=desk.origin, now=desk.now())
    again = desk.tokens.revoke(made.token.handle, origin=desk.origin, now=desk.now())
    secret = made.text.split("_", 2)[2]
    row = psql.execute("SELECT id, digest, api_tokens::text FROM api_tokens").fetchone()
    assert row is not None
    entries = [entry.as_json() for entry in desk.history(row[0], subject="token")]

    assert hashlib.sha256(secret.encode()).digest() == row[1]
    assert secret not in row[2]
    assert ["created", "revoked"] == [entry["action"] for entry in entries]
    assert "digest" not in str(entries[0])
    assert again.revoked_at is not None
    assert desk.verify_audit().intact
    for statement in (
        "UPDATE api_tokens SET role = 'operator', club_id = NULL",
        "UPDATE api_tokens SET status = 'active', revoked_at = NULL",
        "DELETE FROM api_tokens",
        "TRUNCATE api_tokens",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            psql.execute(statement.encode())


@pytest.mark.parametrize(
    ("role", "more", "error"),
    [
        (Role.MEMBER, {}, InvalidInput),
        (Role.MEMBER, {"email": "nobody"}, InvalidInput),
        (Role.STAFF, {}, InvalidInput),
        (Role.STAFF, {"club": "centro", "email": ANA}, InvalidInput),
        (Role.STAFF, {"club": "nowhere"}, NotFound),
        (Role.OPERATOR, {"club": "centro"}, InvalidInput),
        (Role.OPERATOR, {"member_tier": "gold"}, InvalidInput),
        (Role.OPERATOR, {"name": "\x00"}, InvalidInput),
    ],
)
def test_a_token_that_fits_no_role_is_not_made(
    give: Callable[..., str], desk: Desk, role: Role, more: dict[str, Any], error: type[Exception]
) -> None:
    """
    Members have an address, staff a club, operators neither.
    """
    with pytest.raises(error):
        give(role, **more)

    no_tokens: list[Token] = []
    assert no_tokens == desk.tokens.all(revoked=True)
