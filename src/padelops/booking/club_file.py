"""
A club as its people write it down: the YAML file that `padelops club apply` reads.

Everything a club sells by stands in one document: zone, currency, tax, courts, hours, tariff,
booking rules, cancellation policy, blocks. The normalized document is stored whole with the club;
the tariff and the policy are stored a second time as frozen terms, which reservations point at.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from padelops.booking.cancellation_policy import CancellationPolicy
from padelops.booking.club_time import parse_start, zone
from padelops.booking.opening_hours import OpeningHours
from padelops.booking.players import checked_text
from padelops.booking.reminder_rules import ReminderRules
from padelops.booking.tariff import Tariff, TariffRules, Tax
from padelops.booking.terms import Amount, Currency, Name, Terms, check_amount, each_once, explain
from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

LARGEST_FILE = 1_000_000
"""Bytes. A club with 200 courts and a decade of holidays fits into a tenth of it."""

Slug = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
CourtName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]


def _storable(text: str) -> str:
    try:
        return checked_text("text", text, longest=200)
    except InvalidInput as exc:
        raise ValueError(str(exc)) from exc


Text = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=200),
    AfterValidator(_storable),
]


def _text_of_number(value: object) -> object:
    # YAML reads an unquoted court name 1 as a number; nothing is lost in taking it as "1".
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _text_of_moment(value: object) -> object:
    # YAML reads an unquoted 2026-12-10T08:00:00 as a datetime.
    return value.isoformat() if isinstance(value, datetime) else value


class CourtTerms(Terms):
    name: Annotated[CourtName, BeforeValidator(_text_of_number)]
    hourly_price: Amount | None = None
    in_service: bool = True
    attributes: dict[Name, JsonValue] = Field(default={}, max_length=50)

    @field_validator("attributes")
    @classmethod
    def _can_be_stored(cls, attributes: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            text = json.dumps(attributes, allow_nan=False, ensure_ascii=False)
            text.encode()  # half a character pair has no bytes
        except (ValueError, RecursionError) as exc:
            raise ValueError("Use plain texts, numbers, lists and blocks.") from exc
        if "\\u0000" in text:
            raise ValueError("Use texts without NUL bytes.")
        return attributes


class BookingRules(Terms):
    """When and for how long a court can be booked. Minutes are elapsed minutes."""

    slot_step_minutes: int = Field(default=30, ge=1, le=240)
    min_minutes: int = Field(default=60, ge=1, le=1440)
    max_minutes: int = Field(default=120, ge=1, le=1440)
    default_minutes: int = Field(default=90, ge=1, le=1440)
    advance_days: int = Field(default=30, ge=0, le=3650)
    buffer_minutes: int = Field(default=0, ge=0, le=240)

    @field_validator("max_minutes")
    @classmethod
    def _longest_is_not_shorter(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("min_minutes", 0):
            raise ValueError("max_minutes is less than min_minutes.")
        return value

    @field_validator("default_minutes")
    @classmethod
    def _default_can_be_booked(cls, value: int, info: ValidationInfo) -> int:
        low, high = info.data.get("min_minutes", 0), info.data.get("max_minutes", 1440)
        if not low <= value <= high:
            raise ValueError("default_minutes lies outside min_minutes and max_minutes.")
        return value


class BlockTerms(Terms):
    """Court time that the club keeps for itself. Local times; no courts means all of them."""

    ref: CourtName
    courts: tuple[Annotated[CourtName, BeforeValidator(_text_of_number)], ...] = ()
    starts: Annotated[str, BeforeValidator(_text_of_moment)] = Field(alias="from", max_length=40)
    ends: Annotated[str, BeforeValidator(_text_of_moment)] = Field(alias="to", max_length=40)
    reason: Text


class ClubFile(Terms):
    """One club, declared. Applying the same file twice changes nothing the second time."""

    slug: Slug
    name: Text
    time_zone: str
    currency: Currency
    language: Literal["es", "en"] = "en"
    tax: Tax = Tax()
    default_hourly_price: Amount
    courts: tuple[CourtTerms, ...] = Field(max_length=500)
    hours: OpeningHours
    tariff: TariffRules = TariffRules()
    rules: BookingRules = BookingRules()
    cancellation: CancellationPolicy = CancellationPolicy()
    reminders: ReminderRules = ReminderRules()
    blocks: tuple[BlockTerms, ...] = Field(default=(), max_length=2000)

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            zone(name)
        except InvalidInput as exc:
            raise ValueError(str(exc)) from exc
        return name

    @field_validator("default_hourly_price")
    @classmethod
    def _price_fits_currency(cls, price: Decimal, info: ValidationInfo) -> Decimal:
        if "currency" in info.data:
            check_amount(price, info.data["currency"])
        return price

    @field_validator("courts")
    @classmethod
    def _courts_have_names_of_their_own(
        cls, courts: tuple[CourtTerms, ...], info: ValidationInfo
    ) -> tuple[CourtTerms, ...]:
        each_once(court.name for court in courts)
        for court in courts:
            if court.hourly_price is not None and "currency" in info.data:
                check_amount(court.hourly_price, info.data["currency"])
        return courts

    @field_validator("cancellation")
    @classmethod
    def _fee_fits_currency(
        cls, policy: CancellationPolicy, info: ValidationInfo
    ) -> CancellationPolicy:
        if "currency" in info.data:
            check_amount(policy.fee, info.data["currency"])
        return policy

    @field_validator("blocks")
    @classmethod
    def _blocks_fit_the_club(
        cls, blocks: tuple[BlockTerms, ...], info: ValidationInfo
    ) -> tuple[BlockTerms, ...]:
        each_once(block.ref for block in blocks)
        known = {court.name for court in info.data.get("courts", ())}
        for block in blocks:
            if unknown := set(block.courts) - known:
                raise ValueError(f"{block.ref}: there is no court {min(unknown)}.")
            if "time_zone" in info.data:
                try:
                    local = zone(info.data["time_zone"])
                    if not parse_start(block.starts, local) < parse_start(block.ends, local):
                        raise ValueError(f"{block.ref}: the end must come after the start.")
                except InvalidInput as exc:
                    raise ValueError(f"{block.ref}: {exc}") from exc
        return blocks

    def frozen_tariff(self) -> Tariff:
        """The terms that this club's reservations are priced by."""
        return Tariff.freeze(
            self.tariff,
            currency=self.currency,
            time_zone=self.time_zone,
            tax=self.tax,
            default_hourly_price=self.default_hourly_price,
            hourly_prices={
                court.name: court.hourly_price
                for court in self.courts
                if court.hourly_price is not None
            },
        )

    def document(self) -> dict[str, Any]:
        """The normalized document that is stored with the club; blocks are claims, not terms."""
        return self.model_dump(mode="json", exclude={"blocks"})


def digest_of(document: dict[str, Any]) -> str:
    """SHA-256, in hex, of a JSON document's one canonical spelling."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Half a character pair is refused where it matters; here it only must not crash.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def read_club_files(path: Path) -> list[ClubFile]:
    """
    Every club in a YAML file; several clubs are documents divided by `---`.

    Raises:
        InvalidInput: the file cannot be read, is too large, is no YAML, or a field is wrong; says
            which and how to write it.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InvalidInput(f"{path} is larger than {LARGEST_FILE} bytes.")
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{path} is not UTF-8 text.") from exc
    return parse_club_files(text, name=str(path))


def parse_club_files(text: str, *, name: str) -> list[ClubFile]:
    """Every club in a YAML text; `name` is what messages call it."""
    try:
        documents = [item for item in yaml.safe_load_all(text) if item is not None]
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or "it cannot be parsed"
        raise InvalidInput(f"{name}{where}: this is not YAML: {problem}.") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"{name}: this is not usable YAML.") from exc
    if not documents:
        raise InvalidInput(f"{name} holds no club.")

    files = []
    for document in documents:
        if not isinstance(document, dict):
            raise InvalidInput(f"{name}: a club is a block of fields, beginning with slug.")
        slug = document.get("slug")
        try:
            files.append(ClubFile.model_validate(document))
        except ValidationError as exc:
            of = f" ({slug})" if isinstance(slug, str) else ""
            raise InvalidInput(f"{name}{of}: {explain(exc)}") from exc
    return files
