"""The main job over HTTP: the same answers and the same codes as at every other door."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from padelops.adapters.gateway_events import sign, written
from padelops.api.openapi import problems_of
from padelops.api.problems import STATUS, status_of
from padelops.api.routes import every_route
from padelops.errors import InternalError, PadelopsError
from padelops.ops.tokens import Role
from padelops.wiring.metrics import FRESH_S as METRICS_FRESH_S
from testbed.api_client import ApiClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.api.app import App
    from padelops.wiring import Desk


@pytest.fixture
def api(app: App, desk: Desk) -> ApiClient:
    """An operator."""
    made = desk.tokens.create("boss", Role.OPERATOR, origin=desk.origin, now=desk.now())
    return ApiClient(app, made.text)


def test_a_booking_is_made_shown_found_and_cancelled(api: ApiClient) -> None:
    """
    The whole life of a reservation, and each answer agrees with the one before.
    """
    made = api.book(player={"name": "Ana Ruiz", "email": "ana@example.com"})
    path = made.headers["location"]
    shown = api("GET", path)
    found = api("GET", "/v1/reservations", club="centro", status="confirmed")
    cancelled = api("POST", f"{path}/cancel", {})
    again = api("POST", f"{path}/cancel", {})

    assert (201, "confirmed", "40.80") == (
        made.status, made.document["status"], made.document["total"]
    )  # fmt: skip
    assert made.document["id"] == shown.document["id"] == found.document["reservations"][0]["id"]
    assert (200, "cancelled", False) == (
        cancelled.status, cancelled.document["status"], cancelled.document["replayed"]
    )  # fmt: skip
    assert (200, True) == (again.status, again.document["replayed"])


def test_the_same_key_books_once(api: ApiClient) -> None:
    """
    A repeated click gets the first click's reservation; another request under the key is refused.
    """
    first = api.book(key="click-1")
    second = api.book(key="click-1")
    other = api.book(starts_at="2026-12-05T10:00", key="click-1")

    assert (201, 200) == (first.status, second.status)
    assert first.document["id"] == second.document["id"]
    assert second.document["replayed"]
    assert (422, "key_reused") == (other.status, other.code)


def test_a_taken_court_is_told_with_what_is_free(api: ApiClient) -> None:
    """
    A conflict is a 409 with alternatives, in the form of RFC 9457.
    """
    api.book()
    taken = api.book(starts_at="2026-12-04T18:00")

    assert 409 == taken.status
    assert "application/problem+json" == taken.headers["content-type"]
    assert ("court_taken", 409, False) == (
        taken.code, taken.document["status"], taken.document["retryable"]
    )  # fmt: skip
    assert taken.document["alternatives"]
    assert "Ana" not in json.dumps(taken.document)


def test_a_dry_run_changes_nothing(api: ApiClient) -> None:
    """
    What would be booked or cancelled is told, and nothing is.
    """
    would = api.book(dry_run=True)
    made = api.book()
    api("POST", f"{made.headers['location']}/cancel", {"dry_run": True})

    assert (200, True) == (would.status, would.document["dry_run"])
    assert "confirmed" == api("GET", made.headers["location"]).document["status"]


def test_prices_and_availability_agree(api: ApiClient) -> None:
    """
    A start shown as free costs what its quote says, and is gone once it is booked.
    """

    def starts() -> dict[str, str]:
        day = api("GET", "/v1/clubs/centro/courts/2/availability", date="2026-12-04", minutes=90)
        return {one["starts_at"]: one["total"] for one in day.document["courts"][0]["free"]}

    start = "2026-12-04T17:30:00+01:00"
    before = starts()
    quote = api("GET", "/v1/quotes", court="centro/2", starts_at="2026-12-04T17:30", minutes=90)
    api.book()

    assert before[start] == quote.document["total"]
    assert start not in starts()


def test_pages_follow_one_another(api: ApiClient) -> None:
    """
    Every reservation is on exactly one page.
    """
    for hour in range(10, 16):
        assert 201 == api.book(starts_at=f"2026-12-02T{hour}:00", minutes=60).status
    seen, cursor = [], {}
    while True:
        page = api("GET", "/v1/reservations", club="centro", limit=4, **cursor).document
        seen += [one["id"] for one in page["reservations"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert 6 == len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", ""),
        (b"{", ""),
        (b'{"court": "centro/2"}', "starts_at"),
        (b'{"court": 2, "starts_at": "x", "player": {"name": "A"}}', "court"),
        (b'{"court": "centro/2", "starts_at": "x", "player": {"name": "A"}, "x": 1}', "x"),
        (b'{"court": "c/2", "starts_at": "x", "player": {"name": "A", "count": "2"}}', "player"),
        (b'{"court": "c/2", "starts_at": "x", "player": {"name": "A"}, "expect_total": ""}', "exp"),
        (b'["not", "an", "object"]', ""),
        (b"\xff\xfe", ""),
        (b"[" * 60_000, ""),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_with_its_place(
    api: ApiClient, body: bytes, where: str
) -> None:
    """
    Whoever sent it is told where to look, and not what they sent.
    """
    refused = api("POST", "/v1/reservations", raw=body)

    assert (400, "invalid_input") == (refused.status, refused.code)
    assert refused.document["errors"][0]["where"].startswith(where)


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "x" * 201, "\x1b[2J", "  "])
def test_names_that_cannot_be_stored_are_refused(api: ApiClient, text: str) -> None:
    """
    NUL bytes, halves of pairs, controls and endless names change nothing.
    """
    refused = api.book(player={"name": text})

    assert (400, "invalid_input") == (refused.status, refused.code)
    assert [] == api("GET", "/v1/reservations", club="centro").document["reservations"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "nonsense=1", "limit=1&limit=2", "since=2026-13-01",
     "status=nope", "%ff=1", "cursor=zzz", "cursor=a.b", "name=%00", "since=9999-01-01",
     "a=1&" * 60],
)  # fmt: skip
def test_a_query_that_does_not_fit_is_refused(api: ApiClient, query: str) -> None:
    """
    Bad numbers, unknown or repeated fields, forged cursors: 400, and nothing is searched.
    """
    from padelops.api.exchange import Request  # noqa: PLC0415

    fields = {"authorization": f"Bearer {api.token}"}
    refused = api.app.answer(Request("GET", "/v1/reservations", query, fields))

    assert 400 == refused.status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("GET", "/v1", 404), ("GET", "/v1/reservations/0", 404),
        ("GET", "/v1/reservations/01", 404), ("GET", "/v1/reservations/x", 404),
        ("GET", "/v1/reservations/9999999999999999999", 400),
        ("GET", "/v1/reservations/9223372036854775807", 404),
        ("GET", "/v1/clubs/nowhere/availability", 404), ("GET", "/v1/clubs/centro/courts/9/x", 404),
        ("GET", "/v1/clubs/centro/courts/9/availability", 404),
        ("GET", "/v1/clubs/%2e%2e/availability", 404), ("DELETE", "/v1/reservations", 405),
        ("BREW", "/health/live", 405), ("POST", "/health/live", 405),
    ],
)  # fmt: skip
def test_addresses_with_nothing_at_them(
    api: ApiClient, method: str, path: str, status: int
) -> None:
    """
    What is not there is 404, what takes another method 405 with `Allow`.
    """
    answer = api(method, path)

    assert status == answer.status
    assert (status == 405) is ("allow" in answer.headers)


def test_a_request_id_reaches_answer_and_audit_trail(api: ApiClient, desk: Desk) -> None:
    """
    The caller's name for a request is kept if it is harmless, else one is made up.
    """
    body = {"court": "centro/1", "starts_at": "2026-12-04T10:00", "player": {"name": "Ana"}}
    named = api("POST", "/v1/reservations", body, headers={"x-request-id": "edge-17"})
    broken = api("GET", "/health/live", headers={"x-request-id": "a b\x00"})
    entry = desk.history(named.document["id"])[0].as_json()

    assert "edge-17" == named.headers["x-request-id"]
    assert ("operator:boss", "api", "edge-17") == (
        entry["actor"], entry["door"], entry["request_id"]
    )  # fmt: skip
    assert 16 == len(broken.headers["x-request-id"])


def test_an_outage_is_told_without_names(
    app: App, api: ApiClient, outage: Callable[[], Any]
) -> None:
    """
    Database away: 503 with `Retry-After`; hosts and logins stay in the log. Alive, but not ready.
    """
    api("GET", "/v1/clubs")
    stranger = ApiClient(app)
    with outage():
        booked = api.book()
        day = api("GET", "/v1/clubs/centro/availability", date="2026-12-04")
        ready, live = stranger("GET", "/health/ready"), stranger("GET", "/health/live")
    after = api.book()

    assert (503, "1") == (booked.status, booked.headers["retry-after"])
    assert "database" in booked.document["detail"]
    assert "connection" not in json.dumps(booked.document)
    assert 503 == day.status
    assert (503, 200) == (ready.status, live.status)
    assert 201 == after.status


def test_metrics_are_told_to_prometheus(
    app: App, api: ApiClient, outage: Callable[[], Any]
) -> None:
    """
    Text for a scraper, also while the database is away: then it says so, and what this process did.
    """
    api.book()
    stranger = ApiClient(app)
    up = stranger("GET", "/metrics")
    with outage():
        time.sleep(METRICS_FRESH_S)
        down = stranger("GET", "/metrics")

    assert (200, 200) == (up.status, down.status)
    assert up.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "\npadel_up 1" in up.document
    assert "\npadel_up 0" in down.document
    assert "\npadel_process_operations_total{" in down.document


def test_webhooks_are_believed_when_signed(app: App, desk: Desk) -> None:
    """
    New, told again, then changed, forged, unsigned, late, and no event at all.
    """
    secret = desk.settings.sandbox_webhook_secret
    body = written(
        "evt_1", "payment.captured", reference="r", gateway_ref="pi_1", created_at=desk.now()
    )
    gateway = ApiClient(app)

    def told(body: bytes, signature: str | None) -> Any:
        headers = {} if signature is None else {"stripe-signature": signature}
        return gateway("POST", "/webhooks/stripe", raw=body, headers=headers)

    genuine = sign(body, secret, now=desk.now())
    first, again = told(body, genuine), told(body, genuine)
    wrong = [
        told(body + b" ", genuine),
        told(body, genuine[:-1]),
        told(body, None),
        told(body, sign(body, SecretStr("other"), now=desk.now())),
        told(body, sign(body, secret, now=desk.now() - timedelta(hours=1))),
    ]

    assert (200, True) == (first.status, first.document["new"])
    assert (200, False) == (again.status, again.document["new"])
    assert [403] * len(wrong) == [one.status for one in wrong]
    assert 400 == told(b"\x00", sign(b"\x00", secret, now=desk.now())).status
    assert 400 == told(body, "x" * 5000).status


def test_a_bug_is_told_as_an_unknown_outcome(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What nobody expected ends as 500 without a word of the exception's own.
    """
    from padelops.wiring import Desk as AnyDesk  # noqa: PLC0415

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(AnyDesk, "book", broken)
    answer = api.book()

    assert (500, "internal_error") == (answer.status, answer.code)
    assert "secret" not in json.dumps(answer.document)


def test_every_error_has_a_status() -> None:
    """
    Whatever the core raises is told with a status of its own branch.
    """

    def below(kind: type[PadelopsError]) -> Iterator[type[PadelopsError]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    statuses = {one.__name__: status_of(one.__new__(one)) for one in below(PadelopsError)}

    assert 500 == statuses["InternalError"] == status_of(InternalError())
    assert 504 == statuses["CommitLost"]
    assert 503 == statuses["DatabaseUnavailable"]
    assert all(200 <= status < 600 for status in statuses.values())
    assert PadelopsError in STATUS


def test_the_document_names_every_route_and_problem(api: ApiClient) -> None:
    """
    The OpenAPI document has each route with each of its statuses, and no other.
    """
    document = ApiClient(api.app)("GET", "/openapi.json").document
    routes = every_route()

    assert {route.path for route in routes} == set(document["paths"])
    for route in routes:
        operation = document["paths"][route.path][route.method.lower()]
        expected = {str(status) for status in {*(route.answers or {}), *problems_of(route)}}
        assert expected == set(operation["responses"]), route.name
        assert operation["summary"]
