"""
The cluster manager's store, asked for one thing: to forget a leader that is proved dead.

Patroni's nodes wait for a dead leader's lease to run out, 20 s and more. With its key gone they
elect another one at once. The key goes only if it still names the dead leader of this very
database: all is one transaction of etcd's, so nobody who became leader meanwhile is touched.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpx

from padelops.errors import InvalidInput, NotPermitted, Unavailable

if TYPE_CHECKING:
    from pydantic import SecretStr

NAMESPACE = "service"
"""Patroni's own default."""
TIMEOUT_S = 2.0


class EtcdLeases:
    """
    Args:
        urls: `http://user:password@host:2379/namespace`, several with commas between; the first one
            that answers is used. The namespace is Patroni's; `service` where none is given.
    """

    def __init__(self, urls: SecretStr) -> None:
        self._urls = [url.strip() for url in urls.get_secret_value().split(",") if url.strip()]
        for url in self._urls:
            if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
                raise InvalidInput(
                    "PADELOPS_ETCD_URLS is no address of etcd.",
                    fix="Write http://HOST:2379/NAMESPACE, several with commas between.",
                )

    def trouble(self) -> str | None:
        """Why the store cannot be asked now; None where a member says that it is well."""
        found = []
        for url in self._urls:
            parts = urlsplit(url)
            where = f"{parts.hostname}:{parts.port or ''}".rstrip(":")
            try:
                answer = httpx.get(
                    f"{parts.scheme}://{where}/health", timeout=TIMEOUT_S, trust_env=False
                )
            except httpx.HTTPError as exc:
                found.append(f"etcd at {where}: {type(exc).__name__}")
            else:
                if answer.status_code == httpx.codes.OK:
                    return None
                found.append(f"etcd at {where} says it is not well ({answer.status_code})")
        return f"the cluster manager's store does not answer: {'; '.join(found)}"

    def forget_leader(self, scope: str, leader: str, system: str) -> bool:
        """
        Remove the leader's key, if it names this leader of the cluster with this system identifier.

        Returns:
            Whether it was there and is gone now.

        Raises:
            Unavailable: no member answers. NotPermitted: a login is needed.
        """
        last: Exception | None = None
        for url in self._urls:
            parts = urlsplit(url)
            folder = f"/{parts.path.strip('/') or NAMESPACE}/{scope}"
            try:
                with _client(url) as client:
                    done = _post(client, "/v3/kv/txn", _forget(folder, leader, system))
                    return bool(done.get("succeeded"))
            except httpx.HTTPError as exc:
                last = exc
        raise Unavailable(
            f"etcd cannot be reached: {type(last).__name__}. The lease has to run out by itself."
        ) from last


def _forget(folder: str, leader: str, system: str) -> dict[str, Any]:
    key = _coded(f"{folder}/leader")
    return {
        "compare": [
            {"key": key, "target": "VALUE", "result": "EQUAL", "value": _coded(leader)},
            {
                "key": _coded(f"{folder}/initialize"),
                "target": "VALUE",
                "result": "EQUAL",
                "value": _coded(system),
            },
        ],
        "success": [{"request_delete_range": {"key": key}}],
    }


def _client(url: str) -> httpx.Client:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    client = httpx.Client(
        base_url=f"{parts.scheme}://{parts.hostname}{port}",
        timeout=TIMEOUT_S,
        trust_env=False,  # a proxy is for the world outside
    )
    if parts.username:
        login = {"name": unquote(parts.username), "password": unquote(parts.password or "")}
        try:
            client.headers["Authorization"] = _post(client, "/v3/auth/authenticate", login)["token"]
        except BaseException:
            client.close()
            raise
    return client


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    if answer.status_code in {401, 403}:
        raise NotPermitted(
            "etcd refuses to change the leader's key.",
            fix="Put a user who may write below Patroni's namespace into PADELOPS_ETCD_URLS.",
        )
    answer.raise_for_status()
    document = json.loads(answer.content)
    return document if isinstance(document, dict) else {}


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
