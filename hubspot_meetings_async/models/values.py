"""Property values in the form HubSpot takes.

This module knows which Python values can be a property, and how each is written. It must not know which properties
exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, cast

from msgspec import UNSET, Struct, to_builtins

from ..errors import InvalidRecord

__all__ = ["PropertyValue", "kind_of", "property_values"]

PropertyValue = str | int | float | bool | datetime | date | Enum | None
"""What one property of a plain dict may hold. Datetimes must be aware; `None` and `""` both clear a property."""


def property_values(properties: Mapping[str, Any] | Struct) -> Mapping[str, str]:
    """`properties` in the form HubSpot documents: a mapping of strings, where `""` clears.

    A mapping that is in that form already is handed back untouched, not copied.

    Raises: InvalidRecord naming the property, for a naive datetime, NaN, or a type that HubSpot does not know.
    """
    if isinstance(properties, Struct):
        # The encoded names: a subclass may call a field what it likes, with `msgspec.field(name=…)`.
        fields = zip(properties.__struct_encode_fields__, properties.__struct_fields__, strict=True)
        return _texts((name, getattr(properties, field)) for name, field in fields)
    if not isinstance(properties, (dict, Mapping)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRecord(f"properties are a mapping or a Struct, not {kind_of(properties)}")
    try:
        # One pass in C settles the ordinary case: join refuses anything that is no string.
        "".join(properties.values())
    except TypeError:
        return _texts(properties.items())
    return properties


def kind_of(value: object) -> str:
    """What a value is, in words for a message."""
    return "None" if value is None else f"a {type(value).__name__}"


def _texts(values: Iterable[tuple[str, Any]]) -> dict[str, str]:
    return {name: value if type(value) is str else _text(name, value) for name, value in values if value is not UNSET}


def _text(name: str, value: object) -> str:
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(name, value)
    if isinstance(value, Enum):  # before str: a StrEnum is both
        return _text(name, value.value)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return _number(name, value)
    if isinstance(value, datetime):
        return _moment(name, value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (tuple, list, set, frozenset)):
        return ";".join(_listed(name, item) for item in cast("Iterable[object]", value))
    raise InvalidRecord(
        f"property {name!r} is a {type(value).__name__}; HubSpot takes strings, numbers, booleans, dates and None"
    )


def _number(name: str, value: float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        try:
            return str(int(value))
        except ValueError:
            raise InvalidRecord(f"property {name!r} is a number of thousands of digits") from None
    if not math.isfinite(value):
        raise InvalidRecord(f"property {name!r} is {value}, which is no number to HubSpot; leave it out or send None")
    # Tables turn whole numbers into floats where a column has holes; HubSpot refuses "3.0" for a whole number.
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(value))


def _nothing(_: str, value: None) -> str:
    return ""


def _moment(name: str, value: datetime) -> str:
    if value.tzinfo is not UTC:
        if value.utcoffset() is None:
            raise InvalidRecord(f"property {name!r} is a datetime without a time zone; give it one, e.g. tzinfo=UTC")
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise InvalidRecord(f"property {name!r} is {value.isoformat()}, which has no form in UTC") from None
    # msgspec writes a moment in a tenth of the time that `isoformat` takes, with six digits of a second or none.
    text: str = to_builtins(value)
    return f"{text[:23]}Z" if value.microsecond else f"{text[:-1]}.000Z"


def _listed(name: str, item: object) -> str:
    """One item of a multiple value."""
    if item is None:
        raise InvalidRecord(f"property {name!r} is a list that holds None; leave that out")
    return _text(name, item)


_WRITERS: dict[type, Callable[[str, Any], str]] = {
    str: lambda _, value: value,
    type(None): _nothing,
    bool: _number,
    int: _number,
    float: _number,
    datetime: _moment,
    date: lambda _, value: value.isoformat(),
}
"""For the types that values nearly always have: a look-up instead of a row of questions."""
