"""Problems of a record that are plain before a call is spent: pure functions over definitions.

This module knows which values each type of property takes. It must not know where definitions come from, or await.
What is named here HubSpot would refuse; what is not named it may still refuse (unique values, required properties,
rules of the account).

HubSpot: https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, cast

from msgspec import UNSET, Struct

from ..errors import InvalidRecord
from ..inputs import Record
from ..models import Problem, PropertyDefinition, property_values

__all__ = ["check"]

_SHOWN_OPTIONS = 20
_DAY_MS: Final = 86_400_000
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T.+")


def check(record: object, definitions: Mapping[str, PropertyDefinition]) -> tuple[Problem, ...]:
    """What HubSpot would refuse in `record`, property by property; empty when nothing is seen.

    `record` is what creates and updates take: a mapping of properties, a Struct, a `Record`, or a mapping with
    `properties` in it; the key `id` names the record and is left alone. Named are unknown properties (with the nearest
    name there is), read-only ones, options an enumeration does not have, and numbers, dates and booleans of a form
    HubSpot does not read.
    """
    return tuple(problem for name, value in _given(record) for problem in _problems(name, value, definitions))


def _given(record: object) -> Iterator[tuple[str, object]]:
    if isinstance(record, Record):
        record = record.properties
    if isinstance(record, Struct):
        fields = zip(record.__struct_encode_fields__, record.__struct_fields__, strict=True)
        yield from ((name, getattr(record, field)) for name, field in fields)
        return
    if not isinstance(record, Mapping):
        raise InvalidRecord(f"a record is a mapping of properties, a Struct or a Record, not a {type(record).__name__}")
    mapping = cast("Mapping[str, Any]", record)
    inner = mapping.get("properties")
    if isinstance(inner, (Mapping, Struct)):
        yield from _given(cast("object", inner))
    else:
        # Updates name the record by `id`, which is no property.
        yield from ((name, value) for name, value in mapping.items() if name != "id")


def _problems(name: str, value: object, definitions: Mapping[str, PropertyDefinition]) -> Iterator[Problem]:
    if value is UNSET:
        return
    definition = definitions.get(name)
    if definition is None:
        yield Problem(name, "PROPERTY_DOESNT_EXIST", f"Meetings have no property {name!r}{_nearest(name, definitions)}")
        return
    if not definition.writable:
        yield Problem(name, "READ_ONLY_VALUE", f"{name!r} is written by HubSpot only; leave it out")
        return
    try:
        sent = property_values({name: value})[name]
    except InvalidRecord as error:
        yield Problem(name, "INVALID_VALUE", error.message)
        return
    text = _as_text(sent)
    form = _FORMS.get(definition.type or "")
    if text == "" or form is None:  # clears it, or may hold anything
        return
    wrong = form(text, definition)
    if wrong is not None:
        yield Problem(name, wrong[0], f"{name!r} is {text[:60]!r}, {wrong[1]}")


def _near(word: str, names: Iterable[str]) -> list[str]:
    from difflib import get_close_matches  # three milliseconds, which only a mistake should cost

    return get_close_matches(word, list(names), n=1)


def _nearest(name: object, definitions: Mapping[str, PropertyDefinition]) -> str:
    names = [known for known, definition in definitions.items() if definition.writable]
    near = _near(str(name), names)
    return f"; did you mean {near[0]!r}?" if near else ""


def _as_text(sent: object) -> str:
    match sent:
        case None:
            return ""
        case True:
            return "true"
        case False:
            return "false"
        case float() if sent.is_integer() and abs(sent) < 1e15:
            return str(int(sent))
        case _:
            return str(sent)


_Wrong = tuple[str, str] | None
"""HubSpot's code and the rest of a sentence, or None for a value that will do."""


def _number(text: str, definition: PropertyDefinition) -> _Wrong:
    if _NUMBER.fullmatch(text.strip()) and math.isfinite(float(text)):
        return None
    return "INVALID_LONG", "which is no number: digits, a dot before decimals, no separators of thousands"


def _bool(text: str, definition: PropertyDefinition) -> _Wrong:
    if text.lower() in ("true", "false"):
        return None
    return "INVALID_OPTION", "and takes true or false"


def _datetime(text: str, definition: PropertyDefinition) -> _Wrong:
    if _milliseconds(text) is not None or _is_moment(text):
        return None
    return "INVALID_LONG", "which is no moment: 2026-11-21T09:00:00Z, Unix milliseconds, or an aware datetime"


def _is_moment(text: str) -> bool:
    if not _MOMENT.fullmatch(text):
        return False
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return moment.tzinfo is not None  # without one it could be any of a day's moments


def _date(text: str, definition: PropertyDefinition) -> _Wrong:
    ms = _milliseconds(text)
    if ms is not None and ms % _DAY_MS == 0:
        return None
    if _DATE.fullmatch(text):
        try:
            date.fromisoformat(text)
        except ValueError:
            pass
        else:
            return None
    return "INVALID_DATE", "which is no day: 2026-11-21, or Unix milliseconds at midnight UTC"


def _milliseconds(text: str) -> int | None:
    if not _INTEGER.fullmatch(text):
        return None
    try:
        datetime.fromtimestamp(int(text) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return int(text)


def _option(text: str, definition: PropertyDefinition) -> _Wrong:
    allowed = definition.allowed
    if allowed is None or text in allowed:
        return None
    if definition.field_type == "checkbox":
        # A leading `;` adds to what is there.
        wrong = [part for part in text.split(";") if part and part not in allowed]
        if not wrong:
            return None
        text = wrong[0]
    listed = ", ".join(allowed[:_SHOWN_OPTIONS])
    more = f" and {len(allowed) - _SHOWN_OPTIONS} more" if len(allowed) > _SHOWN_OPTIONS else ""
    by_lower = {value.lower(): value for value in allowed}
    near = _near(text.lower(), by_lower)
    hint = f"; did you mean {by_lower[near[0]]!r}?" if near else ""
    return "INVALID_OPTION", f"and takes {listed}{more}{hint}"


_FORMS: Mapping[str, Callable[[str, PropertyDefinition], _Wrong]] = {
    "number": _number,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "enumeration": _option,
}
