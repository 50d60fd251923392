"""
How long each failure can keep bookings from being taken, and what it can lose: sums of settings.

The shapes of the sums are those that DESIGN.md section 8 measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.ops.failover_plan import SERVICE_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ELECTION_S = 2.0
"""Candidates ask every member how far it is; a dead one costs Patroni's REST timeout."""
PROOF_S = 4.0
"""`failover promote`: a look at every server, and the question whether the dead one is dead."""
PROMOTION_S = 1.0
PATRONI_DEFAULTS: dict[str, Any] = {
    "ttl": 30,
    "loop_wait": 10,
    "retry_timeout": 10,
    "primary_start_timeout": 300,
    "synchronous_mode": False,
    "synchronous_mode_strict": False,
    "failsafe_mode": False,
    "check_timeline": False,
    "maximum_lag_on_failover": 1 << 20,
}
"""What holds where the configuration says nothing. Source: Patroni's documentation, 4.x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """
    The settings in force, from everybody who has some.

    Attributes:
        patroni: the dynamic configuration; None where no Patroni manages the cluster, empty where
            one does and does not tell.
        server: of the primary, by name; times in seconds.
        application: of a session as bookings have it.
        servers, hosts: how many servers there are, and how many the application's address names.
        connect_timeout_s, budget_s: the application's.
        ends_leases: whether a dead leader's key can be removed.
        trouble: what could not be asked.
    """

    patroni: Mapping[str, Any] | None
    server: Mapping[str, str | float]
    application: Mapping[str, str | float]
    servers: int
    hosts: int
    session_attrs: str | None
    connect_timeout_s: float
    budget_s: float
    ends_leases: bool
    fences: bool
    trouble: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outage:
    """The longest time without writes after one failure; None is without an end."""

    event: str
    seconds: float | None
    sum: str

    @property
    def within(self) -> bool:
        return self.seconds is not None and self.seconds <= SERVICE_LIMIT_S

    def as_json(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "seconds": self.seconds,
            "within_30_s": self.within,
            "sum": self.sum,
        }


def outages(found: Effective) -> Iterator[Outage]:
    if found.patroni is None:
        promote = PROOF_S + PROMOTION_S
        yield Outage(
            "primary dead",
            None,
            f"until somebody runs `failover promote`, then {PROOF_S:g} + {PROMOTION_S:g}"
            f" = {promote:g} s",
        )
    elif found.patroni:
        yield from _managed_outages(config_of(found), found)
    yield from _standby_outage(found)


def _managed_outages(config: dict[str, Any], found: Effective) -> Iterator[Outage]:
    ttl, loop = float(config["ttl"]), float(config["loop_wait"])
    start = float(config["primary_start_timeout"])
    yield _added(
        "postmaster killed",
        ("loop_wait", loop),
        ("primary_start_timeout", start),
        ("election", ELECTION_S),
        ("promotion", PROMOTION_S),
    )
    yield _added(
        "machine dead, nobody acts",
        ("ttl", ttl),
        ("loop_wait", loop),
        ("election", ELECTION_S),
        ("promotion", PROMOTION_S),
    )
    if found.ends_leases:
        yield _added(
            "machine dead, once `failover promote` runs",
            ("proof", PROOF_S),
            ("election", ELECTION_S),
            ("promotion", PROMOTION_S),
        )
    yield _added(
        "machine silent",
        ("ttl", ttl),
        ("loop_wait", loop),
        ("election", ELECTION_S),
        ("promotion", PROMOTION_S),
        # The others answer at once; whoever has just called the silent one waits for it.
        ("connect_timeout", found.connect_timeout_s),
    )
    if config["failsafe_mode"]:
        yield Outage("store (DCS) away", 0.0, "failsafe_mode: the primary goes on")
    else:
        yield Outage(
            "store (DCS) away",
            None,
            "without failsafe_mode the primary demotes itself",
        )


def _added(event: str, *parts: tuple[str, float]) -> Outage:
    seconds = sum(value for _, value in parts)
    told = " + ".join(f"{name} {value:g}" for name, value in parts)
    return Outage(event, seconds, f"{told} = {seconds:g} s")


def _standby_outage(found: Effective) -> Iterator[Outage]:
    if not synchronous(found):
        return
    sender = found.server.get("wal_sender_timeout")
    if found.patroni is None or found.servers <= 2:  # noqa: PLR2004 - the primary and one standby
        yield Outage("synchronous standby dead", None, "commits wait until it is back")
        return
    if not isinstance(sender, float | int):
        return
    loop = float(config_of(found)["loop_wait"])
    if not sender:
        yield Outage("synchronous standby silent", None, "wal_sender_timeout 0: never noticed")
        return
    yield _added("synchronous standby silent", ("wal_sender_timeout", sender), ("loop_wait", loop))


def synchronous(found: Effective) -> bool:
    if found.patroni is not None:
        return bool(config_of(found)["synchronous_mode"])
    return bool(found.server.get("synchronous_standby_names"))


def loss(found: Effective) -> str:
    if found.patroni == {} or not found.server:
        return "That is not known."
    if not synchronous(found):
        if found.patroni is None:
            return "Every commit that no standby has received yet, without a bound."
        most = config_of(found)["maximum_lag_on_failover"]
        return (
            f"Up to {most} bytes of acknowledged commits on a dead primary, and without a bound"
            " where Patroni alone stops and its PostgreSQL goes on."
        )
    if found.application.get("synchronous_commit") in {"off", "local"}:
        return "What the application commits: its sessions do not wait for the standby."
    if found.patroni is not None and not config_of(found)["synchronous_mode_strict"]:
        return "Nothing while a standby follows; without one, what is acknowledged meanwhile."
    return "Nothing that was acknowledged."


def config_of(found: Effective) -> dict[str, Any]:
    return {**PATRONI_DEFAULTS, **(found.patroni or {})}
