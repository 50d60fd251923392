"""
How a club writes its terms: amounts, percents, names, days and clock times, read strictly.

The club file and the frozen documents made from it (tariff, hours, policy) share these fields.
A value is kept exactly as it was meant or refused; `explain` says in one line what is wrong.

- Amounts and percents are `Decimal`, written to JSON as text. YAML's floats are read by their
  decimal text, so `24.5` is 24.5; NaN, infinity and `1e3` are refused.
- A clock time is minutes since midnight in Python and `HH:MM` outside; an unquoted `18:00` is the
  number 1080 to YAML 1.1 and is refused rather than guessed.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from padelops.booking.club_time import parse_date, shown
from padelops.errors import InvalidInput
from padelops.model import MINOR_UNITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY = "holiday"
DAY_MINUTES = 24 * 60
MOST_MONEY = Decimal(10**9)

_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", re.ASCII)
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}", re.ASCII)

_PRINTABLE = "Use printable text without spaces around it."
_SAID_BETTER = {
    "missing": "This is required.",
    "extra_forbidden": "There is no such field.",
    "string_type": "Use text, in quotes.",
    "string_unicode": _PRINTABLE,
    "model_type": "Use a block of fields.",
    "dict_type": "Use a block of fields.",
    "tuple_type": "Use a list.",
    "list_type": "Use a list.",
}


class Terms(BaseModel):
    """
    A frozen part of a club's terms, equal and hashable by content.

    Unknown fields are refused; the names outside are those of the club file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A changed copy, validated again; pydantic's own would keep what was worked out before."""
        if not update:
            return super().model_copy(deep=deep)
        return self.model_validate(self.terms() | dict(update))

    def terms(self) -> dict[str, Any]:
        """The document that is stored; `model_validate` reads it back to the same terms."""
        return self.model_dump(mode="json")

    def canonical_json(self) -> str:
        """The stored document in its one spelling: sorted keys, no spaces, numbers as text."""
        return json.dumps(self.terms(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def digest(self) -> str:
        """SHA-256 of `canonical_json`, in hex: a name that only the same content has."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        # Worked out once: caches of prices and hours ask for the hash with every slot.
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._digest == cast("Self", other)._digest


def explain(exc: ValidationError, *, within: str = "") -> str:
    """
    The first problem in one line: `tariff.bands[0].from: Use HH:MM.`

    `within` says where the document stands in a larger one, such as `tariff`.
    """
    problem = exc.errors(include_url=False, include_input=False)[0]
    path = within
    for step in problem["loc"]:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step == "[key]":  # pydantic's sign that the key before it is wrong, not its value
            continue
        elif _PLAIN_KEY.fullmatch(step):
            path += f".{step}" if path else step
        else:
            path += f"[{shown(step)}]"

    ours = problem.get("ctx", {}).get("error")
    message = str(ours) if ours else _SAID_BETTER.get(problem["type"], f"{problem['msg']}.")
    return f"{path}: {message}" if path else message


def decimal_of(value: object) -> Decimal:
    """The exact number that was written: text, a whole number, or a float by its shortest text."""
    text = ""
    if isinstance(value, str):
        text = value
    elif isinstance(value, Decimal) and value.is_finite():
        text = f"{value:f}"
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) <= MOST_MONEY):
        text = repr(value)  # of a bool, too, and then it is no number
    if not _NUMBER.fullmatch(text):
        raise ValueError('Use a plain number, such as "24.50".')

    number = Decimal(text)
    return number or abs(number)  # -0 is 0


def money_of(text: str, *, what: str) -> Decimal:
    """
    An amount that a person typed, such as `46.80`.

    Raises:
        InvalidInput: it is no plain number; `what` is how the message calls it.
    """
    try:
        return decimal_of(text)
    except ValueError as exc:
        raise InvalidInput(f"{what}: {shown(text)} is no amount. {exc}") from exc


def clock_of(value: object) -> int:
    """Minutes since midnight of `HH:MM`, up to `24:00`."""
    if not isinstance(value, str):
        raise ValueError('Use HH:MM in quotes, such as "18:00".')  # noqa: TRY004  (pydantic reports ValueErrors)
    if not _CLOCK.fullmatch(value):
        raise ValueError("Use HH:MM.")
    return int(value[:2]) * 60 + int(value[3:])


def clock_text(minutes: int) -> str:
    """`HH:MM` of minutes since midnight; `24:00` at the day's end, the next day's hour past it."""
    if minutes > DAY_MINUTES:
        minutes -= DAY_MINUTES
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def days_of(value: object) -> tuple[str, ...]:
    """Days in the week's order, each once, of `fri`, `mon-fri`, `holiday` or a list of these."""
    items: Iterable[object] = value if isinstance(value, list | tuple) else (value,)
    wanted = {day for item in items for day in _days_of_one(item)}
    if not wanted:
        raise ValueError("Name at least one day.")
    return tuple(day for day in (*WEEK, HOLIDAY) if day in wanted)


def check_amount(amount: Decimal, currency: str) -> None:
    """Raise ValueError for an amount that the currency has no coins for."""
    digits = MINOR_UNITS[currency]
    exponent = amount.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > digits:
        raise ValueError(
            f"{amount} is finer than {currency} goes: {digits} digits after the point."
        )


def each_once(things: Iterable[object]) -> None:
    """Raise ValueError naming the first thing that comes twice."""
    seen: set[object] = set()
    for thing in things:
        if thing in seen:
            raise ValueError(f"{shown(thing)} comes twice.")
        seen.add(thing)


def _days_of_one(item: object) -> tuple[str, ...]:
    text = item.lower() if isinstance(item, str) and len(item) <= len(HOLIDAY) else ""
    first, dash, last = text.partition("-")
    if first in WEEK and last in WEEK:
        start, length = WEEK.index(first), (WEEK.index(last) - WEEK.index(first)) % 7 + 1
        return (WEEK + WEEK)[start : start + length]
    if text and not dash and text in (*WEEK, HOLIDAY):
        return (text,)
    raise ValueError(
        f"{shown(item)} is no day: use mon ... sun, holiday, or a range as in mon-fri."
    )


def _currency_of(text: str) -> str:
    if text not in MINOR_UNITS:
        raise ValueError(f"Unknown currency {shown(text)}: use an ISO 4217 code such as EUR.")
    return text


def _date_of(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    if not isinstance(value, str):
        raise ValueError("Use YYYY-MM-DD.")  # noqa: TRY004  (pydantic reports ValueErrors)
    try:
        return parse_date(value)
    except InvalidInput as exc:
        raise ValueError(str(exc)) from exc


def _one_line(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError(_PRINTABLE)
    return text


def _within(low: Decimal, high: Decimal, *, places: int) -> Callable[[Decimal], Decimal]:
    def check(number: Decimal) -> Decimal:
        if not low <= number <= high:
            raise ValueError(f"Use a number from {low} to {high}.")
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > places:
            raise ValueError(f"Use at most {places} digits after the point.")
        return number

    return check


PERCENT_PLACES = 4
MULTIPLIER_PLACES = 6

_FromText = BeforeValidator(decimal_of)
_AsText = PlainSerializer(str, return_type=str, when_used="json")

Amount = Annotated[
    Decimal, _FromText, AfterValidator(_within(Decimal(0), MOST_MONEY, places=3)), _AsText
]
"""Money, 0 to 10**9. `check_amount` adds the currency's own digits."""

Percent = Annotated[
    Decimal,
    _FromText,
    AfterValidator(_within(Decimal(-100), Decimal(1000), places=PERCENT_PLACES)),
    _AsText,
]
Share = Annotated[
    Decimal,
    _FromText,
    AfterValidator(_within(Decimal(0), Decimal(100), places=PERCENT_PLACES)),
    _AsText,
]
"""A percentage of a whole: a discount, a refund, a tax."""

Multiplier = Annotated[
    Decimal,
    _FromText,
    AfterValidator(_within(Decimal("0.000001"), Decimal(100), places=MULTIPLIER_PLACES)),
    _AsText,
]
Clock = Annotated[int, BeforeValidator(clock_of), PlainSerializer(clock_text, return_type=str)]
Day = Annotated[date, BeforeValidator(_date_of)]
Days = Annotated[tuple[str, ...], BeforeValidator(days_of)]
Currency = Annotated[str, AfterValidator(_currency_of)]
Name = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=60), AfterValidator(_one_line)
]
