"""
What a cluster's effective settings promise: each one that breaks level 1's is named, with the sum.

Level 1 is writes back within 30 s and nothing acknowledged lost. What could not be asked is a
finding of its own: it is never taken for right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from padelops.ops.failover_outages import config_of, loss, outages
from padelops.ops.failover_plan import SERVICE_LIMIT_S
from padelops.ops.verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from padelops.ops.failover_outages import Effective, Outage

LEAST_TTL_S = 20

SERVER_SETTINGS = (
    "wal_sender_timeout",
    "wal_receiver_timeout",
    "wal_log_hints",
    "data_checksums",
    "synchronous_standby_names",
    "synchronous_commit",
    "fsync",
    "full_page_writes",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A setting that breaks a promise, or keeps it only just."""

    setting: str
    value: str
    verdict: Verdict
    reason: str
    fix: str

    def as_json(self) -> dict[str, Any]:
        return {
            "setting": self.setting,
            "value": self.value,
            "verdict": self.verdict.name.lower(),
            "reason": self.reason,
            "fix": self.fix,
        }


@dataclass(frozen=True, slots=True)
class Lint:
    """What the settings promise, and what is wrong with them."""

    outages: tuple[Outage, ...]
    loss: str
    findings: tuple[Finding, ...] = field(default=())

    @property
    def verdict(self) -> Verdict:
        return worst([Verdict.OK, *(finding.verdict for finding in self.findings)])

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.name.lower(),
            "limit_s": SERVICE_LIMIT_S,
            "outages": [outage.as_json() for outage in self.outages],
            "loss": self.loss,
            "findings": [finding.as_json() for finding in self.findings],
        }


def lint(found: Effective) -> Lint:
    """Compute the outages and name every setting that breaks the promise."""
    longest = tuple(outages(found))
    findings = [
        *(
            Finding("settings", "-", Verdict.UNKNOWN, trouble, "Make it answer, then look again.")
            for trouble in found.trouble
        ),
        *_management(found),
        *_durability(found),
        *_timeouts(found),
        *_client(found),
        *(
            Finding(
                "outage",
                outage.event,
                Verdict.CRITICAL if found.patroni is not None else Verdict.WARNING,
                f"{outage.sum}; level 1 allows {SERVICE_LIMIT_S:g} s",
                "Lower what the sum is made of.",
            )
            for outage in longest
            if not outage.within
        ),
    ]
    return Lint(longest, loss(found), tuple(findings))


def _management(found: Effective) -> Iterator[Finding]:
    if found.patroni is None:
        yield from _unmanaged(found)
    elif found.patroni:
        yield from _patroni(config_of(found))


def _patroni(config: dict[str, Any]) -> Iterator[Finding]:
    ttl, loop, retry = (float(config[name]) for name in ("ttl", "loop_wait", "retry_timeout"))
    told = f"loop_wait {loop:g} + 2 x retry_timeout {retry:g} = {loop + 2 * retry:g}, ttl {ttl:g}"
    if loop + 2 * retry > ttl:
        yield Finding(
            "ttl", f"{ttl:g}", Verdict.CRITICAL,
            f"{told}: a leader that retries its store loses its lease",
            f"ttl {max(loop + 2 * retry, LEAST_TTL_S):g}, or less waiting",
        )  # fmt: skip
    if ttl < LEAST_TTL_S:
        yield Finding(
            "ttl", f"{ttl:g}", Verdict.WARNING,
            f"less than {LEAST_TTL_S} s: a short pause of the machine costs the lease", "ttl 20",
        )  # fmt: skip
    if config["primary_start_timeout"]:
        yield Finding(
            "primary_start_timeout", f"{config['primary_start_timeout']}", Verdict.CRITICAL,
            "so long a dead primary is started again before a standby takes over",
            "primary_start_timeout 0",
        )  # fmt: skip
    if not config["synchronous_mode"]:
        yield Finding(
            "synchronous_mode", "off", Verdict.CRITICAL,
            "commits are acknowledged before a standby has them", "synchronous_mode on",
        )  # fmt: skip
    elif not config["synchronous_mode_strict"]:
        yield Finding(
            "synchronous_mode_strict", "off", Verdict.WARNING,
            "with no standby left commits are acknowledged on one server alone",
            "synchronous_mode_strict on",
        )  # fmt: skip
    if not config["failsafe_mode"]:
        yield Finding(
            "failsafe_mode", "off", Verdict.CRITICAL,
            f"a store that is away stops writes after retry_timeout {retry:g} s",
            "failsafe_mode on",
        )  # fmt: skip
    if not config["check_timeline"]:
        yield Finding(
            "check_timeline", "off", Verdict.WARNING,
            "a diverged former primary can be elected again", "check_timeline on",
        )  # fmt: skip
    if not config.get("synchronous_mode_strict"):
        yield Finding(
            "watchdog", "not to be asked", Verdict.WARNING,
            "without one the PostgreSQL of a stopped Patroni goes on taking writes",
            "watchdog mode required on every node, or synchronous_mode_strict",
        )  # fmt: skip
    if config.get("pause"):
        yield Finding(
            "pause", "on", Verdict.CRITICAL, "nobody takes over by itself", "patronictl resume"
        )


def _unmanaged(found: Effective) -> Iterator[Finding]:
    yield Finding(
        "cluster manager", "none", Verdict.WARNING,
        "a standby takes over only when somebody runs `failover promote`",
        "Run Patroni, and set PADELOPS_PATRONI_URLS.",
    )  # fmt: skip
    if not found.server.get("synchronous_standby_names") and found.server:
        yield Finding(
            "synchronous_standby_names", "''", Verdict.CRITICAL,
            "commits are acknowledged before a standby has them", "name the standby in it",
        )  # fmt: skip
    if not found.fences:
        yield Finding(
            "PADELOPS_FENCE_COMMAND", "-", Verdict.WARNING,
            "a primary on another machine that does not answer cannot be fenced",
            "Set it to what cuts a machine off.",
        )  # fmt: skip


def _durability(found: Effective) -> Iterator[Finding]:
    for name in ("fsync", "full_page_writes"):
        if found.server.get(name) == "off":
            yield Finding(
                name,
                "off",
                Verdict.CRITICAL,
                "a crash can damage the data",
                f"{name} on",
            )
    commit = found.application.get("synchronous_commit")
    if commit in {"off", "local"}:
        yield Finding(
            "synchronous_commit", f"{commit}", Verdict.CRITICAL,
            "the application's commits do not wait for any standby",
            "Unset it for the application's role and database.",
        )  # fmt: skip
    if {found.server.get("wal_log_hints"), found.server.get("data_checksums")} == {"off"}:
        yield Finding(
            "wal_log_hints", "off", Verdict.WARNING,
            "without it or checksums a former primary cannot be rewound, only copied",
            "wal_log_hints on",
        )  # fmt: skip


def _timeouts(found: Effective) -> Iterator[Finding]:
    for name in ("wal_sender_timeout", "wal_receiver_timeout"):
        value = found.server.get(name)
        if isinstance(value, float | int) and not 0 < value <= SERVICE_LIMIT_S / 3:
            yield Finding(
                name, f"{value:g} s", Verdict.WARNING,
                "so long a silent side goes unnoticed" if value else "silence is never noticed",
                f"{name} 5s",
            )  # fmt: skip


def _client(found: Effective) -> Iterator[Finding]:
    if found.hosts < found.servers:
        yield Finding(
            "PADELOPS_DATABASE_URL", f"{found.hosts} hosts", Verdict.WARNING,
            f"there are {found.servers} servers: right only where a proxy follows the primary",
            "Name every server, with target_session_attrs=read-write.",
        )  # fmt: skip
    if found.hosts > 1 and found.session_attrs not in {"read-write", "primary"}:
        yield Finding(
            "target_session_attrs", found.session_attrs or "any", Verdict.CRITICAL,
            "the application can end up at a standby, which takes no bookings",
            "target_session_attrs=read-write",
        )  # fmt: skip
    worst = found.hosts * found.connect_timeout_s
    if worst > SERVICE_LIMIT_S / 3:
        yield Finding(
            "connect_timeout", f"{found.connect_timeout_s:g} s", Verdict.WARNING,
            f"{found.hosts} hosts x {found.connect_timeout_s:g} s = {worst:g} s for all",
            "PADELOPS_CONNECT_TIMEOUT_S=2",
        )  # fmt: skip
