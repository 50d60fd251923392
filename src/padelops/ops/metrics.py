"""
Metrics: what every indicator says now, from the one registry.

    with open_desk() as desk:
        desk.metrics(rhythm=Rhythm.PRIMARY).value("padel_payment_success_ratio")

An indicator that could not be read says why; it is never 0 and never left out.

Source: CRITICAL_PATHS.md, "Monitoring and metrics"; DESIGN.md section 7.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.errors import PadelopsError, PartlyDone

# Importing them fills the registry.
from padelops.ops import (
    indicators_of_alerts,
    indicators_of_bookings,
    indicators_of_paths,
    indicators_of_servers,
)
from padelops.ops.indicators import INDICATORS, Indicator, Kind, Rhythm, Sample, named

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from padelops.ops.facts import Facts

__all__ = [
    "INDICATORS",
    "Indicator",
    "Kind",
    "Reading",
    "Readings",
    "Rhythm",
    "Sample",
    "named",
    "read",
]

_ = indicators_of_bookings, indicators_of_paths, indicators_of_servers, indicators_of_alerts


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What one indicator says.

    Attributes:
        samples: its values by labels; empty where it could not be read.
        problem: why it could not be read.
    """

    indicator: Indicator
    samples: tuple[Sample, ...]
    problem: str | None = None

    @property
    def known(self) -> bool:
        """Whether it says anything at all."""
        return any(sample.value is not None for sample in self.samples)

    def as_json(self) -> dict[str, Any]:
        return {
            **self.indicator.as_json(),
            "problem": self.problem,
            "samples": [
                {
                    "labels": dict(sample.labels),
                    "value": sample.value,
                    **({"word": word} if (word := self.word(sample)) else {}),
                }
                for sample in self.samples
            ],
        }

    def word(self, sample: Sample) -> str | None:
        """What a value means, where it is a state."""
        if sample.value is None:
            return None
        return self.indicator.words.get(int(sample.value))


@dataclass(frozen=True, slots=True)
class Readings:
    """
    What indicators say at one moment.

    Attributes:
        away: why there is no connection to the database.
    """

    at: datetime
    readings: tuple[Reading, ...]
    took_s: float
    away: PadelopsError | None = None

    def require_all(self) -> None:
        """
        Raises:
            Unavailable, NotPermitted: the database gave no connection. PartlyDone: some could not
                be read.
        """
        if self.away is not None:
            raise self.away
        if self.unread:
            first = self.unread[0]
            raise PartlyDone(
                f"{len(self.unread)} indicators could not be read;"
                f" {first.indicator.name}: {first.problem}",
                unread=[reading.indicator.name for reading in self.unread],
            )

    def of(self, name: str) -> Reading:
        """
        One indicator's reading, by its name or alias.

        Raises:
            InvalidInput: there is none of that name. LookupError: it was not asked for.
        """
        wanted = named(name)
        for reading in self.readings:
            if reading.indicator is wanted:
                return reading
        raise LookupError(f"{wanted.name} was not asked for")

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the sample that has these labels; None where it is unknown."""
        for sample in self.of(name).samples:
            if labels.items() <= dict(sample.labels).items():
                return sample.value
        return None

    @property
    def unread(self) -> tuple[Reading, ...]:
        """Those that could not be read."""
        return tuple(reading for reading in self.readings if reading.problem)

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "took_s": round(self.took_s, 3),
            "unread": [reading.indicator.name for reading in self.unread],
            "indicators": [reading.as_json() for reading in self.readings],
        }


def chosen(names: Iterable[str] = (), *, rhythm: Rhythm | None = None) -> tuple[Indicator, ...]:
    """
    The indicators of these names or aliases, or of a rhythm; all when nothing is said.

    Raises:
        InvalidInput: there is none of that name.
    """
    wanted = [named(name) for name in names]
    return tuple(
        found
        for found in INDICATORS.values()
        if (not wanted or found in wanted) and rhythm in (None, found.rhythm)
    )


def read(facts: Facts, wanted: Iterable[Indicator]) -> Readings:
    """Read these indicators, each for itself: one that fails takes no other with it."""
    began = time.monotonic()
    readings = tuple(_read(facts, one) for one in wanted)
    return Readings(facts.now, readings, time.monotonic() - began, facts.away)


def _read(facts: Facts, one: Indicator) -> Reading:
    try:
        return Reading(one, tuple(one.read(facts)))
    except PadelopsError as exc:
        return Reading(one, (), exc.message)
