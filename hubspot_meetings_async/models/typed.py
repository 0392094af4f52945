"""Properties as a Struct of the caller's: from HubSpot's strings to typed fields, and which properties to ask for.

This module knows how each kind of value is written by HubSpot. It must not know which properties exist, or requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct, UnsetType

from ..errors import ConfigurationError, UnexpectedResponse, printable
from .meetings import Meeting

__all__ = ["property_names", "read_as", "read_properties"]

P = TypeVar("P", bound=Struct)

Reader = Callable[[str], object]
"""Makes a value of its text; raises ValueError, ArithmeticError or OSError for a text that is none."""

Field = tuple[str, str, Reader, bool]
"""A property, the attribute that holds it, how its text is read, and whether it may be None."""


def property_names(into: type[Struct]) -> tuple[str, ...]:
    """The properties to ask for so that every field of `into` can be filled.

    Raises: ConfigurationError when `into` is no Struct class, or a field has a type that no property can have.
    """
    return tuple(name for name, *_ in _fields(into))


def read_as(meeting: Meeting[Any], into: type[P]) -> Meeting[P]:
    """`meeting` with its properties as an `into`. Raises: UnexpectedResponse, see `read_properties`."""
    return cast("Meeting[P]", msgspec.structs.replace(meeting, properties=read_properties(meeting.properties, into)))


def read_properties(properties: Mapping[str, str | None], into: type[P]) -> P:
    """HubSpot's strings as an `into`.

    A property that HubSpot left out keeps its field's default (`UNSET` in `MeetingProperties`). One without a value
    (null, or `""` for what is no string) is None where the field takes None, else the default. Times come as ISO 8601
    or Unix ms and become aware UTC; lists are split at `;`.

    Raises: UnexpectedResponse naming the property whose value its field can not hold.
    """
    given: dict[str, object] = {}
    for name, attribute, read, nullable in _fields(into):
        text = properties.get(name)
        if text is None or (text == "" and read is not str):
            if nullable and name in properties:
                given[attribute] = None
            continue
        try:
            given[attribute] = read(text)
        except _UNREADABLE:
            raise UnexpectedResponse(
                f"property {name!r} holds {printable(text)[:60]!r}, which {into.__name__}.{attribute} can not be; "
                "widen that field's type"
            ) from None
    try:
        return into(**given)
    except TypeError as error:
        raise UnexpectedResponse(f"{into.__name__} can not be made of what HubSpot sent: {error}") from None


def _fields(into: object) -> tuple[Field, ...]:
    if not (isinstance(into, type) and issubclass(into, Struct)):
        raise ConfigurationError(f"into= takes a Struct class such as MeetingProperties, not {into!r}")
    return _fields_of(into)


@cache
def _fields_of(into: type[Struct]) -> tuple[Field, ...]:
    try:
        hints = get_type_hints(into)
    except NameError as error:
        raise ConfigurationError(f"{into.__name__} has a field whose type can not be looked up: {error}") from None
    found: list[Field] = []
    for attribute, name in zip(into.__struct_fields__, into.__struct_encode_fields__, strict=True):
        kinds = _members(hints[attribute])
        nullable = type(None) in kinds or Any in kinds
        found.append((name, attribute, _first_of(kinds, f"{into.__name__}.{attribute}"), nullable))
    return tuple(found)


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _first_of(kinds: tuple[Any, ...], where: str) -> Reader:
    """Reads a text as the first of these kinds that it can be; a plain string can be anything and is tried last."""
    readers = [_reader(kind, where) for kind in kinds if kind not in (type(None), UnsetType)]
    readers.sort(key=lambda reader: reader is str)
    if len(readers) < 2:
        return readers[0] if readers else str
    *early, last = readers

    def read(text: str) -> object:
        for reader in early:
            try:
                return reader(text)
            except _UNREADABLE:
                continue
        return last(text)

    return read


def _reader(kind: Any, where: str) -> Reader:
    if (simple := _SIMPLE.get(kind)) is not None:
        return simple
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _one_of({str(member.value): member for member in kind})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _one_of({str(value): value for value in arguments})
    if origin in (tuple, list, set, frozenset) and (origin is not tuple or arguments[1:] == (...,)):
        return _list_reader(_first_of(_members(arguments[0]), where), origin)
    raise ConfigurationError(f"{where} has a type that no property can have: {kind}")


def _one_of(values: Mapping[str, object]) -> Reader:
    def read(text: str) -> object:
        if text not in values:
            raise ValueError(text)
        return values[text]

    return read


def _list_reader(item: Reader, make: Callable[[list[object]], object]) -> Reader:
    return lambda text: make([item(part) for part in text.split(";") if part])


def _moment(text: str) -> datetime:
    if text.lstrip("-").isdigit():
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _date(text: str) -> date:
    return date.fromisoformat(text) if len(text) == 10 and text[4] == "-" else _moment(text).date()


def _bool(text: str) -> object:
    return _one_of({"true": True, "false": False})(text.lower())


_UNREADABLE = (ValueError, ArithmeticError, OSError)

_SIMPLE: dict[Any, Reader] = {
    Any: str,
    object: str,
    str: str,
    int: int,
    float: float,
    Decimal: Decimal,
    bool: _bool,
    datetime: _moment,
    date: _date,
}
