"""Answers taken as they come, for whom a surprising field is better than a refused answer.

This module knows types and plain JSON values. It must not know which answers there are.
"""

from __future__ import annotations

from types import UnionType
from typing import Any, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct

__all__ = ["as_far_as_it_fits"]


def as_far_as_it_fits(value: object, kind: Any) -> Any:
    """`value`, plain JSON, as a `kind`: what fits is converted, what does not stays what it is.

    A Struct is made in any case where an object came: a field of another type holds what came, a required field that
    did not come is None.
    """
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        pass
    whole = value
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        structs = [arm for arm in inner if _is_struct(arm)]
        return as_far_as_it_fits(value, structs[0]) if len(structs) == 1 else value
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value)
        if _is_struct(kind):
            return _struct(entries, kind)
        if origin is dict and len(inner) == 2:
            return {name: as_far_as_it_fits(entry, inner[1]) for name, entry in entries.items()}
    if isinstance(value, list) and origin in (tuple, list) and inner:
        items = [as_far_as_it_fits(item, inner[0]) for item in cast("list[object]", value)]
        return tuple(items) if origin is tuple else items
    return whole


def _is_struct(kind: Any) -> bool:
    plain = get_origin(kind) or kind
    return isinstance(plain, type) and issubclass(plain, Struct)


def _struct(entries: dict[str, object], kind: Any) -> Struct:
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in entries:
            given[field.name] = as_far_as_it_fits(entries[field.encode_name], field.type)
        elif field.required:
            given[field.name] = None
    return cast("Struct", (get_origin(kind) or kind)(**given))
