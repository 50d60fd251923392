"""
What stands around the cluster: cache, payment sandbox, mail server, worker, API.

Each is an ordinary program that an operator could start by hand, told where the others are by the
same variables that `padelops lab env` prints.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from padelops.lab import parts
from padelops.lab.processes import environment
from padelops.lab.state import Process, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from padelops.lab.folder import Folder

MAIL_FROM = "courts@padelops.example"
API_COMMAND = "padelops.cli.commands.serve"


def around(folder: Folder, state: State, port: Callable[[], int]) -> State:
    """The same lab with its services planned, and the variables that lead to them."""
    variables, absent = dict(state.variables), dict(state.absent)
    planned: list[Process] = []

    redis = parts.redis_server()
    if redis and parts.has_package("redis"):
        socket = folder.sockets / "cache"
        variables["PADELOPS_CACHE_URL"] = f"unix://{socket}?db=0"
        planned.append(
            _process(
                folder, "cache", str(redis), "--port", "0", "--unixsocket", str(socket),
                "--save", "", "--appendonly", "no", "--set-proc-title", "no",
                ready=f"unix:{socket}",
            )
        )  # fmt: skip
    else:
        absent["cache"] = (
            "there is no redis-server: the database's table is the cache"
            if not redis
            else "pip install 'padelops[redis]' is missing: the database's table is the cache"
        )

    if parts.has_package("aiosmtpd"):
        mail = port()
        variables |= {
            "PADELOPS_SMTP_URL": f"smtp://127.0.0.1:{mail}",
            "PADELOPS_MAIL_FROM": MAIL_FROM,
        }
        planned.append(
            _process(
                folder, "mail", sys.executable, "-m", "aiosmtpd", "--nosetuid",
                "--listen", f"127.0.0.1:{mail}", "--class", "aiosmtpd.handlers.Mailbox",
                str(folder.path / "mail"), ready=f"tcp:{mail}",
            )
        )  # fmt: skip
    else:
        absent["mail"] = "pip install 'padelops[lab]' is missing: messages go to the spool folder"

    bank = port()
    variables["PADELOPS_SANDBOX_URL"] = f"http://127.0.0.1:{bank}"
    ours = {**variables, "PADELOPS_HOME": str(folder.path / "home"), "PADELOPS_ACTOR": "lab"}
    planned += [
        _padelops(folder, ours, "sandbox", "sandbox", "serve", "--port", str(bank),
                  ready=f"http:{bank}/health"),
        _padelops(folder, ours, "worker", "worker", ready="alive"),
    ]  # fmt: skip
    if find_spec(API_COMMAND):
        api = port()
        planned.append(
            _padelops(
                folder, ours, "api", "serve", "--port", str(api), ready=f"http:{api}/health/live"
            )
        )
    else:
        absent["api"] = "this padelops has no `serve`"

    state = state.model_copy(update={"variables": variables, "absent": absent})
    for process in planned:
        state = state.having(process)
    return state


def names(state: State) -> list[str]:
    """The services in the order they start."""
    wanted = ("cache", "mail", "sandbox", "worker", "api")
    return [name for name in wanted if name in state.processes]


def _padelops(
    folder: Folder, variables: Mapping[str, str], name: str, *arguments: str, ready: str
) -> Process:
    return Process(
        name=name,
        command=(sys.executable, "-m", "padelops", *arguments),
        environment=environment(folder.path, variables),
        log=folder.log(name),
        ready=ready,
        stop="INT" if name == "sandbox" else "TERM",
    )


def _process(folder: Folder, name: str, *command: str, ready: str) -> Process:
    return Process(
        name=name,
        command=command,
        environment=environment(folder.path),
        log=folder.log(name),
        ready=ready,
    )
