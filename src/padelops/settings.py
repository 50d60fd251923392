"""
What an operator may set, read once by a door and passed down; nothing else reads the environment.

Every field is the environment variable `PADELOPS_<FIELD>`; the README lists them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "PADELOPS_"


def default_home() -> Path:
    """Where the embedded database lives: `/var/lib/padelops` for root, else the user's data."""
    if os.geteuid() == 0:
        return Path("/var/lib/padelops")
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "padelops"


class Settings(BaseModel):
    """Frozen for the life of a process. Secrets never print."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default_factory=default_home, description="folder of the embedded database")
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://… (default: the embedded server)"
    )
    cluster_url: SecretStr | None = Field(
        default=None,
        description="all servers, as a role that may promote: postgresql://admin@db1,db2/padelops"
        " (default: `PADELOPS_DATABASE_URL`)",
    )
    replica_url: SecretStr | None = Field(
        default=None, description="a standby for searches that may be a little old"
    )
    replica_staleness_s: float = Field(
        default=1, ge=0.05, le=3600, description="how old what a replica tells may be, in seconds"
    )
    patroni_urls: str | None = Field(
        default=None,
        description="http://db1:8008,http://db2:8008 where Patroni decides who is primary",
    )
    patroni_user: str | None = Field(default=None, description="for Patroni's REST API")
    patroni_password: SecretStr | None = Field(default=None, description="of that user")
    etcd_urls: SecretStr | None = Field(
        default=None,
        description="http://etcd:2379/service: ends the lease of a dead leader at once",
    )
    fence_command: str | None = Field(
        default=None, description="cuts a failed primary off for good; 0 means it is cut off"
    )
    rejoin_command: str | None = Field(
        default=None, description="makes a former primary a standby, where its data is elsewhere"
    )
    failover_state: Path | None = Field(
        default=None, description="folder of the failover's lock and record (default: home)"
    )
    postgres_bindir: Path | None = Field(
        default=None,
        description="PostgreSQL programs for the embedded server (default: the wheel's)",
    )
    cache_url: SecretStr | None = Field(
        default=None,
        description="redis://… with padelops[redis] (default: a table in the database)",
    )
    actor: str | None = Field(
        default=None,
        max_length=200,
        description="who acts, for the audit trail (default: the login)",
    )
    level1_budget_ms: int = Field(
        default=500, ge=50, le=60_000, description="how long a level-1 operation may take"
    )
    connect_timeout_s: int = Field(default=5, ge=1, le=60, description="to reach the database")
    pool_size: int = Field(default=16, ge=1, le=500, description="database connections per process")
    hold_minutes: int = Field(
        default=10, ge=1, le=120, description="how long an unpaid hold keeps a court"
    )
    spool: Path | None = Field(
        default=None,
        description="folder that messages are written to without a mail server (default: home)",
    )
    smtp_url: SecretStr | None = Field(
        default=None,
        description="mail server: smtp://user:password@host:587?starttls (default: spool)",
    )
    mail_from: str | None = Field(
        default=None, max_length=254, description="address that mail comes from"
    )
    notify_urls: SecretStr | None = Field(
        default=None,
        description="apprise addresses by channel: sms=twilio://…/{phone} pager=pagerduty://…",
    )
    gateway: Literal["sandbox", "stripe"] = Field(
        default="sandbox",
        description="who charges cards: sandbox, or stripe (default where its key is set)",
    )
    stripe_api_key: SecretStr | None = Field(default=None, description="sk_… or rk_… of Stripe")
    stripe_api_base: str = Field(
        default="https://api.stripe.com",
        description="Stripe, or a peer that speaks its API",
    )
    stripe_webhook_secret: SecretStr | None = Field(
        default=None, description="whsec_… of the endpoint that Stripe's webhooks come to"
    )
    sandbox_url: str | None = Field(
        default=None,
        description="what `padelops sandbox serve` printed (default: the sandbox in process)",
    )
    sandbox_webhook_secret: SecretStr = Field(
        default=SecretStr("whsec_sandbox"), description="what the sandbox signs its webhooks with"
    )
    gateway_connect_timeout_s: float = Field(
        default=2, ge=0.1, le=30, description="to reach the gateway"
    )
    gateway_timeout_s: float = Field(
        default=10, ge=0.1, le=30, description="for one request to the gateway as a whole"
    )

    restart_command: str | None = Field(
        default=None,
        description="restarts the service whose name is put behind it (default: systemctl restart)",
    )
    service_url: str | None = Field(
        default=None,
        description="the HTTP API, http://127.0.0.1:8080: whether a restart helped is asked there",
    )
    maintenance_ping_url: SecretStr | None = Field(
        default=None,
        description="dead man's switch: https://hc-ping.com/…/padelops-{schedule}",
    )
    on_call: str | None = Field(
        default=None,
        max_length=500,
        description="whom alerts reach: email=oncall@your-club.example sms=+34600111222",
    )
    roster: Path | None = Field(
        default=None,
        description="who is on call, by role: a YAML file with names, addresses and keys",
    )
    pagerduty_url: str = Field(
        default="https://events.pagerduty.com/v2/enqueue",
        description="where pagers' events go",
    )
    alerts: Path | None = Field(
        default=None, description="folder of alert rules, *.yaml (default: padelops' own)"
    )
    textfile_folder: Path | None = Field(
        default=None, description="folder of node_exporter's textfile collector"
    )

    @property
    def spool_folder(self) -> Path:
        """Where messages are written while no way out is configured."""
        return self.spool or self.home / "spool"

    @model_validator(mode="before")
    @classmethod
    def _a_key_means_stripe(cls, given: Any) -> Any:
        """A club that has set Stripe's key must not go on "charging" cards in the sandbox."""
        if isinstance(given, dict) and given.get("stripe_api_key") and "gateway" not in given:
            return {**given, "gateway": "stripe"}
        return given

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Read `PADELOPS_*`; unset and empty variables mean the default.

        Raises:
            InvalidInput: a variable's value does not fit; names the variable, never its value.
        """
        environ = os.environ if environ is None else environ
        given = {
            name: environ[PREFIX + name.upper()]
            for name in cls.model_fields
            if environ.get(PREFIX + name.upper())
        }
        try:
            return cls.model_validate(given)
        except ValidationError as exc:
            problem = exc.errors(include_url=False, include_input=False)[0]
            variable = PREFIX + str(problem["loc"][0]).upper()
            raise InvalidInput(f"{variable}: {problem['msg']}.", variable=variable) from None
