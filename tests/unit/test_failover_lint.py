"""
The sums that a cluster's settings come to, and the settings that break the promise of level 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from padelops.ops.failover_lint import Lint, lint
from padelops.ops.failover_outages import Effective
from padelops.ops.verdict import Verdict

PATRONI: dict[str, Any] = {
    "ttl": 20, "loop_wait": 2, "retry_timeout": 3, "primary_start_timeout": 0,
    "synchronous_mode": True, "synchronous_mode_strict": True, "failsafe_mode": True,
    "check_timeline": True,
}  # fmt: skip
SERVER: dict[str, str | float] = {
    "wal_sender_timeout": 5.0, "wal_receiver_timeout": 5.0, "wal_log_hints": "on",
    "data_checksums": "on", "synchronous_standby_names": "n2", "fsync": "on",
    "full_page_writes": "on", "synchronous_commit": "on",
}  # fmt: skip
GOOD = Effective(
    patroni=PATRONI,
    server=SERVER,
    application={"synchronous_commit": "on"},
    servers=3,
    hosts=3,
    session_attrs="read-write",
    connect_timeout_s=2,
    budget_s=0.5,
    ends_leases=True,
    fences=True,
)


def seconds(found: Lint) -> dict[str, float | None]:
    return {outage.event: outage.seconds for outage in found.outages}


def test_the_measured_settings_keep_the_promise() -> None:
    """Those of the lab: every failure ends within level 1's 30 s, and nothing is lost."""
    found = lint(GOOD)

    assert (Verdict.OK, "Nothing that was acknowledged.") == (found.verdict, found.loss)
    assert {
        "postmaster killed": 5.0,
        "machine dead, nobody acts": 25.0,
        "machine dead, once `failover promote` runs": 7.0,
        "machine silent": 27.0,
        "store (DCS) away": 0.0,
        "synchronous standby silent": 7.0,
    } == seconds(found)
    assert "ttl 20 + loop_wait 2 + election 2 + promotion 1 = 25 s" in {
        outage.sum for outage in found.outages
    }


BREAKING = {
    "ttl": ({"retry_timeout": 10}, "2 + 2 x retry_timeout 10 = 22, ttl 20"),
    "primary_start_timeout": ({"primary_start_timeout": 300}, "started again"),
    "synchronous_mode": ({"synchronous_mode": False}, "before a standby has them"),
    "failsafe_mode": ({"failsafe_mode": False}, "after retry_timeout 3 s"),
    "pause": ({"pause": True}, "nobody takes over"),
    "outage": ({"ttl": 60}, "ttl 60 + loop_wait 2 + election 2 + promotion 1 = 65 s"),
}


@pytest.mark.parametrize("setting", BREAKING)
def test_a_setting_of_patronis_that_breaks_it(setting: str) -> None:
    """Named, with the sum, and critical."""
    changed, told = BREAKING[setting]
    found = lint(replace(GOOD, patroni=PATRONI | changed))
    named = [finding for finding in found.findings if finding.setting == setting]

    assert Verdict.CRITICAL is found.verdict
    assert any(told in finding.reason for finding in named)
    assert all(finding.fix for finding in named)


def test_what_patroni_does_when_nothing_is_set() -> None:
    """Its own defaults break the promise in more than one way."""
    found = lint(replace(GOOD, patroni={"loop_wait": 10}))

    assert {"primary_start_timeout", "synchronous_mode", "failsafe_mode"} <= {
        finding.setting for finding in found.findings
    }
    assert 313.0 == seconds(found)["postmaster killed"]


@pytest.mark.parametrize(
    ("changed", "setting", "verdict"),
    [
        ({"application": {"synchronous_commit": "local"}}, "synchronous_commit", Verdict.CRITICAL),
        ({"server": SERVER | {"fsync": "off"}}, "fsync", Verdict.CRITICAL),
        ({"server": SERVER | {"wal_sender_timeout": 60.0}}, "outage", Verdict.CRITICAL),
        ({"server": SERVER | {"wal_sender_timeout": 0.0}}, "wal_sender_timeout", Verdict.CRITICAL),
        ({"server": SERVER | {"wal_receiver_timeout": 60.0}}, "wal_receiver_timeout",
         Verdict.WARNING),
        ({"server": SERVER | {"wal_log_hints": "off", "data_checksums": "off"}}, "wal_log_hints",
         Verdict.WARNING),
        ({"session_attrs": None}, "target_session_attrs", Verdict.CRITICAL),
        ({"hosts": 1}, "PADELOPS_DATABASE_URL", Verdict.WARNING),
        ({"connect_timeout_s": 5}, "connect_timeout", Verdict.WARNING),
        ({"servers": 2, "hosts": 2}, "outage", Verdict.CRITICAL),
        ({"patroni": PATRONI | {"synchronous_mode_strict": False}}, "watchdog", Verdict.WARNING),
        ({"patroni": PATRONI | {"check_timeline": False}}, "check_timeline", Verdict.WARNING),
        ({"trouble": ("no Patroni tells",)}, "settings", Verdict.UNKNOWN),
    ],
)  # fmt: skip
def test_other_settings(changed: dict[str, Any], setting: str, verdict: Verdict) -> None:
    """Each one that weakens the promise is named; what could not be asked is not right."""
    found = lint(replace(GOOD, **changed))

    assert setting in {finding.setting for finding in found.findings}
    assert verdict is found.verdict


def test_a_plain_pair() -> None:
    """Nobody takes over by itself, and that is said; asynchronous replication is critical."""
    found = lint(replace(GOOD, patroni=None, servers=2, hosts=2))
    bare = lint(
        replace(GOOD, patroni=None, server=SERVER | {"synchronous_standby_names": ""}, hosts=2)
    )

    assert Verdict.WARNING is found.verdict
    assert seconds(found)["primary dead"] is None
    assert "cluster manager" in {finding.setting for finding in found.findings}
    assert Verdict.CRITICAL is bare.verdict
    assert "without a bound" in bare.loss


def test_a_manager_that_does_not_tell() -> None:
    """Nothing is computed from what nobody told: the verdict is unknown, and so is the loss."""
    found = lint(replace(GOOD, patroni={}, server={}, trouble=("no Patroni tells",)))

    assert Verdict.UNKNOWN is found.verdict
    assert {} == seconds(found)
    assert "not known" in found.loss
