"""
The registry of indicators: each is defined once, for people, alerts, objectives and Prometheus.

An indicator is a function from facts to samples, registered with what people and programs must know
about it. Names are Prometheus names: `padel_`, base units, `_total` for counters. What Prometheus
can compute by itself (rates, quantiles, shares over a window) has an expression, `promql`, over
what is exported; here the same is computed from the database's minutes, so that cron and the
command line need no Prometheus.

"Unknown" is no number: a sample without a value, or a reading without samples and with the reason.

Source: CRITICAL_PATHS.md, "Real-time Dashboards"; DESIGN.md section 7, "Indicators".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from padelops.booking.critical_paths import CRITICAL_PATHS
from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from padelops.booking.operations import Tally
    from padelops.model import Level
    from padelops.ops.facts import Facts


class Kind(StrEnum):
    """Prometheus' types."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Rhythm(IntEnum):
    """Seconds between two looks. Source: CRITICAL_PATHS.md, "Real-time Dashboards"."""

    PRIMARY = 30
    SECONDARY = 300


class Unit(StrEnum):
    """Base units, as Prometheus wants them."""

    NONE = ""
    SECONDS = "seconds"
    RATIO = "ratio"
    BYTES = "bytes"
    PER_SECOND = "per second"


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One value of an indicator.

    Attributes:
        value: None where it is unknown: nothing happened that could be judged, or nobody may tell.
        spread: a histogram's times, in place of a value.
    """

    value: float | None
    labels: Mapping[str, str] = field(default_factory=dict)
    spread: Tally | None = None


Read: TypeAlias = "Callable[[Facts], Iterable[Sample]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """
    What there is to know about an indicator before it is read.

    Attributes:
        help: what it is, in one sentence.
        source: where it comes from: `operations` or `counters` (what processes count), `process`,
            or `sql:` and a statement in store/sql.
        window_s: over how long it is computed; None for what is so at the moment.
        exported: whether it stands in the Prometheus text; where not, `promql` computes it.
        promql: the expression for alerts and dashboards. Several scrapers' copies count once.
        aliases: what CRITICAL_PATHS.md and its alert conditions call it.
        path: the module of the critical path it belongs to, where it belongs to one.
        words: what its values mean, where they are states.
    """

    name: str
    title: str
    help: str
    kind: Kind
    unit: Unit
    rhythm: Rhythm
    source: str
    promql: str
    read: Read
    labels: tuple[str, ...] = ()
    window_s: int | None = None
    exported: bool = True
    aliases: tuple[str, ...] = ()
    path: str | None = None
    words: Mapping[int, str] = field(default_factory=dict)

    @property
    def level(self) -> Level | None:
        """Its critical path's level."""
        return next((path.level for path in CRITICAL_PATHS if path.module == self.path), None)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "help": self.help,
            "type": self.kind.value,
            "unit": self.unit.value or None,
            "rhythm_s": self.rhythm.value,
            "window_s": self.window_s,
            "source": self.source,
            "path": self.path,
            "level": self.level,
            "promql": self.promql,
        }


INDICATORS: dict[str, Indicator] = {}
"""Every indicator by its name, in the order of their definition; `ops.metrics` fills it."""


def seen_once(expression: str) -> str:
    """PromQL: of copies that several scraped doors give of one database, one."""
    return f"max without (instance, job) ({expression})"


def indicator(
    name: str,
    title: str,
    *,
    help: str,  # noqa: A002 - Prometheus' own word
    rhythm: Rhythm,
    source: str,
    kind: Kind = Kind.GAUGE,
    unit: Unit = Unit.NONE,
    promql: str | None = None,
    **more: Any,
) -> Callable[[Read], Read]:
    """
    Register the function that reads an indicator.

    Args:
        promql: left out, the exported value itself.
    """

    def register(read: Read) -> Read:
        found = Indicator(
            name=name,
            title=title,
            help=help,
            kind=kind,
            unit=unit,
            rhythm=rhythm,
            source=source,
            promql=promql or seen_once(name),
            read=read,
            **more,
        )
        taken = {known for one in INDICATORS.values() for known in (one.name, *one.aliases)}
        if taken.intersection((name, *found.aliases)):
            raise ValueError(f"two indicators are called {name}")
        INDICATORS[name] = found
        return read

    return register


def named(name: str) -> Indicator:
    """
    An indicator by its name or by what CRITICAL_PATHS.md calls it.

    Raises:
        InvalidInput: there is none.
    """
    for found in INDICATORS.values():
        if name in {found.name, *found.aliases}:
            return found
    raise InvalidInput(
        f"There is no indicator {name[:60]!r}.", fix="See: padelops metrics --json", indicator=name
    )
