"""
What a message says: plain text in the club's language, with its zone and currency as people write
them.

A template is a file, `templates/<language>/<kind>.txt`: a `subject`, a `short` form for text
messages, an empty line, the body. Facts stand in braces. A line of the body that mentions an absent
fact is left out, so "To pay at the club: …" only stands where something is to be paid; that is all
the logic there is, which is why a template engine would be too much.

Nothing in a fact can become a header, another line or another placeholder. A player's name is
written by whoever books, for whatever address they give: one that could be a link is left out.

Source: CRITICAL_PATHS.md, path 7, "Generate Message"; DESIGN.md section 4.7.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from string import Formatter
from typing import TYPE_CHECKING

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_datetime
from babel.languages import get_official_languages
from babel.numbers import format_currency

from padelops.booking.club_time import instants_of, local, zone
from padelops.booking.masking import printable
from padelops.errors import Corrupt
from padelops.model import PaymentMethod, round_to_currency

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal
    from zoneinfo import ZoneInfo

    from padelops.store.messages import Taken

LANGUAGES = ("es", "en")
LONGEST_NAME = 60

Facts = dict[str, str | None]

WHEN = {
    "es": ("EEEE d 'de' MMMM 'de' y, HH:mm", "EEE d MMM, HH:mm", "HH:mm"),
    "en": ("EEEE d MMMM y, HH:mm", "EEE d MMM, HH:mm", "HH:mm"),
    "en_US": ("EEEE, MMMM d, y, h:mm a", "EEE, MMM d, h:mm a", "h:mm a"),
}
"""A start in full, in short, and an end: CLDR patterns, by locale or else by language."""

REASONS = {
    "es": {
        "club_requested": "a petición del club",
        "weather": "mal tiempo",
        "maintenance": "mantenimiento de la pista",
    },
    "en": {
        "club_requested": "at the club's request",
        "weather": "bad weather",
        "maintenance": "maintenance of the court",
    },
}
"""Reasons to cancel that are the club's; whoever cancels knows their own."""

PAID_BY_CARD = frozenset({"authorized", "paid"})
_COULD_BE_A_LINK = re.compile(r"[/@:]|\w\.\w{2,}|www", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Text:
    """A message in words: `short` is the whole of it in one line, for text messages."""

    subject: str
    short: str
    body: str


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of message in one language, still with its placeholders."""

    subject: str
    short: str
    lines: tuple[str, ...]

    def fill(self, facts: Mapping[str, str | None]) -> Text:
        """
        Raises:
            KeyError: it mentions a fact that there is not, or the subject one that is absent.
        """
        kept = [_filled(line, facts) for line in self.lines if not _absent(line, facts)]
        body = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
        return Text(
            subject=_filled(self.subject, _present(facts)),
            short=_filled(self.short, _present(facts)),
            body=f"{body}\n",
        )


def render(taken: Taken) -> Text:
    """
    The words of a message about a reservation as it is now.

    Raises:
        Corrupt: the club has no usable language, or there is no such template.
        InvalidInput: the club's zone or currency is none.
    """
    language = taken.language or "en"
    return template(language, taken.kind).fill(facts_of(taken, language))


@cache
def template(language: str, kind: str) -> Template:
    """
    The template of a kind in a language.

    Raises:
        Corrupt: there is none, or it has no subject or short form.
    """
    if language not in LANGUAGES or not re.fullmatch(r"[a-z_]+", kind):
        raise Corrupt("There is no message template for this language and kind.")
    folder = resources.files("padelops.booking").joinpath("templates", language)
    try:
        text = folder.joinpath(f"{kind}.txt").read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise Corrupt(f"There is no message template {language}/{kind}.") from exc
    head, _, body = text.partition("\n\n")
    heads = dict(line.split(": ", 1) for line in head.splitlines())
    if set(heads) != {"subject", "short"}:
        raise Corrupt(f"The message template {language}/{kind} needs a subject and a short form.")
    return Template(heads["subject"], heads["short"], tuple(body.splitlines()))


def facts_of(taken: Taken, language: str) -> Facts:
    """Every fact that a template may mention, written for people; None where there is none."""
    wall = zone(taken.time_zone)
    locale = locale_of(language, taken.time_zone)
    full, short, clock = WHEN.get(str(locale)) or WHEN[language]
    starts, ends = local(taken.starts_at, wall), local(taken.ends_at, wall)

    def money(amount: Decimal, *, where: bool = True) -> str | None:
        return _money(amount, taken.currency, locale) if where and amount > 0 else None

    by_card = taken.payment_method == PaymentMethod.CARD
    owed = taken.refund_due
    return {
        "player": _name(taken.player_name),
        "club": printable(taken.club_name),
        "court": printable(taken.court or ""),
        "number": str(taken.claim_id),
        "when": _when(starts, full, locale, wall),
        "short_when": _when(starts, short, locale, wall),
        "ends": _when(ends, clock, locale, wall),
        "minutes": str(int((taken.ends_at - taken.starts_at).total_seconds()) // 60),
        "total": _money(taken.total, taken.currency, locale),
        "due_at_desk": money(taken.total, where=not by_card and taken.payment_status == "due"),
        "paid_by_card": money(taken.total, where=by_card and taken.payment_status in PAID_BY_CARD),
        "card_refund": money(owed, where=by_card),
        "desk_refund": money(owed, where=not by_card),
        "released": money(taken.total, where=not taken.captured),
        "late_refund": money(taken.captured),
        "reason": REASONS[language].get(taken.reason or ""),
    }


@cache
def locale_of(language: str, time_zone: str) -> Locale:
    """
    The language as its zone's country writes it, where it is spoken there: `es_MX`, but `en` for
    an English-speaking club in Spain.
    """
    country = get_global("zone_territories").get(time_zone)
    if country and language in get_official_languages(country, de_facto=True):
        with suppress(UnknownLocaleError):
            return Locale(language, country)
    return Locale(language)


def _when(moment: datetime, pattern: str, locale: Locale, wall: ZoneInfo) -> str:
    text = format_datetime(moment, pattern, locale=locale)
    # In the hour that comes twice the clock alone does not say which one is meant.
    twice = len(instants_of(moment.replace(tzinfo=None, fold=0), wall)) > 1
    return f"{text} (UTC{moment.isoformat()[-6:]})" if twice else text


@lru_cache(maxsize=4096)  # a club has few prices, and writing one out takes a while
def _money(amount: Decimal, currency: str, locale: Locale) -> str:
    exact = round_to_currency(amount, currency)
    return format_currency(exact, currency, locale=locale, decimal_quantization=False)


def _name(name: str | None) -> str | None:
    shown = printable(name or "")
    usable = shown and len(shown) <= LONGEST_NAME and not _COULD_BE_A_LINK.search(shown)
    return shown if usable else None


def _filled(line: str, facts: Mapping[str, str | None]) -> str:
    return line.format_map(facts)


def _absent(line: str, facts: Mapping[str, str | None]) -> bool:
    return any(facts[name] is None for name in _names(line))


def _present(facts: Mapping[str, str | None]) -> dict[str, str]:
    return {name: fact for name, fact in facts.items() if fact is not None}


@cache
def _names(line: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in Formatter().parse(line) if name is not None)
