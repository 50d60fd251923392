"""
The plan as cron lines or systemd units: ready to be installed, with nothing secret in them.

Settings come from `/etc/padelops/environment` (one `PADELOPS_NAME=value` a line), which both read
and which should be for its owner only. `--quiet` makes cron mail failures and nothing else.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from padelops.ops.maintenance_plan import Plan

ENVIRONMENT = "/etc/padelops/environment"
DUE_AT = "0 8 * * *"
_ACCOUNT = re.compile(r"^[a-z_][a-z0-9_-]{0,31}\$?$")
_PROGRAM = re.compile(r"^/[^\x00-\x1f\x7f]+$")


def cron(plan: Plan, program: str, *, user: str | None = None) -> str:
    """
    Lines for a user's crontab, or with `user` for a file in /etc/cron.d.

    Raises:
        InvalidInput: not an absolute path, or not a name of an account.
    """
    program, user = _checked(program, user)
    account = f"{user} " if user else ""
    # An unescaped % ends a cron line and makes the rest its input.
    load = f"set -a; [ ! -r {ENVIRONMENT} ] || . {ENVIRONMENT};"
    command = shlex.quote(program).replace("%", "\\%")
    lines = [
        "# padelops maintenance; `padelops maintenance export cron` prints this.",
        "# Silent on success: whatever is mailed wants somebody. Secrets belong into",
        f"# {ENVIRONMENT}, readable by this account only.",
        "SHELL=/bin/sh",
    ]
    lines += [
        f"{schedule.cron} {account}{load} exec {command} maintenance run {name} --quiet"
        for name, schedule in plan.schedules.items()
    ]
    lines.append(f"{DUE_AT} {account}{load} exec {command} maintenance due --quiet")
    return "\n".join(lines) + "\n"


def systemd(plan: Plan, program: str, *, user: str | None = None) -> dict[str, str]:
    """
    Unit files by name: a service for all schedules, a timer for each, the check of what is due.

    Raises:
        InvalidInput: not an absolute path, or not a name of an account.
    """
    program, user = _checked(program, user)
    # systemd takes % for a specifier and $ for a variable; the path goes into double quotes.
    quoted = program.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    units = {
        "padelops-maintenance@.service": _service(
            "padelops maintenance, %i", f'"{quoted}" maintenance run %i --quiet', user
        ),
        "padelops-maintenance-due.service": _service(
            "padelops: is any maintenance late", f'"{quoted}" maintenance due --quiet', user
        ),
        "padelops-maintenance-due.timer": _timer(
            "padelops: is any maintenance late", "*-*-* 08:00:00"
        ),
    }
    for name, schedule in plan.schedules.items():
        units[f"padelops-maintenance@{name}.timer"] = _timer(
            f"padelops maintenance, {name}", schedule.systemd
        )
    return units


def _service(description: str, command: str, user: str | None) -> str:
    lines = [
        "[Unit]",
        f"Description={description}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        *([f"User={user}"] if user else []),
        f"EnvironmentFile=-{ENVIRONMENT}",
        f"ExecStart={command}",
        # The longest one checks every row there is; a run that hangs must not block the next one.
        "TimeoutStartSec=6h",
        "Nice=10",
        "IOSchedulingClass=idle",
        "NoNewPrivileges=yes",
        # The embedded server may be started by this, and stays up for whoever comes next.
        "KillMode=process",
    ]
    return "\n".join(lines) + "\n"


def _timer(description: str, calendar: str) -> str:
    lines = [
        "[Unit]",
        f"Description={description}",
        "",
        "[Timer]",
        f"OnCalendar={calendar}",
        # A machine that was off at the time makes up for it.
        "Persistent=true",
        "RandomizedDelaySec=5min",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def _checked(program: str, user: str | None) -> tuple[str, str | None]:
    if not _PROGRAM.match(program):
        raise InvalidInput(
            "The program's path must be absolute.", fix="Such as --program /usr/local/bin/padelops"
        )
    if user is not None and not _ACCOUNT.match(user):
        raise InvalidInput(f"'{user}' is no name of an account.")
    return program, user
