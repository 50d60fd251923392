"""
A plain primary with standbys, no cluster manager: everything over SQL, and what SQL cannot do by a
command of the operator's or, where the data is on this machine, by our own hands.

Fencing comes in three strengths, the strongest that is at hand is taken: the configured command
(`PADELOPS_FENCE_COMMAND`, such as cutting the machine's power), ending the server where its data
folder is here, and over SQL taking its write permission, its acknowledgements and its clients.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from padelops.adapters.operator_commands import FENCE, REJOIN, run_command
from padelops.adapters.rejoining import keep_down, rejoin
from padelops.errors import DatabaseUnavailable, PadelopsError, PartlyDone
from padelops.store import nodes
from padelops.store.nodes import Cluster, Reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.store.nodes import Node, Servers

FENCE_TIMEOUT_S = 10
PROMOTE_TIMEOUT_S = 20
PAUSE_S = 0.05


class StreamingDriver:
    """
    Changes who is primary among the servers of one multi-host address.

    Args:
        fence_command, rejoin_command: run without a shell, with `PADELOPS_NODE`,
            `PADELOPS_NODE_ADDRESS` and `PADELOPS_PRIMARY_ADDRESS` in their environment.
        bindir: PostgreSQL's programs for rejoining; those in the wheel when left out.
    """

    name = "streaming"
    managed = False
    patience_s = 30.0

    def __init__(
        self,
        servers: Servers,
        *,
        fence_command: str | None = None,
        rejoin_command: str | None = None,
        bindir: Path | None = None,
    ) -> None:
        self.servers = servers
        self._fence_command = fence_command
        self._rejoin_command = rejoin_command
        self._bindir = bindir

    def observe(self) -> Cluster:
        """Every server, asked now."""
        found = tuple(self.servers.look_at_all())
        asked = [node.facts.sync_names for node in found if node.facts and not node.facts.standby]
        wanted = any(names and nodes.NOT_ACKNOWLEDGED not in names for names in asked)
        # A name twice would let one server pass for another.
        seen: dict[str, int] = {}
        for node in found:
            seen[node.name] = seen.get(node.name, 0) + 1
        told = tuple(
            replace(node, name=str(node.address)) if seen[node.name] > 1 else node for node in found
        )
        return Cluster(
            name=self.servers.database,
            driver=self.name,
            nodes=told,
            sync_wanted=wanted,
            strict=wanted,  # PostgreSQL by itself never gives up waiting
        )

    def how_to_fence(self, old: Node) -> str | None:
        """By what means this server would be fenced; None where there is none."""
        if self._fence_command:
            return FENCE
        if _local_data(old):
            return "ending it and keeping it down"
        if old.facts is not None and old.facts.superuser:
            return "its write permission, acknowledgements and clients taken over SQL"
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
        if old.reach is Reach.UP:
            with suppress(PadelopsError):
                return self._fence_over_sql(old)
        if data := _local_data(old):
            keep_down(data)
            return f"its server in {data} was ended, and would start as a standby"
        raise DatabaseUnavailable(
            f"{old.name} does not answer and could not be fenced.",
            fix="Set PADELOPS_FENCE_COMMAND to what cuts it off.",
        )

    def _fence_over_sql(self, old: Node) -> str:
        with self.servers.session(old.address, timeout_s=FENCE_TIMEOUT_S) as tx:
            nodes.fence(tx)
            deadline = time.monotonic() + FENCE_TIMEOUT_S
            # A reload takes effect when it does, and a session made until then is as before.
            while not self._refuses(old):
                _in_time(deadline, f"{old.name} still takes writes from new sessions.")
            since = nodes.clock(tx)
            ended = nodes.throw_out_clients(tx)
            while nodes.clients_left(tx, since):
                _in_time(deadline, f"{old.name} did not let go of its clients.")
        return f"read-only, acknowledging nothing, {ended} sessions ended"

    def _refuses(self, old: Node) -> bool:
        seen = self.servers.look(old.address)
        return seen.facts is not None and not seen.writable

    def unfence(self, old: Node) -> None:
        """Give a server that was fenced over SQL its permission back; the failover is off."""
        sync_names = old.facts.sync_names if old.facts else ""
        with self.servers.session(old.address, timeout_s=FENCE_TIMEOUT_S) as tx:
            nodes.unfence(tx, sync_names)
        deadline = time.monotonic() + FENCE_TIMEOUT_S
        while not self.servers.look(old.address).writable:
            _in_time(deadline, f"{old.name} was fenced and does not take writes again.")

    def caught_up(self, candidate: Node, old: Node, *, patience_s: float) -> int:
        """Wait until the candidate has all that the fenced primary wrote; bytes still missing."""
        deadline = time.monotonic() + patience_s
        while True:
            last = self.servers.look(old.address)
            here = self.servers.look(candidate.address)
            if last.facts is None or here.facts is None:
                return -1
            missing = max(0, last.facts.position - here.facts.position)
            if missing == 0 or time.monotonic() > deadline:
                return missing
            time.sleep(PAUSE_S)

    def promote(self, candidate: Node, old: Node | None, told: Callable[[str], None]) -> None:
        """
        Make the candidate the primary. The caller looks whether it became one: an answer that is
        lost here says nothing.
        """
        del old
        with self.servers.session(candidate.address, timeout_s=PROMOTE_TIMEOUT_S + 5) as tx:
            if candidate.facts and candidate.facts.sync_names:
                # Nobody follows a new primary yet: commits would wait for ever.
                nodes.have_sync(tx, "")
                told("commits wait for no standby until one is back")
            nodes.promote(tx, wait_s=PROMOTE_TIMEOUT_S)

    def how_to_rejoin(self, old: Node, new: Node) -> list[str]:
        """What a person does where this driver cannot."""
        given = (old.facts.data_folder if old.facts else None) or old.last_folder
        command = f"padelops failover rejoin {given or 'DATA_FOLDER'}"
        place = f"host={new.address.host} port={new.address.port} application_name={old.name}"
        return [f"On the machine of {old.name}: {command} --primary '{place}'"]

    def rejoin(self, old: Node, new: Node, *, sync_names: str) -> str:
        """
        Bring the former primary back as a standby of the new one; says how.

        Raises:
            PartlyDone: out of this driver's hands, or it failed; `remaining` says what to do.
        """
        try:
            with self.servers.session(new.address, timeout_s=PROMOTE_TIMEOUT_S) as tx:
                nodes.checkpoint(tx)
                slot = _slot_name(old) if new.facts and new.facts.slot else None
                if slot:
                    nodes.have_slot(tx, slot)
            if self._rejoin_command:
                run_command(self._rejoin_command, REJOIN, old, new, slot=slot)
                return f"{REJOIN} ended with 0"
            if data := _local_data(old):
                done = rejoin(
                    data,
                    primary=self.servers.conninfo(new.address, dbname="postgres"),
                    follow=self._to_follow(old, new),
                    slot=slot,
                    sync_names=sync_names,
                    bindir=self._bindir,
                )
                kept = f"; its old data is kept in {done.kept}" if done.kept else ""
                return f"{done.how}{kept}"
        except PadelopsError as exc:
            raise PartlyDone(
                f"{old.name} did not rejoin: {exc}", remaining=self.how_to_rejoin(old, new)
            ) from exc
        raise PartlyDone(
            f"{old.name} is not on this machine, so it did not rejoin.",
            fix="Set PADELOPS_REJOIN_COMMAND, or do the remaining steps and run this again.",
            remaining=self.how_to_rejoin(old, new),
        )

    def _to_follow(self, old: Node, new: Node) -> str:
        """The new primary's address, as the role by which it replicated itself until now."""
        used = conninfo_to_dict((new.facts and new.facts.would_follow) or "")
        if not used:
            return self.servers.conninfo(new.address, dbname="postgres", application_name=old.name)
        used.pop("hostaddr", None)
        used |= {
            "host": new.address.host,
            "port": new.address.port,
            "application_name": old.name,
        }
        return make_conninfo("", **used)

    def wait_for_standby(self, new: Node, standby: Node, sync_names: str) -> None:
        """
        Have the new primary wait for its standby, as the old one did for it.

        Where the old primary's setting names the standby it is taken over; in a pair it named the
        one that is primary now, so the other one stands in for it.
        """
        follower = standby.following_as
        if not names_it(sync_names, follower):
            sync_names = '"{}"'.format(follower.replace('"', '""'))
        with self.servers.session(new.address) as tx:
            nodes.have_sync(tx, sync_names)


def names_it(sync_names: str, name: str) -> bool:
    """Whether a value of `synchronous_standby_names` lets commits wait for this standby."""
    inside = sync_names.partition("(")[2].rpartition(")")[0] or sync_names
    named = [part.strip() for part in inside.split(",")]
    return "*" in named or any(part.strip('"').lower() == name.lower() for part in named if part)


def _in_time(deadline: float, trouble: str) -> None:
    if time.monotonic() > deadline:
        raise DatabaseUnavailable(trouble, reason="timeout")
    time.sleep(PAUSE_S)


def _local_data(node: Node) -> Path | None:
    """The node's data folder, if it is surely on this machine."""
    given = node.facts.data_folder if node.facts else node.last_folder
    if not given or not _is_here(node.address.host):
        return None
    folder = Path(given)
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        # The server of that folder is the one at that address.
        return folder if int(lines[3]) == node.address.port else None
    except FileNotFoundError:
        return folder if node.reach is not Reach.UP and (folder / "PG_VERSION").exists() else None
    except (OSError, IndexError, ValueError):
        return None


def _is_here(host: str) -> bool:
    """
    Whether that address is one of this machine's.

    A former primary elsewhere usually has its data under the very path that the candidate has it
    here: taking one for the other would end the last good server.
    """
    if host.startswith("/"):
        return True
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, place in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(place)
    except OSError:
        return False
    return bool(found)


def _slot_name(node: Node) -> str:
    letters = "".join(letter if letter.isalnum() else "_" for letter in node.name.lower())
    return f"padelops_{letters}"[:63]
