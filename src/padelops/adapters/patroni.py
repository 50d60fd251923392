"""
A cluster under Patroni, looked at and changed over its REST API; every server is asked by SQL too.

Patroni decides who leads, fences by its lease, and brings a former primary back. What is left to
us: asking all its nodes instead of one, telling "failed" from "nobody knows" (its 503 means either,
and its 200 may name another node than asked for), and ending a dead leader's lease at once.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from padelops.adapters.etcd import EtcdLeases
from padelops.adapters.operator_commands import FENCE, run_command
from padelops.errors import (
    InvalidInput,
    NotPermitted,
    OutcomeUnknown,
    PartlyDone,
    SafetyGate,
    Unavailable,
)
from padelops.store.nodes import Address, Cluster, Reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from padelops.store.nodes import Node, Servers

LOOK_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 30.0
"""Patroni itself looks for 10 s at least what became of a switchover."""
BACK_TIMEOUT_S = 10.0
PAUSE_S = 0.1

LEADERS = frozenset({"leader", "standby_leader", "master", "primary"})
SYNC_ROLES = {"sync_standby": "sync", "quorum_standby": "quorum"}


@dataclass(frozen=True, slots=True)
class Told:
    """What one Patroni answers: of the cluster, and of itself."""

    url: str
    cluster: dict[str, Any] | None
    itself: dict[str, Any] | None
    problem: str | None


class PatroniDriver:
    """
    Changes who is primary through Patroni.

    Args:
        urls: Patroni's REST addresses, with commas between; those of other nodes are learned.
        servers: how to log in to the PostgreSQL servers that Patroni names.
        etcd_urls: see `EtcdLeases`; without it a dead leader's lease runs out by itself.
    """

    name = "patroni"
    managed = True
    patience_s = 45.0

    def __init__(
        self,
        urls: str,
        servers: Servers,
        *,
        user: str | None = None,
        password: SecretStr | None = None,
        etcd_urls: SecretStr | None = None,
        fence_command: str | None = None,
    ) -> None:
        self.servers = servers
        self._urls = dict.fromkeys(_checked(url) for url in urls.split(",") if url.strip())
        self._login = (user, password.get_secret_value() if password else "") if user else None
        self._etcd = EtcdLeases(etcd_urls) if etcd_urls else None
        self._fence_command = fence_command
        self._apis: dict[str, str] = {}
        self._members: dict[str, Address] = {}
        self._scope = ""
        self._strict = False

    # --- looking -------------------------------------------------------------------------------

    def observe(self) -> Cluster:
        """Every Patroni and every server, asked now, side by side."""
        urls = list(dict.fromkeys([*self._urls, *self._apis.values()]))
        with ThreadPoolExecutor(max_workers=max(len(urls), 1)) as pool:
            told = list(pool.map(self._ask, urls))
        views = [answer.cluster for answer in told if answer.cluster]
        for view in views:
            self._learn(view)
        members = {member["name"]: member for view in views for member in view.get("members", [])}
        known = set(self._members.values())
        wanted: list[tuple[str | None, Address]] = [
            *self._members.items(),
            # Not by its cluster_name, which Patroni makes the same for all.
            *((str(one), one) for one in self.servers.addresses if one not in known),
        ]
        config = self._config([answer.url for answer in told if answer.itself])
        self._strict = bool(config.get("synchronous_mode_strict"))
        leaders = {
            member["name"]
            for view in views
            for member in view.get("members", [])
            if member.get("role") in LEADERS
        }
        nodes = tuple(
            _with_role(node, members.get(node.name)) for node in self.servers.look_at_all(wanted)
        )
        return Cluster(
            name=self._scope or self.servers.database,
            driver=self.name,
            nodes=nodes,
            sync_wanted=bool(config.get("synchronous_mode"))
            or any(node.sync in SYNC_ROLES.values() for node in nodes),
            strict=self._strict,
            paused=bool(config.get("pause")) or any(view.get("pause") for view in views),
            failsafe=any((answer.itself or {}).get("failsafe_mode_is_active") for answer in told),
            manager_problem=_problem(told, config)
            or (self._etcd.trouble() if self._etcd else None),
            leader=next(iter(leaders)) if len(leaders) == 1 else None,
            doubts=(*_doubts(leaders, nodes), *self._alone(nodes, told)),
        )

    def _alone(self, nodes: tuple[Node, ...], told: list[Told]) -> list[str]:
        """A primary whose Patroni is silent cannot hand over: its lease has to run out."""
        answering = {answer.url for answer in told if answer.itself is not None}
        return [
            f"{node.name} takes writes, and its Patroni does not answer"
            for node in nodes
            if node.writable and node.name in self._apis and self._apis[node.name] not in answering
        ]

    def _store_trouble(self) -> str | None:
        """Patroni remembers what its store said for a while; so the store is asked itself."""
        return self._etcd.trouble() if self._etcd else None

    def _ask(self, url: str) -> Told:
        try:
            with self._client(url) as client:
                itself = client.get("/patroni").json()
        except (httpx.HTTPError, ValueError) as exc:
            return Told(url, None, None, f"Patroni at {url}: {type(exc).__name__}")
        try:
            # A connection of its own: it hangs where the store is away.
            with self._client(url) as client:
                cluster = client.get("/cluster")
            view = cluster.json() if cluster.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, ValueError):
            view = None
        trouble = None if view else f"Patroni at {url} cannot ask its store"
        return Told(url, view, itself, trouble)

    def _learn(self, view: dict[str, Any]) -> None:
        self._scope = str(view.get("scope") or self._scope)
        for member in view.get("members", []):
            if member.get("host"):
                self._members[member["name"]] = Address(member["host"], int(member["port"]))
            if member.get("api_url"):
                parts = urlsplit(member["api_url"])
                self._apis[member["name"]] = f"{parts.scheme}://{parts.netloc}"

    def config(self) -> dict[str, Any]:
        """The cluster's dynamic configuration, from any node that tells."""
        return self._config(list(dict.fromkeys([*self._urls, *self._apis.values()])))

    def _config(self, urls: list[str]) -> dict[str, Any]:
        for url in urls:
            try:
                with self._client(url) as client:
                    answer = client.get("/config")
                    if answer.status_code == httpx.codes.OK:
                        document = answer.json()
                        return document if isinstance(document, dict) else {}
            except (httpx.HTTPError, ValueError):
                continue
        return {}

    def _client(self, url: str, *, answer_s: float = LOOK_TIMEOUT_S) -> httpx.Client:
        return httpx.Client(
            base_url=url,
            auth=self._login,
            timeout=httpx.Timeout(answer_s, connect=LOOK_TIMEOUT_S),
            trust_env=False,  # a proxy is for the world outside
        )

    # --- changing ------------------------------------------------------------------------------

    def how_to_fence(self, old: Node) -> str | None:
        """By what means this server would be fenced; None where there is none."""
        if self._fence_command:
            return FENCE
        if self._is_dead(old):
            return "neither PostgreSQL nor Patroni listens there any more"
        if old.writable:
            return "Patroni demotes it before another one leads"
        if self._strict:
            return "in strict synchronous mode it acknowledges nothing once its standby leads"
        return None

    def fence(self, old: Node) -> str:
        """
        Make sure that this server acknowledges nothing from now on; says how.

        Raises:
            Unavailable: it could not be made sure.
        """
        if self._fence_command:
            run_command(self._fence_command, FENCE, old)
            return f"{FENCE} ended with 0"
        means = self.how_to_fence(old)
        if means is None:
            raise Unavailable(
                f"{old.name} does not answer, is not proved dead, and replication is not strict.",
                fix="Set PADELOPS_FENCE_COMMAND to what cuts it off.",
            )
        return means

    def unfence(self, old: Node) -> None:
        """Patroni's fence is its lease: there is nothing to give back."""

    def caught_up(self, candidate: Node, old: Node, *, patience_s: float) -> int:
        """Patroni waits for that itself before it hands over."""
        del candidate, old, patience_s
        return 0

    def promote(self, candidate: Node, old: Node | None, told: Callable[[str], None]) -> None:
        """
        Ask Patroni for the change. Returns once somebody else leads, or nobody is left to wait for.

        Raises:
            NotPermitted, SafetyGate: Patroni refuses, nothing was changed.
            OutcomeUnknown: it failed, or Patroni does not know.
        """
        if old is not None and old.writable:
            self._request("switchover", {"leader": old.name, "candidate": candidate.name}, old.name)
            return
        if old is not None and self._may_end_lease(old):
            told(self._end_lease(old, candidate))
        else:
            told("its lease runs out by itself")

    def _may_end_lease(self, old: Node) -> bool:
        return self._etcd is not None and (bool(self._fence_command) or self._is_dead(old))

    def _end_lease(self, old: Node, candidate: Node) -> str:
        assert self._etcd is not None  # noqa: S101 - for the type checker
        system = candidate.facts.system if candidate.facts else ""
        try:
            gone = self._etcd.forget_leader(self._scope, old.name, system)
        except Unavailable as exc:
            return str(exc)  # slower, and just as safe
        return "its lease was ended" if gone else "its lease had ended"

    def _is_dead(self, old: Node) -> bool:
        """
        Whether its machine itself says that nobody listens, neither PostgreSQL nor Patroni.

        Silence proves nothing: a stopped server and a cut network are silent, and both come back.
        """
        api = self._apis.get(old.name)
        return old.reach is Reach.REFUSED and api is not None and _refused(api)

    def _request(self, what: str, body: dict[str, str], leader: str) -> None:
        answers: SimpleQueue[httpx.Response | httpx.HTTPError] = SimpleQueue()
        url = self._apis.get(leader) or next(iter(self._urls))

        def ask() -> None:
            try:
                with self._client(url, answer_s=ANSWER_TIMEOUT_S) as client:
                    answers.put(client.post(f"/{what}", json=body))
            except httpx.HTTPError as exc:
                answers.put(exc)

        # Patroni answers seconds after the change is done: who leads tells sooner.
        threading.Thread(target=ask, name="patroni-request", daemon=True).start()
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                came = answers.get(timeout=PAUSE_S)
            except Empty:
                if any(self._leads(api) for name, api in self._apis.items() if name != leader):
                    return
                continue
            _judge(came, url)
            return
        raise OutcomeUnknown(f"Patroni did not answer within {ANSWER_TIMEOUT_S:.0f} s.")

    def _leads(self, api: str) -> bool:
        try:
            with self._client(api, answer_s=PAUSE_S * 5) as client:
                return client.get("/primary").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def how_to_rejoin(self, old: Node, new: Node) -> list[str]:
        """What a person does where Patroni cannot."""
        del new
        return [
            f"Start Patroni on {old.name} ({old.address}): it makes the server a standby.",
        ]

    def rejoin(self, old: Node, new: Node, *, sync_names: str) -> str:
        """
        Patroni brings the former primary back; says so once it is sure that Patroni is there.

        Raises:
            PartlyDone: no Patroni answers there.
        """
        del sync_names
        api = self._apis.get(old.name)
        deadline = time.monotonic() + BACK_TIMEOUT_S
        while api is not None and not _refused(api):
            told = self._ask(api)
            if told.itself is not None:
                return f"Patroni on {old.name} answers ({told.itself.get('state')})"
            if time.monotonic() > deadline:
                break
            time.sleep(PAUSE_S)
        raise PartlyDone(
            f"No Patroni answers on {old.name}, so it did not rejoin.",
            remaining=self.how_to_rejoin(old, new),
        )

    def wait_for_standby(self, new: Node, standby: Node, sync_names: str) -> None:
        """Patroni names the synchronous standby itself."""


def _checked(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise InvalidInput(
            "PADELOPS_PATRONI_URLS is no address of Patroni.",
            fix="Write http://HOST:8008, several with commas; the login has settings of its own.",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _refused(api: str) -> bool:
    parts = urlsplit(api)
    try:
        httpx.get(
            f"{parts.scheme}://{parts.netloc}/liveness", timeout=LOOK_TIMEOUT_S, trust_env=False
        )
    except httpx.ConnectError as exc:
        return "refused" in str(exc).lower()
    except httpx.HTTPError:
        return False
    return False


def _judge(came: httpx.Response | httpx.HTTPError, url: str) -> None:
    if isinstance(came, httpx.ConnectError):
        raise Unavailable(f"Patroni at {url} cannot be reached.") from came
    if isinstance(came, httpx.HTTPError):
        raise OutcomeUnknown(f"Patroni at {url} did not answer: {type(came).__name__}.") from came
    said = " ".join(came.text.split())[:300]
    if came.status_code in {401, 403}:
        raise NotPermitted(
            f"Patroni at {url} refuses the login ({came.status_code}).",
            fix="Set PADELOPS_PATRONI_USER and PADELOPS_PATRONI_PASSWORD.",
        )
    if came.status_code in {400, 409, 412, 422}:
        raise SafetyGate(f"Patroni refuses: {said}.")
    if came.status_code >= httpx.codes.BAD_REQUEST:
        raise OutcomeUnknown(f"Patroni answered {came.status_code}: {said}.")


def _with_role(node: Node, member: dict[str, Any] | None) -> Node:
    """A node with what Patroni says of it where the servers themselves say nothing."""
    if member is None:
        return node
    role = str(member.get("role"))
    return replace(
        node,
        sync=SYNC_ROLES.get(role) or node.sync if node.role == "standby" else node.sync,
        state=str(member.get("state")),
    )


def _problem(told: list[Told], config: dict[str, Any]) -> str | None:
    answering = [answer for answer in told if answer.itself is not None]
    if not answering:
        return "no Patroni answers: " + "; ".join(answer.problem or "" for answer in told)
    if all(answer.cluster is None for answer in answering):
        return "; ".join(answer.problem or "" for answer in answering)
    ttl = float(config.get("ttl") or 30)
    stale = [
        answer.url
        for answer in answering
        if answer.itself and time.time() - float(answer.itself.get("dcs_last_seen") or 0) > ttl
    ]
    if not stale:
        return None
    return f"Patroni has not reached its store for {ttl:.0f} s: {', '.join(stale)}"


def _doubts(leaders: set[str], nodes: tuple[Node, ...]) -> list[str]:
    found = []
    if len(leaders) > 1:
        found.append(f"Patroni's nodes name different leaders: {', '.join(sorted(leaders))}")
    writable = {node.name for node in nodes if node.writable}
    if writable and leaders and not writable & leaders:
        found.append(
            f"Patroni names {', '.join(sorted(leaders))},"
            f" but {', '.join(sorted(writable))} takes writes"
        )
    return found
