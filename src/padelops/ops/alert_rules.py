"""
Alert rules: what is wrong when, whom it concerns, and what to do, as YAML in `alerts/*.yaml`.

A rule has the shape of CRITICAL_PATHS.md (`condition`, `severity`, `notification`), and says how
long it must hold, which runbook helps, and on which samples it fires and stays quiet. What cannot
work is refused with the file, the rule and the way to put it right.

Source: CRITICAL_PATHS.md, "Alerting Rules"; DESIGN.md section 7, "Alert rules".
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic import model_validator as checks_whole

from padelops.booking.critical_paths import CRITICAL_PATHS
from padelops.booking.delivery import Channel
from padelops.errors import InvalidInput
from padelops.model import Level
from padelops.ops.alert_conditions import (
    comparisons,
    length,
    parse,
    parse_length,
)
from padelops.ops.alert_judging import WINDOW
from padelops.ops.alert_metrics import WINDOWS_S, metric_named
from padelops.ops.alert_samples import Series, fires_at_the_end, read_series
from padelops.ops.alert_samples import fires as fires_somewhere
from padelops.ops.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.ops.alert_conditions import Comparison, Condition
    from padelops.ops.indicators import Indicator

NAME = r"^[a-z][a-z0-9_]{2,59}$"
PATHS = tuple(path.module for path in CRITICAL_PATHS)

BY_LEVEL: dict[Level, frozenset[Channel]] = {
    Level.ABSOLUTE: frozenset({Channel.PAGER}),
    Level.BUSINESS: frozenset({Channel.SMS, Channel.EMAIL}),
    Level.OPERATIONAL: frozenset({Channel.EMAIL}),
}
"""How people must be told at the least. Source: CRITICAL_PATHS.md, "Alert Escalation"."""

Text = Annotated[str, StringConstraints(min_length=10, max_length=500, strip_whitespace=True)]
Line = Annotated[str, StringConstraints(min_length=5, max_length=140, pattern=r"^[^\n{}]+$")]
Sample = Annotated[dict[str, str], Field(min_length=1, max_length=20)]


class Samples(BaseModel):
    """What the rule fires on, and what it stays quiet on: at least one of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fires: list[Sample] = Field(
        min_length=1, description="Metrics minute by minute; the rule fires in the last one."
    )
    quiet: list[Sample] = Field(
        min_length=1, description="Metrics minute by minute; the rule never fires."
    )

    @field_validator("fires", "quiet", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        return [given] if isinstance(given, dict) else given


class Rule(BaseModel):
    """One alert rule."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Alert rule")

    condition: str = Field(
        min_length=3,
        max_length=500,
        description="Such as `payment_success_rate < 99%`; parts are joined with `and` and `or`.",
    )
    severity: Literal["critical", "warning", "none"] = Field(
        description="`none` is for a watchdog: it fires always, and tells nobody."
    )
    notification: str = Field(
        description="`pager`, `sms` and `email`, joined with ` + `; or `none`.",
        pattern=r"^(none|(pager|sms|email)( \+ (pager|sms|email))*)$",
    )
    level: Level = Field(
        description="1: pager at once; 2: SMS and e-mail; 3: e-mail. Who is called, and how soon."
    )
    path: Literal[PATHS] | None = Field(  # type: ignore[valid-type]
        default=None, description="The critical path that it watches, where it is one."
    )
    runbook: str = Field(pattern=NAME, description="The runbook to run when it fires.")
    summary: Line = Field(description="One line: what is wrong.")
    description: Text = Field(description="What it means for players and money, and what to ask.")
    for_: str = Field(
        default="0s", alias="for", description="How long the condition must hold, such as 5m."
    )
    keep_firing_for: str = Field(
        default="0s", description="How long it goes on firing when the condition flaps."
    )
    group: str | None = Field(
        default=None,
        pattern=NAME,
        description="A critical rule that fires mutes the warnings of its group.",
    )
    no_data: Literal["unknown", "quiet"] = Field(
        default="unknown",
        description="`quiet` where a metric without a value means that nothing happened to judge.",
    )
    samples: Samples

    @field_validator("condition")
    @classmethod
    def _can_be_read(cls, text: str) -> str:
        _said(lambda: parse(text))
        return text

    @field_validator("for_", "keep_firing_for")
    @classmethod
    def _is_a_length(cls, text: str) -> str:
        _said(lambda: parse_length(text))
        return text

    @checks_whole(mode="after")
    def _hangs_together(self) -> Rule:
        _said(self._check)
        return self

    def _check(self) -> None:
        for one in comparisons(self.parsed):
            _check_comparison(one)
        wanted = set() if self.severity == "none" else set(BY_LEVEL[self.level])
        if missing := wanted - self.channels:
            raise InvalidInput(
                f"notification: a level {self.level.value} rule tells people by"
                f" {' + '.join(sorted(BY_LEVEL[self.level]))}, and this leaves out"
                f" {' + '.join(sorted(missing))}.",
            )
        if (self.severity == "none") != (not self.channels):
            raise InvalidInput(
                "notification: it is `none` where severity is `none`, and only there."
            )
        for kind in ("fires", "quiet"):
            for series in self.played(kind):
                self._check_sample(kind, series)

    def _check_sample(self, kind: str, series: tuple[Series, ...]) -> None:
        told = {one.metric for one in series}
        asked = {metric_named(one.metric).name for one in comparisons(self.parsed)}
        if told != asked:
            raise InvalidInput(
                f"samples: {kind}: the condition asks for {', '.join(sorted(asked))}, and the"
                f" sample tells {', '.join(sorted(told))}."
            )

    @cached_property
    def parsed(self) -> Condition:
        return parse(self.condition)

    @property
    def indicators(self) -> tuple[Indicator, ...]:
        """What it is about."""
        return tuple(metric_named(one.metric) for one in comparisons(self.parsed))

    @property
    def hold(self) -> timedelta:
        return timedelta(seconds=parse_length(self.for_))

    @property
    def keep(self) -> timedelta:
        return timedelta(seconds=parse_length(self.keep_firing_for))

    @property
    def quiet_without_data(self) -> bool:
        return self.no_data == "quiet"

    @property
    def channels(self) -> frozenset[Channel]:
        if self.notification == "none":
            return frozenset()
        return frozenset(Channel(name) for name in self.notification.split(" + "))

    @property
    def verdict(self) -> Verdict:
        """What it means for a check that it fires."""
        return {"critical": Verdict.CRITICAL, "warning": Verdict.WARNING, "none": Verdict.OK}[
            self.severity
        ]

    def played(self, kind: str) -> list[tuple[Series, ...]]:
        """The samples of a kind, read."""
        samples: list[dict[str, str]] = getattr(self.samples, kind)
        return [read_series(sample) for sample in samples]

    def failed_samples(self) -> list[str]:
        """Which samples do not come out as they should."""
        found = [
            f"samples: fires: it does not fire at the end of number {number}"
            for number, series in enumerate(self.played("fires"), 1)
            if not fires_at_the_end(self, series)
        ]
        return found + [
            f"samples: quiet: it fires on number {number}"
            for number, series in enumerate(self.played("quiet"), 1)
            if fires_somewhere(self, series)
        ]


def _check_comparison(one: Comparison) -> None:
    indicator = metric_named(one.metric)
    for label, _ in one.labels:
        if label not in indicator.labels or label == WINDOW:
            known = ", ".join(name for name in indicator.labels if name != WINDOW) or "none"
            raise InvalidInput(f"condition: {one.metric} has no label {label}; it has {known}.")
    if one.unit is not None and one.unit is not indicator.unit:
        raise InvalidInput(
            f"condition: {one.metric} is counted in {indicator.unit or 'plain numbers'}, and this"
            f" compares it with {one.unit}."
        )
    if WINDOW in indicator.labels:
        if one.window_s not in WINDOWS_S:
            raise InvalidInput(
                f"condition: say over which window {one.metric} is meant.",
                fix=f"One of: in {', in '.join(length(s) for s in WINDOWS_S)}.",
            )
    elif one.window_s is not None and one.window_s != indicator.window_s:
        kept = (
            "of the moment" if indicator.window_s is None else f"over {length(indicator.window_s)}"
        )
        raise InvalidInput(f"condition: {one.metric} is {kept}.", fix="Leave out `in`.")


def _said(ask: Callable[[], object]) -> None:
    """What is refused, as pydantic wants to hear it."""
    try:
        ask()
    except InvalidInput as exc:
        raise ValueError(str(exc)) from exc
