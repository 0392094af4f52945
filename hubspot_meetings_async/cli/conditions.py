"""Conditions of a search as people type them: `hs_meeting_outcome=SCHEDULED`, `hs_timestamp>=2026-11-01`.

This module knows the words of conditions. It must not know how a search is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from ..errors import ConfigurationError, printable
from ..models import PropertyDefinition
from ..moments import Zone
from ..search import Filters, where
from .clocks import moment

__all__ = ["Condition", "condition", "filters"]

_FORM = re.compile(
    r"\s*(?P<name>[A-Za-z_][\w.]*)\s*"
    r"(?:(?P<sign>!=|>=|<=|!~|=|>|<|~)(?P<value>.*)|(?P<word>not\s+in|in|exists|missing)(?:\s+(?P<rest>.+))?)",
    re.DOTALL | re.IGNORECASE,
)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?|today|tomorrow|yesterday|now", re.IGNORECASE)
_SIGNS: Final[Mapping[str, Callable[[str, str], Filters]]] = {
    "=": lambda name, value: where(name).eq(value),
    "!=": lambda name, value: where(name).ne(value),
    ">": lambda name, value: where(name).gt(value),
    ">=": lambda name, value: where(name).ge(value),
    "<": lambda name, value: where(name).lt(value),
    "<=": lambda name, value: where(name).le(value),
    "~": lambda name, value: where(name).contains(value),
    "!~": lambda name, value: where(name).not_contains(value),
}
_EXAMPLES: Final = (
    "NAME=VALUE, NAME!=VALUE, NAME>=VALUE (also > < <=), NAME~WORD, NAME!~WORD, 'NAME in A,B', 'NAME not in A,B', "
    "'NAME exists' or 'NAME missing'"
)


class Condition(msgspec.Struct, frozen=True):
    """One condition: a property, `=`, `>`, `in`, … and what it is compared with."""

    name: str
    operator: str
    values: tuple[str, ...]

    @property
    def names_a_day(self) -> bool:
        """Whether a value may be a day or time; what it is then depends on the property's type."""
        return any(_DAY.fullmatch(value) for value in self.values)


def condition(text: str) -> Condition:
    """Read one. Raises: ConfigurationError that shows how they are written."""
    found = _FORM.fullmatch(text)
    if found is not None and found["sign"]:
        value = found["value"].strip()
        if not value:
            raise ConfigurationError(
                f"{printable(text)!r} compares with nothing; write '{found['name']} missing' or 'exists'"
            )
        return Condition(found["name"], found["sign"], (value,))
    if found is not None:
        word = " ".join(found["word"].lower().split())
        values = tuple(value.strip() for value in (found["rest"] or "").split(",") if value.strip())
        if bool(values) == word.endswith("in"):
            return Condition(found["name"], word, values)
    raise ConfigurationError(f"a condition is written as {_EXAMPLES}, not {printable(repr(text))[:80]}")


def filters(
    conditions: Iterable[Condition], person: Zone, definitions: Mapping[str, PropertyDefinition]
) -> Filters | None:
    """All of them together; None for no condition. Days and times are in the person's zone.

    Raises: ConfigurationError for what no filter can have.
    """
    joined: Filters | None = None
    for one in conditions:
        made = _filter(one, [_value(one.name, value, person, definitions) for value in one.values])
        joined = made if joined is None else joined & made
    return joined


def _filter(one: Condition, values: list[str]) -> Filters:
    match one.operator:
        case "in":
            return where(one.name).is_in(values)
        case "not in":
            return where(one.name).not_in(values)
        case "exists":
            return where(one.name).exists()
        case "missing":
            return where(one.name).missing()
        case sign:
            return _SIGNS[sign](one.name, values[0])


def _value(name: str, text: str, person: Zone, definitions: Mapping[str, PropertyDefinition]) -> str:
    kind = definitions[name].type if name in definitions else None
    if kind not in ("date", "datetime") or not _DAY.fullmatch(text):
        return text
    at = moment(name, text, person)
    if kind == "date":  # a day is midnight UTC, wherever one is
        at = datetime(at.year, at.month, at.day, tzinfo=UTC)
    return str(round(at.timestamp() * 1000))
