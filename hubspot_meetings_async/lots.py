"""Usual records, a hundred at a time: what is plain needs no look of its own.

This module knows the plain forms that most records of a batch call have, and takes them together in a few steps of
C. It must not know sources, batches or HTTP. Whatever is not plain it leaves to `inputs.py`, which looks at each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum
from functools import partial
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, Final, TypeGuard, cast

from msgspec import Struct

from .entries import Lot, Telling, trace_ids
from .errors import InvalidRecord
from .models import property_values
from .wire import encode_plain

__all__ = [
    "MAX_DIGITS",
    "MAX_KEY",
    "ById",
    "ByValue",
    "Id",
    "Lots",
    "Plain",
    "changes",
    "is_id",
    "is_plain",
    "lots_by_id",
    "lots_of_changes",
    "lots_of_creates",
    "lots_of_upserts",
]

MAX_KEY: Final = 255
"""Characters of a value that names a record. HubSpot publishes no limit; what is longer is a mistake mostly, such as a
text in the wrong column."""
MAX_DIGITS: Final = 20
"""Of an id."""

_all_text: Final = frozenset((str,)).issuperset
_copy: Final = dict[str, Any].copy
_values: Final = dict[str, Any].values
_STEADY: Final = frozenset((str, int, float, bool, type(None), datetime, date))
_ID_AND_PROPERTIES: Final = 2
_ONLY_DICTS: Final = {dict}
_ONLY_TEXT: Final = {str}


class Plain(Struct, gc=False, rename="camel"):
    """The usual input of a create: two members cost a third less to fill than all."""

    properties: Mapping[str, str]
    object_write_trace_id: str


class ByValue(Struct, gc=False, rename="camel"):
    """The usual input of an upsert."""

    id: str
    id_property: str
    properties: Mapping[str, str]
    object_write_trace_id: str


class ById(Struct, gc=False, rename="camel"):
    """The usual input of an update."""

    id: str
    properties: Mapping[str, str]
    object_write_trace_id: str


class Id(Struct, gc=False):
    """The input of a read or an archive."""

    id: str


class _Body(Struct):
    inputs: list[Any]


class Lots(Struct, frozen=True):
    """How usual records of one batch call are taken together.

    `copied` keeps a record as it is now, since a source may use its object again; it raises for what is surely not
    usual. `usual` says whether a single record is. `lot` makes one of the first record's ordinal, the records, their
    copies and what their trace ids begin with; None where one of them is not usual after all.
    """

    copied: Callable[[Any], Any]
    usual: Callable[[Any], bool]
    lot: Callable[[int, list[Any], list[Any], str], Lot | None]


def is_plain(item: Any) -> bool:
    """Whether it is the usual record, a plain dict of strings: a bulk run spends most of its own time with those."""
    given: object = item
    return type(given) is dict and "properties" not in item and _all_text(map(type, item.values()))


def is_id(given: object) -> TypeGuard[str]:
    """Whether it is an id of HubSpot's."""
    return type(given) is str and 0 < len(given) <= MAX_DIGITS and given.isascii() and given.isdigit()


def changes(item: Any) -> dict[str, str] | None:
    """What a plain update writes: its `properties`, or all but the id; None where it takes a closer look."""
    sent: Any = item.get("properties")
    if sent is None:
        sent = {**item}
        del sent["id"]
    elif len(item) > 2:
        return None
    given: object = sent
    return sent if type(given) is dict and _all_text(map(type, sent.values())) else None


# ---- creates and upserts ------------------------------------------------------------------------------------------


def lots_of_creates(key_property: str | None) -> Lots:
    """Plain creates, known by `key_property` where there is one."""
    return Lots(_copy, partial(_is_usual, key_property), partial(_creates, key_property))


def lots_of_upserts(id_property: str) -> Lots:
    """Plain upserts by the value of `id_property`."""
    return Lots(_copy, partial(_is_usual, id_property), partial(_upserts, id_property))


def _is_usual(key_property: str | None, item: Any) -> bool:
    given: object = item
    if type(given) is not dict or "properties" in item or (key_property is not None and key_property not in item):
        return False
    return _is_steady({*map(type, item.values())})


def _creates(
    key_property: str | None, first: int, records: list[Any], copies: list[dict[str, Any]], trace_prefix: str
) -> Lot | None:
    if (texts := _texts(records, copies)) is None:
        return None
    keys: list[str] | None = None
    if key_property is not None:
        keys = _keys(key_property, texts)
        # HubSpot cuts spaces at the ends of text: the value to look for later would be another one.
        if keys is None or [*map(str.strip, keys)] != keys:
            return None
    body = _encoded(map(Plain, texts, trace_ids(trace_prefix, len(records))))
    tells = _told_apart(texts) if keys is None else Telling(key_property, keys)
    return None if body is None else Lot(first, records, body, keys=keys, trace_prefix=trace_prefix, tells=tells)


def _upserts(
    id_property: str, first: int, records: list[Any], copies: list[dict[str, Any]], trace_prefix: str
) -> Lot | None:
    if (texts := _texts(records, copies)) is None or (keys := _keys(id_property, texts)) is None:
        return None
    body = _encoded(map(ByValue, keys, repeat(id_property), texts, trace_ids(trace_prefix, len(records))))
    tells = Telling(id_property, keys)
    return None if body is None else Lot(first, records, body, keys=keys, trace_prefix=trace_prefix, tells=tells)


def _texts(records: list[Any], copies: list[dict[str, Any]]) -> list[dict[str, str]] | None:
    """What the copies write; None if one of the records is no dict, or holds what may have changed since."""
    if {*map(type, records)} != _ONLY_DICTS:
        return None
    try:
        # Refuses anything that is no string, at half the price of asking for each type.
        "".join(chain.from_iterable(map(_values, copies)))
    except TypeError:
        pass
    else:
        return copies
    if not _is_steady({*map(type, chain.from_iterable(map(_values, copies)))}):
        return None
    try:
        return [cast("dict[str, str]", property_values(copy)) for copy in copies]
    except InvalidRecord:
        return None


def _is_steady(kinds: set[type]) -> bool:
    """Whether values of these types are what they were when they were read, whatever a source does to its objects."""
    return all(kind in _STEADY or issubclass(kind, Enum) for kind in kinds)


def _keys(name: str, texts: list[dict[str, str]]) -> list[str] | None:
    try:
        keys: list[str] = [*map(itemgetter(name), texts)]
    except KeyError:
        return None
    lengths = [*map(len, keys)]
    return keys if min(lengths) and max(lengths) <= MAX_KEY else None


def _told_apart(texts: list[dict[str, str]]) -> Telling | None:
    """Any property that no two of them write the same value to."""
    for name in texts[0]:
        try:
            values = [*map(itemgetter(name), texts)]
        except KeyError:
            continue
        if len({*values}) == len(values):
            return Telling(name, values)
    return None


# ---- updates ------------------------------------------------------------------------------------------------------


def lots_of_changes() -> Lots:
    """Plain updates by record id: `{"id": …, property: value}`, or HubSpot's `{"id": …, "properties": {…}}`."""
    return Lots(_copied_change, _is_change, _changes)


def _copied_change(item: Any) -> dict[str, Any]:
    copy = _copy(item)
    written = copy.get("properties")
    if written is not None:
        copy["properties"] = _copy(written)
    return copy


def _is_change(item: Any) -> bool:
    given: object = item
    if type(given) is not dict or not is_id(item.get("id")):
        return False
    written: object = _written([item])[0]
    return type(written) is dict and _is_steady({*map(type, _values(cast("dict[str, Any]", written)))})


def _changes(first: int, records: list[Any], copies: list[dict[str, Any]], trace_prefix: str) -> Lot | None:
    if {*map(type, records)} != _ONLY_DICTS:
        return None
    try:
        keys: list[Any] = [*map(itemgetter("id"), copies)]
    except KeyError:
        return None
    if not _are_ids(keys):
        return None
    written = _written(copies)
    if (texts := _texts(written, written)) is None:
        return None
    body = _encoded(map(ById, keys, texts, trace_ids(trace_prefix, len(records))))
    tells = Telling(None, keys)
    return None if body is None else Lot(first, records, body, keys=keys, trace_prefix=trace_prefix, tells=tells)


def _written(copies: list[dict[str, Any]]) -> list[Any]:
    """What each writes: its `properties`, or all but the id. None for one that is not like the first."""
    if copies[0].get("properties") is None:
        return [{name: value for name, value in copy.items() if name != "id"} for copy in copies]
    return [copy.get("properties") if len(copy) == _ID_AND_PROPERTIES else None for copy in copies]


# ---- reads and archives -------------------------------------------------------------------------------------------


def lots_by_id(prefix: bytes) -> Lots:
    """Ids as text. `prefix` is the body up to the inputs."""
    return Lots(str.__str__, is_id, partial(_ids, prefix))


def _ids(prefix: bytes, first: int, records: list[Any], copies: list[Any], _: str) -> Lot | None:
    if not _are_ids(records):
        return None
    body = b"".join((prefix[:-1], encode_plain([*map(Id, copies)]), b"}"))
    return Lot(first, records, body, keys=copies, trace_prefix=None, tells=Telling(None, copies))


def _are_ids(given: list[Any]) -> bool:
    if {*map(type, given)} != _ONLY_TEXT:
        return False
    lengths, text = [*map(len, given)], "".join(given)
    return min(lengths) > 0 and max(lengths) <= MAX_DIGITS and text.isascii() and text.isdigit()


def _encoded(inputs: map[Any]) -> bytes | None:
    try:
        return encode_plain(_Body([*inputs]))
    except (TypeError, ValueError):
        return None  # which one it is, and why, is found by looking at each
